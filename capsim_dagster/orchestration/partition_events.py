"""What is recorded of each partition, a month, a day or an hour: its materialization and its checks, one by one.

Dagster itself records a range when the step ends: a failure half-way marks all of it as failed though files are there,
a kill likewise, and checks of partitions show as skipped. So a step over partitions yields an event for each as soon as
it is whole, and its outputs in the end only unlock the steps that follow.
"""

from collections.abc import Iterable, Iterator, Mapping

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (  # not exported
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.assets.definition.asset_spec import AssetExecutionType  # not exported
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION  # not exported
from dagster._core.execution.plan.execute_step import _get_output_asset_events  # not exported
from dagster._utils.warnings import disable_dagster_warnings  # not exported

from capsim_dagster.audits.report import AuditReport
from capsim_dagster.orchestration.metadata import Metadata, report_metadata, severity_of
from capsim_dagster.text import visible_lines

PartitionEvent = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.MaterializeResult[None] | dg.Output[None]
"""What a step over partitions yields."""


def materialized(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, partition: str, metadata: Metadata, *, version: str
) -> dg.AssetMaterialization:
    """Return the event that one partition of an asset is there, with the tags by which Dagster sees what is outdated.

    Args:
        context: Context of the step.
        asset: The asset.
        partition: Its key.
        metadata: What a person sees beside it.
        version: Digest of the content: where it stays the same, nothing that depends on it is outdated.
    """
    step = context.get_step_execution_context()
    name = context.assets_def.get_output_name_for_asset_key(asset)
    with disable_dagster_warnings():  # data versions are beta in name; the UI's "outdated" rests on them
        output = dg.Output(None, output_name=name, metadata=metadata, data_version=dg.DataVersion(version))
    (event,) = _get_output_asset_events(
        asset, [partition], output, step.op_def.output_def_named(name), {}, step, AssetExecutionType.MATERIALIZATION
    )
    assert isinstance(event, dg.AssetMaterialization)  # noqa: S101 what was asked for
    return event


def evaluated(
    context: dg.AssetExecutionContext,
    specs: Iterable[dg.AssetCheckSpec],
    partition: str,
    reports: Mapping[dg.AssetKey, Mapping[str, AuditReport]],
    *,
    stops_run: bool = True,
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield how the selected checks of one partition ended.

    Args:
        context: Context of the step.
        specs: The checks.
        partition: Its key; its materialization was yielded before.
        reports: Audits by asset and name.
        stops_run: Whether a failure ends the run after this step; else what follows refuses that partition alone.
    """
    targets: dict[dg.AssetKey, AssetCheckEvaluationTargetMaterializationData | None] = {}
    for spec in specs:
        report = reports.get(spec.asset_key, {}).get(spec.name)
        if report is None or spec.key not in context.selected_asset_check_keys:
            continue
        if spec.asset_key not in targets:
            targets[spec.asset_key] = _latest(context.instance, spec.asset_key, partition)
        yield dg.AssetCheckEvaluation(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=report.passed,
            metadata=report_metadata(report),
            target_materialization_data=targets[spec.asset_key],
            severity=severity_of(spec),
            description=visible_lines(report.verdict),
            blocking=spec.blocking and stops_run,
            partition=partition,
        )


def finished(
    context: dg.AssetExecutionContext, assets: Iterable[dg.AssetKey], specs: Iterable[dg.AssetCheckSpec]
) -> Iterator[dg.MaterializeResult[None] | dg.Output[None]]:
    """Yield the outputs of a step whose partitions are all recorded, without recording them again."""
    for asset in assets:
        yield dg.MaterializeResult(asset_key=asset, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})
    for spec in specs:
        if spec.key in context.selected_asset_check_keys:
            yield dg.Output(None, output_name=context.assets_def.get_output_name_for_asset_check_key(spec.key))


def _latest(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """Return which materialization of a partition a check looked at: the latest."""
    chosen = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    records = instance.fetch_materializations(chosen, limit=1).records
    if not records:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=records[0].storage_id, run_id=records[0].run_id, timestamp=records[0].timestamp
    )
