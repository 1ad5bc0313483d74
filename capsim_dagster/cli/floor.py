"""The floor under the main job: what bare library calls cost on as many rows, and which stage stands on which of them.

numpy, pyarrow, polars and DuckDB do here, month by month, what no main job can leave out; columns are those of the
schemas, and no stage of capsim takes part. How a part is measured is in `measure`, how it is shown in `bench_view`.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.schemas import FULL_UTILIZATION, Resource
from capsim_dagster.schemas.arrow import arrow_schema
from capsim_dagster.schemas.fleet import EXPECTED_UTILIZATION, MASTER
from capsim_dagster.schemas.months import month_end, months_between
from capsim_dagster.schemas.tables import ddl
from capsim_dagster.storage.warehouse import statement

FLOOR: Final = "floor"
TOTAL: Final = "all stages"
RUN: Final = "capsim run, whole process"
SHARES: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    (("master_parquet",), ("floor: draws", "floor: Parquet")),
    (("master checks",), ("floor: checksum of Parquet", "floor: SHA-256 of Parquet")),
    (("ground_truth",), ("floor: Parquet, unrounded",)),
    (("monthly_csv",), ("floor: CSV",)),
    # A file is read once, by its checks, and the refinery loads what they read.
    (("feed checks", "processed_data"), ("floor: SHA-256 of CSV", "floor: read_csv and insert")),
    (("table checks",), ("floor: checksum of table",)),
    ((TOTAL,), (FLOOR,)),
    ((RUN,), (FLOOR,)),
)
"""Stages, and the parts of the floor that they stand on together; the ratio is shown at the last of the stages."""
BOUNDS: Final[Mapping[str, tuple[float, float]]] = {TOTAL: (1.5, 0.0), RUN: (1.6, 6.0)}
"""What is allowed: a multiple of the whole floor, and CPU seconds for Python's and Dagster's start and the events."""
_MEAN: Final = np.float32(50.0)
_SPREAD: Final = np.float32(15.0)
"""Mean and standard deviation [%] that give about as many different values as the shipped settings do."""
_ROWS_PER_WRITE: Final = 16_384
"""As for the feed: the default of polars costs three times the system time."""
_READ: Final = (
    "SELECT date, host_id, '{resource}', value, 100.0, capacity FROM read_csv('{path}', header = true, "
    "auto_detect = false, delim = ',', quote = '', escape = '', "
    "columns = {{date: 'DATE', host_id: 'VARCHAR', value: 'DOUBLE', capacity: 'DOUBLE'}})"
)
"""Nothing is left to be found out: to let DuckDB do so costs more than reading does."""
_MASTER_ROWS: Final = (
    "(SELECT date, host_id, resource, round(p95_util::DOUBLE * 100) / 100 AS util, capacity FROM '{path}')"
)
_TABLE_ROWS: Final = "(SELECT ds::DATE AS date, host_id, resource, y AS util, capacity FROM processed_data)"


@dataclass(frozen=True)
class Floor:
    """Bare library calls for a fleet of `hosts`, from `start` to `end`, both inclusive, in a folder of their own."""

    hosts: int
    start: dt.date
    end: dt.date
    folder: Path

    def parts(self) -> dict[str, Callable[[], int]]:
        """Return the parts in order, as each reads what one before it wrote; each returns its rows."""
        master, truth = self.folder / "master.parquet", self.folder / "truth.parquet"
        table, csv = self.folder / "table.duckdb", [path for paths in self._months().values() for path in paths]
        return {
            "floor: draws": self._draw,
            "floor: Parquet": lambda: self._write(master, arrow_schema(MASTER, encode_names=True), kind=1),
            "floor: Parquet, unrounded": lambda: self._write(
                truth, arrow_schema(EXPECTED_UTILIZATION, encode_names=True), kind=0
            ),
            "floor: CSV": lambda: sum(_export(pq.ParquetFile(master), group, path) for group, path in enumerate(csv)),
            "floor: read_csv and insert": lambda: self._load(table),
            "floor: checksum of Parquet": lambda: _rows(checksums(_MASTER_ROWS.format(path=master))),
            "floor: checksum of table": lambda: _rows(checksums(_TABLE_ROWS, table)),
            "floor: SHA-256 of Parquet": lambda: self._hash([master]),
            "floor: SHA-256 of CSV": lambda: self._hash(csv),
        }

    def _months(self) -> dict[dt.date, list[Path]]:
        """Return the CSV files of each month, by its first day, in the order of the resources."""
        months = months_between(self.start, self.end)
        return {month: [self.folder / f"{month:%Y%m}_{resource}.csv" for resource in Resource] for month in months}

    def _days(self, month: dt.date) -> pl.Series:
        """Return the days of a month that lie in the window."""
        return pl.date_range(max(month, self.start), min(month_end(month), self.end), eager=True)

    def _draw(self) -> int:
        """Draw, add, clip and round month by month; keep both kinds of values, of which each file takes one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        generator, rows = np.random.default_rng(0), 0
        for month in self._months():
            drawn = np.empty((2, len(Resource), self.hosts, len(self._days(month))), dtype=np.float32)
            generator.standard_normal(dtype=np.float32, out=drawn[0])
            drawn[0] *= _SPREAD
            drawn[0] += _MEAN
            np.clip(drawn[0], 0, FULL_UTILIZATION, out=drawn[1])
            np.round(drawn[1], 2, out=drawn[1])
            np.save(self.folder / f"{month}.npy", drawn)
            rows += drawn[0].size
        return rows

    def _write(self, path: Path, schema: pa.Schema, *, kind: int) -> int:
        """Write one kind of values, 0 as drawn or 1 rounded, a row group a month and resource; return the rows."""
        with pq.ParquetWriter(path, schema) as writer:
            for batch in self._batches(schema, kind):
                writer.write_batch(batch, row_group_size=batch.num_rows)
        return int(pq.read_metadata(path).num_rows)

    def _batches(self, schema: pa.Schema, kind: int) -> Iterator[pa.RecordBatch]:
        names = pa.array([f"srv-{number:06d}" for number in range(1, self.hosts + 1)])
        for month in self._months():
            days, values = self._days(month), np.load(self.folder / f"{month}.npy")[kind]
            date = pa.array(np.tile(days.to_physical().to_numpy(), self.hosts)).cast(pa.date32())
            number = np.repeat(np.arange(self.hosts, dtype=np.int32), len(days))
            host, capacity = pa.DictionaryArray.from_arrays(number, names), pa.array(number + 1.0)
            for resource, of_resource in zip(Resource, values, strict=True):
                same = pa.DictionaryArray.from_arrays(np.zeros_like(number), [resource.value])
                arrays = [date, host, same, pa.array(of_resource.ravel()), capacity]
                yield pa.record_batch(arrays[: len(schema)], schema=schema)

    def _load(self, table: Path) -> int:
        """Read the files of a month and insert them by one statement, month by month; return the rows."""
        with _one_thread(table) as connection:
            # As in the warehouse: else each checkpoint rewrites the whole table, which costs as much again.
            connection.execute("SET max_vacuum_tasks = 0")
            connection.execute(ddl("processed_data"))
            for paths in self._months().values():
                files = zip(Resource, paths, strict=True)
                read = " UNION ALL ".join(_READ.format(resource=resource, path=path) for resource, path in files)
                connection.execute(f"INSERT INTO processed_data {read}")
            return len(connection.table("processed_data"))

    def _hash(self, paths: Iterable[Path]) -> int:
        for path in paths:
            with path.open("rb") as stream:
                hashlib.file_digest(stream, "sha256")
        return self.hosts * len(Resource) * ((self.end - self.start).days + 1)


