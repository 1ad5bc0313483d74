"""What a panel holds, counted in one pass over its rows: servers with their days and gaps, metrics, what is missing.

Which of it is right is in `judge`.
"""

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.panel.contract import KEY
from capsim_dagster.panel.keys import KeyedBatch, empty_code, keyed
from capsim_dagster.panel.normalise import FilePlan
from capsim_dagster.panel.retype import numbers
from capsim_dagster.schemas import Column, Type

_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()


def day_text(day: int) -> str:
    """Return a day, counted from 1970, as YYYY-MM-DD.

    >>> day_text(19_358)
    '2023-01-01'
    """
    return dt.date.fromordinal(_EPOCH_ORDINAL + day).isoformat()


def day_number(day: dt.date) -> int:
    """Return a day as counted from 1970."""
    return day.toordinal() - _EPOCH_ORDINAL


@dataclass
class ServerDays:
    """The days of one server, counted from 1970.

    Attributes:
        server: Its id.
        first: Its first day.
        last: Its last day.
        days: Days with a row.
        longest_gap: Most days in a row that lack between two rows.
        gap_from: First day of that gap.
        identity: Its texts on its first day.
        changed: Whether a text of its changes from day to day.
    """

    server: str
    first: int
    last: int
    days: int
    longest_gap: int
    gap_from: int
    identity: Sequence[str | None]
    changed: bool = False

    def extend(self, later: "ServerDays") -> None:
        """Take up the rows of the same server in the next batch, whose first day may be this one's last."""
        between = max(later.first - self.last - 1, 0)
        for gap, start in ((between, self.last + 1), (later.longest_gap, later.gap_from)):
            if gap > self.longest_gap:
                self.longest_gap, self.gap_from = gap, start
        self.changed |= later.changed or list(self.identity) != list(later.identity)
        self.last = later.last
        self.days += later.days


@dataclass
class MetricCount:
    """What is counted of one metric.

    Attributes:
        column: Which.
        rows: Rows seen.
        count: Values that are there.
        lowest: Lowest of them.
        highest: Highest of them.
        sums: Sum of each batch.
        outside: Values below 0, above what can be right, or infinite.
        examples: At most five of those.
    """

    column: Column
    rows: int = 0
    count: int = 0
    lowest: float = math.inf
    highest: float = -math.inf
    sums: list[float] = field(default_factory=list)
    outside: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """Mean of the values; None = there is none, or they are not finite."""
        if not self.count or not all(map(math.isfinite, self.sums)):
            return None
        return math.fsum(self.sums) / self.count

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the values of a batch."""
        values = batch.column(self.column.name)
        self.rows += len(values)
        count = len(values) - values.null_count
        if not count:
            return
        self.count += count
        bounds = pc.min_max(values)
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
        self.sums.append(pc.sum(values).as_py())
        if low < 0 or high > self._bound or math.isinf(high):
            self._add_outside(batch, values)

    @property
    def _bound(self) -> float:
        return math.inf if self.column.maximum is None else self.column.maximum

    def _add_outside(self, batch: pa.RecordBatch, values: pa.Array) -> None:
        found = numbers(values)
        rows = np.flatnonzero((found < 0) | (found > self._bound) | np.isinf(found))
        self.outside += rows.size
        for row in rows[: MAX_EXAMPLES - len(self.examples)].tolist():
            self.examples.append(f"{_key_text(batch, row)} {self.column.name} = {found[row]:g}")


@dataclass
class Examination:
    """Everything that was counted.

    Attributes:
        metrics: By name.
        nulls: Missing values of the columns that must not have any, by name; an empty server id is one.
        rows: Rows in the file.
        kept: Rows with a key, without exact duplicates.
        exact: Rows that only repeat the one before.
        conflicts: Keys with rows of different content.
        exact_examples: At most five keys of exact duplicates.
        conflict_examples: At most five keys with conflicts.
        servers: In the order of the file.
        is_sorted: Whether all rows so far are in order; the counts mean nothing otherwise.
        first_astray: The first row that is not, and the one before.
    """

    metrics: Mapping[str, MetricCount]
    nulls: dict[str, int]
    rows: int = 0
    kept: int = 0
    exact: int = 0
    conflicts: int = 0
    exact_examples: list[str] = field(default_factory=list)
    conflict_examples: list[str] = field(default_factory=list)
    servers: list[ServerDays] = field(default_factory=list)
    is_sorted: bool = True
    first_astray: str = ""

    @property
    def first(self) -> int | None:
        """First day in the panel, counted from 1970."""
        return min((server.first for server in self.servers), default=None)

    @property
    def last(self) -> int | None:
        """Last day in the panel."""
        return max((server.last for server in self.servers), default=None)

    @property
    def days(self) -> int:
        """Days from the first to the last."""
        return 0 if self.first is None or self.last is None else self.last - self.first + 1


def examine(plan: FilePlan, batches: Iterator[pa.RecordBatch]) -> Examination:
    """Return what the rows hold; it ends at the first batch that is not in order."""
    contract = [column.contract for column in plan.usable if column.contract]
    seen = Examination(
        metrics={column.name: MetricCount(column) for column in contract if column.type is Type.DOUBLE},
        nulls={column.name: 0 for column in contract if not column.nullable},
    )
    identity = [column.name for column in contract if column.type is Type.TEXT and column.name not in KEY]
    for piece in keyed(_counted(seen, batches)):
        _add_keys(seen, piece)
        if not piece.is_sorted:
            seen.is_sorted, seen.first_astray = False, _astray(piece)
            break
        _add_servers(seen.servers, piece, identity)
        rows = piece.without_exact()
        seen.kept += rows.num_rows
        for metric in seen.metrics.values():
            metric.add(rows)
    return seen


def _counted(seen: Examination, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Count rows and missing values of batches on their way."""
    for batch in batches:
        seen.rows += batch.num_rows
        for name in seen.nulls:
            seen.nulls[name] += batch.column(name).null_count
        server = batch.column(KEY[0])
        empty = empty_code(server)
        if empty >= 0:
            seen.nulls[KEY[0]] += pc.sum(pc.equal(server.indices, empty)).as_py() or 0
        yield batch


