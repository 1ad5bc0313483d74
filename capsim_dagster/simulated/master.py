"""The master Parquet file: every host x resource x day, and how it is written, opened and read by month.

Row groups follow month, resource and host block, so one month of one resource is one contiguous piece, and a fleet
of any size is simulated and read in pieces of bounded size. The footer says which settings made the file.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.errors import GateError, MasterError, listed
from capsim_dagster.schemas import CAPACITY_COLUMNS, FULL_UTILIZATION, Resource
from capsim_dagster.schemas.arrow import arrow_schema
from capsim_dagster.schemas.fleet import MASTER
from capsim_dagster.schemas.months import yearmonth
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulated.footer import footer_of, read_footer, readable
from capsim_dagster.simulated.grid import Advance, grid_pieces, reported
from capsim_dagster.simulation import telemetry
from capsim_dagster.storage import StoredFile, write_parquet

SCHEMA: Final = arrow_schema(MASTER, encode_names=True)
"""Columns as written: strings reach the file through dictionaries."""


class MasterFile:
    """An open master file, read by month and resource."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            MasterError: If it is missing, torn or not a master file.
        """
        self.path = path
        if not path.exists():
            raise MasterError(f"no master file at {path}", remedy="materialize master_parquet first: capsim run")
        with _readable(path):
            metadata = pq.read_metadata(path)
            self.footer = read_footer(metadata)
        self._row_groups = _row_groups_by_piece(metadata)
        with _readable(path):
            self._file = pq.ParquetFile(path, read_dictionary=["host_id"], page_checksum_verification=True)

    @property
    def rows(self) -> int:
        """Rows in the file."""
        return int(self._file.metadata.num_rows)

    def month(self, month: int, resource: Resource) -> Iterator[pl.DataFrame]:
        """Yield the rows of one month of one resource, in pieces of bounded size, ordered by host and day.

        `month`: the month as YYYYMM.

        Raises:
            MasterError: If a page does not match its checksum.
        """
        for row_group in self._row_groups.get((month, resource.value), ()):
            with _readable(self.path):
                # Four narrow columns are read faster than threads are started.
                columns = ["date", "host_id", "p95_util", "capacity"]
                table = self._file.read_row_group(row_group, columns=columns, use_threads=False)
            frame = pl.from_arrow(table)
            assert isinstance(frame, pl.DataFrame)  # noqa: S101 a table is never a series
            yield frame


def write_master(
    generation: DataGeneration, hosts: pl.DataFrame, path: Path, *, end: dt.date, advance: Advance = lambda _rows: None
) -> StoredFile:
    """Simulate the fleet and write the master file atomically.

    `hosts`: the inventory with application codes, ordered by host number.
    `end`: last day, inclusive.
    `advance`: called with the rows of each piece that was written.

    Raises:
        GateError: If the finished file has not one row for each host x resource x day, or a value out of bounds; the
            old file stays.
    """
    schema = SCHEMA.with_metadata(footer_of(generation, hosts, end).as_metadata())
    n_days = (end - generation.start_date).days + 1
    return write_parquet(
        path,
        reported(_batches(generation, hosts, end), advance),
        schema=schema,
        gate=lambda metadata: _require_whole(metadata, hosts.height * len(Resource) * n_days),
    )


def open_master(path: Path, generation: DataGeneration) -> MasterFile:
    """Open the master file and make sure that these settings made it.

    Raises:
        MasterError: If it is missing, torn, or made with other settings.
    """
    master = MasterFile(path)
    problem = master.footer.mismatch(generation)
    if problem:
        raise MasterError(
            f"{path} {problem}",
            remedy="materialize host_inventory, time_dimension and master_parquet again (capsim run), or go back to "
            "the settings that made it, or name another --data-dir",
        )
    return master


def _batches(generation: DataGeneration, hosts: pl.DataFrame, end: dt.date) -> Iterator[pa.RecordBatch]:
    """Yield one record batch a row group, in file order; what the agent did not report is null."""
    for piece in grid_pieces(generation, hosts, end=end, simulate=telemetry.utilization):
        capacity = piece.hosts.get_column(CAPACITY_COLUMNS[piece.resource]).cast(pl.Float64).to_numpy()
        columns = [
            *piece.key_columns(),
            pa.array(piece.values.ravel(), from_pandas=True),
            pa.array(np.repeat(capacity, piece.values.shape[1])),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _require_whole(metadata: pq.FileMetaData, expected_rows: int) -> None:
    """Hold the invariants that the file's own footer can prove, before the file is published."""
    problems = []
    if metadata.num_rows != expected_rows:
        problems.append(f"{metadata.num_rows:,} rows, expected {expected_rows:,}")
    column = SCHEMA.get_field_index("p95_util")
    for index in range(metadata.num_row_groups):
        statistics = metadata.row_group(index).column(column).statistics
        if statistics.has_min_max and not (statistics.min >= 0 and statistics.max <= FULL_UTILIZATION):
            problems.append(f"row group {index} spans {statistics.min:g} to {statistics.max:g} %")
    if problems:
        raise GateError(
            f"the master that was simulated breaks its contract: {listed(problems)}",
            remedy="nothing was published; the previous master is untouched",
        )


def _readable(path: Path) -> AbstractContextManager[None]:
    """Say what to do about a file that Parquet cannot read."""
    return readable(path, MasterError, remedy="materialize master_parquet again: capsim run")


def _row_groups_by_piece(metadata: pq.FileMetaData) -> dict[tuple[int, str], list[int]]:
    """Return the row groups of each (month, resource), from the statistics of the file itself."""
    pieces: dict[tuple[int, str], list[int]] = {}
    date_column, resource_column = SCHEMA.get_field_index("date"), SCHEMA.get_field_index("resource")
    for index in range(metadata.num_row_groups):
        row_group = metadata.row_group(index)
        first_day = row_group.column(date_column).statistics.min
        resource = row_group.column(resource_column).statistics.min
        pieces.setdefault((yearmonth(first_day), resource), []).append(index)
    return pieces
