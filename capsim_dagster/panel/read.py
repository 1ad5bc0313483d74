"""The rows of a panel's file in the contract's form: whole servers at a time, in the order of their keys."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
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
_CELLS_PER_ROW: Final = 4
"""Cells of a grid of servers and days for each row, up to which rows are laid in it to put them in order."""


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
            keys = [name for name in KEY if name in rows.columns]
            yield rows.drop_nulls(keys) if any(rows.get_column(name).null_count() for name in keys) else rows

    def _count(self, frame: pl.DataFrame) -> None:
        for name in self.nulls:
            self.nulls[name] += frame.get_column(name).null_count()
        counts = frame.select(case.rows.sum().alias(str(place)) for place, case in enumerate(self._cases))
        for case, count in zip(self._cases, counts.row(0) if self._cases else (), strict=True):
            case.add(frame, count or 0)


class PanelRows:
    """The rows of a file by whole servers, in the order of their keys.

    Those of a file in order are read as they stand. Of one in no order, those of some servers at a time are held and
    sorted: a turn. Most files have a single one.

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
        self._held: list[pl.DataFrame] = []

    def pieces(self, reading: Reading | None = None) -> Iterator[pl.DataFrame]:
        """Yield the rows, repaired; `reading` is the first time that the file is read, None = another one.

        Raises:
            PanelError: If the file is torn, or a column cannot be made sense of.
        """
        first = reading or Reading(self.file)
        return self._in_turn(first) if self.astray else _whole_servers(first.frames())

    def _count_servers(self) -> pl.DataFrame:
        """Return the servers in the order of their texts, and the turn that each is in."""
        reading = Reading(self.file, [column for column in self._keys if column.name == KEY[0]])
        counts = [frame.get_column(KEY[0]).value_counts(name="rows") for frame in reading.frames()]
        rows = pl.concat(counts).group_by(_SERVER.cast(pl.String)).agg(pl.col("rows").sum()).sort(KEY[0])
        return rows.select(_SERVER, turn=(pl.col("rows").cum_sum() - pl.col("rows")) // _HELD_ROWS)

    def _in_turn(self, reading: Reading) -> Iterator[pl.DataFrame]:
        last = self._servers.item(-1, "turn")
        for turn in range(last + 1):
            if last or not self._held:
                self._held = []
                self._held = _in_order(self._rows_of(turn, Reading(self.file) if turn else reading))
            yield from _whole_servers(self._held)

    def _rows_of(self, turn: int, reading: Reading) -> Iterator[pl.DataFrame]:
        named = _SERVER.cast(pl.Enum(self._servers.get_column(KEY[0])), strict=False)
        is_due = pl.lit(self._servers.get_column("turn")).gather(_SERVER.to_physical()) == turn
        for frame in reading.frames():
            # A server is unknown only where the file was replaced meanwhile, which is found out at its end.
            yield frame.with_columns(named).filter(is_due)


def _in_order(frames: Iterable[pl.DataFrame]) -> list[pl.DataFrame]:
    """Return the rows of frames sorted by their keys, in pieces; they are held twice in a single column at a time."""
    parts = [frame for frame in frames if frame.height]
    if not parts:
        return []
    order, columns = _order(parts), []
    for name in parts[0].columns:
        column = pl.concat([part.drop_in_place(name) for part in parts], rechunk=True)
        columns.append([column.gather(order[row : row + _BATCH_ROWS]) for row in range(0, order.len(), _BATCH_ROWS)])
        # Most columns lie until now where Arrow read them, and it keeps such memory for later: 120 MiB of a full turn.
        pa.default_memory_pool().release_unused()
    return [pl.DataFrame(piece) for piece in zip(*columns, strict=True)]


def _order(parts: Sequence[pl.DataFrame]) -> pl.Series:
    """Return where the rows of all parts stand, in the order of server, then day.

    Each row is laid in its cell of a grid of servers and days, at a tenth of what sorting costs; they are sorted where
    two share a cell, or most cells would be empty.
    """
    server, day = _SERVER.to_physical().cast(pl.Int64), _DAY.dt.epoch("d").cast(pl.Int64)
    ends = pl.concat(part.select(first=day.min(), last=day.max()) for part in parts)
    days = ends.select(pl.col("last").max() - pl.col("first").min() + 1).item()
    cells = pl.concat(part.select(server * days + day) for part in parts).to_series()
    low, high = cells.to_frame().select(low=pl.all().min(), high=pl.all().max()).row(0)
    if high - low < _CELLS_PER_ROW * cells.len():
        grid, row = np.zeros(high - low + 1, np.uint32), 1
        for some in cells.get_chunks():
            grid[some.to_numpy() - low] = np.arange(row, row + some.len())
            row += some.len()
        order = grid[grid > 0] - 1
        if order.size == cells.len():
            return pl.Series(order)
    # By numpy: polars holds each number beside its place meanwhile, 35 MiB more of a full turn.
    return pl.Series(cells.to_numpy().argsort().astype(np.uint32))


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
