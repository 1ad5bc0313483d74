"""The partition engine: one step that makes assets with a partition a month, a day or an hour, one after the other.

Dagster itself records a range when the step ends: a failure half-way marks all of it as failed though files are there,
a kill likewise, and checks of partitions show as skipped. So the step yields the events of each partition as soon as it
is whole, and its outputs in the end only unlock the steps that follow. What is refused keeps none of the others.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from capsim_dagster.audits.report import Reports
from capsim_dagster.errors import CapsimError, GateError, PublicationError, listed
from capsim_dagster.orchestration import dagster_private as private
from capsim_dagster.orchestration.event_log import EngineReusingEventLog
from capsim_dagster.orchestration.metadata import check_result
from capsim_dagster.orchestration.months import day_of, month_of
from capsim_dagster.orchestration.progress import clear_failure
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.system_errors import is_interrupt

PartitionEvent = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.MaterializeResult[None] | dg.Output[None]
"""What a step over partitions yields."""
Target = private.AssetCheckEvaluationTargetMaterializationData
"""Which materialization a check looked at."""


@dataclass(frozen=True)
class Made:
    """An asset, or a partition of one, that was made: what a person sees beside it, and how its checks ended.

    Where the version, a digest of its content, stays the same, nothing that depends on it is outdated; empty = none.
    """

    facts: dict[str, Any]
    version: str
    reports: Reports = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What a step has come to: a partition, or some of its assets, and whether nothing of it follows.

    Beside what was made just now are the reports of checks on what lies there, made just now or before.
    """

    key: str
    made: Mapping[dg.AssetKey, Made] = field(default_factory=dict)
    reports: Mapping[dg.AssetKey, Reports] = field(default_factory=dict)
    is_done: bool = True


@dataclass(frozen=True)
class Asked:
    """What a run asks of a step; the platform has the feed that the run refines in its settings."""

    keys: Sequence[str]
    assets: frozenset[dg.AssetKey]
    platform: Platform
    instance: dg.DagsterInstance
    run_id: str

    @property
    def months(self) -> list[int]:
        """The partitions as YYYYMM, where they are months."""
        return [month_of(key) for key in self.keys]


Barring = Callable[[dg.DagsterInstance, Sequence[str]], Mapping[str, GateError]]
"""Returns the partitions that may not be made, and why."""


@dataclass(frozen=True)
class Partitioned:
    """Assets whose partitions are made by one step.

    Attributes:
        checks: Of each partition.
        unit: What a partition is: months, days or hours.
        make: Makes what is asked for, and yields each partition as soon as it is whole.
        follower: What is made of them and refuses a partition whose checks failed alone, where it is in the same run.
        pool: Steps of one pool take turns; None = it is in none.
        refines_feed: Whether a run may name another feed than the settings.
    """

    name: str
    specs: Sequence[dg.AssetSpec]
    checks: Sequence[dg.AssetCheckSpec]
    partitions: dg.PartitionsDefinition[str]
    unit: str
    make: Callable[[Asked], Iterator[Part]]
    follower: dg.AssetKey | None = None
    policy: dg.BackfillPolicy = field(default_factory=dg.BackfillPolicy.single_run)
    pool: str | None = None
    refines_feed: bool = False


def partitioned(step: Partitioned) -> dg.AssetsDefinition:
    """Return the definition of assets whose partitions are made by one step."""

    @dg.multi_asset(
        specs=step.specs,
        check_specs=step.checks,
        name=step.name,
        partitions_def=step.partitions,
        can_subset=True,
        backfill_policy=step.policy,
        pool=step.pool,
        required_resource_keys={"platform", "progress", *(["feed"] if step.refines_feed else [])},
    )
    def make_partitions(context: dg.AssetExecutionContext) -> Iterator[PartitionEvent]:
        platform: Platform = context.resources.platform
        # Where the follower is in this run, it refuses the partitions that failed, and only those.
        is_last = step.follower not in context.job_def.asset_layer.selected_asset_keys
        keys = context.partition_keys
        total = {"name": step.name, "total": len(keys), "unit": step.unit}
        with clear_failure(), context.resources.progress.stage(context, **total) as advance:
            platform = context.resources.feed.refining(platform) if step.refines_feed else platform
            asked = Asked(keys, frozenset(context.selected_asset_keys), platform, context.instance, context.run.run_id)
            for part in step.make(asked):
                for asset, made in part.made.items():
                    yield _materialized(context, asset, part.key, made)
                reports = {**{asset: made.reports for asset, made in part.made.items()}, **part.reports}
                yield from _evaluated(context, step.checks, part.key, reports, stops_run=is_last)
                if part.is_done:
                    advance(1, part.key[:7] if step.unit == "months" else part.key)
        yield from _finished(context, context.selected_asset_keys, step.checks)

    return make_partitions


