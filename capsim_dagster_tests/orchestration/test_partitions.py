import datetime as dt

import pytest

from capsim_dagster.orchestration.partitions import (
    key_of,
    last_month_asked,
    month_of,
    monthly_partitions,
    range_tags,
)
from capsim_dagster_tests.conftest import MakeSettings


def keys(make_settings: MakeSettings, *, end: str, today: dt.date, start: str = "2023-01-01") -> list[str]:
    generation = make_settings(start_date=start, end_date=end).data_generation
    now = dt.datetime.combine(today, dt.time(), tzinfo=dt.UTC)
    return list(monthly_partitions(generation, today=today).get_partition_keys(current_time=now))


def test_partitions_go_on_after_the_window_up_to_the_last_complete_month(make_settings: MakeSettings) -> None:
    found = keys(make_settings, end="2023-03-31", today=dt.date(2023, 6, 15))

    assert found == ["2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01"]


def test_partitions_cover_a_window_that_ends_in_the_future(make_settings: MakeSettings) -> None:
    found = keys(make_settings, end="2023-09-30", today=dt.date(2023, 6, 15))

    assert found[-1] == "2023-09-01"
    assert len(found) == 9


def test_partitions_hold_the_first_month_of_a_window_that_starts_within_it(make_settings: MakeSettings) -> None:
    found = keys(make_settings, start="2023-01-17", end="2023-03-31", today=dt.date(2023, 4, 1))

    assert found == ["2023-01-01", "2023-02-01", "2023-03-01"]


@pytest.mark.parametrize("month", [202301, 202312, 202402])
def test_month_and_partition_key_are_inverse(month: int) -> None:
    assert month_of(key_of(month)) == month


def test_range_tags_name_the_first_and_the_last_month() -> None:
    tags = range_tags([202303, 202301, 202302])

    assert tags["dagster/asset_partition_range_start"] == "2023-01-01"
    assert tags["dagster/asset_partition_range_end"] == "2023-03-01"
    assert last_month_asked(tags) == 202303


def test_last_month_asked_reads_a_single_partition_and_knows_when_there_is_none() -> None:
    assert last_month_asked({"dagster/partition": "2024-05-01"}) == 202405
    assert last_month_asked({}) is None
