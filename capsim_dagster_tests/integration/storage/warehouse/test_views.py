"""The views for forecasting: what libraries read as it is, and nothing that they stumble over."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping

import duckdb
import numpy as np
import polars as pl
import pytest

from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.frames import frame_schema
from capsim_dagster.schemas.tables import TABLES, ddl
from capsim_dagster.storage import warehouse
from capsim_dagster.storage.warehouse.upgrade import create_views

START = dt.datetime(2023, 1, 1)  # noqa: DTZ001 the table's timestamps are naive
Values = dict[int, float | None]
"""Value by day since the start; a day that is absent has no row."""


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def day(number: int) -> dt.datetime:
    return START + dt.timedelta(number)


@pytest.fixture(scope="module")
def tables() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection to the empty tables of a warehouse, in memory."""
    with duckdb.connect() as connection:
        for table in TABLES:
            connection.execute(ddl(table))
        create_views(connection)
        yield connection


@pytest.fixture
def made(tables: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection to empty tables, which are empty again after the test."""
    tables.execute("BEGIN")
    yield tables
    tables.execute("ROLLBACK")


def insert(connection: duckdb.DuckDBPyConnection, values: Values, host: str = "srv-000001") -> None:
    insert_all(connection, {host: values})


def insert_all(connection: duckdb.DuckDBPyConnection, every: Mapping[str, Values]) -> None:
    rows = [
        (day(number), host, "cpu", value, 100.0, 64.0)
        for host, values in every.items()
        for number, value in sorted(values.items(), reverse=True)
    ]
    schema = frame_schema(TABLES["processed_data"])
    warehouse.append_rows(connection, "processed_data", pl.DataFrame(rows, schema, orient="row"))


def forecast_input(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, float]]:
    rows = connection.execute("SELECT ds, y FROM forecast_input ORDER BY ds").fetchall()
    return [((ds - START).days, y) for ds, y in rows]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({0: 1.0, 1: 2.0}, [1.0, 2.0]),
        ({0: 1.0, 1: None, 2: 3.0}, [1.0, 2.0, 3.0]),
        ({0: 1.0, 2: 3.0}, [1.0, 2.0, 3.0]),
        ({0: 1.0, 1: None, 4: 9.0, 5: 9.0}, [1.0, 3.0, 5.0, 7.0, 9.0, 9.0]),
        ({0: None, 1: None, 2: 5.0, 3: 6.0}, [5.0, 5.0, 5.0, 6.0]),
        ({0: 5.0, 1: 6.0, 2: None, 4: None}, [5.0, 6.0, 6.0, 6.0, 6.0]),
        ({0: None, 2: 7.0, 3: None}, [7.0, 7.0, 7.0, 7.0]),
        ({0: 4.0}, [4.0]),
    ],
    ids=["whole", "null", "no row", "both", "before the first", "after the last", "one value", "one day"],
)
def test_gaps_are_straight_lines_and_ends_go_on(
    made: duckdb.DuckDBPyConnection, values: Values, expected: list[float]
) -> None:
    insert(made, values)

    assert forecast_input(made) == list(enumerate(expected))


def test_marked_view_says_which_values_were_filled_and_how_long_their_gap_is(made: duckdb.DuckDBPyConnection) -> None:
    insert(made, {0: None, 1: None, 2: 5.0, 3: None, 5: 8.0, 6: 8.0, 7: None})
    marked = made.execute("SELECT y, is_filled, gap_days FROM forecast_input_marked ORDER BY ds").fetchall()

    assert marked == [
        (5.0, True, 2),
        (5.0, True, 2),
        (5.0, False, 0),
        (6.0, True, 2),
        (7.0, True, 2),
        (8.0, False, 0),
        (8.0, False, 0),
        (8.0, True, 1),
    ]
    assert [y for _, y in forecast_input(made)] == [y for y, *_ in marked]


def test_series_that_never_reported_is_left_out(made: duckdb.DuckDBPyConnection) -> None:
    insert(made, {0: None, 1: None})
    insert(made, {0: 1.0}, host="srv-000002")

    assert made.execute("SELECT DISTINCT unique_id FROM forecast_input").fetchall() == [("srv-000002/cpu",)]


def test_series_do_not_fill_each_others_gaps(made: duckdb.DuckDBPyConnection) -> None:
    insert(made, {0: 1.0, 1: None, 2: 1.0})
    insert(made, {1: 90.0, 2: 90.0}, host="srv-000002")
    rows = made.execute("SELECT unique_id, count(*), avg(y) FROM forecast_input GROUP BY ALL ORDER BY ALL").fetchall()

    assert rows == [("srv-000001/cpu", 3, 1.0), ("srv-000002/cpu", 2, 90.0)]


def interpolated(values: Values) -> list[float]:
    """Fill a series by another method: polars' interpolation over all its days."""
    days = range(min(values), max(values) + 1)
    series = pl.Series([values.get(number) for number in days], dtype=pl.Float64)
    return series.interpolate().fill_null(strategy="forward").fill_null(strategy="backward").to_list()


def some_series(random: np.random.Generator) -> Values:
    """Return a series of up to 41 days: runs of values, of nulls and of days without a row, in any order."""
    days = sorted(random.choice(41, random.integers(1, 42), replace=False).tolist())
    share = random.random()
    values: Values = {number: None if random.random() < share else random.uniform(0, 100) for number in days}
    return {**values, days[int(random.integers(len(days)))]: 7.5}


def test_any_series_becomes_gapless_as_polars_would_fill_it(made: duckdb.DuckDBPyConnection) -> None:
    random = np.random.Generator(np.random.Philox(15))
    every = {f"srv-{number:06}": some_series(random) for number in range(300)}
    insert_all(made, every)
    rows = made.execute("SELECT unique_id, ds, y FROM forecast_input ORDER BY ALL").fetchall()
    found: dict[str, list[tuple[int, float]]] = {}
    for series, ds, y in rows:
        found.setdefault(series.removesuffix("/cpu"), []).append(((ds - START).days, y))

    assert found.keys() == every.keys()
    for host, values in every.items():
        assert [number for number, _ in found[host]] == list(range(min(values), max(values) + 1)), values
        assert [value for _, value in found[host]] == pytest.approx(interpolated(values), abs=1e-9), values


def frame(platform: Platform, query: str) -> pl.DataFrame:
    with platform.reading() as connection:
        rows: pl.DataFrame = connection.sql(query).pl()
    return rows


def test_built_table_is_read_without_nulls_gaps_or_duplicates_and_its_values_unchanged(platform: Platform) -> None:
    found = frame(platform, "SELECT * FROM forecast_input")
    reported = frame(
        platform, "SELECT host_id || '/' || resource AS unique_id, ds, y FROM processed_data WHERE y IS NOT NULL"
    )

    assert dict(found.schema) == {"unique_id": pl.String, "ds": pl.Datetime("us"), "y": pl.Float64}
    assert found.height == found.select("unique_id", "ds").n_unique() == 12 * 4 * 90
    assert found["y"].null_count() == 0
    assert reported.height < found.height
    assert found.join(reported, on=["unique_id", "ds", "y"], how="semi").height == reported.height


def test_prophet_input_keeps_gaps_and_has_floor_and_cap(platform: Platform) -> None:
    found = frame(platform, "SELECT * FROM prophet_input")
    table: Iterable[tuple[int, int]] = frame(platform, "SELECT count(*), count(y) FROM processed_data").iter_rows()

    assert found.columns == ["unique_id", "ds", "y", "floor", "cap"]
    assert [(found.height, found["y"].count())] == list(table)
    assert set(found["floor"]) == {0.0}
    assert set(found["cap"]) == {100.0}


def test_series_has_one_row_a_series_with_what_the_inventory_knows(platform: Platform) -> None:
    found = frame(platform, "SELECT * FROM series ORDER BY unique_id")
    hosts = frame(platform, "SELECT host_id, region, scenario, memory_gb FROM hosts")
    memory = found.filter(pl.col("resource") == "memory").join(hosts, on=["host_id", "region", "scenario"])

    assert found.height == found["unique_id"].n_unique() == 12 * 4
    assert found.null_count().sum_horizontal().item() == 0
    assert memory["capacity"].to_list() == memory["memory_gb"].to_list()


def test_series_of_an_unknown_host_has_nulls_for_what_nobody_knows(made: duckdb.DuckDBPyConnection) -> None:
    insert(made, {0: 1.0}, host="web-01")
    ((unique_id, region, capacity),) = made.execute("SELECT unique_id, region, capacity FROM series").fetchall()

    assert (unique_id, region, capacity) == ("web-01/cpu", None, 64.0)
