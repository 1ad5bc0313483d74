"""The jobs a person launches, and the schedule that keeps the fleet up to date."""

import datetime as dt
from collections.abc import Iterable
from typing import Final

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # not exported
from dagster._utils.schedules import is_valid_cron_schedule  # not exported

from capsim_dagster.errors import SettingsError, listed
from capsim_dagster.orchestration.keys import (
    DATED,
    GROUND_TRUTH,
    MASTER_PARQUET,
    MONTHLY_CSV,
    ON_DEMAND,
    PROCESSED_DATA,
    REFINERY_AUDIT,
    TIER1_REALTIME,
    TIME_DIMENSION,
)
from capsim_dagster.orchestration.partitions import (
    Standing,
    key_of,
    month_ranges,
    range_tags,
    ranges_named,
    standing,
)
from capsim_dagster.schemas.months import month_name, month_start, months_between, yearmonth
from capsim_dagster.settings import DataGeneration, Settings

FULL_REFRESH: Final = "full_refresh"
MONTHLY_REFRESH: Final = "monthly_refresh"
REFINE_FEED: Final = "refine_feed"
PANEL_REFRESH: Final = "panel_refresh"
LOADING_JOBS: Final = (FULL_REFRESH, MONTHLY_REFRESH, REFINE_FEED)
"""The jobs that load months into `processed_data`."""
_PANEL: Final = dg.AssetSelection.assets(*ON_DEMAND)
_PUBLICATION: Final = dg.AssetSelection.assets(*DATED, TIER1_REALTIME)


def full_refresh() -> UnresolvedAssetJobDefinition:
    """Return the job from inventory to table: everything for the months chosen, as one ordered run."""
    return dg.define_asset_job(
        FULL_REFRESH,
        selection=dg.AssetSelection.all() - _PANEL - _PUBLICATION,
        description="Everything, for the months chosen, as one run: inventory, calendar, master, truth, feed, table.",
    )


def monthly_refresh() -> UnresolvedAssetJobDefinition:
    """Return the job that brings one month or a range up to date."""
    return dg.define_asset_job(
        MONTHLY_REFRESH,
        selection=dg.AssetSelection.assets(
            TIME_DIMENSION,
            MASTER_PARQUET,
            GROUND_TRUTH,
            *MONTHLY_CSV.values(),
            PROCESSED_DATA,
            REFINERY_AUDIT,
        ),
        description="One month or a range: extends calendar, master and truth as far as asked, then feed and table.",
    )


def panel_refresh() -> UnresolvedAssetJobDefinition:
    """Return the job that makes the server-metrics panel of the master, and validates it."""
    return dg.define_asset_job(
        PANEL_REFRESH,
        selection=_PANEL,
        description="The server-metrics panel: the master as one wide Parquet file, and its validated copy.",
    )


def refine_feed() -> UnresolvedAssetJobDefinition:
    """Return the job that loads months of a user's feed: it needs nothing of the simulator."""
    return dg.define_asset_job(
        REFINE_FEED,
        selection=dg.AssetSelection.assets(PROCESSED_DATA, REFINERY_AUDIT),
        description=(
            "Months of the feed into the table, and the audit page; nothing is simulated or written into the feed. "
            "Which feed: refinery.feed_dir, or the resource `feed` of the run."
        ),
    )


def missing_months(
    generation: DataGeneration, present: Iterable[int], *, failed: Iterable[int] = (), today: dt.date, limit: int
) -> list[int]:
    """Return the complete months to ask for, at most `limit`: those that are not there, and no others.

    Those that were never tried come first, the oldest before the others: months that fail again and again are not to
    keep the rest from being asked for.

    Args:
        generation: The fleet and its window.
        present: Months that are there or on their way, as YYYYMM.
        failed: Months that failed when they were last tried.
        today: Today's date, in UTC; its own month is not complete.
        limit: Most months to return.
    """
    held, tried = set(present), set(failed)
    missing = [month for month in complete_months(generation, today=today) if month not in held]
    return sorted(sorted(missing, key=lambda month: month in tried)[:limit])


def complete_months(generation: DataGeneration, *, today: dt.date) -> list[int]:
    """Return the months from the window's start to the last one that is over, as YYYYMM.

    Args:
        generation: The fleet and its window.
        today: Today's date, in UTC; its own month is not complete.
    """
    last_complete = month_start(today) - dt.timedelta(days=1)
    if last_complete < generation.start_date:
        return []
    return [yearmonth(month) for month in months_between(generation.start_date, last_complete)]


def require_cron(name: str, cron: str) -> None:
    """Make sure that a setting of `automation` is a cron schedule.

    Raises:
        SettingsError: If it is not: it could never tick.
    """
    if not is_valid_cron_schedule(cron):
        raise SettingsError(
            f"automation.{name}: found {cron!r}, which is no cron schedule",
            remedy="five fields: minute, hour, day of month, month, day of week, e.g. '0 6 2 * *'",
        )


def monthly_schedule(settings: Settings, months: dg.PartitionsDefinition[str]) -> dg.ScheduleDefinition:
    """Return the schedule of `monthly_refresh`.

    Args:
        settings: The fleet and its window; when it ticks, how many months it asks for at most, and how many in one run.
        months: The partitions of `processed_data`.

    Raises:
        SettingsError: If it could never tick.
    """
    generation, automation = settings.data_generation, settings.automation
    require_cron("monthly_cron", automation.monthly_cron)

    @dg.schedule(
        job_name=MONTHLY_REFRESH,
        name="monthly_refresh_schedule",
        cron_schedule=automation.monthly_cron,
        execution_timezone="UTC",
        description=(
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
        complete = [month for month in over if months.has_partition_key(key_of(month))]
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
        return [_request(part, today) for part in month_ranges(asked, automation.max_months_per_run)]

    return monthly_refresh_schedule


def _request(months: list[int], today: dt.date) -> dg.RunRequest:
    """Return the request for a range of months; ticking twice on one day names the same run."""
    asked = f"{key_of(months[0])}...{key_of(months[-1])}"
    return dg.RunRequest(run_key=f"{today.isoformat()} {asked}", tags=range_tags(months))


def _nothing_to_ask(found: Standing, today: dt.date, last: int, *, is_window_over: bool) -> str:
    """Return why a tick asks for nothing."""
    if found.under_way:
        runs = listed(sorted({run for ids in found.under_way.values() for run in ids}))
        return (
            f"{ranges_named(found.under_way)}: unfinished runs load these months already ({runs}); no other is missing"
        )
    if is_window_over:
        return f"every month up to {month_name(last)} is there; later ones: automation.months_after_window"
    return f"every complete month before {month_start(today):%Y-%m} is there"
