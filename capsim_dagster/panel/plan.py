"""The plan of a file: which of its columns is which of the contract's.

What is absent, stands twice or has a type that nothing safe is known about is a fault of the plan; the values are left
to `retype`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from capsim_dagster.errors import listed
from capsim_dagster.panel.contract import KEY, columns
from capsim_dagster.panel.retype import Repair, is_usable
from capsim_dagster.schemas import Column, Type
from capsim_dagster.schemas.arrow import ARROW_TYPES
from capsim_dagster.settings import Flag, Panel

_DAY_COLUMNS: Final = ("date", "ds", "day")
"""Other names of the column `timestamp`, the first of which is taken where it is absent."""
_TIMESTAMP: Final = "timestamp"


@dataclass(frozen=True)
class PlannedColumn:
    """One column of the file.

    It is called `source` there and `name` in the contract, whose column it is; None = one that the contract does not
    know.
    """

    name: str
    source: str
    found: pa.DataType
    contract: Column | None

    @property
    def kind(self) -> Type | None:
        """What it holds; None = the contract does not know it."""
        return self.contract.type if self.contract else None

    @property
    def target(self) -> pa.DataType:
        """Its type after repairs."""
        return ARROW_TYPES[self.contract.type] if self.contract else self.found

    @property
    def nullable(self) -> bool:
        """Whether a value may be missing."""
        return self.contract is None or self.contract.nullable


@dataclass(frozen=True)
class FilePlan:
    """How a file is read.

    Attributes:
        columns: Its columns, those of the contract first, in the contract's order.
        absent: Columns of the contract that it lacks.
        in_order: Whether the file has the columns in this order already.
    """

    columns: Sequence[PlannedColumn]
    absent: Sequence[str]
    repeated: Sequence[str]
    in_order: bool
    metadata: dict[bytes, bytes]

    @property
    def usable(self) -> list[PlannedColumn]:
        """The columns that can be read as the contract has them."""
        return [column for column in self.columns if is_usable(column.found, column.kind)]

    @property
    def known(self) -> list[Column]:
        """The columns of the contract that can be read."""
        return [column.contract for column in self.usable if column.contract]

    @property
    def has_keys(self) -> bool:
        """Whether rows can be told apart: both key columns are there and of a known type."""
        return not self.repeated and set(KEY) <= {column.name for column in self.known}

    @property
    def schema(self) -> pa.Schema:
        """The columns as they are written."""
        return pa.schema([pa.field(column.name, column.target, nullable=column.nullable) for column in self.columns])

    @property
    def repairs(self) -> list[Repair]:
        """What is put right whatever the rows hold."""
        order = Repair("columns_are_in_order", "", 1, [f"-> {listed(column.name for column in self.columns)}"])
        renamed = [
            Repair("day_column_is_renamed", column.name, 1, [f"{column.source} -> {column.name}"])
            for column in self.columns
            if column.name != column.source
        ]
        return renamed if self.in_order else [order, *renamed]


def plan_file(panel: Panel, schema: pa.Schema) -> FilePlan:
    """Return how a file with some columns is read."""
    names = list(schema.names)
    sources = {column.name: column for column in _known(panel)}
    renamed = next((name for name in _DAY_COLUMNS if name in names), None) if _TIMESTAMP not in names else None
    source_of = {name: name for name in sources} | ({_TIMESTAMP: renamed} if renamed else {})
    known = [
        PlannedColumn(name, source_of[name], schema.types[names.index(source_of[name])], column)
        for name, column in sources.items()
        if source_of[name] in names
    ]
    taken = {column.source for column in known}
    others = [
        PlannedColumn(name, name, schema.types[names.index(name)], None)
        for name in dict.fromkeys(names)
        if name not in taken
    ]
    return FilePlan(
        columns=[*known, *others],
        absent=[column.name for column in columns(panel) if source_of[column.name] not in names],
        repeated=sorted({name for name in names if names.count(name) > 1}),
        in_order=[column.source for column in (*known, *others)] == names,
        metadata=dict(schema.metadata or {}),
    )


def _known(panel: Panel) -> list[Column]:
    """Return the columns of the contract, and flags that a panel may have beyond it."""
    required = columns(panel)
    names = {column.name for column in required}
    return [*required, *(Column(flag.value, Type.FLAG, "") for flag in Flag if flag.value not in names)]
