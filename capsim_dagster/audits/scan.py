"""One pass over the telemetry of a relation, a month at a time, as arrays of host x day.

Audits that look at the behaviour of series share it. What is missing, null or of an unknown host or resource leaves NaN
behind or is left out; whether rows are missing is the business of `parity`.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from capsim_dagster.audits.fingerprints import Relation
from capsim_dagster.schemas import Resource, host_id
from capsim_dagster.schemas.months import month_end, months_between
from capsim_dagster.seeding import Float32Array
from capsim_dagster.simulation.time_dimension import epoch_days
from capsim_dagster.storage.warehouse import statement

Int64Array = NDArray[np.int64]

_OF_THE_HOSTS: Final = "AND host_id IN (SELECT unnest($hosts))"


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
    is_sample: bool = False,
) -> Iterator[MonthOfTelemetry]:
    """Yield the months of a relation from first to last day, inclusive, in order.

    The numbers of the hosts to look at are ascending, shape `(n_hosts,)`; where these are a sample, a few hosts of
    many, it pays to sort out the others' rows early.
    """
    query = statement(__package__, "month_values", relation=relation, also=_OF_THE_HOSTS if is_sample else "")
    hosts = {"hosts": [host_id(number) for number in numbers.tolist()]} if is_sample else {}
    for month in months_between(start, end):
        first, last = max(month, start), min(month_end(month), end)
        parameters = {"first": first, "last": last, "resources": [resource.value for resource in Resource], **hosts}
        columns = connection.execute(query, parameters).fetchnumpy()
        days = epoch_days(first, last)
        yield MonthOfTelemetry(days, _as_grid(columns, numbers, days.size))


def _as_grid(columns: dict[str, NDArray[np.generic]], numbers: Int64Array, n_days: int) -> Float32Array:
    """Put rows in any order into a grid of resource x host x day."""
    row_of = np.full(numbers[-1] + 2, -1, dtype=np.int64)
    row_of[numbers] = np.arange(numbers.size)
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
