"""What is recorded of each partition, a month, a day or an hour: its materialization and its checks, one by one.

Dagster itself records a range when the step ends: a failure half-way marks all of it as failed though files are there,
a kill likewise, and checks of partitions show as skipped. So a step over partitions yields an event for each as soon as
it is whole, and its outputs in the end only unlock the steps that follow.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (  # not exported
    AssetCheckEvaluationTargetMaterializationData as Target,
)
from dagster._core.definitions.assets.definition.asset_spec import AssetExecutionType  # not exported
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION  # not exported
from dagster._core.execution.plan.execute_step import _get_output_asset_events  # not exported
from dagster._utils.warnings import disable_dagster_warnings  # not exported

from capsim_dagster.audits.report import Reports
from capsim_dagster.orchestration.metadata import Metadata, check_result

PartitionEvent = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.MaterializeResult[None] | dg.Output[None]
"""What a step over partitions yields."""


@dataclass(frozen=True)
class Made:
    """An asset, or a partition of one, that was made.

    Attributes:
        facts: What a person sees beside it.
        version: Digest of its content; empty = it has none.
        reports: How its checks ended, by name.
    """

    facts: dict[str, Any]
    version: str
    reports: Reports


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
    reports: Mapping[dg.AssetKey, Reports],
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
    targets: dict[dg.AssetKey, Target | None] = {}
    for spec in specs:
        report = reports.get(spec.asset_key, {}).get(spec.name)
        if report is None or spec.key not in context.selected_asset_check_keys:
            continue
        if spec.asset_key not in targets:
            targets[spec.asset_key] = latest_target(context.instance, spec.asset_key, partition)
        result = check_result(report, spec)
        is_blocking = spec.blocking and stops_run
        yield evaluation(result, targets[spec.asset_key], partition=partition, is_blocking=is_blocking)


def evaluation(
    result: dg.AssetCheckResult, target: Target | None, *, partition: str | None, is_blocking: bool
) -> dg.AssetCheckEvaluation:
    """Return the event that a check ended so.

    Args:
        result: How it ended, with asset and check.
        target: The materialization that it looked at.
        partition: Key of the partition; None = the asset has none.
        is_blocking: Whether a failure keeps later assets from being made.
    """
    assert result.asset_key is not None  # noqa: S101 every result here names its check
    assert result.check_name is not None  # noqa: S101
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        metadata=result.metadata,
        target_materialization_data=target,
        severity=result.severity,
        description=result.description,
        blocking=is_blocking,
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


def latest_target(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str | None) -> Target | None:
    """Return which materialization, of a partition if one is given, a check looks at now: the latest."""
    chosen = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=None if partition is None else [partition])
    records = instance.fetch_materializations(chosen, limit=1).records
    if not records:
        return None
    return Target(storage_id=records[0].storage_id, run_id=records[0].run_id, timestamp=records[0].timestamp)
