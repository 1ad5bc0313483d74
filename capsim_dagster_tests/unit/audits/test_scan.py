"""The scan of telemetry: rows in any order become the same grid; what is not there is NaN."""

import datetime as dt

import duckdb
import numpy as np
import pytest

from capsim_dagster.audits.fingerprints import view_master
from capsim_dagster.audits.scan import MonthOfTelemetry, months_of_telemetry
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster.simulation import telemetry
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.support.audits.relations_of_rows import RELATION, Row, show
from capsim_dagster_tests.support.cases import each_case

START, END = dt.date(2023, 1, 30), dt.date(2023, 2, 2)
NUMBERS = np.array([3, 7])


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def scan(rows: list[Row], *, is_sample: bool = False) -> list[MonthOfTelemetry]:
    with duckdb.connect() as connection:
        show(connection, rows)
        return list(months_of_telemetry(connection, RELATION, NUMBERS, start=START, end=END, is_sample=is_sample))


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

    found = np.concatenate([month.values for month in months], axis=2)
    np.testing.assert_array_equal(found, np.stack([simulated[resource] for resource in Resource]))


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


def test_sample_of_hosts_is_the_same_as_without_sorting_out_the_others() -> None:
    rows = [row(START, f"srv-{number:06d}", util=float(number)) for number in range(1, 12)]
    for one, other in zip(scan(rows), scan(rows, is_sample=True), strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_relation_without_rows_has_empty_months() -> None:
    assert [bool(np.isnan(month.values).all()) for month in scan([])] == [True, True]
