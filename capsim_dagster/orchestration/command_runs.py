"""What a command makes, recorded as a run of the job that makes it in the UI, partition by partition as it goes.

The command does its work itself, and tells the run what came of it. What was made before a kill is recorded, and the
run of a process that is gone is ended as any other (`other_runs`). Where no history can be kept the work is done all
the same, and a line says so.
"""

import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from capsim_dagster.audits.report import Reports
from capsim_dagster.errors import CapsimError
from capsim_dagster.orchestration import dagster_private as private
from capsim_dagster.orchestration.instance import command_tag, open_instance, origin_of, without_secrets
from capsim_dagster.orchestration.keys import PROCESSED_DATA
from capsim_dagster.orchestration.metadata import check_result
from capsim_dagster.orchestration.other_runs import held_run, host_tag, release_dead_runs
from capsim_dagster.orchestration.partitioned import Made, evaluation, latest_target
from capsim_dagster.orchestration.partitions import partition_tags, widen_span
from capsim_dagster.storage import DataLayout

_CANNOT_BE_KEPT: Final = (OSError, sqlite3.Error, SQLAlchemyError, dg.DagsterError)
"""What a history raises whose folder cannot be written, whose disk is full or whose files are damaged."""
_REMOVAL: Final = "retention"
"""Name of the run that says what was removed; no job does it."""
_Event = dg.DagsterEventType


@dataclass(frozen=True)
class Work:
    """What a command is about to make."""

    job: str
    assets: Sequence[dg.AssetKey]
    partitions: Sequence[str]
    command: str

    @property
    def months(self) -> Sequence[str]:
        """The partitions, where they are months: the UI offers them from its next start on."""
        return self.partitions if PROCESSED_DATA in self.assets else ()


