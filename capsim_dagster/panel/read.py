"""The rows of a panel's file in the contract's form: whole servers at a time, in the order of their keys.

A file in order is read as it stands. Of one in no order, the rows of some servers at a time are held and dealt out.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.errors import MAX_EXAMPLES, PanelError
from capsim_dagster.panel.contract import KEY
from capsim_dagster.panel.findings import Repair
from capsim_dagster.panel.plan import FilePlan, PlannedColumn, plan_file
from capsim_dagster.panel.retype import REFUSED, Case, importable, retyped
from capsim_dagster.settings import Panel

_BATCH_ROWS: Final = 1 << 17
"""Rows at once, at most a row group: five metrics of them are 5 MB."""
_HELD_ROWS: Final = 3 << 20
"""Rows of a file in no order that are held at once, at about 65 bytes each; a larger one is read more than once."""
_BUFFER_BYTES: Final = 1 << 20
_SERVER, _DAY = map(pl.col, KEY)
_RAW: Final = "as in the file: "
"""Before the name of a column that is not retyped yet."""
_BLOCK: Final = "block of servers"
_PLACE: Final = _SERVER.to_physical().cast(pl.Int64) * (1 << 32) + _DAY.dt.epoch("d")
"""Server and day of a row as one number: sorting by that is twice as fast as by both."""


class RowsAstray(Exception):  # noqa: N818 no error: they are sorted then
    """Rows are in no order; it says the first one that is not, and the one before."""


@dataclass(frozen=True)
class PanelFile:
    """A Parquet file that could be opened.

    Attributes:
        path: Where it is.
        url: Where a person finds it.
        rows: Rows in it.
        plan: How it is read.
        null_values: Texts in metrics that mean no value, in lower case.
    """

    path: Path
    url: str
    rows: int
    plan: FilePlan
    null_values: frozenset[str]

    def batches(self, columns: Sequence[PlannedColumn]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of its rows, in the file's order and types; texts of the contract as dictionaries.

        Raises:
            PanelError: If a part of it is torn.
        """
        texts = [column.source for column in columns if column.kind]
        with _readable(self.url):
            file = pq.ParquetFile(
                self.path, read_dictionary=texts, buffer_size=_BUFFER_BYTES, page_checksum_verification=True
            )
        with file:
            names = [column.source for column in columns]
            # Threads cost more CPU than they save time here, and 40 MiB.
            batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=names, use_threads=False)
            while True:
                with _readable(self.url):
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch


def open_panel(panel: Panel, path: Path, url: str) -> PanelFile:
    """Return a file with the plan of its columns.

    Raises:
        PanelError: If it is no Parquet file, or torn.
    """
    null_values = frozenset(text.strip().lower() for text in panel.validation.null_values)
    with _readable(url), pq.ParquetFile(path) as file:
        return PanelFile(path, url, file.metadata.num_rows, plan_file(panel, file.schema_arrow), null_values)


@dataclass
class _Count:
    """How often a case occurs in a column, with examples."""

    column: str
    case: Case
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, frame: pl.DataFrame, count: int) -> None:
        """Take so many rows of a frame; examples that are there already are not repeated."""
        self.count += count
        if not count or len(self.examples) == MAX_EXAMPLES:
            return
        example = self.case.example
        if isinstance(example, str):
            self.examples = [example]
            return
        # As numbers, days beyond the calendar are no error.
        values = frame.filter(self.case.rows).select(pl.col(_RAW + self.column).to_physical(), self.column)
        found = [example(*row) for row in values.unique(maintain_order=True).head(2 * MAX_EXAMPLES).rows()]
        fresh = [said for said in found if said not in self.examples]
        self.examples += fresh[: MAX_EXAMPLES - len(self.examples)]

    @property
    def repair(self) -> Repair:
        """The same as it is reported."""
        return Repair(self.case.name, self.column, self.count, tuple(self.examples))


