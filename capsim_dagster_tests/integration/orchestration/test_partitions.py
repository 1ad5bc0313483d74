import datetime as dt
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.keys import PROCESSED_DATA
from capsim_dagster.orchestration.months import (
    key_of,
    key_ranges,
    last_month_asked,
    month_of,
    range_tags,
    ranges_named,
)
from capsim_dagster.orchestration.partitions import Standing, backfill_policy, monthly_partitions, standing, widen_span
from capsim_dagster.schemas.months import months_between
from capsim_dagster.settings import Settings
from capsim_dagster.settings.load import build_settings
from capsim_dagster.storage import DataLayout
from capsim_dagster_tests.conftest import CONFIG, SMALL, MakeSettings, read_once

TODAY = dt.date(2023, 8, 15)
FIVE = ["2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01"]
TWO_YEARS = [str(month) for month in months_between(dt.date(2022, 11, 1), dt.date(2024, 10, 1))]
STARTED = dg.DagsterRunStatus.STARTED


def keys(make_settings: MakeSettings, *, end: str, today: dt.date, start: str = "2023-01-01") -> list[str]:
    generation = make_settings(start_date=start, end_date=end).data_generation
    now = dt.datetime.combine(today, dt.time(), tzinfo=dt.UTC)
    return list(monthly_partitions(generation, today=today).get_partition_keys(current_time=now))


def stands(make_settings: MakeSettings, instance: dg.DagsterInstance) -> Standing:
    """Return how five months of the table stand."""
    months = monthly_partitions(make_settings().data_generation, today=TODAY)
    return standing(instance, PROCESSED_DATA, months, FIVE, jobs=["monthly_refresh"])


def planned_run(make_settings: MakeSettings, instance: dg.DagsterInstance, months: list[str]) -> dg.DagsterRun:
    """Record a run with the materializations that it plans, as the UI, a backfill or a schedule does."""
    job = build_definitions(make_settings(), today=TODAY).resolve_job_def("monthly_refresh")
    return instance.create_run_for_job(job, tags=range_tags(months))


def report_loaded(instance: dg.DagsterInstance, *months: str) -> None:
    for month in months:
        instance.report_runless_asset_event(dg.AssetMaterialization(PROCESSED_DATA, partition=month))


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


def offered(settings: Settings, today: dt.date, *asked: str) -> list[str]:
    """Return the months of the table as Dagster offers them."""
    months = build_definitions(settings, today=today, months=asked).resolve_asset_graph().get(PROCESSED_DATA)
    assert months.partitions_def is not None
    return [key[:7] for key in months.partitions_def.get_partition_keys(dt.datetime.combine(today, dt.time(), dt.UTC))]


def test_months_after_the_window_are_offered_once_asked_for_and_over_and_stay(tmp_path: Path) -> None:
    settings = build_settings(read_once(CONFIG), {"data_generation": SMALL, "storage": {"local_base_path": tmp_path}})
    window = ["2023-01", "2023-02", "2023-03"]

    assert offered(settings, TODAY) == window
    assert offered(settings, TODAY, "2023-04-01") == [*window, "2023-04"]
    assert offered(settings, TODAY, "2023-12-01")[-1] == "2023-07", "its own month is not over"
    assert offered(settings, TODAY) == window, "asking alone records nothing"
    widen_span(DataLayout(tmp_path), ["2023-04-01"])
    widen_span(DataLayout(tmp_path), ["2023-03-01"])
    assert offered(settings, TODAY) == [*window, "2023-04"]


def test_the_months_of_a_feed_before_the_window_are_offered_once_it_was_refined(tmp_path: Path) -> None:
    settings = build_settings(read_once(CONFIG), {"data_generation": SMALL, "storage": {"local_base_path": tmp_path}})
    widen_span(DataLayout(tmp_path), ["2022-11-01", "2022-12-01"])
    widen_span(DataLayout(tmp_path), ["1900-01-01"])

    assert offered(settings, TODAY) == ["2022-11", "2022-12", "2023-01", "2023-02", "2023-03"]


@pytest.mark.parametrize("month", [202301, 202312, 202402])
def test_month_and_partition_key_are_inverse(month: int) -> None:
    assert month_of(key_of(month)) == month


@given(
    months=st.lists(st.sampled_from(TWO_YEARS)), longest=st.none() | st.integers(min_value=1, max_value=len(TWO_YEARS))
)
def test_key_ranges_hold_each_month_once_in_order_and_without_gaps(months: list[str], longest: int | None) -> None:
    ranges = key_ranges(months, longest)

    assert [month for part in ranges for month in part] == sorted(set(months))
    for part in ranges:
        assert part == TWO_YEARS[TWO_YEARS.index(part[0]) :][: len(part)]
        assert longest is None or len(part) <= longest


