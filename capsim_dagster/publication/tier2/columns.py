"""The columns of the hourly dataset: types, units, bounds and what each means."""

from dataclasses import replace
from typing import Final

from capsim_dagster.publication.tier3.columns import PERCENT
from capsim_dagster.schemas import Column, Resource, Type
from capsim_dagster.schemas.arrow import arrow_schema
from capsim_dagster.schemas.column import percentage
from capsim_dagster.schemas.resources import any_of

RESOURCES: Final = tuple(sorted(resource.value for resource in Resource))
"""In the order of the rows of a host."""
STATISTICS: Final = ("mean", "p50", "p95", "max")


def _statistic(name: str, what: str, *, repeats: bool = True) -> Column:
    column = percentage(name, f"{what}; null = no sample of the hour has a value.", PERCENT)
    return replace(column, repeats=repeats)


COLUMNS: Final = (
    Column("ts", Type.INSTANT, "Start of the hour.", "UTC"),
    Column("host_id", Type.TEXT, "The host."),
    Column("resource", Type.TEXT, f"The resource: {any_of(RESOURCES)}."),
    _statistic("mean", "Mean utilization: the exact sum of the values, rounded once, by their number", repeats=False),
    _statistic("p50", "Median utilization by nearest rank: of n sorted values the one at place ceil(0.50 n)"),
    _statistic("p95", "P95 of utilization by nearest rank: of n sorted values the one at place ceil(0.95 n)"),
    _statistic("max", "Highest utilization"),
    Column("samples", Type.INT32, "Intervals of the hour with a value; 0 = a gap.", minimum=0.0),
)
"""In the order of the file."""
KEY: Final = ("host_id", "resource", "ts")
"""No two rows have the same; rows are sorted by it."""
SCHEMA: Final = arrow_schema(COLUMNS)
"""As written."""