def _astray(piece: KeyedBatch) -> str:
    """Return the first row of a batch that belongs before the one above it."""
    codes, days = piece.codes, piece.days
    falls = (np.diff(codes) < 0) | ((np.diff(codes) == 0) & (np.diff(days) < 0))
    rows = np.flatnonzero(falls)
    # None within the batch: its first row belongs before the batch above.
    row = int(rows[0]) + 1 if rows.size else 0
    return (
        f"{_key_text(piece.batch, row)} stands after {_key_text(piece.batch, row - 1)}"
        if row
        else (f"{_key_text(piece.batch, 0)} stands too late")
    )


def _add_keys(seen: Examination, piece: KeyedBatch) -> None:
    """Count duplicates: rows that repeat the one before, and keys whose rows differ."""
    conflicting = piece.repeats & ~piece.exact
    seen.exact += int(piece.exact.sum())
    seen.conflicts += int(conflicting.sum())
    for rows, examples in ((piece.exact, seen.exact_examples), (conflicting, seen.conflict_examples)):
        for row in np.flatnonzero(rows)[: MAX_EXAMPLES - len(examples)].tolist():
            examples.append(_key_text(piece.batch, row))


def _add_servers(servers: list[ServerDays], piece: KeyedBatch, identity: Sequence[str]) -> None:
    """Add the days of the servers in a batch."""
    found = _server_days(piece, [piece.batch.column(name) for name in identity])
    if servers and servers[-1].server == found[0].server:
        servers[-1].extend(found.pop(0))
    servers.extend(found)


def _server_days(piece: KeyedBatch, texts: Sequence[pa.DictionaryArray]) -> list[ServerDays]:
    starts, days = piece.starts, piece.days
    ends = np.r_[starts[1:], days.size] - 1
    gaps = np.zeros(days.size, np.int64)
    gaps[1:] = np.maximum(np.diff(days) - 1, 0)
    gaps[starts] = 0
    # A day that repeats the last one of the batch before is not counted again, as `repeats` knows.
    present = np.add.reduceat((~piece.repeats).astype(np.int64), starts)
    longest = np.maximum.reduceat(gaps, starts)
    changed = np.logical_or.reduceat(_changes(texts, starts, days.size), starts)
    columns = [_texts_at(text, starts) for text in texts]
    found = [
        ServerDays(
            piece.servers[piece.codes[start]], int(days[start]), int(days[end]), int(count), int(gap), 0, identity
        )
        for start, end, count, gap, identity in zip(
            starts.tolist(), ends.tolist(), present, longest, _rows(columns, starts.size), strict=True
        )
    ]
    for run in np.flatnonzero(changed):
        found[run].changed = True
    for run in np.flatnonzero(longest):
        after = starts[run] + int(np.argmax(gaps[starts[run] : ends[run] + 1]))
        found[run].gap_from = int(days[after - 1]) + 1
    return found


def _rows(columns: Sequence[list[str | None]], size: int) -> list[tuple[str | None, ...]]:
    return list(zip(*columns, strict=True)) if columns else [()] * size


def _changes(texts: Sequence[pa.DictionaryArray], starts: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Return for each row whether a text differs from that of the server's row before."""
    changes = np.zeros(size, np.bool_)
    for text in texts:
        codes = numbers(text.indices, -1)
        changes[1:] |= codes[1:] != codes[:-1]
    changes[starts] = False
    return changes


def _texts_at(text: pa.DictionaryArray, rows: NDArray[np.int64]) -> list[str | None]:
    """Return the texts of some rows."""
    texts = [*text.dictionary.to_pylist(), None]
    return [texts[code] for code in numbers(text.indices, -1)[rows].tolist()]


def _key_text(batch: pa.RecordBatch, row: int) -> str:
    server, day = (batch.column(name)[row].as_py() for name in KEY)
    return f"{server} {day:%Y-%m-%d}"
