import datetime as dt
from functools import cache
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsim_dagster.definitions import build_definitions
from capsim_dagster.errors import SettingsError
from capsim_dagster.orchestration.keys import PROCESSED_DATA
from capsim_dagster.orchestration.months import range_tags
from capsim_dagster.orchestration.partitions import monthly_partitions
from capsim_dagster.orchestration.schedules import missing_months, monthly_schedule
from capsim_dagster.settings import DataGeneration
from capsim_dagster.settings.load import build_settings
from capsim_dagster_tests.conftest import CONFIG, MakeSettings, read_once

YEAR = [f"2023-{month:02d}-01" for month in range(1, 13)]
TODAY = dt.date(2023, 6, 2)
Ranges = list[tuple[str, str]]
"""First and last month of each run that is asked for."""


@cache
def generation(start: str = "2023-01-01") -> DataGeneration:
    return build_settings(read_once(CONFIG), {"data_generation": {"start_date": start}}).data_generation


def report_loaded(instance: dg.DagsterInstance, *months: str) -> None:
    for month in months:
        instance.report_runless_asset_event(dg.AssetMaterialization(PROCESSED_DATA, partition=month))


def planned_run(instance: dg.DagsterInstance, *months: str) -> dg.DagsterRun:
    """Record a run of `monthly_refresh` with what it plans, as the daemon does."""
    job = build_definitions(build_settings(read_once(CONFIG), None), today=TODAY).resolve_job_def("monthly_refresh")
    return instance.create_run_for_job(job, tags=range_tags(months))


def tick(
    instance: dg.DagsterInstance, *, today: dt.date = TODAY, feed_dir: Path | None = None, **automation: int | None
) -> list[dg.RunRequest] | str:
    """Let the schedule tick and return its requests, or why it skips."""
    settings = build_settings(read_once(CONFIG), {"refinery": {"feed_dir": feed_dir}})
    months = monthly_partitions(settings.data_generation, today=today)
    chosen = {"automation": settings.automation.model_copy(update=automation)}
    schedule = monthly_schedule(settings.model_copy(update=chosen), months)
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=dt.datetime.combine(today, dt.time(6), tzinfo=dt.UTC)
    )
    result = schedule(context)
    if isinstance(result, dg.SkipReason):
        return str(result.skip_message)
    assert isinstance(result, list)
    return result


def asked(found: list[dg.RunRequest] | str) -> Ranges:
    assert not isinstance(found, str), found
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    return [(request.tags[start][:7], request.tags[end][:7]) for request in found]


def test_missing_months_leaves_out_the_month_that_is_not_over() -> None:
    assert missing_months(generation(), set(), today=dt.date(2023, 3, 31), limit=12) == ["2023-01-01", "2023-02-01"]


def test_missing_months_is_empty_before_the_first_month_is_over() -> None:
    assert missing_months(generation(), set(), today=dt.date(2023, 1, 31), limit=12) == []


def test_missing_months_leaves_out_those_in_between_that_are_there() -> None:
    found = missing_months(generation(), {"2023-01-01", "2023-03-01"}, today=dt.date(2023, 6, 1), limit=12)

    assert found == ["2023-02-01", "2023-04-01", "2023-05-01"]


def test_missing_months_takes_those_never_tried_before_those_that_failed() -> None:
    failed = {"2023-01-01", "2023-02-01", "2023-03-01"}

    found = missing_months(generation(), set(), failed=failed, today=dt.date(2023, 7, 1), limit=4)

    assert found == ["2023-01-01", "2023-04-01", "2023-05-01", "2023-06-01"]


@given(
    present=st.sets(st.sampled_from(YEAR)),
    failed=st.sets(st.sampled_from(YEAR)),
    limit=st.integers(min_value=1, max_value=12),
    month=st.integers(min_value=1, max_value=12),
)
def test_missing_months_asks_for_nothing_but_what_is_missing_and_never_for_more_than_the_limit(
    present: set[str], failed: set[str], limit: int, month: int
) -> None:
    missing = [m for m in YEAR[: month - 1] if m not in present]

    found = missing_months(generation(), present, failed=failed, today=dt.date(2023, month, 2), limit=limit)

    assert found == sorted(set(found))
    assert set(found) <= set(missing)
    assert len(found) == min(limit, len(missing))
    untried = [m for m in missing if m not in failed]
    assert [m for m in found if m not in failed] == untried[:limit]


def test_repeated_ticks_reach_every_month_once() -> None:
    present: set[str] = set()
    while found := missing_months(generation(), present, today=dt.date(2025, 9, 2), limit=12):
        assert not present.intersection(found)
        present.update(found)

    assert len(present) == 32


