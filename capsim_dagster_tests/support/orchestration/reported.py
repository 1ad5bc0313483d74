"""What runs would record, reported without running anything: materializations, verdicts, and runs under way."""

import uuid
from collections.abc import Iterable, Sequence

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from capsim_dagster.orchestration.keys import DATED, HOST_INVENTORY, MONTHLY, PROCESSED_DATA, TIER1_REALTIME
from capsim_dagster.orchestration.months import key_of, range_tags
from capsim_dagster.settings import Settings
from capsim_dagster.simulation.telemetry import fleet_hash


def asking_for(months: Iterable[int | str]) -> dict[str, str]:
    """Return the run tags that ask for some months, as YYYYMM or by key."""
    return range_tags(map(_key, months))


def _key(month: int | str) -> str:
    return key_of(month) if isinstance(month, int) else month


def report_months(
    instance: dg.DagsterInstance,
    months: Iterable[int | str],
    assets: Iterable[dg.AssetKey] = MONTHLY,
    *,
    rows: int = 10,
) -> None:
    """Report that months of assets are there."""
    for month in months:
        for asset in assets:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset, partition=_key(month), metadata={"dagster/partition_row_count": dg.IntMetadataValue(rows)}
                )
            )


def report_asset(
    instance: dg.DagsterInstance, asset: dg.AssetKey, *, rows: int = 10, version: str | None = None
) -> None:
    """Report that an asset without months is there."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset,
            metadata={"dagster/row_count": dg.IntMetadataValue(rows)},
            tags={"dagster/data_version": version} if version else None,
        )
    )


def report_verdict(
    instance: dg.DagsterInstance,
    check: dg.AssetCheckKey,
    *,
    passed: bool = True,
    month: int | str | None = None,
    detail: str = "",
    blocking: bool = True,
) -> None:
    """Report how a check judged what is there now, of a month, or of another partition by its key, if one is given."""
    partition = None if month is None else _key(month)
    wanted = dg.AssetRecordsFilter(
        asset_key=check.asset_key, asset_partitions=None if partition is None else [partition]
    )
    (latest,) = instance.fetch_materializations(wanted, limit=1).records
    evaluation = dg.AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=passed,
        metadata={},
        target_materialization_data=AssetCheckEvaluationTargetMaterializationData(
            storage_id=latest.storage_id, run_id=latest.run_id, timestamp=latest.timestamp
        ),
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description=detail,
        blocking=blocking,
        partition=partition,
    )
    # Each in a run of its own: Dagster keeps one verdict a run, check and month.
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, "a_job", event_specific_data=evaluation),
        run_id=str(uuid.uuid4()),
    )


def report_verdicts(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    months: Sequence[int | str],
    assets: Iterable[dg.AssetKey] | None = None,
) -> None:
    """Report that every check passed: of whole assets, and of some months; or only those of some assets."""
    graph = definitions.resolve_asset_graph()
    chosen = graph.get_all_asset_keys() if assets is None else assets
    for check in graph.get_check_keys_for_assets({*chosen}):
        for month in months if check.asset_key in MONTHLY else [None]:
            report_verdict(instance, check, month=month)


def report_all(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    settings: Settings,
    months: Sequence[int | str],
    *,
    but: Iterable[dg.AssetKey] = (),
) -> None:
    """Report that all assets but some are there, with some months, and that every check of theirs passed."""
    made = definitions.resolve_asset_graph().get_all_asset_keys() - {*but, *DATED, TIER1_REALTIME}
    for asset in made - {*MONTHLY}:
        version = fleet_hash(settings.data_generation) if asset == HOST_INVENTORY else None
        report_asset(instance, asset, version=version)
    report_months(instance, months)
    report_verdicts(instance, definitions, months, made)


def run_under_way(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    months: Sequence[int | str],
    job: str = "monthly_refresh",
    assets: Iterable[dg.AssetKey] | None = None,
) -> dg.DagsterRun:
    """Record a run with what it plans, as the daemon does; it never begins."""
    chosen = None if assets is None else frozenset(assets)
    return instance.create_run_for_job(
        definitions.resolve_job_def(job).get_subset(asset_selection=chosen),
        tags=asking_for(months),
        asset_selection=chosen,
    )


TABLE_CHECK = dg.AssetCheckKey(PROCESSED_DATA, "reconciliation")
"""A check that judges months of the table."""