class CommandRun:
    """The run of a command; where it cannot be recorded, or no longer, it only listens."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        """Listen."""
        self.run_id = str(uuid.uuid4())
        self._warn = warn
        self._instance: dg.DagsterInstance | None = None
        self._run: dg.DagsterRun
        self._steps: Mapping[dg.AssetKey | dg.AssetCheckKey, str] = {}
        self._checks: Mapping[tuple[dg.AssetKey, str], dg.AssetCheckSpec] = {}
        self._refusals: dict[str, list[str]] = {}

    def begin(self, instance: dg.DagsterInstance, definitions: dg.Definitions, work: Work) -> None:
        """Record that the work is under way."""
        job = definitions.resolve_job_def(work.job).get_subset(asset_selection=frozenset(work.assets))
        graph = definitions.resolve_asset_graph()
        keys = graph.get_check_keys_for_assets({*work.assets})
        self._checks = {(key.asset_key, key.name): graph.get_check_spec(key) for key in keys}
        self._add_run(instance, job, work, graph.get(work.assets[0]).partitions_def)
        self._report(_Event.RUN_START, message=f"Started {without_secrets(work.command)}")
        for step in sorted({*self._steps.values()}):
            self._report(_Event.STEP_START, step=step)
        for asset in work.assets:
            partitions = graph.get(asset).partitions_def
            # What is no partition, such as a day before the window, is refused and not missing.
            for key in filter(partitions.has_partition_key, work.partitions) if partitions else [None]:
                planned = private.AssetMaterializationPlannedData(asset, partition=key)
                self._report(_Event.ASSET_MATERIALIZATION_PLANNED, planned, asset)

    def made(self, asset: dg.AssetKey, made: Made, partition: str | None = None) -> None:
        """Record that an asset, or a partition of it, is there, and how its checks ended."""
        version = {private.DATA_VERSION_TAG: made.version} if made.version else None
        there = dg.AssetMaterialization(asset, partition=partition, metadata=made.facts, tags=version)
        self._report(_Event.ASSET_MATERIALIZATION, private.StepMaterializationData(there), asset)
        self.judged(asset, self.results(asset, made.reports), partition)

    def results(self, asset: dg.AssetKey, reports: Reports) -> list[dg.AssetCheckResult]:
        """Return reports as results of the checks of an asset."""
        specs = {name: spec for (of, name), spec in self._checks.items() if of == asset}
        return [check_result(report, specs[name]) for name, report in reports.items() if name in specs]

    def judged(self, asset: dg.AssetKey, results: Iterable[dg.AssetCheckResult], partition: str | None = None) -> None:
        """Record how checks of an asset, or of a partition of it, ended on what is there now."""
        with self._keeping() as instance:
            if instance is None:
                return
            target = latest_target(instance, asset, partition)
            for result in results:
                spec = self._checks[asset, str(result.check_name)]
                found = evaluation(result, target, partition=partition, is_blocking=spec.blocking)
                self._report(_Event.ASSET_CHECK_EVALUATION, found, spec.key)

    def refused(self, asset: dg.AssetKey, reason: CapsimError) -> None:
        """Remember that an asset, or a partition of it, was refused: the run has failed, the rest of it goes on."""
        self._refusals.setdefault(self._steps.get(asset, ""), []).append(without_secrets(str(reason)))

    def finish(self) -> None:
        """Record how the run ended."""
        for step in sorted({*self._steps.values()}):
            self._end_step(step, self._refusals.get(step, ()))
        with self._keeping() as instance:
            if instance is None:
                return
            if self._refusals:
                refused = sum(map(len, self._refusals.values()))
                instance.report_run_failed(self._run, f"{refused} refused: {next(iter(self._refusals.values()))[0]}")
            else:
                self._report(_Event.RUN_SUCCESS, message="Finished")

    def fail(self, reason: str) -> None:
        """Record that the command ended before its work did."""
        with self._keeping() as instance:
            if instance is not None:
                instance.report_run_failed(self._run, without_secrets(reason))

    def cancel(self) -> None:
        """Record that the command was interrupted: what it did not reach has not failed."""
        with self._keeping() as instance:
            if instance is not None:
                instance.report_run_canceled(self._run, "interrupted in the terminal")

    def _add_run(
        self,
        instance: dg.DagsterInstance,
        job: dg.JobDefinition,
        work: Work,
        partitions: dg.PartitionsDefinition[str] | None,
    ) -> None:
        """Add the run, with the snapshots by which the UI draws it, and without what Dagster would plan by itself."""
        snapshot = private.snapshot_from_execution_plan(private.create_execution_plan(job), job.get_job_snapshot_id())
        outputs = [(step.key, output.properties) for step in snapshot.steps for output in step.outputs]
        made = {facts.asset_key or facts.asset_check_key: step for step, facts in outputs if facts}
        self._steps = {key: step for key, step in made.items() if key is not None}
        self._run = instance.run_domain.construct_run_with_snapshots(
            job_name=job.name,
            run_id=self.run_id,
            run_config={},
            resolved_op_selection=None,
            step_keys_to_execute=None,
            status=None,
            tags={**partition_tags(partitions, work.partitions), **command_tag(work.command), **host_tag()},
            root_run_id=None,
            parent_run_id=None,
            job_snapshot=job.get_job_snapshot(),
            execution_plan_snapshot=snapshot,
            parent_job_snapshot=job.get_parent_job_snapshot(),
            asset_selection=frozenset(work.assets),
            remote_job_origin=origin_of(job.name),
        )
        instance.add_run(self._run)
        self._instance = instance

    def _end_step(self, step: str, refusals: Sequence[str]) -> None:
        facts: private.StepSuccessData | private.StepFailureData
        if not refusals:
            facts = private.StepSuccessData(0.0)  # type: ignore[no-untyped-call]
            self._report(_Event.STEP_SUCCESS, facts, step=step)
            return
        why = private.UserFailureData("refused", "\n".join(refusals), {})  # type: ignore[no-untyped-call]
        facts = private.StepFailureData(None, why)  # type: ignore[no-untyped-call]
        self._report(_Event.STEP_FAILURE, facts, step=step, message=f"{step}: {refusals[0]}")

    def _report(
        self,
        kind: dg.DagsterEventType,
        facts: Any = None,  # noqa: ANN401 each kind of event has facts of its own
        about: dg.AssetKey | dg.AssetCheckKey | None = None,
        *,
        step: str | None = None,
        message: str | None = None,
    ) -> None:
        with self._keeping() as instance:
            if instance is not None:
                step_key = step if about is None else self._steps.get(about)
                event = dg.DagsterEvent(
                    kind.value, self._run.job_name, step_key=step_key, event_specific_data=facts, message=message
                )
                instance.report_dagster_event(event, self._run.run_id)

    @contextmanager
    def _keeping(self) -> Iterator[dg.DagsterInstance | None]:
        """Yield the instance, None where nothing can be recorded; go on without it where it fails."""
        try:
            yield self._instance
        except _CANNOT_BE_KEPT as error:
            self.lose(error)

    def lose(self, error: BaseException) -> None:
        """Record no more, and say so."""
        self._instance = None
        reason = error.found if isinstance(error, CapsimError) else str(error).splitlines()[0]
        self._warn(f"the run history cannot be written, so the UI does not show this command: {reason}")


@contextmanager
def recorded(
    definitions: dg.Definitions, layout: DataLayout, work: Work, warn: Callable[[str], None]
) -> Iterator[CommandRun]:
    """Record a command as a run while it works."""
    run = CommandRun(warn)
    with ExitStack() as opened:
        try:
            instance = opened.enter_context(open_instance(layout))
            release_dead_runs(instance)
            opened.enter_context(held_run(instance, run.run_id))
            widen_span(layout, work.months)
            run.begin(instance, definitions, work)
        except (*_CANNOT_BE_KEPT, CapsimError) as error:
            run.lose(error)
        try:
            yield run
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            run.cancel()
            raise
        except BaseException as error:
            run.fail(str(error) or type(error).__name__)
            raise
        run.finish()


def recorded_version(layout: DataLayout, asset: dg.AssetKey, partition: str) -> str | None:
    """Return the digest of a partition as it was last recorded; None = it was not, or the history cannot be read."""
    if not layout.dagster_home.exists():
        return None
    chosen = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    try:
        with open_instance(layout) as instance:
            records = instance.fetch_materializations(chosen, limit=1).records
    except (*_CANNOT_BE_KEPT, CapsimError):
        # What records next says so.
        return None
    event = records[0].asset_materialization if records else None
    return event.tags.get(private.DATA_VERSION_TAG) if event and event.tags else None


def forget_removed(
    layout: DataLayout, gone: Mapping[dg.AssetKey, Callable[[str], bool]], command: str, warn: Callable[[str], None]
) -> None:
    """Tell the history which partitions are no longer there, as `gone` tells of a key, by asset.

    A run with the name of the command observes each asset.
    """
    try:
        with open_instance(layout) as instance:
            there = {asset: instance.get_materialized_partitions(asset) for asset in gone}
            removed = {asset: sorted(filter(gone[asset], keys)) for asset, keys in there.items()}
            if any(removed.values()):
                _record_removal(instance, removed, command)
    except (*_CANNOT_BE_KEPT, CapsimError) as error:
        CommandRun(warn).lose(error)


def _record_removal(instance: dg.DagsterInstance, removed: Mapping[dg.AssetKey, Sequence[str]], command: str) -> None:
    with _noting(instance, _REMOVAL, command) as note:
        for asset, partitions in removed.items():
            if partitions:
                instance.wipe_asset_partitions(asset, partitions)
                facts: dict[str, int | str] = {"first": partitions[0], "last": partitions[-1]}
                note(asset, f"removed by {without_secrets(command)}", {"partitions": len(partitions), **facts})


def record_look(layout: DataLayout, job: str, assets: Iterable[dg.AssetKey], told: str, command: str) -> None:
    """Record that a command has looked at assets and found them unchanged: what is recorded of them holds.

    Raises:
        OSError, sqlite3.Error, SQLAlchemyError, dagster.DagsterError, CapsimError: If the history cannot be written.
    """
    with open_instance(layout) as instance, _noting(instance, job, command) as note:
        for asset in assets:
            note(asset, told, {"is_unchanged": True})


@contextmanager
def _noting(
    instance: dg.DagsterInstance, job: str, command: str
) -> Iterator[Callable[[dg.AssetKey, str, Mapping[str, Any]], None]]:
    """Record a run that observes assets and makes none; what it yields notes one."""
    run = dg.DagsterRun(job, tags={**command_tag(command), **host_tag()}, remote_job_origin=origin_of(job))

    def report(kind: dg.DagsterEventType, facts: private.AssetObservationData | None = None) -> None:
        event = dg.DagsterEvent(kind.value, run.job_name, event_specific_data=facts)
        instance.report_dagster_event(event, run.run_id)

    def note(asset: dg.AssetKey, told: str, facts: Mapping[str, Any]) -> None:
        seen = dg.AssetObservation(asset, description=told, metadata=facts)
        report(_Event.ASSET_OBSERVATION, private.AssetObservationData(seen))

    with held_run(instance, run.run_id):
        instance.add_run(run)
        report(_Event.RUN_START)
        yield note
        report(_Event.RUN_SUCCESS)
