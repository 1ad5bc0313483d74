"""The plan of a file: which of its columns is which of the contract's, and how each batch becomes one of its form.

What is absent, stands twice or has a type that nothing safe is known about is a fault of the plan; the values are left
to `retype`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa

from capsim_dagster.errors import PanelError, listed
from capsim_dagster.panel import retype
from capsim_dagster.panel.contract import KEY, columns
from capsim_dagster.panel.findings import Tally
from capsim_dagster.schemas import Column, Type
from capsim_dagster.schemas.arrow import ARROW_TYPES
from capsim_dagster.settings import Flag, Panel

_DAY_COLUMNS: Final = ("date", "ds", "day")
"""Other names of the column `timestamp`, the first of which is taken where it is absent."""
_TIMESTAMP: Final = "timestamp"
_KNOWN_BY: Final = {
    Type.TEXT: retype.is_text,
    Type.TIMESTAMP: retype.is_timestamp,
    Type.DOUBLE: retype.is_metric,
    Type.FLAG: retype.is_flag,
}
_RETYPE: Final = {
    Type.TEXT: retype.text,
    Type.TIMESTAMP: retype.timestamp,
    Type.DOUBLE: retype.metric,
    Type.FLAG: retype.flag,
}


@dataclass(frozen=True)
class PlannedColumn:
    """One column of the file.

    Attributes:
        name: Its name in the contract, or its own.
        source: Its name in the file.
        found: Its type in the file.
        contract: The column that it is; None = one that the contract does not know.
        target: Its type after repairs.
    """

    name: str
    source: str
    found: pa.DataType
    contract: Column | None
    target: pa.DataType

    @property
    def is_usable(self) -> bool:
        """Whether something safe is known about its type."""
        return self.contract is None or _KNOWN_BY[self.contract.type](self.found)


@dataclass(frozen=True)
class FilePlan:
    """How a file is read.

    Attributes:
        columns: Its columns, those of the contract first, in the contract's order.
        absent: Columns of the contract that it lacks.
        repeated: Names that stand twice.
        in_order: Whether the file has the columns in this order already.
        metadata: What its footer says, by key.
    """

    columns: Sequence[PlannedColumn]
    absent: Sequence[str]
    repeated: Sequence[str]
    in_order: bool
    metadata: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def usable(self) -> list[PlannedColumn]:
        """The columns that can be read as the contract has them."""
        return [column for column in self.columns if column.is_usable]

    @property
    def unusable(self) -> list[PlannedColumn]:
        """The columns with a type that nothing safe is known about."""
        return [column for column in self.columns if not column.is_usable]

    @property
    def extra(self) -> list[str]:
        """Columns that the contract does not know."""
        return [column.name for column in self.columns if column.contract is None]

    @property
    def has_keys(self) -> bool:
        """Whether rows can be told apart: both key columns are there and of a known type."""
        return not self.repeated and set(KEY) <= {column.name for column in self.usable}

    @property
    def texts(self) -> list[str]:
        """Names in the file of the columns of texts that are read as dictionaries."""
        return [column.source for column in self.usable if column.contract and retype.is_text(column.found)]

    @property
    def schema(self) -> pa.Schema:
        """The columns as they are written."""
        return pa.schema(
            [
                pa.field(column.name, column.target, nullable=column.contract is None or column.contract.nullable)
                for column in self.columns
            ]
        )

    def as_written(self, schema: pa.Schema) -> "FilePlan":
        """Return the plan of a repaired copy with some schema: the same columns, with their final names and types."""
        kept = [replace(column, source=column.name, found=schema.field(column.name).type) for column in self.usable]
        return replace(self, columns=kept, in_order=True)


def plan_file(panel: Panel, schema: pa.Schema) -> FilePlan:
    """Return how a file with some columns is read."""
    names = list(schema.names)
    sources = {column.name: column for column in _known(panel)}
    renamed = next((name for name in _DAY_COLUMNS if name in names), None) if _TIMESTAMP not in names else None
    source_of = {name: name for name in sources} | ({_TIMESTAMP: renamed} if renamed else {})
    known = [_planned(schema, source_of[name], column) for name, column in sources.items() if source_of[name] in names]
    taken = {column.source for column in known}
    others = [_planned(schema, name, None) for name in dict.fromkeys(names) if name not in taken]
    order = [column.source for column in (*known, *others)]
    return FilePlan(
        columns=[*known, *others],
        absent=[column.name for column in columns(panel) if source_of[column.name] not in names],
        repeated=sorted({name for name in names if names.count(name) > 1}),
        in_order=order == names,
        metadata=dict(schema.metadata or {}),
    )


def _known(panel: Panel) -> list[Column]:
    """Return the columns of the contract, and flags that a panel may have beyond it."""
    required = columns(panel)
    names = {column.name for column in required}
    return [*required, *(Column(flag.value, Type.FLAG, "") for flag in Flag if flag.value not in names)]


def _planned(schema: pa.Schema, source: str, contract: Column | None) -> PlannedColumn:
    found = schema.types[schema.names.index(source)]
    return PlannedColumn(
        name=contract.name if contract else source,
        source=source,
        found=found,
        contract=contract,
        target=ARROW_TYPES[contract.type] if contract else found,
    )


@dataclass(frozen=True)
class Normaliser:
    """Makes batches of the contract's form, and counts what that took.

    Attributes:
        plan: How the file is read.
        null_values: Texts in metrics that mean no value, folded.
        repairs: What was changed.
        refused: What cannot be.
    """

    plan: FilePlan
    null_values: frozenset[str]
    repairs: Tally = field(default_factory=Tally)
    refused: Tally = field(default_factory=Tally)

    def batches(self, raw: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield batches with the plan's columns; texts are dictionaries still.

        Raises:
            PanelError: If a column cannot be made sense of.
        """
        self._count_columns()
        for batch in raw:
            arrays = [self._array(batch, column) for column in self.plan.usable]
            yield pa.RecordBatch.from_arrays(arrays, names=[column.name for column in self.plan.usable])

    def _count_columns(self) -> None:
        if not self.plan.in_order:
            order = listed(column.name for column in self.plan.columns)
            self.repairs.add("columns_are_in_order", "", 1, [f"-> {order}"])
        for column in self.plan.columns:
            if column.name != column.source:
                self.repairs.add("day_column_is_renamed", column.name, 1, [f"{column.source} -> {column.name}"])

    def _array(self, batch: pa.RecordBatch, column: PlannedColumn) -> pa.Array:
        """Return a column as the contract has it.

        Raises:
            PanelError: If Arrow cannot make sense of it: an unknown zone, bytes that are no text, a type that was lost.
        """
        array = batch.column(column.source)
        how = retype.Retyping(column.name, self.null_values, self.repairs, self.refused)
        try:
            if column.contract is None:
                return array if array.type == column.target else array.cast(column.target)
            return _RETYPE[column.contract.type](array, column.found, how)
        except pa.ArrowException as error:
            raise PanelError(
                f"column {column.source} is {column.found} and cannot be made {column.target}: {error}",
                remedy=f"write it as {column.target}, or leave it out if the panel may lack it",
            ) from None


def written(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the columns and types of a schema, as it is written."""
    arrays = [batch.column(entry.name) for entry in schema]
    cast = [
        array if array.type == entry.type else array.cast(entry.type)
        for array, entry in zip(arrays, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(cast, schema=schema)
