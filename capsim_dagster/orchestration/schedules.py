"""The schedules: missing months once they are over, yesterday after midnight, and each hour once it is whole."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dagster as dg

from capsim_dagster.errors import SettingsError, listed
from capsim_dagster.orchestration.dagster_private import NOT_FINISHED_STATUSES, is_valid_cron_schedule
from capsim_dagster.orchestration.jobs import DAILY_PUBLICATION, HOURLY_PUBLICATION, LOADING_JOBS, MONTHLY_REFRESH
from capsim_dagster.orchestration.keys import PROCESSED_DATA
from capsim_dagster.orchestration.months import hour_key, key_ranges, month_name, range_tags, ranges_named
from capsim_dagster.orchestration.partitions import Standing, standing
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication import late_hours
from capsim_dagster.schemas.months import month_start, months_between
from capsim_dagster.settings import Automation, DataGeneration, Settings

_Tick = Callable[..., Any]


def missing_months(
    generation: DataGeneration, present: Iterable[str], *, failed: Iterable[str] = (), today: dt.date, limit: int
) -> list[str]:
    """Return the complete months to ask for, at most `limit`: those neither there nor on their way, and no others.

    Those that were never tried come first, the oldest before the others: months that fail again and again are not to
    keep the rest from being asked for. The month of `today`, in UTC, is not complete.
    """
    held, tried = set(present), set(failed)
    missing = [month for month in complete_months(generation, today=today) if month not in held]
    return sorted(sorted(missing, key=lambda month: month in tried)[:limit])


def complete_months(generation: DataGeneration, *, today: dt.date) -> list[str]:
    """Return the months from the window's start to the last one that is over."""
    last_complete = month_start(today) - dt.timedelta(days=1)
    if last_complete < generation.start_date:
        return []
    return [str(month) for month in months_between(generation.start_date, last_complete)]


def _schedule(
    job: str, setting: str, automation: Automation, description: str
) -> Callable[[_Tick], dg.ScheduleDefinition]:
    """Return the decorator of the schedule of a job, which ticks as a setting of `automation` says."""
    cron: str = getattr(automation, setting)
    if not is_valid_cron_schedule(cron):
        raise SettingsError(
            f"automation.{setting}: found {cron!r}, which is no cron schedule",
            remedy="five fields: minute, hour, day of month, month, day of week, e.g. '0 6 2 * *'",
        )
    name = f"{job}_schedule"
    return dg.schedule(job_name=job, name=name, cron_schedule=cron, execution_timezone="UTC", description=description)


def monthly_schedule(settings: Settings, months: dg.PartitionsDefinition[str]) -> dg.ScheduleDefinition:
    """Return the schedule of `monthly_refresh`.

    Raises:
        SettingsError: If it could never tick.
    """
    generation, automation = settings.data_generation, settings.automation

    @_schedule(
        MONTHLY_REFRESH,
        "monthly_cron",
        automation,
        (
            "Asks for the complete months that are missing in processed_data, or failed when they were last tried: "
            f"at most {automation.max_months_per_tick} a tick, months in a row as one run. A month that an unfinished "
            "run loads is not asked for again. Settings: section automation."
        ),
    )
    def monthly_refresh_schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        if settings.refinery.feed_dir is not None:
            # Its months come when somebody delivers them.
            return dg.SkipReason(
                f"the table holds the feed in {settings.refinery.feed_dir}: feed_sensor asks for its months"
            )
        today = context.scheduled_execution_time.date()
        over = complete_months(generation, today=today)
        complete = [month for month in over if months.has_partition_key(month)]
        if not complete:
            return dg.SkipReason(f"no month is over yet since the first day, {generation.start_date}")
        found = standing(context.instance, PROCESSED_DATA, months, complete, jobs=LOADING_JOBS)
        asked = missing_months(
            generation,
            {*found.present, *found.under_way},
            failed=found.failed,
            today=today,
            limit=automation.max_months_per_tick,
        )
        if not asked:
            return dg.SkipReason(_nothing_to_ask(found, today, complete[-1], is_window_over=over[-1] > complete[-1]))
        ranges = key_ranges(asked, automation.max_months_per_run)
        return [_request(part, today.isoformat()) for part in ranges]

    return monthly_refresh_schedule


def _request(keys: Sequence[str], tick: str) -> dg.RunRequest:
    """Return the request for a range of partitions; ticking twice at one time names the same run."""
    return dg.RunRequest(run_key=f"{tick} {keys[0]}...{keys[-1]}", tags=range_tags(keys))


def _nothing_to_ask(found: Standing, today: dt.date, last: str, *, is_window_over: bool) -> str:
    if found.under_way:
        runs = listed(sorted({run for ids in found.under_way.values() for run in ids}))
        return (
            f"{ranges_named(found.under_way)}: unfinished runs load these months already ({runs}); no other is missing"
        )
    if is_window_over:
        return f"every month up to {month_name(last)} is there; later ones: automation.months_after_window"
    return f"every complete month before {month_start(today):%Y-%m} is there"


def daily_schedule(platform: Platform) -> dg.ScheduleDefinition:
    """Return the schedule of `daily_publication`.

    Raises:
        SettingsError: If it could never tick.
    """
    start = platform.generation.start_date

    @_schedule(
        DAILY_PUBLICATION,
        "daily_cron",
        platform.settings.automation,
        "Asks for archive and daily dataset of the day before the tick. Settings: automation.daily_cron.",
    )
    def daily_publication_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        yesterday = context.scheduled_execution_time.date() - dt.timedelta(days=1)
        if yesterday < start:
            return dg.SkipReason(f"no day is over yet since the first day, {start}")
        key = yesterday.isoformat()
        return dg.RunRequest(run_key=key, partition_key=key)

    return daily_publication_schedule


def hourly_schedule(platform: Platform) -> dg.ScheduleDefinition:
    """Return the schedule of `hourly_publication`.

    Raises:
        SettingsError: If it could never tick.
    """
    automation = platform.settings.automation

    @_schedule(
        HOURLY_PUBLICATION,
        "hourly_cron",
        automation,
        (
            "Asks for the hours that are whole in the archive and not published, or published from another file: of "
            f"the last {automation.late_hours_days} days. Settings: automation.hourly_cron, late_hours_days."
        ),
    )
    def hourly_publication_schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time.astimezone(dt.UTC)
        unfinished = dg.RunsFilter(job_name=HOURLY_PUBLICATION, statuses=NOT_FINISHED_STATUSES)
        runs = context.instance.get_runs(filters=unfinished)
        if runs:
            return dg.SkipReason(f"an unfinished run publishes hours: {listed(run.run_id for run in runs)}")
        keys = [hour_key(hour.day, hour.hour) for hour in late_hours(platform, now=now)]
        if not keys:
            return dg.SkipReason("every hour that is whole in the archive is published")
        return [_request(part, f"{now:%Y-%m-%dT%H:%M}") for part in key_ranges(keys)]

    return hourly_publication_schedule
