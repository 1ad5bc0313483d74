"""The asset checks of whole assets: one step a stage, so that its audits share one look at the data; and their trends.

Those of single months are part of the steps that write the months, in `assets`.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from capsim_dagster.audits.report import CheckTrend, Evaluation, Reports, Verdict
from capsim_dagster.orchestration import keys
from capsim_dagster.orchestration.dagster_private import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
from capsim_dagster.orchestration.feed import FeedResource
from capsim_dagster.orchestration.keys import every_check, specs_of
from capsim_dagster.orchestration.metadata import audit_page, check_result
from capsim_dagster.orchestration.months import month_of
from capsim_dagster.orchestration.partitioned import Made
from capsim_dagster.orchestration.progress import Progress, clear_failure
from capsim_dagster.pipeline import checks, panel, stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.refine import AuditPage


def build_checks() -> list[dg.AssetChecksDefinition]:
    """Return the checks of whole assets."""
    return [
        _stage_checks(keys.HOST_INVENTORY, checks.host_inventory),
        _stage_checks(keys.TIME_DIMENSION, checks.time_dimension),
        _stage_checks(keys.MASTER_PARQUET, checks.master_parquet),
        _stage_checks(keys.GROUND_TRUTH, checks.ground_truth),
        refinery_audit_checks,
        _stage_checks(keys.SERVER_METRICS, panel.server_metrics_checks),
    ]


def _stage_checks(asset: dg.AssetKey, audit: Callable[[Platform], Reports]) -> dg.AssetChecksDefinition:
    """Return the checks of an asset: one step that runs its audit."""

    @dg.multi_asset_check(
        specs=specs_of(asset), name=f"{asset.to_python_identifier()}_checks", can_subset=True, pool=keys.WAREHOUSE_POOL
    )
    def stage_checks(
        context: dg.AssetCheckExecutionContext,
        platform: dg.ResourceParam[Platform],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.AssetCheckResult]:
        with _auditing(context, progress, asset):
            reports = audit(platform)
        yield from _results(context, asset, reports)

    return stage_checks


@dg.multi_asset_check(specs=specs_of(keys.REFINERY_AUDIT), can_subset=True, pool=keys.WAREHOUSE_POOL)
def refinery_audit_checks(
    context: dg.AssetCheckExecutionContext,
    platform: dg.ResourceParam[Platform],
    feed: FeedResource,
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.AssetCheckResult]:
    """Audit all months of the table against the feed files, the master and the inventory."""
    refining = feed.refining(platform)
    with _auditing(context, progress, keys.REFINERY_AUDIT):
        known = set(stages.calendar_months(platform)) if refining.refines_own_feed else set()
        # Those that Dagster believes to be in the table and that the calendar still holds.
        recorded = map(month_of, context.instance.get_materialized_partitions(keys.PROCESSED_DATA))
        reports = checks.refinery_audit(refining, known.intersection(recorded))
    yield from _results(context, keys.REFINERY_AUDIT, reports)


def made_audit(platform: Platform, page: AuditPage, months: Iterable[int]) -> Made:
    """Return what is recorded of an audit page, with the audits of all months.

    The table must hold those of `months`, as YYYYMM, that the calendar has.
    """
    known = set(stages.calendar_months(platform)) if platform.refines_own_feed else set()
    facts = audit_page(page, platform.refined.root)
    return Made(facts, "", checks.refinery_audit(platform, known.intersection(months)))


@contextmanager
def _auditing(context: dg.AssetCheckExecutionContext, progress: Progress, audited: dg.AssetKey) -> Iterator[None]:
    """Show that an audit is under way, and its failure with a remedy."""
    count, name = len(context.selected_asset_check_keys), f"checks of {audited.to_user_string()}"
    with clear_failure(), progress.stage(context, name=name, total=count, unit="checks") as advance:
        yield
        advance(count)


def _results(
    context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, reports: Reports
) -> Iterator[dg.AssetCheckResult]:
    for spec in specs_of(asset):
        if spec.key in context.selected_asset_check_keys:
            yield check_result(reports[spec.name], spec)


_LATEST: Final = 30
"""Evaluations a check; a picture with more cannot be read."""


def check_trends(instance: dg.DagsterInstance) -> list[CheckTrend]:
    """Return the latest evaluations of each check that was ever evaluated; of months whichever came last."""
    trends = []
    for check in every_check():
        records = instance.event_log_storage.get_asset_check_execution_history(
            check, limit=_LATEST, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
        )
        found = [_evaluation(record.evaluation, record.create_timestamp) for record in records if record.evaluation]
        if found:
            trends.append(CheckTrend(check.asset_key.to_user_string(), check.name, found))
    return trends


def _evaluation(found: dg.AssetCheckEvaluation, timestamp: float) -> Evaluation:
    failed = Verdict.WARNED if found.severity is dg.AssetCheckSeverity.WARN else Verdict.FAILED
    verdict = Verdict.PASSED if found.passed else failed
    return Evaluation(dt.datetime.fromtimestamp(timestamp, dt.UTC), verdict)
