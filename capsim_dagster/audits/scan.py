"""One pass over telemetry, a month at a time, as arrays of host x day: of a relation, or of a file as it lies.

Audits that look at the behaviour of series share it. What is missing, null or of an unknown host or resource leaves NaN
behind or is left out; whether rows are missing is the business of `parity`.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from capsim_dagster.audits.fingerprints import Relation
from capsim_dagster.errors import MasterError
from capsim_dagster.schemas import Resource, host_id
from capsim_dagster.schemas.months import month_end, months_between, yearmonth
from capsim_dagster.seeding import Float32Array
from capsim_dagster.simulated.footer import readable
from capsim_dagster.simulation.time_dimension import epoch_days
from capsim_dagster.storage.warehouse import statement

Int64Array = NDArray[np.int64]

_REMEDY: Final = "materialize master_parquet again: capsim run"
_COLUMNS: Final = ["date", "host_id", "resource", "p95_util"]
_PREFIX: Final = host_id(0).rstrip("0")


@dataclass(frozen=True)
class MonthOfTelemetry:
    """The values of one month.

    Attributes:
        days: Its days [days since 1970-01-01], shape `(n_days,)`.
        values: Utilization [%] by resource, in the order of `Resource`, shape `(4, n_hosts, n_days)`; NaN = no value.
    """

    days: Int64Array
    values: Float32Array


def months_of_telemetry(
    connection: duckdb.DuckDBPyConnection,
    relation: Relation,
    numbers: Int64Array,
    *,
    start: dt.date,
    end: dt.date,
) -> Iterator[MonthOfTelemetry]:
    """Yield the months of a relation from first to last day, inclusive, in order.

    The numbers of the hosts to look at are ascending, shape `(n_hosts,)`.
    """
    query = statement(__package__, "month_values", relation=relation)
    for month in months_between(start, end):
        first, last = max(month, start), min(month_end(month), end)
        parameters = {"first": first, "last": last, "resources": [resource.value for resource in Resource]}
        columns = connection.execute(query, parameters).fetchnumpy()
        days = epoch_days(first, last)
        yield MonthOfTelemetry(days, _as_grid(columns, numbers, days.size))


def months_of_file(path: Path, numbers: Int64Array, *, start: dt.date, end: dt.date) -> Iterator[MonthOfTelemetry]:
    """Yield the months of a master file as `months_of_telemetry` does, in half the time: row groups become arrays.

    Raises:
        MasterError: If a page cannot be read or does not match its checksum.
    """
    with readable(path, MasterError, remedy=_REMEDY):
        file = pq.ParquetFile(path, read_dictionary=["host_id", "resource"], page_checksum_verification=True)
    groups = _groups_by_month(file)
    rows_of = _HostRows(numbers)
    for month in months_between(start, end):
        days = epoch_days(max(month, start), min(month_end(month), end))
        grid = np.full((len(Resource), numbers.size, days.size), np.nan, dtype=np.float32)
        for group in groups.get(yearmonth(month), ()):
            with readable(path, MasterError, remedy=_REMEDY):
                rows = file.read_row_group(group, columns=_COLUMNS, use_threads=False).combine_chunks()
                for batch in rows.to_batches():
                    _fill(grid, batch, rows_of, days)
        yield MonthOfTelemetry(days, grid)


def _groups_by_month(file: pq.ParquetFile) -> dict[int, list[int]]:
    """Return the row groups that hold days of a month, as YYYYMM."""
    place = file.schema_arrow.get_field_index("date")
    groups: dict[int, list[int]] = {}
    for index in range(file.num_row_groups):
        days = file.metadata.row_group(index).column(place).statistics
        for month in months_between(days.min, days.max) if days is not None and days.has_min_max else ():
            groups.setdefault(yearmonth(month), []).append(index)
    return groups


def _rows_by_number(numbers: Int64Array) -> Int64Array:
    """Return the row of the grid by the number of a host; -1 = it has none, as the last entry."""
    row_of = np.full(numbers[-1] + 2, -1, dtype=np.int64)
    row_of[numbers] = np.arange(numbers.size)
    return row_of


class _HostRows:
    """The rows of the grid by the names of hosts; the next dictionary mostly is the latest, whose rows are known."""

    def __init__(self, numbers: Int64Array) -> None:
        self._row_of = _rows_by_number(numbers)
        self._names: pa.Array | None = None
        self._rows: Int64Array = np.empty(0, dtype=np.int64)

    def of(self, hosts: pa.DictionaryArray) -> Int64Array:
        """Return the row of each host; -1 = it has none."""
        if self._names is None or not hosts.dictionary.equals(self._names):
            self._names = hosts.dictionary
            self._rows = self._row_of[[_number(name, self._row_of.size) for name in self._names.to_pylist()]]
        found: Int64Array = self._rows[hosts.indices.to_numpy()]
        return found


def _fill(grid: Float32Array, batch: pa.RecordBatch, rows_of: _HostRows, days: Int64Array) -> None:
    """Put values where their resource, host and day are; those of one resource, by host and day, at once."""
    dates, hosts, resources, values = batch.columns
    rows = rows_of.of(hosts)
    order = {resource.value: index for index, resource in enumerate(Resource)}
    metric = np.array([order.get(name, -1) for name in resources.dictionary.to_pylist()])[resources.indices.to_numpy()]
    day = dates.view(pa.int32()).to_numpy().astype(np.int64) - days[0]
    found = values.to_numpy(zero_copy_only=False)
    n_days = days.size
    by_host = rows[::n_days]
    is_grid = rows.size == by_host.size * n_days and (metric == metric[0]).all() and metric[0] >= 0
    if (
        is_grid
        and (rows.reshape(-1, n_days) == by_host[:, np.newaxis]).all()
        and (day.reshape(-1, n_days) == np.arange(n_days)).all()
    ):
        is_known = by_host >= 0
        grid[metric[0], by_host[is_known]] = found.reshape(-1, n_days)[is_known]
        return
    is_there = (rows >= 0) & (metric >= 0) & (day >= 0) & (day < n_days)
    grid[metric[is_there], rows[is_there], day[is_there]] = found[is_there]


def _number(name: str, limit: int) -> int:
    """Return the number of a host, or the place that stands for none."""
    digits = name.removeprefix(_PREFIX)
    number = int(digits) if name.startswith(_PREFIX) and digits.isdecimal() else -1
    return number if number < limit else -1


def _as_grid(columns: dict[str, NDArray[np.generic]], numbers: Int64Array, n_days: int) -> Float32Array:
    """Put rows in any order into a grid of resource x host x day."""
    row_of = _rows_by_number(numbers)
    host, resource = (np.ma.filled(np.ma.asarray(columns[name]), -1) for name in ("host", "resource"))
    row = row_of[np.where((host >= 0) & (host < row_of.size), host, -1)]
    cell = (resource.astype(np.int64) * numbers.size + row) * n_days + np.asarray(columns["day"])
    util = np.ma.filled(np.ma.asarray(columns["util"]), np.nan).astype(np.float32, copy=False)
    grid = np.full((len(Resource), numbers.size, n_days), np.nan, dtype=np.float32)
    is_known = (row >= 0) & (resource >= 0)
    if is_known.all():
        grid.ravel()[cell] = util
    else:
        grid.ravel()[cell[is_known]] = util[is_known]
    return grid
