"""The asset checks: one step a stage, so that its audits share one look at the data."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import dagster as dg

from capsim_dagster.audits.report import AuditReport
from capsim_dagster.orchestration.assets import MONTHLY_CSV_KEYS, clear_failure
from capsim_dagster.orchestration.feed import FeedResource
from capsim_dagster.orchestration.metadata import check_result
from capsim_dagster.orchestration.partitions import month_of
from capsim_dagster.orchestration.progress import Progress
from capsim_dagster.pipeline import checks, stages
from capsim_dagster.pipeline.platform import Platform

HOST_INVENTORY: Final = dg.AssetKey("host_inventory")
TIME_DIMENSION: Final = dg.AssetKey("time_dimension")
MASTER_PARQUET: Final = dg.AssetKey("master_parquet")
GROUND_TRUTH: Final = dg.AssetKey("ground_truth")
PROCESSED_DATA: Final = dg.AssetKey("processed_data")


def _blocking(asset: dg.AssetKey, name: str, description: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=asset, blocking=True, description=description)


def _warning(asset: dg.AssetKey, name: str, description: str) -> dg.AssetCheckSpec:
    """Return a check of what settings may make unlikely, but not wrong: it stops nothing."""
    return dg.AssetCheckSpec(name, asset=asset, description=description)


INVENTORY_CHECKS: Final = (
    _blocking(HOST_INVENTORY, "behavioral_diversity", "The inventory holds all ten behavioural varieties."),
    _blocking(HOST_INVENTORY, "fleet_has_configured_number_of_hosts", "Each configured host is there, once."),
)
CALENDAR_CHECKS: Final = (
    _blocking(TIME_DIMENSION, "calendar_is_contiguous", "Each day of the window is there, once, without a gap."),
)
MASTER_CHECKS: Final = (
    _blocking(MASTER_PARQUET, "row_parity", "Exactly one row for each host x resource x day."),
    _blocking(MASTER_PARQUET, "utilization_is_within_bounds", "Every utilization lies between 0 and 100 percent."),
    _warning(
        MASTER_PARQUET, "behavioral_diversity", "Judged by its telemetry alone, each host behaves as its variety."
    ),
    _warning(
        MASTER_PARQUET,
        "calendar_effects_match_settings",
        "Load on weekends, bank holidays, quarter and month ends is the multiple that is set, by region.",
    ),
    _warning(
        MASTER_PARQUET,
        "breach_hosts_reach_threshold_on_date",
        "Each CAPACITY_BREACH host first reaches the threshold within 7 days of its date.",
    ),
)
TRUTH_CHECKS: Final = (
    _blocking(GROUND_TRUTH, "row_parity", "One expectation for each host x resource x day; one row a series."),
    _blocking(GROUND_TRUTH, "gaps_are_labelled", "The days without a value are exactly those of the gap events."),
    _blocking(
        GROUND_TRUTH,
        "events_explain_differences",
        "Data differ from their twin without events just where an event says so (a sample of hosts).",
    ),
    _warning(GROUND_TRUTH, "event_rates_match_settings", "Missing and anomalous days are as frequent as set."),
    _blocking(
        GROUND_TRUTH, "breach_dates_lie_within_horizon", "Each breach host, and no other, has a date in the horizon."
    ),
)
FEED_CHECKS: Final = tuple(
    _blocking(key, name, description)
    for key in MONTHLY_CSV_KEYS.values()
    for name, description in (
        ("row_parity", "The feed carries every row of the master, counts and content, in every month that is there."),
        ("file_names_follow_convention", "Every file is <prefix>_YYYYMM.csv in the folder of its month."),
    )
)
TABLE_CHECKS: Final = (
    _blocking(
        PROCESSED_DATA, "reconciliation", "Every line of every loaded file is in the table or in rejected_lines."
    ),
    _blocking(PROCESSED_DATA, "row_parity", "The table holds every sound line, with the content of the master."),
    _blocking(PROCESSED_DATA, "keys_are_unique", "Each host, resource and day stands at most once."),
    _blocking(
        PROCESSED_DATA,
        "injected_defects_are_found",
        "Each defect put into the feed on purpose was found for what it is, and nothing else was rejected.",
    ),
    _blocking(PROCESSED_DATA, "hosts_are_known", "Every row belongs to a host of the inventory."),
    _warning(PROCESSED_DATA, "behavioral_diversity", "After the refinery each host still behaves as its variety."),
)


def build_checks() -> list[dg.AssetChecksDefinition]:
    """Return the checks of the main job."""
    return [
        _stage_checks(HOST_INVENTORY, INVENTORY_CHECKS, checks.host_inventory),
        _stage_checks(TIME_DIMENSION, CALENDAR_CHECKS, checks.time_dimension),
        _stage_checks(MASTER_PARQUET, MASTER_CHECKS, checks.master_parquet),
        _stage_checks(GROUND_TRUTH, TRUTH_CHECKS, checks.ground_truth),
        feed_checks,
        table_checks,
    ]


def _stage_checks(
    asset: dg.AssetKey, specs: Sequence[dg.AssetCheckSpec], audit: Callable[[Platform], checks.Reports]
) -> dg.AssetChecksDefinition:
    """Return the checks of an asset without partitions: one step that runs its audit."""

    @dg.multi_asset_check(specs=specs, name=f"{asset.to_python_identifier()}_checks", can_subset=True)
    def stage_checks(
        context: dg.AssetCheckExecutionContext,
        platform: dg.ResourceParam[Platform],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.AssetCheckResult]:
        with _auditing(context, progress, asset.to_user_string()):
            reports = audit(platform)
        yield from _results(context, specs, {asset: reports})

    return stage_checks


@dg.multi_asset_check(specs=FEED_CHECKS, can_subset=True)
def feed_checks(
    context: dg.AssetCheckExecutionContext,
    platform: dg.ResourceParam[Platform],
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.AssetCheckResult]:
    """Audit the feed files on disk against the master."""
    audited = {key.asset_key for key in context.selected_asset_check_keys}
    with _auditing(context, progress, "monthly_csv"):
        known = stages.calendar_months(platform)
        due = {r: _months_due(context, key, known) for r, key in MONTHLY_CSV_KEYS.items() if key in audited}
        reports = checks.monthly_csv(platform, due)
    yield from _results(context, FEED_CHECKS, {MONTHLY_CSV_KEYS[resource]: r for resource, r in reports.items()})


@dg.multi_asset_check(specs=TABLE_CHECKS, can_subset=True)
def table_checks(
    context: dg.AssetCheckExecutionContext,
    platform: dg.ResourceParam[Platform],
    feed: FeedResource,
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.AssetCheckResult]:
    """Audit the table against the feed files and the master."""
    refining = feed.refining(platform)
    with _auditing(context, progress, "processed_data"):
        known = stages.calendar_months(platform) if refining.refines_own_feed else []
        reports = checks.processed_data(refining, _months_due(context, PROCESSED_DATA, known))
    yield from _results(context, TABLE_CHECKS, {PROCESSED_DATA: reports})


@contextmanager
def _auditing(context: dg.AssetCheckExecutionContext, progress: Progress, audited: str) -> Iterator[None]:
    """Show that an audit is under way, and its failure with a remedy."""
    count = len(context.selected_asset_check_keys)
    with clear_failure(), progress.stage(context, name=f"checks of {audited}", total=count, unit="checks") as advance:
        yield
        advance(count)


def _months_due(context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, known: Iterable[int]) -> set[int]:
    """Return the months that Dagster believes to be there and that the calendar still holds, as YYYYMM."""
    return {month_of(key) for key in context.instance.get_materialized_partitions(asset)} & set(known)


def _results(
    context: dg.AssetCheckExecutionContext,
    specs: Iterable[dg.AssetCheckSpec],
    reports: Mapping[dg.AssetKey, Mapping[str, AuditReport]],
) -> Iterator[dg.AssetCheckResult]:
    """Yield the results of the selected checks; what is not blocking is a warning."""
    for spec in specs:
        if spec.key in context.selected_asset_check_keys:
            severity = dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN
            yield check_result(reports[spec.asset_key][spec.name], spec, severity)
