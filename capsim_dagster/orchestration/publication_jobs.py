"""The jobs and schedules of publication: yesterday a few minutes after midnight, and each hour once it is whole."""

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # not exported
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES  # not exported

from capsim_dagster.errors import listed
from capsim_dagster.orchestration.jobs import require_cron
from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE, TIER2_HOURLY, TIER3_DAILY
from capsim_dagster.orchestration.partitions import RANGE_END_TAG, RANGE_START_TAG, day_of, hour_key, hour_of
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication import late_hours

DAILY_PUBLICATION: Final = "daily_publication"
HOURLY_PUBLICATION: Final = "hourly_publication"
PUBLICATION_JOBS: Final = (DAILY_PUBLICATION, HOURLY_PUBLICATION)
_HOUR: Final = dt.timedelta(hours=1)


def daily_publication() -> UnresolvedAssetJobDefinition:
    """Return the job that archives and publishes days."""
    return dg.define_asset_job(
        DAILY_PUBLICATION,
        selection=dg.AssetSelection.assets(HOURLY_ARCHIVE, TIER3_DAILY),
        description="Days of the archive, and the daily dataset (tier 3) of them: one day, or a range as one run.",
    )


def hourly_publication() -> UnresolvedAssetJobDefinition:
    """Return the job that publishes hours of the archive."""
    return dg.define_asset_job(
        HOURLY_PUBLICATION,
        selection=dg.AssetSelection.assets(TIER2_HOURLY),
        description="The hourly dataset (tier 2) of hours that are whole in the archive: one hour, or a range.",
    )


def daily_schedule(platform: Platform) -> dg.ScheduleDefinition:
    """Return the schedule of `daily_publication`.

    Args:
        platform: The window, and when it ticks.

    Raises:
        SettingsError: If it could never tick.
    """
    start, cron = platform.generation.start_date, platform.settings.automation.daily_cron
    require_cron("daily_cron", cron)

    @dg.schedule(
        job_name=DAILY_PUBLICATION,
        name="daily_publication_schedule",
        cron_schedule=cron,
        execution_timezone="UTC",
        description="Asks for archive and daily dataset of the day before the tick. Settings: automation.daily_cron.",
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

    Args:
        platform: Archive and hourly dataset, when it ticks, and how far back it looks.

    Raises:
        SettingsError: If it could never tick.
    """
    automation = platform.settings.automation
    require_cron("hourly_cron", automation.hourly_cron)

    @dg.schedule(
        job_name=HOURLY_PUBLICATION,
        name="hourly_publication_schedule",
        cron_schedule=automation.hourly_cron,
        execution_timezone="UTC",
        description=(
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
        return [_request(part, now) for part in hour_ranges(keys)]

    return hourly_publication_schedule


def hour_ranges(keys: Iterable[str]) -> list[list[str]]:
    """Return the keys of hours as ranges without a gap, in order: what a run can ask for.

    >>> hour_ranges(["2026-01-15-23:00", "2026-01-16-00:00", "2026-01-16-02:00"])
    [['2026-01-15-23:00', '2026-01-16-00:00'], ['2026-01-16-02:00']]
    """
    ordered = sorted(keys)
    ranges = [[key] for key in ordered[:1]]
    for before, key in pairwise(ordered):
        if _instant(key) - _instant(before) == _HOUR:
            ranges[-1].append(key)
        else:
            ranges.append([key])
    return ranges


def _instant(key: str) -> dt.datetime:
    return dt.datetime.combine(day_of(key), dt.time(hour_of(key)))


def _request(keys: Sequence[str], now: dt.datetime) -> dg.RunRequest:
    """Return the request for a range of hours; ticking twice at one time names the same run."""
    tags = {RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[-1]}
    return dg.RunRequest(run_key=f"{now:%Y-%m-%dT%H:%M} {keys[0]}...{keys[-1]}", tags=tags)
