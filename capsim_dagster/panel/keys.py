"""The keys of a sorted panel, batch by batch: which server, which day, and whether the row before has the same.

Servers are compared as positions in the batch's own dictionary, so that no text is touched row by row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from capsim_dagster.panel.contract import KEY
from capsim_dagster.panel.retype import DAY_US, numbers

BoolArray = NDArray[np.bool_]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True)
class KeyedBatch:
    """Rows that have a server and a day; arrays have shape `(n_rows,)`.

    Attributes:
        batch: The rows.
        servers: The servers that occur, each once.
        codes: Position of each row's server in `servers`.
        days: Day of each row, counted from 1970.
        starts: Where another server begins, the first row included, shape `(n_runs,)`.
        repeats: Whether the row before has the same key.
        exact: Whether the row before is the same in every column.
        is_sorted: Whether it follows on the batches before, and each server is one run of rising days.
    """

    batch: pa.RecordBatch
    servers: list[str]
    codes: Int64Array
    days: Int64Array
    starts: Int64Array
    repeats: BoolArray
    exact: BoolArray
    is_sorted: bool

    def without_exact(self) -> pa.RecordBatch:
        """Return the rows without those that only repeat the one before."""
        return self.batch.filter(pa.array(~self.exact)) if self.exact.any() else self.batch


def keyed(batches: Iterable[pa.RecordBatch]) -> Iterator[KeyedBatch]:
    """Yield batches with their keys; rows without a server or a day are left out."""
    order = _Order()
    before: pa.RecordBatch | None = None
    for whole in batches:
        batch = _with_keys(whole)
        if batch.num_rows:
            yield _keyed(batch, before, order)
            before = batch.slice(batch.num_rows - 1)


class _Order:
    """Whether servers rise from run to run: as texts, or as numbered texts, of which the shorter come first."""

    def __init__(self) -> None:
        self._last: str | None = None
        self._as_text = True
        self._as_numbers = True

    def follows(self, servers: Iterable[str]) -> bool:
        """Take the servers of further runs; return whether all so far rise in one of the two orders."""
        for server in servers:
            last = self._last
            if last is not None and last != server:
                self._as_text &= last < server
                self._as_numbers &= (len(last), last) < (len(server), server)
            self._last = server
        return self._as_text or self._as_numbers


def _with_keys(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows that have a server and a day."""
    server, day = (batch.column(name) for name in KEY)
    empty = empty_code(server)
    if not server.null_count and not day.null_count and empty < 0:
        return batch
    named = pc.and_(server.is_valid(), pc.fill_null(pc.not_equal(server.indices, empty), fill_value=False))
    return batch.filter(pc.and_(named, day.is_valid()))


def empty_code(server: pa.DictionaryArray) -> int:
    """Return the position of the empty text in a dictionary, -1 if it has none."""
    texts = server.dictionary.to_pylist()
    return texts.index("") if "" in texts else -1


def _keyed(batch: pa.RecordBatch, before: pa.RecordBatch | None, order: _Order) -> KeyedBatch:
    servers, codes = _codes(batch.column(KEY[0]))
    days = days_of(batch.column(KEY[1]))
    same = np.zeros(days.size, np.bool_)
    same[1:] = codes[1:] == codes[:-1]
    starts = np.flatnonzero(~same)
    step = np.ones(days.size, np.int64)
    step[1:] = np.diff(days)
    if before is not None and before.column(KEY[0])[0].as_py() == servers[codes[0]]:
        same[0] = True
        step[0] = days[0] - days_of(before.column(KEY[1]))[0]
    repeats = same & (step == 0)
    rises = bool((step[same] >= 0).all())
    is_sorted = order.follows(servers[code] for code in codes[starts]) and rises
    return KeyedBatch(batch, servers, codes, days, starts, repeats, _exact(batch, before, repeats), is_sorted)


def _codes(server: pa.DictionaryArray) -> tuple[list[str], Int64Array]:
    """Return the servers of a dictionary, each once, and the position of each row's."""
    servers, position = np.unique(np.array(server.dictionary.to_pylist(), object), return_inverse=True)
    codes = position.reshape(-1)[numbers(server.indices)]
    return [str(name) for name in servers], codes.astype(np.int64)


def days_of(timestamps: pa.Array) -> Int64Array:
    """Return midnights as days, counted from 1970."""
    return np.asarray(numbers(timestamps.view(pa.int64())), np.int64) // DAY_US


def _exact(batch: pa.RecordBatch, before: pa.RecordBatch | None, repeats: BoolArray) -> BoolArray:
    """Return which of the rows that repeat the key before them repeat every column too."""
    exact = np.zeros(batch.num_rows, np.bool_)
    rows = np.flatnonzero(repeats)
    if not rows.size:
        return exact
    inner = rows[rows > 0]
    exact[inner] = same_rows(batch.take(pa.array(inner)), batch.take(pa.array(inner - 1)))
    if repeats[0] and before is not None:
        exact[0] = same_rows(batch.slice(0, 1), before)[0]
    return exact


def same_rows(left: pa.RecordBatch, right: pa.RecordBatch) -> BoolArray:
    """Return which rows of two batches are the same; two missing values are, and so are two that are not numbers."""
    same = np.ones(left.num_rows, np.bool_)
    for ours, theirs in zip(left.columns, right.columns, strict=True):
        same &= _same_values(ours, theirs)
    return same


def _same_values(ours: pa.Array, theirs: pa.Array) -> BoolArray:
    kind = ours.type
    if pa.types.is_dictionary(kind):
        ours, theirs = ours.cast(kind.value_type), theirs.cast(kind.value_type)
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        pairs = zip(ours.to_pylist(), theirs.to_pylist(), strict=True)
        return np.array([left == right for left, right in pairs], np.bool_)
    equal = pc.fill_null(pc.equal(ours, theirs), fill_value=False)
    both = pc.and_(ours.is_null(nan_is_null=True), theirs.is_null(nan_is_null=True))
    return np.asarray(pc.or_(equal, both).to_numpy(zero_copy_only=False), np.bool_)
