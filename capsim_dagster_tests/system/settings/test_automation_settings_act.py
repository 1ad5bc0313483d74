"""The law that every setting of the automation acts: changing it changes what is asked for, and in how many runs."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.feed import feed_sensor
from capsim_dagster.orchestration.instance import open_instance
from capsim_dagster.orchestration.keys import PROCESSED_DATA
from capsim_dagster.orchestration.launch import patience_of
from capsim_dagster.orchestration.partitions import backfill_policy, monthly_partitions
from capsim_dagster.orchestration.progress import LogProgress
from capsim_dagster.orchestration.run_retention import history_of
from capsim_dagster.orchestration.schedules import daily_schedule, hourly_schedule, monthly_schedule
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication import late_hours
from capsim_dagster.publication.hour_files import hour_path
from capsim_dagster.settings import Automation, Settings, load_settings
from capsim_dagster.storage import DataLayout
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.foreign_feed import foreign_platform, write_feed
from capsim_dagster_tests.support.orchestration.aged import age
from capsim_dagster_tests.support.orchestration.published_days import DAY, NEXT_DAY, publishing, publishing_platform

TODAY: Final = dt.date(2024, 2, 2)
CASES: Final[dict[str, tuple[Any, dict[str, Any], dict[str, Any]]]] = {
    "monthly_cron": ("0 7 3 * *", {"cron": "0 6 2 * *"}, {"cron": "0 7 3 * *"}),
    "max_months_per_tick": (7, {"runs of a tick": ["01 to 12"]}, {"runs of a tick": ["01 to 07"]}),
    "max_months_per_run": (
        5,
        {"runs of a tick": ["01 to 12"], "runs of the sensor": ["01 to 06"], "months of a backfill's run": None},
        {
            "runs of a tick": ["01 to 05", "06 to 10", "11 to 12"],
            "runs of the sensor": ["01 to 05", "06 to 06"],
            "months of a backfill's run": 5,
        },
    ),
    "months_after_window": (True, {"months on offer": 36}, {"months on offer": 46}),
    "daily_cron": ("10 1 * * *", {"cron of days": "5 0 * * *"}, {"cron of days": "10 1 * * *"}),
    "hourly_cron": ("20 * * * *", {"cron of hours": "5 * * * *"}, {"cron of hours": "20 * * * *"}),
    "max_days_per_run": (1, {"days of a run": 2}, {"days of a run": 0}),
    "late_hours_days": (4, {"days of late hours": [13, 14]}, {"days of late hours": [11, 12, 13, 14]}),
    "keep_runs_days": (
        30,
        {"old runs of a fortnight and two months": 0},
        {"old runs of a fortnight and two months": 1},
    ),
    "max_wait_seconds": (7, {"seconds that a run waits": 3600}, {"seconds that a run waits": 7}),
}
"""New value by setting, and what is seen before and after the change."""


def runs(requests: object) -> list[str]:
    """Return the months of each request."""
    assert isinstance(requests, list)
    ends = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    return [" to ".join(request.tags[end][5:7] for end in ends) for request in requests]


def runs_of_a_tick(settings: Settings, folder: Path) -> list[str]:
    months = monthly_partitions(settings.data_generation, today=TODAY)
    schedule = monthly_schedule(settings, months)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        moment = dt.datetime.combine(TODAY, dt.time(6), tzinfo=dt.UTC)
        return runs(schedule(dg.build_schedule_context(instance=instance, scheduled_execution_time=moment)))


def runs_of_the_sensor(settings: Settings, folder: Path) -> list[str]:
    exports = write_feed(folder / "exports", [202301 + index for index in range(6)])
    platform = foreign_platform(folder / "work", exports)
    platform = Platform(platform.settings.model_copy(update={"automation": settings.automation}))
    sensor = feed_sensor(platform, monthly_partitions(platform.generation, today=TODAY))
    last = dg.SensorResult()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        for _ in range(2):
            with dg.build_sensor_context(instance=instance, cursor=last.cursor) as context:
                result = sensor(context)
            assert isinstance(result, dg.SensorResult)
            last = result
    return runs(last.run_requests)


def cron(settings: Settings, _folder: Path) -> object:
    months = monthly_partitions(settings.data_generation, today=TODAY)
    return monthly_schedule(settings, months).cron_schedule


def months_of_a_backfills_run(settings: Settings, _folder: Path) -> object:
    return backfill_policy(settings.automation).max_partitions_per_run


def cron_of_days(settings: Settings, _folder: Path) -> object:
    return daily_schedule(Platform(settings)).cron_schedule


def cron_of_hours(settings: Settings, _folder: Path) -> object:
    return hourly_schedule(Platform(settings)).cron_schedule


def days_of_late_hours(settings: Settings, folder: Path) -> object:
    storage = settings.storage.model_copy(update={"local_base_path": folder})
    platform = Platform(settings.model_copy(update={"storage": storage}))
    now = dt.datetime(2023, 1, 14, 12, tzinfo=dt.UTC)
    for back in range(7):
        path = hour_path(platform.layout.archive, now.date() - dt.timedelta(days=back), 3)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"an hour")
    return [hour.day.day for hour in late_hours(platform, now=now)]


def months_on_offer(settings: Settings, folder: Path) -> object:
    chosen = settings.storage.model_copy(update={"local_base_path": folder})
    after = dt.datetime(2026, 11, 15, tzinfo=dt.UTC)
    definitions = build_definitions(settings.model_copy(update={"storage": chosen}), today=after.date())
    partitions = definitions.resolve_asset_graph().get(PROCESSED_DATA).partitions_def
    assert partitions is not None
    return len(partitions.get_partition_keys(after))


def days_of_a_run(settings: Settings, folder: Path) -> object:
    platform = publishing_platform(folder, automation=settings.automation.model_dump())
    with publishing(platform) as place:
        place.run("daily_publication", DAY, NEXT_DAY, "hourly_archive")
        return len(place.there("hourly_archive"))


def old_runs(settings: Settings, folder: Path) -> object:
    now = dt.datetime.now(dt.UTC)
    with open_instance(DataLayout(folder)) as instance:
        for days in (14, 60):
            run = dg.GraphDefinition("nothing").to_job()
            run_id = instance.create_run_for_job(run, status=dg.DagsterRunStatus.SUCCESS).run_id
            age(instance, [run_id], days)
        return len(history_of(instance, settings.automation.keep_runs_days, now=now).old)


def seconds_that_a_run_waits(settings: Settings, _folder: Path) -> object:
    return patience_of(build_definitions(settings, today=TODAY, progress=LogProgress())).seconds


SEEN: Final[dict[str, Callable[[Settings, Path], object]]] = {
    "cron": cron,
    "runs of a tick": runs_of_a_tick,
    "runs of the sensor": runs_of_the_sensor,
    "months of a backfill's run": months_of_a_backfills_run,
    "cron of days": cron_of_days,
    "cron of hours": cron_of_hours,
    "days of late hours": days_of_late_hours,
    "days of a run": days_of_a_run,
    "old runs of a fortnight and two months": old_runs,
    "seconds that a run waits": seconds_that_a_run_waits,
    "months on offer": months_on_offer,
}


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
@pytest.mark.parametrize("name", CASES)
def test_changing_a_setting_of_the_automation_changes_what_is_asked_for(name: str, tmp_path: Path) -> None:
    value, before, after = CASES[name]
    for number, (change, expected) in enumerate([({}, before), ({name: value}, after)]):
        settings = load_settings(CONFIG, {"automation": change})
        for what, seen in expected.items():
            folder = tmp_path / f"{number} {what}"
            folder.mkdir()
            assert SEEN[what](settings, folder) == seen


def test_cases_cover_every_setting_of_the_automation() -> None:
    assert set(CASES) == set(Automation.model_fields)
