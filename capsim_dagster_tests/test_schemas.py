"""The tables: DDL, types, host ids and the ten varieties."""

import re

import dataframely as dy
import duckdb
import polars as pl
import pytest

from capsim_dagster.schemas import (
    CAPACITY_COLUMNS,
    HOST_ID_PATTERN,
    TABLES,
    VARIANTS,
    VARIETIES,
    BusinessHierarchy,
    Hosts,
    Resource,
    Scenario,
    Variant,
    ddl,
    host_id,
    sql_type,
)


def test_ddl_lists_columns_in_order_with_types_and_nullability() -> None:
    assert ddl("bank_holidays") == (
        "CREATE TABLE IF NOT EXISTS bank_holidays (region VARCHAR NOT NULL, date DATE NOT NULL, name VARCHAR NOT NULL)"
    )


def test_ddl_allows_null_only_where_the_schema_does() -> None:
    columns = dict(part.split(" ", 1) for part in ddl("processed_data").partition("(")[2].rstrip(")").split(", "))

    assert columns["y"] == "DOUBLE"
    assert [name for name, declared in columns.items() if not declared.endswith(" NOT NULL")] == ["y", "capacity"]


@pytest.mark.parametrize("table", TABLES)
def test_ddl_makes_a_table_with_the_columns_of_its_schema(table: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(ddl(table))
        described = connection.execute(f"DESCRIBE {table}").fetchall()

    expected = [(name, sql_type(column)) for name, column in TABLES[table].columns().items()]
    assert [(name, kind) for name, kind, *_ in described] == expected


def test_ddl_of_an_unknown_table_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        ddl("nowhere")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (dy.String(), "VARCHAR"),
        (dy.Enum(["a"]), "VARCHAR"),
        (dy.Date(), "DATE"),
        (dy.Datetime(), "TIMESTAMP"),
        (dy.Bool(), "BOOLEAN"),
        (dy.Int8(), "TINYINT"),
        (dy.Int16(), "SMALLINT"),
        (dy.Int32(), "INTEGER"),
        (dy.Int64(), "BIGINT"),
        (dy.Float32(), "FLOAT"),
        (dy.Float64(), "DOUBLE"),
    ],
)
def test_sql_type_follows_the_dtype(column: dy.Column, expected: str) -> None:
    assert sql_type(column) == expected


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


def test_every_resource_has_a_capacity_column_in_the_inventory() -> None:
    assert set(CAPACITY_COLUMNS) == set(Resource)
    assert set(CAPACITY_COLUMNS.values()) <= set(Hosts.column_names())


def test_every_column_of_every_table_is_described() -> None:
    silent = [
        f"{t}.{name}" for t, schema in TABLES.items() for name, c in schema.columns().items() if not c.description
    ]

    assert silent == []


def test_hierarchy_refuses_a_second_row_of_a_host() -> None:
    row = {"host_id": "srv-000001", "department": "Risk", "sub_department": "x", "app_code": "R-1", "app_name": "x"}

    assert BusinessHierarchy.is_valid(pl.DataFrame([row]))
    assert not BusinessHierarchy.is_valid(pl.DataFrame([row, row]))
