"""Every table that capsim writes: columns, types, units, keys; and the enumerations they use.

One `Column` a column is the only definition of it: DuckDB's tables, Arrow's schemas, manifests, the columns that the
Dagster UI shows and the rules that frames keep to are made of it.
"""

from capsim_dagster.schemas.column import Column as Column
from capsim_dagster.schemas.column import Type as Type
from capsim_dagster.schemas.faults import DialectTrait as DialectTrait
from capsim_dagster.schemas.faults import FileFault as FileFault
from capsim_dagster.schemas.faults import LineFault as LineFault
from capsim_dagster.schemas.resources import CAPACITY_COLUMNS as CAPACITY_COLUMNS
from capsim_dagster.schemas.resources import Resource as Resource
from capsim_dagster.schemas.terms import ANOMALY_KINDS as ANOMALY_KINDS
from capsim_dagster.schemas.terms import FULL_UTILIZATION as FULL_UTILIZATION
from capsim_dagster.schemas.terms import GAP_KINDS as GAP_KINDS
from capsim_dagster.schemas.terms import HOST_ID_PATTERN as HOST_ID_PATTERN
from capsim_dagster.schemas.terms import VARIANTS as VARIANTS
from capsim_dagster.schemas.terms import VARIETIES as VARIETIES
from capsim_dagster.schemas.terms import EventKind as EventKind
from capsim_dagster.schemas.terms import Scenario as Scenario
from capsim_dagster.schemas.terms import Variant as Variant
from capsim_dagster.schemas.terms import Variety as Variety
from capsim_dagster.schemas.terms import host_id as host_id
from capsim_dagster.schemas.terms import is_readable_host as is_readable_host