class Reading:
    """One reading of a file, from its first row to its last, and what it takes to give it the contract's form.

    Attributes:
        file: The file.
        rows: Rows read so far.
        nulls: Missing values of the columns that must not have any, by name; an empty server id is one.
    """

    def __init__(self, file: PanelFile, reached: Callable[[int], None] = lambda _rows: None) -> None:
        """Start before the first row.

        Args:
            file: The file.
            reached: Is told after each batch how many rows were read.
        """
        self.file = file
        self.rows = 0
        self.nulls = {column.name: 0 for column in file.plan.known if not column.nullable}
        self._reached = reached
        self._counts: list[_Count] = []
        self._values: list[pl.Expr] = []
        for column in file.plan.usable:
            raw, value = pl.col(_RAW + column.name), pl.col(column.name)
            if column.kind:
                done = retyped(column.kind, raw, value, column.found, file.null_values)
                self._counts += [_Count(column.name, case) for case in done.cases]
                raw = pl.when(done.value != "").then(done.value) if column.name == KEY[0] else done.value
            self._values.append(raw.alias(column.name))

    @property
    def repairs(self) -> list[Repair]:
        """What was put right so far, by column."""
        done = [count.repair for count in self._counts if count.count and count.case.name != REFUSED]
        return [*self.file.plan.repairs, *done]

    @property
    def refused(self) -> list[Repair]:
        """What could not be."""
        return [count.repair for count in self._counts if count.count and count.case.name == REFUSED]

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rows that have a server and a day, in the file's order.

        Raises:
            PanelError: If the file is torn, or a column cannot be made sense of.
        """
        names = [column.name for column in self.file.plan.usable]
        for batch in self.file.batches(self.file.plan.usable):
            frame = _imported(batch, self.file.plan.usable).with_columns(self._values)
            self._count(frame)
            self._reached(self.rows)
            lacks_key = any(frame.get_column(name).null_count() for name in KEY)
            yield frame.select(names).drop_nulls(KEY) if lacks_key else frame.select(names)

    def _count(self, frame: pl.DataFrame) -> None:
        self.rows += frame.height
        for name in self.nulls:
            self.nulls[name] += frame.get_column(name).null_count()
        asked = [count.case.rows.sum().alias(str(place)) for place, count in enumerate(self._counts)]
        for count, found in zip(self._counts, frame.select(asked).row(0), strict=True) if asked else ():
            count.add(frame, found or 0)


def in_order(reading: Reading) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file in order, whole servers at a time.

    Raises:
        RowsAstray: If they are in no order after all.
        PanelError: If the file is torn, or a column cannot be made sense of.
    """
    held: list[pl.DataFrame] = []
    order = _Order()
    for frame in reading.frames():
        begins = order.last_begin(frame)
        if begins is not None:
            if held or begins:
                yield pl.concat([*held, frame.head(begins)])
            held = []
        held.append(frame.slice(begins or 0))
    if held:
        yield pl.concat(held)


class _Order:
    """Whether servers rise: as texts, or as numbered texts, of which the shorter come first; and the days of each."""

    def __init__(self) -> None:
        self._before: list[pl.DataFrame] = []
        self._as_text = self._as_numbers = True

    def last_begin(self, frame: pl.DataFrame) -> int | None:
        """Take further rows; return where the last server of theirs begins, None if it is that of the row before.

        Raises:
            RowsAstray: If one of them belongs before the row above it.
        """
        keys = pl.concat([*self._before, frame.select(KEY)])
        begins = None
        if keys.height:
            moves = _SERVER.ne_missing(_SERVER.shift()) | (_DAY.shift() > _DAY)
            for row in keys.select(moves.arg_true()).to_series().to_list()[len(self._before) :]:
                if row:
                    self._require(*keys.row(row), *keys.row(row - 1))
                begins = row - len(self._before)
            self._before = [keys.tail(1)]
        return begins

    def _require(self, server: str, day: dt.datetime, last: str, was: dt.datetime) -> None:
        self._as_text &= last < server
        self._as_numbers &= (len(last), last) < (len(server), server)
        if server == last or not (self._as_text or self._as_numbers):
            raise RowsAstray(f"{server} {day:%Y-%m-%d} stands after {last} {was:%Y-%m-%d}")


