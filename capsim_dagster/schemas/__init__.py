"""Every table that capsim writes: columns, types, units, keys; and the enumerations they use.

One `dataframely` schema a table is the only definition of it. The DuckDB DDL, the column tables in the Dagster UI
and the contracts that frames are validated against are all derived from here. Tables are loaded when they are first
asked for: their library costs a second of processor time, and settings and many commands need the enumerations only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from capsim_dagster.schemas.faults import DialectTrait, FileFault, LineFault
from capsim_dagster.schemas.terms import (
    ANOMALY_KINDS,
    CAPACITY_COLUMNS,
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
    is_readable_host,
)

if TYPE_CHECKING:
    from capsim_dagster.schemas.feed import FeedFiles, InjectedDefects, ProcessedData, RefusedFiles, RejectedLines
    from capsim_dagster.schemas.fleet import (
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
    from capsim_dagster.schemas.types import TABLES, WarehouseInfo, arrow_schema, ddl, sql_type

_LOADED_WHEN_ASKED: Final = ("feed", "fleet", "types")
"""The modules that need `dataframely`."""

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
    "is_readable_host",
    "sql_type",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 whatever the module holds
    """Return a table, or what is derived from tables."""
    if name in __all__:
        for module in _LOADED_WHEN_ASKED:
            found = getattr(import_module(f"{__name__}.{module}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
