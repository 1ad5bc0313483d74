"""Any reader of Parquet sees the same hour."""

from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq


def test_polars_duckdb_pandas_and_pyarrow_read_the_same_rows(hour: Path) -> None:
    import pandas as pd

    path = hour / "data.parquet"
    names = ["host_id", "resource", "mean", "p50", "p95", "max", "samples"]
    expected = [tuple(row[name] for name in names) for row in pq.read_table(path).to_pylist()]
    with duckdb.connect() as connection:
        by_duckdb = connection.execute(f"SELECT {', '.join(names)} FROM read_parquet(?)", [str(path)]).fetchall()

    assert pl.read_parquet(path).select(names).rows() == expected
    assert by_duckdb == expected
    assert list(pd.read_parquet(path)[names].itertuples(index=False, name=None)) == expected
