"""The DuckDB tables, and column types as DuckDB and Arrow know them, derived from the contracts."""

from typing import Final

import dataframely as dy
import polars as pl
import pyarrow as pa

from capsim_dagster.schemas.feed import FeedFiles, ProcessedData, RefusedFiles, RejectedLines
from capsim_dagster.schemas.fleet import BankHolidays, BusinessHierarchy, Hosts, RegionCalendar, TimePeriods


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
    "rejected_lines": RejectedLines,
    "refused_files": RefusedFiles,
    "warehouse_info": WarehouseInfo,
}
"""The tables of the DuckDB warehouse."""

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
    pl.Int64: pa.int64(),
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
