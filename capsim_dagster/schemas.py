"""Every table that capsim writes: columns, types, units, keys; and the enumerations they use.

One `dataframely` schema a table is the only definition of it. The DuckDB DDL, the column tables in the Dagster UI
and the contracts that frames are validated against are all derived from here.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import dataframely as dy
import polars as pl
import pyarrow as pa


class Resource(StrEnum):
    """A measured resource of a host, in the order in which the master is sorted."""

    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    NETWORK = "network"


class Scenario(StrEnum):
    """The behaviour of a host; with a `Variant` it makes one of ten varieties."""

    STEADY_GROWTH = "STEADY_GROWTH"
    LOW_IDLE = "LOW_IDLE"
    SEASONAL = "SEASONAL"
    BURST = "BURST"
    CAPACITY_BREACH = "CAPACITY_BREACH"


class Variant(StrEnum):
    """The common or the rare form of a scenario."""

    NORMAL = "NORMAL"
    BREACH = "BREACH"
    STABLE = "STABLE"
    VARIABLE = "VARIABLE"
    BALANCED = "BALANCED"
    EXTREME = "EXTREME"
    MODERATE = "MODERATE"
    IMMINENT = "IMMINENT"
    SEVERE = "SEVERE"


class EventKind(StrEnum):
    """What happens to a series on some days, as the truth labels it."""

    BURST = "burst"
    SPIKE = "spike"
    DIP = "dip"
    LEVEL_SHIFT = "level_shift"
    VARIANCE_CHANGE = "variance_change"
    MISSING = "missing"
    OUTAGE = "outage"
    AGENT_DOWN = "agent_down"


ANOMALY_KINDS: Final = (EventKind.SPIKE, EventKind.DIP, EventKind.LEVEL_SHIFT, EventKind.VARIANCE_CHANGE)
"""Events that count as anomalous days; a burst is how its host behaves."""
GAP_KINDS: Final = (EventKind.MISSING, EventKind.OUTAGE, EventKind.AGENT_DOWN)
"""Events that leave days without a value."""


@dataclass(frozen=True, order=True)
class Variety:
    """One of the ten behavioural varieties: a scenario in its common or its rare variant."""

    scenario: Scenario
    variant: Variant

    def __str__(self) -> str:
        """Return `SCENARIO/VARIANT`, as shown in reports."""
        return f"{self.scenario}/{self.variant}"


VARIANTS: Final[dict[Scenario, tuple[Variant, Variant]]] = {
    Scenario.STEADY_GROWTH: (Variant.NORMAL, Variant.BREACH),
    Scenario.LOW_IDLE: (Variant.STABLE, Variant.VARIABLE),
    Scenario.SEASONAL: (Variant.BALANCED, Variant.EXTREME),
    Scenario.BURST: (Variant.MODERATE, Variant.EXTREME),
    Scenario.CAPACITY_BREACH: (Variant.IMMINENT, Variant.SEVERE),
}
"""The common and the rare variant of each scenario."""

VARIETIES: Final[tuple[Variety, ...]] = tuple(
    Variety(scenario, variant) for scenario, variants in VARIANTS.items() for variant in variants
)
"""The ten varieties; hosts 1 to 10 hold them in this order."""

FULL_UTILIZATION: Final = 100.0
"""Highest possible utilization [%], and the ceiling of saturating growth."""

HOST_ID_DIGITS: Final = 6
"""Zero-padding of the host number; longer numbers simply get longer, so ids never collide."""

HOST_ID_PATTERN: Final = r"^srv-\d{6,}$"
"""What a host id looks like."""


def host_id(number: int) -> str:
    """Return the stable id of the host with this number (1 and up).

    >>> host_id(7), host_id(1_234_567)
    ('srv-000007', 'srv-1234567')
    """
    return f"srv-{number:0{HOST_ID_DIGITS}d}"


class Hosts(dy.Schema):
    """One row a host: identity, organization, capacity and behaviour."""

    host_id = dy.String(primary_key=True, regex=HOST_ID_PATTERN, description="Stable host key, e.g. srv-000001.")
    department = dy.String(min_length=1, description="Owning department.")
    business_unit = dy.String(min_length=1, description="Business unit of the department.")
    region = dy.String(min_length=1, description="Data-centre region; decides the bank calendar.")
    criticality = dy.String(min_length=1, description="Service criticality.")
    classification = dy.Enum(["physical", "virtual"], description="Physical or virtual machine.")
    server_type = dy.String(min_length=1, description="Workload profile: web, application, database, batch or file.")
    cpu_cores = dy.Int32(min=1, description="CPU capacity.", metadata={"unit": "cores"})
    memory_gb = dy.Int32(min=1, description="Memory capacity.", metadata={"unit": "GB"})
    storage_mb = dy.Int64(min=1, description="Disk capacity.", metadata={"unit": "MB"})
    network_mbps = dy.Int32(min=1, description="Network capacity.", metadata={"unit": "Mbps"})
    scenario = dy.Enum([s.value for s in Scenario], description="Behavioural scenario.")
    variant = dy.Enum([v.value for v in Variant], description="Common or rare variant of the scenario.")


class BusinessHierarchy(dy.Schema):
    """One row a host: where it stands in the organization."""

    host_id = dy.String(primary_key=True, regex=HOST_ID_PATTERN, description="Key into hosts.")
    department = dy.String(min_length=1, description="Owning department.")
    sub_department = dy.String(min_length=1, description="Team within the department.")
    app_code = dy.String(min_length=1, description="Application code, e.g. PAY-CLR-007.")
    app_name = dy.String(min_length=1, description="Application name.")


class TimePeriods(dy.Schema):
    """One row a calendar day, contiguous."""

    date = dy.Date(primary_key=True, description="The day.")
    yearmonth = dy.Int32(min=100_001, max=999_912, description="Month as YYYYMM.")
    year = dy.Int16(description="Calendar year.")
    month = dy.Int8(min=1, max=12, description="Calendar month.")
    day_of_week = dy.Int8(min=1, max=7, description="ISO weekday: Monday 1 to Sunday 7.")
    quarter = dy.Int8(min=1, max=4, description="Calendar quarter.")
    is_weekend = dy.Bool(description="Saturday or Sunday.")
    is_month_end = dy.Bool(description="Last day of a month.")
    is_quarter_end_month = dy.Bool(description="Day of March, June, September or December.")


class RegionCalendar(dy.Schema):
    """One row a region and day: what the day is in that region's bank calendar."""

    region = dy.String(primary_key=True, description="Region, as in hosts.")
    date = dy.Date(primary_key=True, description="The day.")
    is_business_day = dy.Bool(description="Neither weekend nor bank holiday.")
    is_bank_holiday = dy.Bool(description="Banks are closed; their names are in bank_holidays.")
    is_holiday_shoulder = dy.Bool(description="No holiday, but close to one on a working day.")
    is_quarter_end_window = dy.Bool(description="One of the last business days of March, June, September, December.")
    is_month_end_window = dy.Bool(description="One of the last business days of a month.")