def test_months_that_always_fail_keep_no_other_month_from_being_asked_for() -> None:
    present: set[str] = set()
    broken, failed = set(YEAR), set[str]()
    for _ in range(3):
        found = missing_months(generation(), present, failed=failed, today=dt.date(2025, 1, 2), limit=12)
        failed |= broken.intersection(found)
        present |= set(found) - broken

    assert len(present) == 12


def test_schedule_asks_for_missing_months_as_one_range(instance: dg.DagsterInstance) -> None:
    report_loaded(instance, "2023-01-01", "2023-02-01")

    assert asked(tick(instance)) == [("2023-03", "2023-05")]


def test_schedule_asks_for_a_run_for_each_range_and_for_no_month_that_is_there(instance: dg.DagsterInstance) -> None:
    report_loaded(instance, "2023-01-01", "2023-03-01")

    assert asked(tick(instance)) == [("2023-02", "2023-02"), ("2023-04", "2023-05")]


def test_schedule_asks_again_for_months_that_failed_when_they_were_last_tried(instance: dg.DagsterInstance) -> None:
    report_loaded(instance, *YEAR[:5])
    instance.report_run_failed(planned_run(instance, "2023-02-01", "2023-03-01"))

    assert asked(tick(instance)) == [("2023-02", "2023-03")]


def test_schedule_does_not_ask_for_months_that_an_unfinished_run_loads(instance: dg.DagsterInstance) -> None:
    report_loaded(instance, "2023-01-01")
    planned_run(instance, "2023-02-01", "2023-03-01")

    assert asked(tick(instance)) == [("2023-04", "2023-05")]


def test_schedule_skips_while_an_unfinished_run_loads_all_that_is_missing(instance: dg.DagsterInstance) -> None:
    report_loaded(instance, "2023-01-01", "2023-02-01")
    run = planned_run(instance, "2023-03-01", "2023-04-01", "2023-05-01")

    assert tick(instance) == (
        f"2023-03 to 2023-05: unfinished runs load these months already ({run.run_id}); no other is missing"
    )


def test_schedule_asks_for_twelve_months_at_most(instance: dg.DagsterInstance) -> None:
    assert asked(tick(instance, today=dt.date(2025, 6, 2))) == [("2023-01", "2023-12")]


def test_schedule_cuts_a_range_into_runs_of_the_months_that_one_may_have(instance: dg.DagsterInstance) -> None:
    assert asked(tick(instance, max_months_per_run=2)) == [
        ("2023-01", "2023-02"),
        ("2023-03", "2023-04"),
        ("2023-05", "2023-05"),
    ]


def test_schedule_ticking_twice_names_the_same_runs(instance: dg.DagsterInstance) -> None:
    report_loaded(instance, "2023-02-01")

    first, second = (tick(instance) for _ in range(2))

    assert not isinstance(first, str)
    assert not isinstance(second, str)
    assert [request.run_key for request in first] == [
        "2023-06-02 2023-01-01...2023-01-01",
        "2023-06-02 2023-03-01...2023-05-01",
    ]
    assert [request.run_key for request in second] == [request.run_key for request in first]


def test_schedule_that_could_never_tick_is_refused_with_its_key() -> None:
    settings = build_settings(read_once(CONFIG), {"automation": {"monthly_cron": "whenever"}})
    months = monthly_partitions(settings.data_generation, today=TODAY)

    with pytest.raises(SettingsError, match=r"automation\.monthly_cron: found 'whenever'"):
        monthly_schedule(settings, months)


def test_schedule_skips_with_a_reason_when_nothing_is_missing(instance: dg.DagsterInstance) -> None:
    report_loaded(instance, "2023-01-01", "2023-02-01")

    assert tick(instance, today=dt.date(2023, 3, 2)) == "every complete month before 2023-03 is there"


def test_schedule_skips_with_a_reason_before_the_first_month_is_over(instance: dg.DagsterInstance) -> None:
    assert tick(instance, today=dt.date(2023, 1, 2)) == "no month is over yet since the first day, 2023-01-01"


def test_refine_feed_holds_the_table_and_its_audit_and_nothing_of_the_simulator(make_settings: MakeSettings) -> None:
    job = build_definitions(make_settings(), today=TODAY).resolve_job_def("refine_feed")

    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == {
        "processed_data",
        "refinery_audit",
    }


def test_schedule_leaves_the_months_of_a_users_feed_to_the_sensor(instance: dg.DagsterInstance) -> None:
    assert tick(instance, feed_dir=Path("/srv/feeds")) == (
        "the table holds the feed in /srv/feeds: feed_sensor asks for its months"
    )