def each_alone(
    asset: dg.AssetKey, make: Callable[[Platform, str], Made], bar: Barring = lambda _instance, _keys: {}
) -> Callable[[Asked], Iterator[Part]]:
    """Return how partitions are made one by one; one that is refused keeps none of the others."""

    def make_each(asked: Asked) -> Iterator[Part]:
        _require_few(asked)
        barred, refused = bar(asked.instance, asked.keys), dict[str, CapsimError]()
        for key in asked.keys:
            try:
                if key in barred:
                    raise barred[key]
                made = make(asked.platform, key)
            except CapsimError as error:
                if is_interrupt(error):
                    raise
                refused[key] = error
                continue
            yield Part(key, {asset: made})
        _raise_refused(refused)

    return make_each


def _require_few(asked: Asked) -> None:
    """Make sure that a run does not fill the disk with days that nobody meant: "Materialize all" asks for them all."""
    days, most = len({day_of(key) for key in asked.keys}), asked.platform.settings.automation.max_days_per_run
    if days > most:
        raise PublicationError(
            f"this run asks for {days:,} days, {asked.keys[0]} to {asked.keys[-1]}; one makes at most {most:,}, so it "
            "made none",
            remedy="choose a shorter range of partitions, or raise automation.max_days_per_run",
        )


def _raise_refused(refused: Mapping[str, CapsimError]) -> None:
    """End the step if partitions were refused."""
    if not refused:
        return
    first = next(iter(refused.values()))
    if len(refused) == 1:
        raise first
    raise PublicationError(
        f"{len(refused):,} partitions were refused ({listed(refused)}), the first because {first.found}",
        remedy=first.remedy,
    ) from first


def _materialized(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, partition: str, made: Made
) -> dg.AssetMaterialization:
    """Return the event that a partition is there, with the tags by which Dagster sees what is outdated."""
    step = context.get_step_execution_context()
    name = context.assets_def.get_output_name_for_asset_key(asset)
    with private.disable_dagster_warnings():  # data versions are beta in name; the UI's "outdated" rests on them
        output = dg.Output(None, output_name=name, metadata=made.facts, data_version=dg.DataVersion(made.version))
    (event,) = private.output_asset_events(
        asset,
        [partition],
        output,
        step.op_def.output_def_named(name),
        {},
        step,
        private.AssetExecutionType.MATERIALIZATION,
    )
    assert isinstance(event, dg.AssetMaterialization)  # noqa: S101 what was asked for
    return event


def _evaluated(
    context: dg.AssetExecutionContext,
    specs: Iterable[dg.AssetCheckSpec],
    partition: str,
    reports: Mapping[dg.AssetKey, Reports],
    *,
    stops_run: bool,
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield how the selected checks of one partition ended, whose materialization was yielded before.

    Where a failure does not stop the run, what follows refuses that partition alone.
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
    """Return the event that a check of an asset, or of one of its partitions, ended so.

    Where it blocks, a failure keeps later assets from being made.
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


def latest_target(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str | None) -> Target | None:
    """Return which materialization, of a partition if one is given, a check looks at now: the latest."""
    log = instance.event_log_storage
    if isinstance(log, EngineReusingEventLog) and (made := log.made_here(asset, partition)):
        # The pool keeps other runs from making it meanwhile.
        return made
    chosen = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=None if partition is None else [partition])
    records = instance.fetch_materializations(chosen, limit=1).records
    if not records:
        return None
    return Target(storage_id=records[0].storage_id, run_id=records[0].run_id, timestamp=records[0].timestamp)


def _finished(
    context: dg.AssetExecutionContext, assets: Iterable[dg.AssetKey], specs: Iterable[dg.AssetCheckSpec]
) -> Iterator[dg.MaterializeResult[None] | dg.Output[None]]:
    """Yield the outputs of a step whose partitions are all recorded, without recording them again."""
    for asset in assets:
        yield dg.MaterializeResult(
            asset_key=asset, metadata={private.SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
        )
    for spec in specs:
        if spec.key in context.selected_asset_check_keys:
            yield dg.Output(None, output_name=context.assets_def.get_output_name_for_asset_check_key(spec.key))
