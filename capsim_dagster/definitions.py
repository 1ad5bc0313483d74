"""What Dagster loads: assets, checks, jobs, schedules and sensors, listed by hand."""

import datetime as dt
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import dagster as dg
from dagster_duckdb import DuckDBResource

from capsim_dagster.orchestration.assets import build_assets
from capsim_dagster.orchestration.checks import build_checks
from capsim_dagster.orchestration.feed import FeedResource, feed_sensor
from capsim_dagster.orchestration.jobs import build_jobs
from capsim_dagster.orchestration.other_runs import killed_runs_sensor
from capsim_dagster.orchestration.panel_assets import build_panel_assets
from capsim_dagster.orchestration.partitions import backfill_policy, monthly_partitions, recorded_span
from capsim_dagster.orchestration.progress import LogProgress, Progress
from capsim_dagster.orchestration.publication_assets import build_publication_assets
from capsim_dagster.orchestration.run_retention import history_sensor
from capsim_dagster.orchestration.schedules import daily_schedule, hourly_schedule, monthly_schedule
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.months import month_start
from capsim_dagster.settings import Settings, directory_settings

_DEFS: Final = Path(__file__).parent / "defs"
"""Where a team's own definitions lie in a checkout, beside those that are listed here."""


def build_definitions(
    settings: Settings, *, today: dt.date, progress: Progress | None = None, months: Sequence[str] = ()
) -> dg.Definitions:
    """Return the definitions for some settings; without a progress, long work is shown by log lines.

    The day, in UTC, says which months are complete when the code is loaded; months that are asked for just now are
    there beside the window and those that were asked for before.
    """
    platform = Platform(settings)
    first = str(month_start(settings.data_generation.start_date))
    partitions = monthly_partitions(
        settings.data_generation,
        today=today,
        # A fleet has no months before its first.
        span=recorded_span(platform.layout, [m for m in months if m >= first or not platform.refines_own_feed]),
        # The months of a user's feed come when somebody delivers them.
        is_endless=settings.automation.months_after_window or not platform.refines_own_feed,
    )
    with warnings.catch_warnings():
        # Backfill policies and checks of partitions are beta in name: what they do is asserted by tests.
        for category in (dg.BetaWarning, dg.PreviewWarning):
            warnings.simplefilter("ignore", category)
        assets = build_assets(partitions, platform.contract, backfill_policy(settings.automation))
        assets += build_panel_assets(settings.panel)
        assets += build_publication_assets(settings.data_generation)
    return dg.Definitions(
        assets=assets,
        asset_checks=build_checks(),
        jobs=build_jobs(),
        schedules=[monthly_schedule(settings, partitions), daily_schedule(platform), hourly_schedule(platform)],
        sensors=[
            feed_sensor(platform, partitions),
            killed_runs_sensor(),
            history_sensor(settings.automation.keep_runs_days),
        ],
        resources={
            "platform": platform,
            "feed": FeedResource.of(settings.refinery),
            "progress": progress or LogProgress(),
            # For assets that a team adds beside these: the warehouse by Dagster's own resource.
            "duckdb": DuckDBResource(database=str(platform.layout.warehouse)),
        },
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Build the definitions by the settings of the data directory: nothing is read when the module is imported."""
    chosen = directory_settings()
    if chosen.note:
        dg.get_dagster_logger().warning(chosen.note)
    own = build_definitions(chosen.settings, today=dt.datetime.now(dt.UTC).date())
    return (
        own if not _is_scaffolded() else dg.Definitions.merge(own, dg.load_from_defs_folder(path_within_project=_DEFS))
    )


def _is_scaffolded() -> bool:
    """Whether a team has put something beside capsim's own: `dg scaffold defs` writes there."""
    return any(path.name not in ("__init__.py", "__pycache__") for path in _DEFS.iterdir())
