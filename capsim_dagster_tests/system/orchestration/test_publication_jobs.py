"""The schedules of publication: what they ask for, and when they ask for nothing."""

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from capsim_dagster.definitions import build_definitions
from capsim_dagster.errors import SettingsError
from capsim_dagster.orchestration.months import key_ranges
from capsim_dagster.publication.hour_files import hour_path
from capsim_dagster_tests.support.orchestration.fixtures import TODAY
from capsim_dagster_tests.support.orchestration.published_days import (
    DAY,
    NEXT_DAY,
    Publishing,
    publishing_platform,
)

DAILY, HOURLY = "daily_publication_schedule", "hourly_publication_schedule"


@pytest.fixture
def place(tmp_path: Path, instance: dg.DagsterInstance) -> Publishing:
    """Return a place of which nothing has been made yet."""
    return Publishing(publishing_platform(tmp_path / "data"), instance)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def only(found: list[dg.RunRequest] | str) -> dg.RunRequest:
    assert not isinstance(found, str), found
    (request,) = found
    return request


def ranges(found: list[dg.RunRequest] | str) -> list[tuple[str, str]]:
    assert not isinstance(found, str), found
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    return [(request.tags[start], request.tags[end]) for request in found]


def test_the_daily_tick_asks_for_yesterday_and_twice_for_the_same_run(place: Publishing) -> None:
    first, again = (place.tick(DAILY, at(f"{NEXT_DAY}T00:05")) for _ in range(2))

    assert not isinstance(first, str)
    assert not isinstance(again, str)
    assert [request.partition_key for request in first] == [DAY]
    assert {request.run_key for request in (*first, *again)} == {DAY}


def test_the_daily_tick_asks_for_nothing_before_the_first_day_is_over(place: Publishing) -> None:
    assert "no day is over yet" in place.tick(DAILY, at("2023-01-01T00:05"))


def test_what_the_ticks_ask_for_is_accepted_by_their_jobs(place: Publishing) -> None:
    day = only(place.tick(DAILY, at(f"{NEXT_DAY}T00:05")))
    archived = place.definitions.resolve_job_def("daily_publication").execute_in_process(
        instance=place.instance, tags=dict(day.tags), partition_key=day.partition_key
    )
    hours = only(place.tick(HOURLY, at(f"{NEXT_DAY}T01:05")))

    published = place.definitions.resolve_job_def("hourly_publication").execute_in_process(
        instance=place.instance, tags=dict(hours.tags)
    )

    assert archived.success
    assert published.success
    assert place.there("tier2_hourly") == {f"{DAY}-{hour:02d}:00" for hour in range(24)}
    assert place.tick(HOURLY, at(f"{NEXT_DAY}T02:05")) == "every hour that is whole in the archive is published"


def test_the_hourly_tick_asks_for_hours_that_came_late_or_were_corrected_and_for_no_others(place: Publishing) -> None:
    assert place.run("daily_publication", DAY, "", "hourly_archive").success
    late = hour_path(place.platform.layout.archive, dt.date.fromisoformat(DAY), 5)
    content = late.read_bytes()
    late.unlink()
    before = ranges(place.tick(HOURLY, at(f"{NEXT_DAY}T00:05")))
    for first, last in before:
        assert place.run("hourly_publication", first, last).success
    nothing = place.tick(HOURLY, at(f"{NEXT_DAY}T01:05"))
    late.write_bytes(content)
    corrected = hour_path(place.platform.layout.archive, dt.date.fromisoformat(DAY), 23)
    corrected.write_bytes(content)

    assert before == [(f"{DAY}-00:00", f"{DAY}-04:00"), (f"{DAY}-06:00", f"{DAY}-23:00")]
    assert isinstance(nothing, str)
    assert ranges(place.tick(HOURLY, at(f"{NEXT_DAY}T02:05"))) == [
        (f"{DAY}-05:00", f"{DAY}-05:00"),
        (f"{DAY}-23:00", f"{DAY}-23:00"),
    ]


def test_hours_are_looked_for_as_many_days_back_as_is_set(place: Publishing) -> None:
    assert place.run("daily_publication", DAY, "", "hourly_archive").success

    for days, sees in ((2, False), (3, True)):
        platform = publishing_platform(place.platform.layout.root, automation={"late_hours_days": days})
        found = Publishing(platform, place.instance).tick(HOURLY, at("2023-01-17T00:05"))
        assert isinstance(found, list) is sees, days


def test_the_hourly_tick_asks_for_nothing_while_a_run_publishes_hours(place: Publishing) -> None:
    assert place.run("daily_publication", DAY, "", "hourly_archive").success
    job = place.definitions.resolve_job_def("hourly_publication")
    run = place.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)

    assert run.run_id in place.tick(HOURLY, at(f"{NEXT_DAY}T01:05"))


@pytest.mark.parametrize("name", ["daily_cron", "hourly_cron"])
def test_a_schedule_that_could_never_tick_is_refused_by_name(tmp_path: Path, name: str) -> None:
    platform = publishing_platform(tmp_path / "data", automation={name: "every now and then"})

    with pytest.raises(SettingsError, match=f"automation.{name}"):
        build_definitions(platform.settings, today=TODAY)


def test_hours_across_midnight_are_one_range() -> None:
    keys = [f"{NEXT_DAY}-00:00", f"{DAY}-22:00", f"{DAY}-23:00", f"{NEXT_DAY}-02:00"]

    assert key_ranges(keys) == [[f"{DAY}-22:00", f"{DAY}-23:00", f"{NEXT_DAY}-00:00"], [f"{NEXT_DAY}-02:00"]]
    assert key_ranges([]) == []
