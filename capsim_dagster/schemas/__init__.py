"""Every table that capsim writes: columns, types, units, keys; and the enumerations they use.

One `Column` a column is the only definition of it: DuckDB's tables, Arrow's schemas, manifests, the columns that the
Dagster UI shows and the rules that frames keep to are made of it.
"""

from capsim_dagster.schemas.column import Column, Type
from capsim_dagster.schemas.faults import DialectTrait, FileFault, LineFault
from capsim_dagster.schemas.resources import CAPACITY_COLUMNS, Resource
from capsim_dagster.schemas.terms import (
    ANOMALY_KINDS,
    FULL_UTILIZATION,
    GAP_KINDS,
    HOST_ID_PATTERN,
    VARIANTS,
    VARIETIES,
    EventKind,
    Scenario,
    Variant,
    Variety,
    host_id,
    is_readable_host,
)

__all__ = [
    "ANOMALY_KINDS",
    "CAPACITY_COLUMNS",
    "FULL_UTILIZATION",
    "GAP_KINDS",
    "HOST_ID_PATTERN",
    "VARIANTS",
    "VARIETIES",
    "Column",
    "DialectTrait",
    "EventKind",
    "FileFault",
    "LineFault",
    "Resource",
    "Scenario",
    "Type",
    "Variant",
    "Variety",
    "host_id",
    "is_readable_host",
]
