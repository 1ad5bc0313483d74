"""The jobs a person launches, and the schedule that keeps the fleet up to date."""

import datetime as dt

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # not exported
from dagster._utils.schedules import is_valid_cron_schedule  # not exported

from capsim_dagster.errors import SettingsError
from capsim_dagster.orchestration.assets import MONTHLY_CSV_KEYS
from capsim_dagster.orchestration.checks import PROCESSED_DATA
from capsim_dagster.orchestration.partitions import key_of, month_of, range_tags
from capsim_dagster.settings import Automation, DataGeneration
from capsim_dagster.simulation.time_dimension import month_start, months_between, yearmonth

FULL_REFRESH = "full_refresh"
MONTHLY_REFRESH = "monthly_refresh"


def full_refresh() -> UnresolvedAssetJobDefinition:
    """Return the job over all assets: everything for the months chosen, as one ordered run."""
    return dg.define_asset_job(
        FULL_REFRESH,
        selection=dg.AssetSelection.all(),
        description="Everything, for the months chosen, as one run: inventory, calendar, master, truth, feed, table.",
    )


def monthly_refresh() -> UnresolvedAssetJobDefinition:
    """Return the job that brings one month or a range up to date."""
    return dg.define_asset_job(
        MONTHLY_REFRESH,
        selection=dg.AssetSelection.assets(
            "time_dimension",
            "master_parquet",
            "ground_truth",
            *MONTHLY_CSV_KEYS.values(),
            "processed_data",
            "refinery_audit",
        ),
        description="One month or a range: extends calendar, master and truth as far as asked, then feed and table.",
    )


def missing_months(generation: DataGeneration, present: set[int], *, today: dt.date, limit: int) -> list[int]:
    """Return the complete months to ask for: from the first missing one to the last missing within `limit` months.

    Months in between that are there already come along, so that the answer is one range; loading them again changes
    nothing.

    Args:
        generation: The fleet and its window.
        present: Months that are there, as YYYYMM.
        today: Today's date, in UTC; its own month is not complete.
        limit: Longest range [months].
    """
    last_complete = month_start(today) - dt.timedelta(days=1)
    if last_complete < generation.start_date:
        return []
    complete = [yearmonth(month) for month in months_between(generation.start_date, last_complete)]
    missing = [month for month in complete if month not in present]
    if not missing:
        return []
    first = complete.index(missing[0])
    window = complete[first : first + limit]
    last = max(window.index(month) for month in window if month not in present)
    return window[: last + 1]


def monthly_schedule(generation: DataGeneration, automation: Automation) -> dg.ScheduleDefinition:
    """Return the schedule of `monthly_refresh`.

    Args:
        generation: The fleet and its window.
        automation: When it ticks, and how many months it asks for at most.

    Raises:
        SettingsError: If it could never tick.
    """
    if not is_valid_cron_schedule(automation.monthly_cron):
        raise SettingsError(
            f"automation.monthly_cron: found {automation.monthly_cron!r}, which is no cron schedule",
            remedy="five fields: minute, hour, day of month, month, day of week, e.g. '0 6 2 * *'",
        )

    @dg.schedule(
        job_name=MONTHLY_REFRESH,
        name="monthly_refresh_schedule",
        cron_schedule=automation.monthly_cron,
        execution_timezone="UTC",
        description=f"Asks for every complete month that is missing, at most {automation.max_months_per_tick} a tick.",
    )
    def monthly_refresh_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        today = context.scheduled_execution_time.date()
        present = {month_of(key) for key in context.instance.get_materialized_partitions(PROCESSED_DATA)}
        months = missing_months(generation, present, today=today, limit=automation.max_months_per_tick)
        if not months:
            return dg.SkipReason(f"every complete month before {month_start(today):%Y-%m} is there")
        asked = f"{key_of(months[0])}...{key_of(months[-1])}"
        return dg.RunRequest(run_key=f"{today.isoformat()} {asked}", tags=range_tags(months))

    return monthly_refresh_schedule