def ratios(cpu_s: Mapping[str, float]) -> dict[str, float]:
    """Return CPU seconds of stages as a multiple of those parts of the floor that they stand on, by `SHARES`.

    `cpu_s`: CPU seconds by stage and part [s]; what is not there, or costs nothing, has no ratio.

    >>> ratios({"monthly_csv": 4.5, "floor: CSV": 3.0, "pictures": 2.0})
    {'monthly_csv': 1.5}
    """
    found = {}
    for stages, parts in SHARES:
        floor = sum(cpu_s.get(part, 0.0) for part in parts)
        if floor and all(name in cpu_s for name in (*stages, *parts)):
            found[stages[-1]] = sum(cpu_s[stage] for stage in stages) / floor
    return found


def bounds(cpu_s: Mapping[str, float]) -> dict[str, float]:
    """Return the highest ratios that are allowed, by stage: `BOUNDS` over the floor that was measured [s].

    >>> bounds({"floor": 15.0})
    {'all stages': 1.5, 'capsim run, whole process': 2.0}
    """
    floor = cpu_s.get(FLOOR)
    return {stage: factor + start / floor for stage, (factor, start) in BOUNDS.items()} if floor else {}


def checksums(rows: str, database: Path | str = ":memory:") -> list[tuple[Any, ...]]:
    """Return month, resource, rows and checksums of a query, by the SQL of the audits."""
    with _one_thread(database) as connection:
        found: list[tuple[Any, ...]] = connection.execute(
            statement("capsim_dagster.audits", "fingerprint", relation=rows)
        ).fetchall()
    return found


def _rows(found: Iterable[tuple[Any, ...]]) -> int:
    return sum(rows for _month, _resource, rows, *_checksums in found)


def _one_thread(path: Path | str) -> duckdb.DuckDBPyConnection:
    """Return a connection of one thread: a second costs a quarter more CPU, measured."""
    return duckdb.connect(str(path), config={"threads": 1})


def _export(master: pq.ParquetFile, group: int, path: Path) -> int:
    """Write a row group as a CSV file; return the rows."""
    frame = pl.DataFrame(master.read_row_group(group, columns=["date", "host_id", "p95_util", "capacity"]))
    named = frame.rename({"p95_util": "value"}).with_columns(pl.col("capacity").cast(pl.Int64))
    named.write_csv(path, batch_size=_ROWS_PER_WRITE)
    return frame.height
