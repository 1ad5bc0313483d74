"""The master Parquet file: every host x resource x day, and how it is written, opened and read by month.

Row groups follow month, resource and host block, so one month of one resource is one contiguous piece, and a fleet
of any size is simulated and read in pieces of bounded size. The footer says which settings made the file.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.errors import GateError, MasterError, listed
from capsim_dagster.schemas import CAPACITY_COLUMNS, FULL_UTILIZATION, Resource
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation import telemetry
from capsim_dagster.simulation.time_dimension import month_end, months_between, yearmonth
from capsim_dagster.storage import StoredFile, write_parquet

HOSTS_PER_ROW_GROUP: Final = 32_768
"""Hosts in a row group: about a million rows a month, 100 MB while it is made."""
HOSTS_PER_CHUNK: Final = 2_048
"""Hosts simulated at a time: their arrays fit the processor's cache."""
SCHEMA: Final = pa.schema(
    [
        pa.field("date", pa.date32(), nullable=False),
        pa.field("host_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("resource", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("p95_util", pa.float32()),
        pa.field("capacity", pa.float64(), nullable=False),
    ]
)
"""Columns as written: strings reach the file through dictionaries; meaning and units: `schemas.MasterTelemetry`."""
_EPOCH: Final = dt.date(1970, 1, 1)
_FOOTER_KEY: Final = "capsim"

Advance = Callable[[int], None]
"""Called with the number of rows just done."""


@dataclass(frozen=True)
class MasterFooter:
    """What the footer of a master file says.

    Attributes:
        settings_hash: Hash of every setting that decides a value.
        seed: Seed of the fleet.
        hosts: Hosts in the file.
        start: First day.
        end: Last day.
        version: Version of capsim that wrote it.
    """

    settings_hash: str
    seed: int
    hosts: int
    start: dt.date
    end: dt.date
    version: str

    @property
    def months(self) -> list[int]:
        """The months in the file, as YYYYMM."""
        return [yearmonth(month) for month in months_between(self.start, self.end)]


class MasterFile:
    """An open master file, read by month and resource.

    Attributes:
        path: Where it is.
        footer: Which settings made it.
    """

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
        self.footer = _read_footer(metadata, path)
        self._row_groups = _row_groups_by_piece(metadata)
        with _readable(path):
            self._file = pq.ParquetFile(path, read_dictionary=["host_id"], page_checksum_verification=True)

    @property
    def rows(self) -> int:
        """Rows in the file."""
        return int(self._file.metadata.num_rows)

    def month(self, month: int, resource: Resource) -> Iterator[pl.DataFrame]:
        """Yield the rows of one month of one resource, in pieces of bounded size, ordered by host and day.

        Args:
            month: The month as YYYYMM.
            resource: The resource.

        Raises:
            MasterError: If a page does not match its checksum.
        """
        for row_group in self._row_groups.get((month, resource.value), ()):
            with _readable(self.path):
                table = self._file.read_row_group(row_group, columns=["date", "host_id", "p95_util", "capacity"])
            frame = pl.from_arrow(table)
            assert isinstance(frame, pl.DataFrame)  # noqa: S101 a table is never a series
            yield frame


def write_master(
    generation: DataGeneration, hosts: pl.DataFrame, path: Path, *, end: dt.date, advance: Advance = lambda _rows: None
) -> StoredFile:
    """Simulate the fleet and write the master file atomically.

    Args:
        generation: The settings that decide values.
        hosts: The inventory, ordered by host number.
        path: The final path.
        end: Last day, inclusive.
        advance: Called with the rows of each piece that was written.

    Raises:
        GateError: If the finished file has not one row for each host x resource x day, or a value out of bounds; the
            old file stays.
    """
    footer = {
        "settings_hash": telemetry.fleet_hash(generation),
        "seed": generation.random_seed,
        "hosts": hosts.height,
        "start": generation.start_date.isoformat(),
        "end": end.isoformat(),
        "version": version("capsim"),
    }
    schema = SCHEMA.with_metadata({_FOOTER_KEY: json.dumps(footer, sort_keys=True)})
    n_days = (end - generation.start_date).days + 1
    return write_parquet(
        path,
        _reported(_batches(generation, hosts, end), advance),
        schema=schema,
        gate=lambda metadata: _require_whole(metadata, hosts.height * len(Resource) * n_days),
    )


def open_master(path: Path, generation: DataGeneration) -> MasterFile:
    """Open the master file and make sure that these settings made it.

    Raises:
        MasterError: If it is missing, torn, or made with other settings.
    """
    master = MasterFile(path)
    expected = telemetry.fleet_hash(generation)
    if master.footer.settings_hash != expected:
        raise MasterError(
            f"{path} was made with other settings: hash {master.footer.settings_hash} "
            f"(seed {master.footer.seed}, {master.footer.hosts:,} hosts, from {master.footer.start}), "
            f"expected {expected} (seed {generation.random_seed}, {generation.num_servers:,} hosts, "
            f"from {generation.start_date})",
            remedy="materialize host_inventory, time_dimension and master_parquet again (capsim run), or go back to "
            "the settings that made it, or name another --data-dir",
        )
    return master


def _batches(generation: DataGeneration, hosts: pl.DataFrame, end: dt.date) -> Iterator[pa.RecordBatch]:
    """Yield one record batch a row group, in file order."""
    groups = [
        _RowGroupMaker(generation, hosts.slice(offset, HOSTS_PER_ROW_GROUP))
        for offset in range(0, hosts.height, HOSTS_PER_ROW_GROUP)
    ]
    for month in months_between(generation.start_date, end):
        first, last = max(month, generation.start_date), min(month_end(month), end)
        for resource in Resource:
            for group in groups:
                yield group.batch(resource, first, last)


class _RowGroupMaker:
    """Makes the record batches of a block of hosts; parameters are drawn once."""

    def __init__(self, generation: DataGeneration, hosts: pl.DataFrame) -> None:
        self._hosts = hosts
        self._host_ids = hosts.get_column("host_id").to_arrow().cast(pa.string())
        blocks = [telemetry.host_block(chunk) for chunk in hosts.iter_slices(HOSTS_PER_CHUNK)]
        self._series = {
            resource: [telemetry.draw_parameters(generation, resource, block) for block in blocks]
            for resource in Resource
        }

    def batch(self, resource: Resource, first: dt.date, last: dt.date) -> pa.RecordBatch:
        values = [telemetry.utilization(series, first, last) for series in self._series[resource]]
        day = (first - _EPOCH).days
        n_hosts, n_days = self._hosts.height, (last - first).days + 1
        capacity = self._hosts.get_column(CAPACITY_COLUMNS[resource]).cast(pl.Float64).to_numpy()
        host_index = np.repeat(np.arange(n_hosts, dtype=np.int32), n_days)
        columns = [
            pa.array(np.tile(np.arange(day, day + n_days, dtype=np.int32), n_hosts)).cast(pa.date32()),
            pa.DictionaryArray.from_arrays(host_index, self._host_ids),
            pa.DictionaryArray.from_arrays(np.zeros(n_hosts * n_days, dtype=np.int32), [resource.value]),
            pa.array(np.concatenate(values).ravel()),
            pa.array(np.repeat(capacity, n_days)),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


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


def _reported(batches: Iterator[pa.RecordBatch], advance: Advance) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        advance(batch.num_rows)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say what to do about a file that Parquet cannot read."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise MasterError(
            f"{path} is not a readable Parquet file: {error}", remedy="materialize master_parquet again: capsim run"
        ) from None


def _read_footer(metadata: pq.FileMetaData, path: Path) -> MasterFooter:
    raw = (metadata.metadata or {}).get(_FOOTER_KEY.encode())
    if raw is None:
        raise MasterError(
            f"{path} has no capsim footer, so nothing says which settings made it",
            remedy="materialize master_parquet again: capsim run",
        )
    facts = json.loads(raw)
    return MasterFooter(
        settings_hash=facts["settings_hash"],
        seed=facts["seed"],
        hosts=facts["hosts"],
        start=dt.date.fromisoformat(facts["start"]),
        end=dt.date.fromisoformat(facts["end"]),
        version=facts["version"],
    )


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
