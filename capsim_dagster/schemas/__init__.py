"""Every table that capsim writes: columns, types, units, keys; and the enumerations they use.

One `dataframely` schema a table is the only definition of it. The DuckDB DDL, the column tables in the Dagster UI
and the contracts that frames are validated against are all derived from here.
"""

from capsim_dagster.schemas.faults import DialectTrait, FileFault, LineFault
from capsim_dagster.schemas.feed import FeedFiles, InjectedDefects, ProcessedData, RefusedFiles, RejectedLines
from capsim_dagster.schemas.fleet import (
    CAPACITY_COLUMNS,
    BankHolidays,
    BusinessHierarchy,
    ExpectedUtilization,
    Hosts,
    MasterTelemetry,
    RegionCalendar,
    TimePeriods,
    TruthEvents,
    TruthSeries,
)
from capsim_dagster.schemas.terms import (
    ANOMALY_KINDS,
    FULL_UTILIZATION,
    GAP_KINDS,
    HOST_ID_DIGITS,
    HOST_ID_PATTERN,
    VARIANTS,
    VARIETIES,
    EventKind,
    Resource,
    Scenario,
    Variant,
    Variety,
    host_id,
)
from capsim_dagster.schemas.types import TABLES, WarehouseInfo, arrow_schema, ddl, sql_type

__all__ = [
    "ANOMALY_KINDS",
    "CAPACITY_COLUMNS",
    "FULL_UTILIZATION",
    "GAP_KINDS",
    "HOST_ID_DIGITS",
    "HOST_ID_PATTERN",
    "TABLES",
    "VARIANTS",
    "VARIETIES",
    "BankHolidays",
    "BusinessHierarchy",
    "DialectTrait",
    "EventKind",
    "ExpectedUtilization",
    "FeedFiles",
    "FileFault",
    "Hosts",
    "InjectedDefects",
    "LineFault",
    "MasterTelemetry",
    "ProcessedData",
    "RefusedFiles",
    "RegionCalendar",
    "RejectedLines",
    "Resource",
    "Scenario",
    "TimePeriods",
    "TruthEvents",
    "TruthSeries",
    "Variant",
    "Variety",
    "WarehouseInfo",
    "arrow_schema",
    "ddl",
    "host_id",
    "sql_type",
]
