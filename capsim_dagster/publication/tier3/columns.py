"""The columns of the daily dataset: types, units, bounds and what each means."""

from typing import Final

from capsim_dagster.schemas import Column, Resource, Type
from capsim_dagster.schemas.arrow import arrow_schema
from capsim_dagster.schemas.column import percentage

PERCENT: Final = "percent of capacity"
UTILIZATIONS: Final = tuple(resource.value for resource in Resource)
TRAFFIC: Final = ("net_in_mbps", "net_out_mbps")


def _utilization(name: str) -> Column:
    return percentage(name, f"Utilization of {name} in the interval; null = the agent reported nothing.", PERCENT)


def _traffic(name: str, direction: str) -> Column:
    what = f"{direction} network traffic; null where network is null."
    return Column(name, Type.DOUBLE, what, "Mbps", nullable=True, minimum=0.0)


COLUMNS: Final = (
    Column("ts", Type.INSTANT, "Start of the interval.", "UTC"),
    Column("host_id", Type.TEXT, "The host."),
    *map(_utilization, UTILIZATIONS),
    *map(_traffic, TRAFFIC, ("Inbound", "Outbound")),
    Column("interval_s", Type.INT32, "Length of the interval.", "s", minimum=60.0, maximum=1800.0),
    Column("agent_version", Type.TEXT, "Version of the agent."),
    Column("seq", Type.INT64, "Number of the interval, counted from the agent's first.", minimum=0.0),
    Column("archive_hour", Type.INT8, "Hour file of the archive.", "h", minimum=0.0, maximum=23.0),
)
"""In the order of the file."""
NUMBERS: Final = tuple(column.name for column in COLUMNS if column.type is Type.DOUBLE)
"""The columns that a line of the archive holds by their names, as a number or null."""
KEY: Final = ("host_id", "ts")
"""No two rows have the same."""
SCHEMA: Final = arrow_schema(COLUMNS)
"""As written."""
HOUR_SCHEMA: Final = arrow_schema(COLUMNS, encode_names=True)
"""Columns of an hour in memory: as in the file, texts as dictionaries."""