class DealtRows:
    """The rows of a file in no order, dealt out by blocks of servers, each of which is sorted as its turn comes."""

    def __init__(self, file: PanelFile) -> None:
        """Count the rows of each server.

        Raises:
            PanelError: If the file is torn.
        """
        self._file = file
        servers = _rows_of_servers(file)
        self._servers = pl.Enum(servers.get_column(KEY[0]))
        self._blocks = servers.select((pl.col("rows").cum_sum() - pl.col("rows")) // _BATCH_ROWS).to_series()
        self._held: dict[int, list[pl.DataFrame]] = {}
        self._order: dict[int, pl.Series] = {}

    def pieces(self, reading: Reading | None = None) -> Iterator[pl.DataFrame]:
        """Yield all rows in the order of their keys, whole servers at a time.

        Args:
            reading: The first time that the file is read; None = another one.

        Raises:
            PanelError: If the file is torn, or a column cannot be made sense of.
        """
        last = self._blocks.item(-1) if self._blocks.len() else 0
        at_once = _HELD_ROWS // _BATCH_ROWS
        for first in range(0, last + 1, at_once):
            if last >= at_once or not self._held:
                self._held, self._order = {}, {}
                self._deal(reading or Reading(self._file), first, min(first + at_once - 1, last))
                reading = None
            for block in sorted(self._held):
                rows = pl.concat(self._held[block], rechunk=True)
                if block not in self._order:
                    self._order[block] = rows.select(_PLACE.arg_sort()).to_series()
                yield rows[self._order[block]]

    def _deal(self, reading: Reading, first: int, last: int) -> None:
        """Hold the rows of some blocks."""
        block = pl.lit(self._blocks).gather(_SERVER.to_physical()).alias(_BLOCK)
        for frame in reading.frames():
            # A server is unknown only where the file was replaced meanwhile, which is found out at its end.
            named = frame.with_columns(_SERVER.cast(self._servers, strict=False)).with_columns(block)
            some = named.filter(pl.col(_BLOCK).is_between(first, last))
            for (number,), part in some.partition_by(_BLOCK, as_dict=True, include_key=False).items():
                self._held.setdefault(number, []).append(part)


def _rows_of_servers(file: PanelFile) -> pl.DataFrame:
    """Return the servers of a file in the order of their texts, with how many rows each has."""
    columns = [column for column in file.plan.usable if column.name == KEY[0]]
    raw = pl.col(_RAW + KEY[0])
    found = [_imported(batch, columns).group_by(raw).agg(rows=pl.len()) for batch in file.batches(columns)]
    counts = pl.concat(found).group_by(raw.cast(pl.String).alias(KEY[0])).agg(pl.col("rows").sum())
    return counts.filter(_SERVER != "").sort(KEY[0])


def _imported(batch: pa.RecordBatch, columns: Sequence[PlannedColumn]) -> pl.DataFrame:
    """Return the columns of a batch with their types in the file.

    Raises:
        PanelError: If one makes no sense: an unknown zone, bytes that are no text.
    """
    found: list[pl.Series] = []
    for column in columns:
        try:
            series: Any = pl.from_arrow(importable(batch.column(column.source), column.kind))
        except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise PanelError(
                f"column {column.source} is {column.found} and cannot be made {column.target}: {error}",
                remedy=f"write it as {column.target}, or leave it out if the panel may lack it",
            ) from None
        found.append(series.alias(_RAW + column.name))
    return pl.DataFrame(found)


@contextmanager
def _readable(url: str) -> Iterator[None]:
    """Say which file cannot be read.

    Raises:
        PanelError: If reading fails.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise PanelError(
            f"{url} is not a readable Parquet file: {error}", remedy="get it again from where it came"
        ) from None