@given(months=st.sets(st.sampled_from(TWO_YEARS)))
def test_key_ranges_are_as_few_as_there_are_gaps(months: set[str]) -> None:
    starts = [month for month in months if month == TWO_YEARS[0] or TWO_YEARS[TWO_YEARS.index(month) - 1] not in months]

    assert len(key_ranges(months)) == len(starts)


def test_key_ranges_are_cut_where_they_are_too_long_and_only_there() -> None:
    assert key_ranges(["2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01", "2023-07-01"], 2) == [
        ["2023-01-01", "2023-02-01"],
        ["2023-03-01", "2023-04-01"],
        ["2023-05-01"],
        ["2023-07-01"],
    ]


def test_months_in_a_row_are_named_as_a_range() -> None:
    assert ranges_named(["2023-01-01"]) == "2023-01"
    assert ranges_named({"2023-03-01", "2023-01-01", "2023-02-01", "2023-12-01"}) == "2023-01 to 2023-03, 2023-12"


def test_range_tags_name_the_first_and_the_last_month() -> None:
    tags = range_tags(["2023-03-01", "2023-01-01", "2023-02-01"])

    assert tags["dagster/asset_partition_range_start"] == "2023-01-01"
    assert tags["dagster/asset_partition_range_end"] == "2023-03-01"
    assert last_month_asked(tags) == 202303


def test_last_month_asked_reads_a_single_partition_and_knows_when_there_is_none() -> None:
    assert last_month_asked({"dagster/partition": "2024-05-01"}) == 202405
    assert last_month_asked({}) is None


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
@pytest.mark.parametrize("longest", [None, 1, 6])
def test_backfill_is_one_run_or_runs_of_so_many_months(longest: int | None) -> None:
    automation = build_settings(read_once(CONFIG), {"automation": {"max_months_per_run": longest}}).automation

    assert backfill_policy(automation).max_partitions_per_run == longest


def test_months_of_which_nothing_is_known_stand_nowhere(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    assert stands(make_settings, instance) == Standing(frozenset(), frozenset(), {})


def test_month_that_failed_when_it_was_last_tried_is_not_there(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    report_loaded(instance, "2023-01-01", "2023-02-01")
    instance.report_run_failed(planned_run(make_settings, instance, ["2023-02-01", "2023-03-01"]))

    found = stands(make_settings, instance)

    assert found == Standing(frozenset({"2023-01-01"}), frozenset({"2023-02-01", "2023-03-01"}), {})


def test_month_that_was_loaded_after_it_had_failed_is_there(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    instance.report_run_failed(planned_run(make_settings, instance, ["2023-02-01"]))
    report_loaded(instance, "2023-02-01")

    assert stands(make_settings, instance) == Standing(frozenset({"2023-02-01"}), frozenset(), {})


def test_month_of_a_cancelled_run_stands_as_before(make_settings: MakeSettings, instance: dg.DagsterInstance) -> None:
    report_loaded(instance, "2023-02-01")
    instance.report_run_canceled(planned_run(make_settings, instance, ["2023-02-01", "2023-03-01"]))

    assert stands(make_settings, instance) == Standing(frozenset({"2023-02-01"}), frozenset(), {})


def test_months_that_an_unfinished_run_plans_are_under_way_with_its_id(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    report_loaded(instance, "2023-02-01")
    run = planned_run(make_settings, instance, ["2023-02-01", "2023-03-01"])

    assert stands(make_settings, instance) == Standing(
        frozenset(), frozenset(), {"2023-02-01": [run.run_id], "2023-03-01": [run.run_id]}
    )


def test_unfinished_run_of_a_loading_job_counts_by_what_it_asks_for(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    for job, tags in (
        ("monthly_refresh", range_tags(["2023-02-01", "2023-03-01"])),
        ("some_other_job", range_tags(["2023-04-01"])),
        ("monthly_refresh", {"dagster/partition": "2023-05-01"}),
        ("monthly_refresh", {}),
    ):
        instance.add_run(dg.DagsterRun(job, status=STARTED, tags=tags))

    assert set(stands(make_settings, instance).under_way) == {"2023-02-01", "2023-03-01", "2023-05-01"}


def test_unfinished_run_of_other_assets_alone_does_not_count(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    cpu = frozenset({dg.AssetKey(["monthly_csv", "cpu"])})
    run = dg.DagsterRun("monthly_refresh", status=STARTED, tags=range_tags(["2023-02-01"]), asset_selection=cpu)
    instance.add_run(run)

    assert stands(make_settings, instance).under_way == {}