class BankHolidays(dy.Schema):
    """One row a bank holiday and region, within the calendar."""

    region = dy.String(primary_key=True, description="Region whose banks are closed.")
    date = dy.Date(primary_key=True, description="The day.")
    name = dy.String(min_length=1, description="Name of the holiday.")


class MasterTelemetry(dy.Schema):
    """Every host x resource x day: daily P95 utilization."""

    date = dy.Date(primary_key=True, description="The day.")
    host_id = dy.String(primary_key=True, description="Key into hosts.")
    resource = dy.Enum([r.value for r in Resource], primary_key=True, description="cpu, memory, disk or network.")
    p95_util = dy.Float32(
        nullable=True,
        min=0,
        max=100,
        description="Daily P95 utilization, two decimals; null = the agent reported nothing.",
        metadata={"unit": "% of capacity"},
    )
    capacity = dy.Float64(
        min=0, description="Capacity of the resource.", metadata={"unit": "cores | GB | MB | Mbps by resource"}
    )


class ExpectedUtilization(dy.Schema):
    """What each series would be without noise, events and bounds: the truth to score a forecast against."""

    date = dy.Date(primary_key=True, description="The day.")
    host_id = dy.String(primary_key=True, description="Key into hosts.")
    resource = dy.Enum([r.value for r in Resource], primary_key=True, description="cpu, memory, disk or network.")
    expected_util = dy.Float32(
        description="Noise-free expectation before clipping, two decimals; goes on above 100.",
        metadata={"unit": "% of capacity"},
    )


class TruthEvents(dy.Schema):
    """One row an event that shows in the data: what happened to a series, and when."""

    host_id = dy.String(primary_key=True, description="Key into hosts.")
    resource = dy.Enum([r.value for r in Resource], primary_key=True, description="cpu, memory, disk or network.")
    kind = dy.Enum([k.value for k in EventKind], primary_key=True, description="What happened.")
    start = dy.Date(primary_key=True, description="First day on which it shows.")
    end = dy.Date(description="Last day on which it shows, inclusive; may lie after the window.")
    magnitude = dy.Float32(
        nullable=True,
        description="burst: height; spike, dip, level_shift: change as a share of expected demand; variance_change: "
        "factor of the noise; gaps: null.",
        metadata={"unit": "% points | share | factor by kind"},
    )


class TruthSeries(dy.Schema):
    """One row a series: the parameters it was drawn with."""

    host_id = dy.String(primary_key=True, description="Key into hosts.")
    resource = dy.Enum([r.value for r in Resource], primary_key=True, description="cpu, memory, disk or network.")
    level = dy.Float32(description="Utilization on the first day, on an ordinary working day.", metadata={"unit": "%"})
    growth_per_year = dy.Float32(description="Linear growth.", metadata={"unit": "% points a year"})
    annual_amplitude = dy.Float32(description="Half the swing of the annual season.", metadata={"unit": "% points"})
    annual_peak_day = dy.Int16(min=1, max=366, description="Day of the year on which the season peaks.")
    weekend_factor = dy.Float32(description="Weekend load as a multiple of working days' load.")
    noise_std = dy.Float32(description="Standard deviation of the daily noise.", metadata={"unit": "% points"})
    burst_rate = dy.Float32(description="Bursts of the host a day.")
    burst_height = dy.Float32(description="Typical height of a burst.", metadata={"unit": "% points"})
    has_anomalies = dy.Bool(description="False for the limiting resource of a breach, which has gaps only.")
    breach_rise = dy.Float32(
        description="Growth until the breach date, beyond the linear.", metadata={"unit": "% points"}
    )
    breach_date = dy.Date(nullable=True, description="Limiting series only: expected to reach the threshold.")
    limiting_resource = dy.String(nullable=True, description="Which resource of the host breaches; null = none.")


