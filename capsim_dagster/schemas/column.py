"""One column of a table, a file or a dataset: the one definition from which every other form of it is made.

What DuckDB, Data Package and people are told is here; Arrow's form is in `arrow`, that of frames in `frames`, as those
libraries cost time to load and settings and many commands need names only. The UI's is in `orchestration.metadata`.
"""

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Final

from capsim_dagster.schemas.terms import FULL_UTILIZATION


class Type(StrEnum):
    """What a column holds, by DuckDB's name for it."""

    TEXT = "VARCHAR"
    DATE = "DATE"
    TIMESTAMP = "TIMESTAMP"
    """Microseconds, without a zone."""
    INSTANT = "TIMESTAMP WITH TIME ZONE"
    """Microseconds, UTC."""
    FLAG = "BOOLEAN"
    INT8 = "TINYINT"
    INT16 = "SMALLINT"
    INT32 = "INTEGER"
    INT64 = "BIGINT"
    FLOAT = "FLOAT"
    DOUBLE = "DOUBLE"


PERCENT: Final = "% of capacity"
ANY_TEXT: Final = "(?s)."
"""Pattern of texts that are not empty."""
_FIELD_TYPES: Final = {
    Type.TEXT: "string",
    Type.DATE: "date",
    Type.TIMESTAMP: "datetime",
    Type.INSTANT: "datetime",
    Type.FLAG: "boolean",
    Type.FLOAT: "number",
    Type.DOUBLE: "number",
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        unit: Unit of its values; empty = none.
        nullable: Whether a value may be missing.
        is_key: Whether it is one of the columns that tell any two rows apart.
        minimum: Lowest value, inclusive; None = no bound.
        maximum: Highest value, inclusive; None = no bound.
        values: The only values; empty = any.
        pattern: Regular expression that is found in each text; empty = none.
        repeats: Whether values repeat; where not, a dictionary in a file would cost time and space.
    """

    name: str
    type: Type
    description: str
    unit: str = ""
    _: KW_ONLY
    nullable: bool = False
    is_key: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    pattern: str = ""
    repeats: bool = True

    @property
    def field_type(self) -> str:
        """Its type by Data Package v2."""
        return _FIELD_TYPES.get(self.type, "integer")

    @property
    def text(self) -> str:
        """What it says, with the unit."""
        return f"{self.description} Unit: {self.unit}." if self.unit else self.description

    @property
    def ddl(self) -> str:
        """Its part of a `CREATE TABLE` statement.

        >>> Column("y", Type.DOUBLE, "The value.").ddl
        'y DOUBLE NOT NULL'
        """
        return f"{self.name} {self.type}" + ("" if self.nullable else " NOT NULL")


def percentage(name: str, description: str, unit: str = PERCENT, kind: Type = Type.DOUBLE) -> Column:
    """Return a column of utilizations, from 0 to 100 or missing."""
    return Column(name, kind, description, unit, nullable=True, minimum=0.0, maximum=FULL_UTILIZATION)
