"""The tables: DDL, types, host ids and the ten varieties."""

import datetime as dt
import re

import duckdb
import polars as pl
import pytest

from capsim_dagster.schemas import (
    CAPACITY_COLUMNS,
    HOST_ID_PATTERN,
    VARIANTS,
    VARIETIES,
    Column,
    Resource,
    Scenario,
    Type,
    Variant,
    host_id,
)
from capsim_dagster.schemas.arrow import arrow_schema
from capsim_dagster.schemas.fleet import BUSINESS_HIERARCHY, HOSTS, MASTER
from capsim_dagster.schemas.frames import broken_rules, frame_schema
from capsim_dagster.schemas.resources import CAPACITY_UNITS
from capsim_dagster.schemas.tables import TABLES, ddl
from capsim_dagster_tests.support.cases import each_case

EVERY_TYPE = [Column(f"a_{kind.name.lower()}", kind, "Anything.", nullable=True) for kind in Type]


def test_ddl_lists_columns_in_order_with_types_and_nullability() -> None:
    assert ddl("bank_holidays") == (
        "CREATE TABLE IF NOT EXISTS bank_holidays (region VARCHAR NOT NULL, date DATE NOT NULL, name VARCHAR NOT NULL)"
    )


def test_ddl_allows_null_only_where_the_schema_does() -> None:
    columns = dict(part.split(" ", 1) for part in ddl("processed_data").partition("(")[2].rstrip(")").split(", "))

    assert columns["y"] == "DOUBLE"
    assert [name for name, declared in columns.items() if not declared.endswith(" NOT NULL")] == ["y", "capacity"]


@each_case("table", TABLES)
def test_ddl_makes_a_table_with_the_columns_of_its_schema(table: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(ddl(table))
        described = connection.execute(f"DESCRIBE {table}").fetchall()

    expected = [(column.name, column.type) for column in TABLES[table]]
    assert [(name, kind) for name, kind, *_ in described] == expected


def test_ddl_of_an_unknown_table_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        ddl("nowhere")


def test_every_type_is_the_same_in_duckdb_arrow_and_polars() -> None:
    rows = pl.DataFrame(schema=frame_schema(EVERY_TYPE))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE things ({', '.join(column.ddl for column in EVERY_TYPE)})")
        of_duckdb = connection.sql("FROM things").to_arrow_table()

    assert rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(arrow_schema(EVERY_TYPE)).num_rows == 0
    assert pl.DataFrame(of_duckdb).schema == pl.DataFrame(arrow_schema(EVERY_TYPE).empty_table()).schema == rows.schema


def test_every_type_has_the_name_that_data_package_gives_it() -> None:
    assert {column.type: column.field_type for column in EVERY_TYPE} == {
        Type.TEXT: "string",
        Type.DATE: "date",
        Type.TIMESTAMP: "datetime",
        Type.INSTANT: "datetime",
        Type.FLAG: "boolean",
        Type.INT8: "integer",
        Type.INT16: "integer",
        Type.INT32: "integer",
        Type.INT64: "integer",
        Type.FLOAT: "number",
        Type.DOUBLE: "number",
    }


def test_host_ids_never_collide_and_match_their_pattern() -> None:
    numbers = [*range(1, 2_001), *range(999_990, 1_000_011), 10_000_000, 100_000_000]
    ids = [host_id(number) for number in numbers]

    assert len(set(ids)) == len(numbers)
    assert all(re.fullmatch(HOST_ID_PATTERN, identifier) for identifier in ids)


def test_host_ids_are_padded_to_six_digits_and_then_grow() -> None:
    assert [host_id(n) for n in (1, 999_999, 1_000_000)] == ["srv-000001", "srv-999999", "srv-1000000"]


def test_varieties_are_the_ten_pairs_of_scenario_and_variant() -> None:
    assert [str(variety) for variety in VARIETIES] == [
        "STEADY_GROWTH/NORMAL",
        "STEADY_GROWTH/BREACH",
        "LOW_IDLE/STABLE",
        "LOW_IDLE/VARIABLE",
        "SEASONAL/BALANCED",
        "SEASONAL/EXTREME",
        "BURST/MODERATE",
        "BURST/EXTREME",
        "CAPACITY_BREACH/IMMINENT",
        "CAPACITY_BREACH/SEVERE",
    ]
    assert len(set(VARIETIES)) == 10


def test_every_scenario_and_variant_is_part_of_a_variety() -> None:
    assert set(VARIANTS) == set(Scenario)
    assert {variety.variant for variety in VARIETIES} == set(Variant)


def test_every_resource_has_a_capacity_column_with_a_unit_in_the_inventory() -> None:
    assert set(CAPACITY_COLUMNS) == set(Resource)
    assert set(CAPACITY_COLUMNS.values()) <= {column.name for column in HOSTS}
    assert CAPACITY_UNITS == {
        Resource.CPU: "cores",
        Resource.MEMORY: "GB",
        Resource.DISK: "MB",
        Resource.NETWORK: "Mbps",
    }


def test_every_column_of_every_table_is_described() -> None:
    assert [f"{table}.{column.name}" for table in TABLES for column in TABLES[table] if not column.description] == []


def test_hierarchy_refuses_a_second_row_of_a_host() -> None:
    row = {"host_id": "srv-000001", "department": "Risk", "sub_department": "x", "app_code": "R-1", "app_name": "x"}

    assert broken_rules(BUSINESS_HIERARCHY, pl.DataFrame([row])) == []
    assert broken_rules(BUSINESS_HIERARCHY, pl.DataFrame([row, row])) == ["host_id is not unique in 2 rows"]


@each_case(
    ("value", "said"),
    [
        (50.0, []),
        (None, []),
        (-0.5, ["p95_util is below 0 in 1 row"]),
        (100.5, ["p95_util is above 100 in 1 row"]),
        (float("nan"), ["p95_util is not finite in 1 row", "p95_util is above 100 in 1 row"]),
        ("a lot", ["p95_util is no FLOAT in 1 row"]),
    ],
)
def test_value_outside_of_its_bounds_is_told_with_its_column(value: object, said: list[str]) -> None:
    row = {"date": dt.date(2023, 1, 1), "host_id": "srv-000001", "resource": "cpu", "capacity": 64.0}

    assert broken_rules(MASTER, pl.DataFrame([{**row, "p95_util": value}])) == said