class ProcessedData(dy.Schema):
    """Analytical base table for forecasting: one row a host, resource and day."""

    ds = dy.Datetime(primary_key=True, description="The day, at midnight.")
    host_id = dy.String(primary_key=True, description="Key into hosts.")
    resource = dy.String(primary_key=True, description="cpu, memory, disk or network.")
    y = dy.Float64(
        nullable=True, min=0, max=100, description="Daily P95 utilization; null = gap.", metadata={"unit": "%"}
    )
    cap = dy.Float64(description="Ceiling for saturating growth, 100.0.", metadata={"unit": "%"})
    capacity = dy.Float64(
        min=0, description="Capacity of the resource.", metadata={"unit": "cores | GB | MB | Mbps by resource"}
    )


class FeedFiles(dy.Schema):
    """One row a feed file whose lines are in processed_data."""

    path = dy.String(min_length=1, description="File, relative to the feed directory.")
    yearmonth = dy.Int32(primary_key=True, description="Month as YYYYMM.")
    resource = dy.String(primary_key=True, description="cpu, memory, disk or network.")
    bytes = dy.Int64(min=1, description="Size of the file.", metadata={"unit": "bytes"})
    sha256 = dy.String(min_length=64, max_length=64, description="SHA-256 of the file as loaded.")
    lines = dy.Int64(min=0, description="Physical data lines, without the header.")
    loaded = dy.Int64(min=0, description="Lines loaded into processed_data.")


class WarehouseInfo(dy.Schema):
    """Facts about the warehouse file itself."""

    name = dy.String(primary_key=True, description="Name of the fact.")
    value = dy.String(description="Its value.")


TABLES: Final[dict[str, type[dy.Schema]]] = {
    "hosts": Hosts,
    "business_hierarchy": BusinessHierarchy,
    "time_periods": TimePeriods,
    "region_calendar": RegionCalendar,
    "bank_holidays": BankHolidays,
    "processed_data": ProcessedData,
    "feed_files": FeedFiles,
    "warehouse_info": WarehouseInfo,
}
"""The tables of the DuckDB warehouse."""

CAPACITY_COLUMNS: Final[dict[Resource, str]] = {
    Resource.CPU: "cpu_cores",
    Resource.MEMORY: "memory_gb",
    Resource.DISK: "storage_mb",
    Resource.NETWORK: "network_mbps",
}
"""The column of `hosts` that holds the capacity of each resource."""

_SQL_TYPES: Final[dict[type[pl.DataType], str]] = {
    pl.String: "VARCHAR",
    pl.Enum: "VARCHAR",
    pl.Date: "DATE",
    pl.Datetime: "TIMESTAMP",
    pl.Boolean: "BOOLEAN",
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Float32: "FLOAT",
    pl.Float64: "DOUBLE",
}


_ARROW_TYPES: Final[dict[type[pl.DataType], pa.DataType]] = {
    pl.Date: pa.date32(),
    pl.Boolean: pa.bool_(),
    pl.Int16: pa.int16(),
    pl.Float32: pa.float32(),
    pl.Float64: pa.float64(),
}
_ARROW_NAMES: Final = pa.dictionary(pa.int32(), pa.string())


def arrow_schema(schema: type[dy.Schema], *, encode_names: bool = False) -> pa.Schema:
    """Return the columns of a Parquet file.

    Args:
        schema: The table.
        encode_names: Whether strings are handed over as dictionaries, which is cheaper where they repeat.
    """
    names = _ARROW_NAMES if encode_names else pa.string()
    return pa.schema(
        [
            pa.field(name, _ARROW_TYPES.get(column.dtype.base_type(), names), nullable=column.nullable)
            for name, column in schema.columns().items()
        ]
    )


def sql_type(column: dy.Column) -> str:
    """Return the DuckDB type of a column.

    >>> sql_type(Hosts.columns()["storage_mb"])
    'BIGINT'
    """
    return _SQL_TYPES[column.dtype.base_type()]


def ddl(table: str) -> str:
    """Return the `CREATE TABLE IF NOT EXISTS` statement of a warehouse table.

    No primary keys: an index costs twice the load time and space (measured), so uniqueness is a check.

    Raises:
        KeyError: If the table is not in `TABLES`.
    """
    columns = TABLES[table].columns()
    body = ", ".join(
        f"{name} {sql_type(column)}" + ("" if column.nullable else " NOT NULL") for name, column in columns.items()
    )
    return f"CREATE TABLE IF NOT EXISTS {table} ({body})"
