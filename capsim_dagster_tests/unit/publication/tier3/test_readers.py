"""The published file is read alike by polars, DuckDB, pyarrow and pandas: the same types and the same values."""

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from capsim_dagster.publication.tier3.columns import SCHEMA
from capsim_dagster_tests.support.publication.days import ROWS

NUMBERS = ("cpu", "memory", "disk", "network", "net_in_mbps", "net_out_mbps")
Rows = list[tuple[Any, ...]]


@pytest.fixture
def expected(published: Path) -> Rows:
    """Return the rows as pyarrow reads them, each page compared with its checksum."""
    with pq.ParquetFile(published / "data.parquet", page_checksum_verification=True) as file:
        table = file.read()
    assert table.schema.remove_metadata() == SCHEMA
    rows: Rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    assert len(rows) == ROWS
    return rows


def test_polars_reads_the_types_and_values_that_were_written(published: Path, expected: Rows) -> None:
    frame = pl.read_parquet(published / "data.parquet")

    assert dict(frame.schema) == {
        "ts": pl.Datetime("us", "UTC"),
        "host_id": pl.String(),
        **dict.fromkeys(NUMBERS, pl.Float64()),
        "interval_s": pl.Int32(),
        "agent_version": pl.String(),
        "seq": pl.Int64(),
        "archive_hour": pl.Int8(),
    }
    assert frame.rows() == expected


def test_duckdb_reads_the_types_and_values_that_were_written(published: Path, expected: Rows) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = connection.sql(f"SELECT * FROM '{published / 'data.parquet'}'")
        types = [str(kind) for kind in relation.types]
        rows = connection.sql(f"SELECT * REPLACE (epoch_us(ts) AS ts) FROM '{published / 'data.parquet'}'").fetchall()

    assert types == [
        "TIMESTAMP WITH TIME ZONE", "VARCHAR", *["DOUBLE"] * 6, "INTEGER", "VARCHAR", "BIGINT", "TINYINT"
    ]  # fmt: skip
    assert rows == [(int(row[0].timestamp()) * 1_000_000, *row[1:]) for row in expected]


def test_pandas_reads_the_types_and_values_that_were_written(published: Path, expected: Rows) -> None:
    frame = pd.read_parquet(published / "data.parquet")

    assert str(frame["ts"].dtype) == "datetime64[us, UTC]"
    assert [str(frame[name].dtype) for name in (*NUMBERS, "interval_s", "seq", "archive_hour")] == [
        *["float64"] * 6, "int32", "int64", "int8"
    ]  # fmt: skip
    found = frame.astype(object).where(frame.notna(), None)
    assert [tuple(row) for row in found.itertuples(index=False)] == [
        (pd.Timestamp(row[0]), *row[1:]) for row in expected
    ]
    assert expected[0][0] == dt.datetime(2026, 1, 15, tzinfo=dt.UTC)
