"""The rows of a panel's file in the contract's form: whole servers at a time, in the order of their keys."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.errors import PanelError
from capsim_dagster.panel.contract import KEY
from capsim_dagster.panel.plan import FilePlan, PlannedColumn, plan_file
from capsim_dagster.panel.retype import REFUSED, Case, Repair, importable, raw_of, retyped
from capsim_dagster.settings import Panel

_BATCH_ROWS: Final = 1 << 17
"""Rows at once, at most a row group: five metrics of them are 5 MB."""
_HELD_ROWS: Final = 3 << 20
"""Rows of a file in no order that are held at once, at about 65 bytes each; a larger one is read more than once."""
_BUFFER_BYTES: Final = 1 << 20
_SERVER, _DAY = map(pl.col, KEY)
_BLOCK: Final = "\0block of servers"
_PLACE: Final = _SERVER.to_physical().cast(pl.Int64) * (1 << 32) + _DAY.dt.epoch("d")
"""Server and day of a row as one number: sorting by that is twice as fast as by both."""


@dataclass(frozen=True)
class PanelFile:
    """A Parquet file that could be opened; `null_values` are texts in metrics that mean no value, in lower case."""

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


class Reading:
    """One reading of a file, from its first row to its last, and what it takes to give it the contract's form.

    Attributes:
        nulls: Missing values of the columns that must not have any, by name; an empty server id is one.
    """

    def __init__(
        self,
        file: PanelFile,
        columns: Sequence[PlannedColumn] | None = None,
        advance: Callable[[int], None] = lambda _rows: None,
    ) -> None:
        """Start before the first row of some columns, those of the key among them; None = all that are usable."""
        self._file = file
        self._columns = file.plan.usable if columns is None else columns
        self._advance = advance
        self.nulls = {column.name: 0 for column in self._columns if not column.nullable}
        self._cases: list[Case] = []
        self._values: list[pl.Expr] = []
        for column in self._columns:
            value = raw_of(column.name)
            if column.kind:
                value, cases = retyped(column.name, column.kind, column.found, file.null_values)
                self._cases += cases
            self._values.append(
                (pl.when(value != "").then(value) if column.name == KEY[0] else value).alias(column.name)
            )

    @property
    def repairs(self) -> list[Repair]:
        """What was put right so far, by column."""
        return [case.repair for case in self._cases if case.count and case.name != REFUSED]

    @property
    def refused(self) -> list[Repair]:
        """What could not be."""
        return [case.repair for case in self._cases if case.count and case.name == REFUSED]

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rows that have a server and a day, in the file's order.

        Raises:
            PanelError: If the file is torn, or a column cannot be made sense of.
        """
        for batch in self._file.batches(self._columns):
            frame = _imported(batch, self._columns).with_columns(self._values)
            self._count(frame)
            self._advance(frame.height)
            rows = frame.select(column.name for column in self._columns)
            yield rows.drop_nulls(KEY) if any(rows.get_column(name).null_count() for name in KEY) else rows

    def _count(self, frame: pl.DataFrame) -> None:
        for name in self.nulls:
            self.nulls[name] += frame.get_column(name).null_count()
        counts = frame.select(case.rows.sum().alias(str(place)) for place, case in enumerate(self._cases))
        for case, count in zip(self._cases, counts.row(0) if self._cases else (), strict=True):
            case.add(frame, count or 0)


