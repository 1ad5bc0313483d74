"""The columns of the hourly dataset: types, units, bounds and what each means."""

from typing import Final

import pyarrow as pa

from capsim_dagster.publication.columns import PERCENT, Column
from capsim_dagster.schemas import FULL_UTILIZATION, Resource

DATASET: Final = "tier2_hourly"
"""Name of the hourly dataset, and of its folder."""
RESOURCES: Final = tuple(sorted(resource.value for resource in Resource))
"""In the order of the rows of a host."""
STATISTICS: Final = ("mean", "p50", "p95", "max")


def _statistic(name: str, what: str) -> Column:
    text = f"{what}; null = no sample of the hour has a value."
    return Column(name, pa.float64(), "number", PERCENT, text, True, 0.0, FULL_UTILIZATION)


COLUMNS: Final = (
    Column("ts", pa.timestamp("us", tz="UTC"), "datetime", "UTC", "Start of the hour."),
    Column("host_id", pa.string(), "string", "", "The host."),
    Column("resource", pa.string(), "string", "", "The resource: cpu, disk, memory or network."),
    _statistic("mean", "Mean utilization: the exact sum of the values, rounded once, by their number"),
    _statistic("p50", "Median utilization by nearest rank: of n sorted values the one at place ceil(0.50 n)"),
    _statistic("p95", "P95 of utilization by nearest rank: of n sorted values the one at place ceil(0.95 n)"),
    _statistic("max", "Highest utilization"),
    Column("samples", pa.int32(), "integer", "", "Intervals of the hour with a value; 0 = a gap.", minimum=0.0),
)
"""In the order of the file."""
KEY: Final = ("host_id", "resource", "ts")
"""No two rows have the same; rows are sorted by it."""
SCHEMA: Final = pa.schema([pa.field(column.name, column.arrow, nullable=column.nullable) for column in COLUMNS])
"""As written."""
