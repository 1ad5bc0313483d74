"""The scan of telemetry: rows in any order become the same grid, from SQL or from a file; what is not there is NaN."""

import datetime as dt
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from capsim_dagster.audits.fingerprints import view_master
from capsim_dagster.audits.scan import MonthOfTelemetry, months_of_file, months_of_telemetry
from capsim_dagster.errors import MasterError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster.simulation import telemetry
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.support.audits.relations_of_rows import RELATION, SCHEMA, Row, show
from capsim_dagster_tests.support.cases import each_case

START, END = dt.date(2023, 1, 30), dt.date(2023, 2, 2)
NUMBERS = np.array([3, 7])


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def scan(rows: list[Row]) -> list[MonthOfTelemetry]:
    """Return the months of some rows, which a file of them shows too, however its row groups are cut."""
    with duckdb.connect() as connection:
        show(connection, rows)
        months = list(months_of_telemetry(connection, RELATION, NUMBERS, start=START, end=END))
    with TemporaryDirectory() as folder:
        for size in (1, 3, 1_000):
            path = Path(folder) / f"{size}.parquet"
            frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").rename({"util": "p95_util"})
            pq.write_table(
                frame.with_columns(pl.col("p95_util").cast(pl.Float32)).to_arrow(), path, row_group_size=size
            )
            for found, month in zip(months_of_file(path, NUMBERS, start=START, end=END), months, strict=True):
                np.testing.assert_array_equal(found.values, month.values)
    return months


def row(day: dt.date, host: str = "srv-000007", resource: str = "disk", util: float | None = 50.25) -> Row:
    return Row(day, host, resource, util)


def test_months_of_the_master_are_what_was_simulated(platform: Platform) -> None:
    generation, hosts = platform.generation, inventory(platform.generation)
    simulated = telemetry.utilization(
        telemetry.host_model(generation, hosts), generation.start_date, generation.end_date
    )
    with duckdb.connect() as connection:
        view_master(connection, platform.layout.master)
        months = list(
            months_of_telemetry(
                connection, "master_rows", np.arange(1, 13), start=generation.start_date, end=generation.end_date
            )
        )
    of_file = months_of_file(
        platform.layout.master, np.arange(1, 13), start=generation.start_date, end=generation.end_date
    )

    found = np.concatenate([month.values for month in months], axis=2)
    np.testing.assert_array_equal(found, np.stack([simulated[resource] for resource in Resource]))
    np.testing.assert_array_equal(np.concatenate([month.values for month in of_file], axis=2), found)


def test_months_are_cut_at_both_ends_of_the_window() -> None:
    first, second = scan([row(START), row(END)])

    assert [first.values.shape, second.values.shape] == [(4, 2, 2), (4, 2, 2)]
    assert first.values[2, 1].tolist()[0] == 50.25
    assert second.values[2, 1].tolist()[1] == 50.25


@pytest.mark.parametrize("util", [0.0, 12.5, 100.0])
def test_value_lands_in_its_resource_host_and_day(util: float) -> None:
    for index, resource in enumerate(Resource):
        (month, _) = scan([row(START, "srv-000003", resource.value, util)])
        expected = np.full((4, 2, 2), np.nan, dtype=np.float32)
        expected[index, 0, 0] = util
        np.testing.assert_array_equal(month.values, expected)


@each_case(
    "stranger",
    [
        row(START, "srv-000005"),
        row(START, "srv-999999"),
        row(START, "web-01"),
        row(START, resource="gpu"),
        row(START, util=None),
        row(dt.date(2022, 12, 31)),
    ],
)
def test_what_is_not_known_leaves_nothing_behind(stranger: Row) -> None:
    assert all(np.isnan(month.values).all() for month in scan([stranger]))


@pytest.mark.parametrize("seed", range(4))
def test_rows_in_any_order_are_one_grid(seed: int) -> None:
    days = [START + dt.timedelta(days) for days in range(4)]
    hosts = [f"srv-{number:06d}" for number in range(1, 12)]
    rows = [row(day, host, resource, util=float(day.day)) for resource in Resource for host in hosts for day in days]
    ordered = scan(rows)
    np.random.default_rng(seed).shuffle(rows)

    for one, other in zip(ordered, scan(rows), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    assert not np.isnan(ordered[0].values).any()


def test_a_damaged_page_is_told_as_a_damaged_master(platform: Platform, tmp_path: Path) -> None:
    content = bytearray(platform.layout.master.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "master.parquet").write_bytes(content)

    with pytest.raises(MasterError, match="is not a readable Parquet file"):
        list(months_of_file(tmp_path / "master.parquet", NUMBERS, start=START, end=END))


def test_relation_without_rows_has_empty_months() -> None:
    assert [bool(np.isnan(month.values).all()) for month in scan([])] == [True, True]
