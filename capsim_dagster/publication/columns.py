"""The columns of the daily dataset: types, units, bounds and what each means."""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from capsim_dagster.schemas import FULL_UTILIZATION, Resource

PERCENT: Final = "percent of capacity"
_MBPS: Final = "Mbps"
_DOUBLE: Final = pa.float64()


@dataclass(frozen=True)
class Column:
    """A column of a published dataset.

    Attributes:
        name: Its name.
        arrow: Its type in the file.
        kind: Its type by Data Package v2.
        unit: Unit of its values; empty = none.
        description: What it holds.
        nullable: Whether a value may be missing.
        minimum: Lowest value, inclusive; None = no bound.
        maximum: Highest value, inclusive; None = no bound.
    """

    name: str
    arrow: pa.DataType
    kind: str
    unit: str
    description: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None


def _utilization(resource: Resource) -> Column:
    what = f"Utilization of {resource.value} in the interval; null = the agent reported nothing."
    return Column(resource.value, _DOUBLE, "number", PERCENT, what, True, 0.0, FULL_UTILIZATION)


def _traffic(name: str, direction: str) -> Column:
    what = f"{direction} network traffic; null where network is null."
    return Column(name, _DOUBLE, "number", _MBPS, what, True, 0.0)


UTILIZATIONS: Final = tuple(resource.value for resource in Resource)
TRAFFIC: Final = ("net_in_mbps", "net_out_mbps")
COLUMNS: Final = (
    Column("ts", pa.timestamp("us", tz="UTC"), "datetime", "UTC", "Start of the interval."),
    Column("host_id", pa.string(), "string", "", "The host."),
    *(_utilization(resource) for resource in Resource),
    _traffic("net_in_mbps", "Inbound"),
    _traffic("net_out_mbps", "Outbound"),
    Column("interval_s", pa.int32(), "integer", "s", "Length of the interval.", minimum=60.0, maximum=1800.0),
    Column("agent_version", pa.string(), "string", "", "Version of the agent."),
    Column("seq", pa.int64(), "integer", "", "Number of the interval, counted from the agent's first.", minimum=0.0),
    Column("archive_hour", pa.int8(), "integer", "h", "Hour file of the archive.", minimum=0.0, maximum=23.0),
)
"""In the order of the file."""
KEY: Final = ("host_id", "ts")
"""No two rows have the same."""
SCHEMA: Final = pa.schema([pa.field(column.name, column.arrow, nullable=column.nullable) for column in COLUMNS])
"""As written."""