class PanelRows:
    """The rows of a file by whole servers, in the order of their keys.

    Those of a file in order are read as they stand. Of one in no order, those of some servers at a time are held, dealt
    out by blocks of servers, and sorted as the turn of a block comes.

    Attributes:
        file: The file.
        astray: The first row that belongs before the one above it, and that one; empty = the file is in order.
    """

    def __init__(self, file: PanelFile) -> None:
        """Find out whether the file is in order.

        Raises:
            PanelError: If it is torn, or its keys cannot be made sense of.
        """
        self.file = file
        self._keys = [column for column in file.plan.usable if column.name in KEY]
        self.astray = _first_astray(Reading(file, self._keys).frames())
        self._servers = self._count_servers() if self.astray else pl.DataFrame()
        self._held: dict[int, list[pl.DataFrame]] = {}
        self._order: dict[int, pl.Series] = {}

    def pieces(self, reading: Reading | None = None) -> Iterator[pl.DataFrame]:
        """Yield the rows, repaired; `reading` is the first time that the file is read, None = another one.

        Raises:
            PanelError: If the file is torn, or a column cannot be made sense of.
        """
        first = reading or Reading(self.file)
        return self._dealt(first) if self.astray else _whole_servers(first.frames())

    def _count_servers(self) -> pl.DataFrame:
        """Return the servers in the order of their texts, and the block that each is in."""
        counts = [frame.group_by(KEY[0]).agg(rows=pl.len()) for frame in Reading(self.file, self._keys).frames()]
        rows = pl.concat(counts).group_by(_SERVER.cast(pl.String)).agg(pl.col("rows").sum()).sort(KEY[0])
        return rows.select(_SERVER, block=(pl.col("rows").cum_sum() - pl.col("rows")) // _BATCH_ROWS)

    def _dealt(self, reading: Reading) -> Iterator[pl.DataFrame]:
        last, at_once = self._servers.item(-1, "block"), _HELD_ROWS // _BATCH_ROWS
        for first in range(0, last + 1, at_once):
            if last >= at_once or not self._held:
                self._held, self._order = {}, {}
                self._deal(reading if first == 0 else Reading(self.file), first, min(first + at_once - 1, last))
            for block in sorted(self._held):
                rows = pl.concat(self._held[block], rechunk=True)
                if block not in self._order:
                    self._order[block] = rows.select(_PLACE.arg_sort()).to_series()
                yield rows[self._order[block]]

    def _deal(self, reading: Reading, first: int, last: int) -> None:
        """Hold the rows of some blocks."""
        named = _SERVER.cast(pl.Enum(self._servers.get_column(KEY[0])), strict=False)
        block = pl.lit(self._servers.get_column("block")).gather(_SERVER.to_physical()).alias(_BLOCK)
        for frame in reading.frames():
            # A server is unknown only where the file was replaced meanwhile, which is found out at its end.
            some = frame.with_columns(named).with_columns(block).filter(pl.col(_BLOCK).is_between(first, last))
            for (number,), part in some.partition_by(_BLOCK, as_dict=True, include_key=False).items():
                self._held.setdefault(number, []).append(part)


def _first_astray(frames: Iterable[pl.DataFrame]) -> str:
    """Return the first row that belongs before the one above it, and that one.

    Servers rise as texts, or as numbered texts, of which the shorter come first.
    """
    before: list[pl.DataFrame] = []
    as_text = as_numbers = True
    for frame in frames:
        keys = pl.concat([*before, frame])
        moves = keys.select((_SERVER.ne_missing(_SERVER.shift()) | (_DAY.shift() > _DAY)).arg_true()).to_series()
        for row in moves.to_list()[1:]:
            (server, day), (last, was) = keys.row(row), keys.row(row - 1)
            as_text &= last < server
            as_numbers &= (len(last), last) < (len(server), server)
            if server == last or not (as_text or as_numbers):
                return f"{server} {day:%Y-%m-%d} stands after {last} {was:%Y-%m-%d}"
        before = [keys.tail(1)]
    return ""


def _whole_servers(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield the rows of frames in order so that no server is in two of them."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        if not frame.height:
            continue
        begins = frame.select((_SERVER.last() == _SERVER).arg_max()).item()
        if begins or (held and held[-1].item(-1, KEY[0]) != frame.item(0, KEY[0])):
            yield pl.concat([*held, frame.head(begins)])
            held = []
        held.append(frame.slice(begins))
    if held:
        yield pl.concat(held)


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
        found.append(series.alias(raw_of(column.name).meta.output_name()))
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
