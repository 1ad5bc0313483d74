"""Columns as Arrow and Parquet have them."""

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from capsim_dagster.schemas.column import Column, Type

ARROW_TYPES: Final = {
    Type.TEXT: pa.string(),
    Type.DATE: pa.date32(),
    Type.TIMESTAMP: pa.timestamp("us"),
    Type.INSTANT: pa.timestamp("us", tz="UTC"),
    Type.FLAG: pa.bool_(),
    Type.INT8: pa.int8(),
    Type.INT16: pa.int16(),
    Type.INT32: pa.int32(),
    Type.INT64: pa.int64(),
    Type.FLOAT: pa.float32(),
    Type.DOUBLE: pa.float64(),
}
_ENCODED: Final = ARROW_TYPES | {Type.TEXT: pa.dictionary(pa.int32(), pa.string())}


def arrow_schema(columns: Iterable[Column], *, encode_names: bool = False) -> pa.Schema:
    """Return the columns of a Parquet file.

    Args:
        columns: In the order of the file.
        encode_names: Whether texts are handed over as dictionaries, which is cheaper where they repeat.
    """
    types = _ENCODED if encode_names else ARROW_TYPES
    return pa.schema([pa.field(column.name, types[column.type], nullable=column.nullable) for column in columns])
