"""Running jobs from the command line: in this process, on the instance that the UI shows; and what a run did."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob  # not exported
from dagster._core.errors import DagsterAssetCheckFailedError  # not exported
from dagster._core.execution.api import execute_run_iterator  # not exported
from dagster_shared.error import SerializableErrorInfo  # not exported

from capsim_dagster.orchestration.dead_runs import held_run, host_tag, release_dead_runs
from capsim_dagster.orchestration.event_log import EngineReusingEventLog
from capsim_dagster.orchestration.origin import origin_of
from capsim_dagster.orchestration.partitions import range_tags
from capsim_dagster.orchestration.waiting import Patience, WaitError

_NOT_SUMMED: Final = ("months", "pending_months", "problems")
"""Numbers of a month that mean nothing when added up."""
_INTERRUPTS: Final = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The summary says what happened; the whole log is in the UI."""


@dataclass(frozen=True)
class AssetSummary:
    """What one asset wrote.

    Attributes:
        asset: The asset.
        partitions: Months; 0 = not partitioned.
        rows: Rows over all partitions.
        bytes: Bytes over all partitions; 0 = not a file of its own.
    """

    asset: str
    partitions: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class CheckSummary:
    """How one check ended, over all months of the run.

    Attributes:
        asset: The asset.
        check: The check.
        months: Months that were judged one by one; 0 = the asset as a whole was.
        passed: Whether the claim holds, in every month.
        is_warning: Whether a failure only warns.
        detail: Verdict and examples, in words.
    """

    asset: str
    check: str
    months: int
    passed: bool
    is_warning: bool
    detail: str


@dataclass(frozen=True)
class RunSummary:
    """How a run ended.

    Attributes:
        run_id: Its id in the UI.
        succeeded: Whether every step did, and no blocking check failed.
        interrupted: Whether Ctrl-C ended it.
        assets: What each asset wrote.
        checks: How each check ended.
        failures: Why steps failed, in words.
    """

    run_id: str
    succeeded: bool
    interrupted: bool
    assets: list[AssetSummary]
    checks: list[CheckSummary]
    failures: list[str]


def summary_of(result: dg.ExecuteInProcessResult) -> RunSummary:
    """Return what a run did."""
    return RunSummary(
        run_id=result.run_id,
        succeeded=result.success,
        interrupted=any(map(_is_interrupt, _errors(result))),
        assets=_assets(result),
        checks=_checks(result),
        failures=_failures(result),
    )


def _assets(result: dg.ExecuteInProcessResult) -> list[AssetSummary]:
    """Add up rows and bytes of each asset over the partitions of the run."""
    events: dict[str, list[dg.AssetMaterialization]] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        events.setdefault(materialization.asset_key.to_user_string(), []).append(materialization)
    return [
        AssetSummary(
            asset=asset,
            partitions=sum(1 for m in materializations if m.partition is not None),
            rows=sum(
                _number(m, "dagster/row_count") + _number(m, "dagster/partition_row_count") for m in materializations
            ),
            bytes=sum(_number(m, "bytes") for m in materializations),
        )
        for asset, materializations in events.items()
    ]


def _number(materialization: dg.AssetMaterialization, name: str) -> int:
    value = materialization.metadata.get(name)
    return int(value.value) if isinstance(value, dg.IntMetadataValue) and value.value is not None else 0


def _checks(result: dg.ExecuteInProcessResult) -> list[CheckSummary]:
    """Put the evaluations of each check together, those of its months into one line."""
    evaluations: dict[tuple[str, str], list[dg.AssetCheckEvaluation]] = {}
    for evaluation in result.get_asset_check_evaluations():
        key = evaluation.asset_key.to_user_string(), evaluation.check_name
        evaluations.setdefault(key, []).append(evaluation)
    return [
        CheckSummary(
            asset=asset,
            check=check,
            months=sum(1 for evaluation in found if evaluation.partition),
            passed=all(evaluation.passed for evaluation in found),
            is_warning=all(evaluation.severity is dg.AssetCheckSeverity.WARN for evaluation in found),
            detail=_verdict(found),
        )
        for (asset, check), found in evaluations.items()
    ]


def _verdict(evaluations: Sequence[dg.AssetCheckEvaluation]) -> str:
    """Return the verdict of one evaluation, the failures of several, or else the sums of their numbers."""
    failed = [evaluation for evaluation in evaluations if not evaluation.passed]
    if failed or len(evaluations) == 1:
        return "; ".join(evaluation.description or "" for evaluation in (failed or evaluations))
    sums: dict[str, int] = {}
    for evaluation in evaluations:
        for name, value in evaluation.metadata.items():
            if isinstance(value, dg.IntMetadataValue) and name not in _NOT_SUMMED:
                sums[name] = sums.get(name, 0) + (value.value or 0)
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in sums.items())


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return why steps failed: the description of a failure raised on purpose, else the error itself."""
    reasons = []
    for event in _step_failures(result):
        data = event.step_failure_data
        described = data.user_failure_data.description if data.user_failure_data else None
        reasons.append(f"{event.step_key}: {described or _error_text(data.error)}")
    return reasons or [_error_text(error) for error in _run_errors(result)]


def _errors(result: dg.ExecuteInProcessResult) -> list[SerializableErrorInfo | None]:
    return [event.step_failure_data.error for event in _step_failures(result)] + _run_errors(result)


def _run_errors(result: dg.ExecuteInProcessResult) -> list[SerializableErrorInfo | None]:
    """Return what ended the run between two steps, such as waiting for another one."""
    ends = [event.job_failure_data.error for event in result.all_events if event.is_job_failure]
    return [error for error in ends if error is not None]


def _step_failures(result: dg.ExecuteInProcessResult) -> list[dg.DagsterEvent]:
    return [event for event in result.all_events if event.is_step_failure]


def _is_interrupt(error: SerializableErrorInfo | None) -> bool:
    """Whether a step failed because of Ctrl-C: Dagster raises an error of its own, DuckDB and polars raise theirs."""
    return error is not None and (error.cls_name in _INTERRUPTS or "Query interrupted" in error.message)


def _error_text(error: SerializableErrorInfo | None) -> str:
    """Return an error with its trace, but for a blocking check, whose reason stands in the table of checks."""
    if error is None:
        return "no reason was recorded"
    if error.cls_name in (DagsterAssetCheckFailedError.__name__, WaitError.__name__):
        return error.message.partition(":")[2].strip()
    return error.to_string()


def run_job(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    months: Sequence[int],
    tags: Mapping[str, str] | None = None,
) -> RunSummary:
    """Run a job for some months in this process, as one run.

    Args:
        definitions: What Dagster loads.
        instance: Where the run is recorded.
        job: Name of the job.
        months: Months as YYYYMM; the run covers the range from the first to the last.
        tags: Further tags of the run.

    Raises:
        dagster.DagsterExecutionInterruptedError: If Ctrl-C comes between two steps; the run is recorded as cancelled.
    """
    release_dead_runs(instance)
    run_id = str(uuid.uuid4())
    with _held(instance, run_id, patience_of(definitions)):
        try:
            result = _execute(
                definitions.resolve_job_def(job),
                instance,
                run_id,
                {**range_tags(months), **host_tag(), **(tags or {})},
            )
        except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
            _record_as_cancelled(instance, run_id)
            raise
        summary = summary_of(result)
        if summary.interrupted:
            _record_as_cancelled(instance, run_id)
    return summary


def patience_of(definitions: dg.Definitions) -> Patience:
    """Return how a run in a terminal waits for others: as the settings say, and visibly."""
    resources = definitions.resources or {}
    return Patience(resources["platform"].settings.automation.max_wait_seconds, resources["progress"].say)


@contextmanager
def _held(instance: dg.DagsterInstance, run_id: str, patience: Patience) -> Iterator[None]:
    """Hold the lock of a run from before it is recorded until after its end is, and leave no slot of a pool taken."""
    storage = instance.event_log_storage
    if isinstance(storage, EngineReusingEventLog):
        storage.patience = patience
    with held_run(instance, run_id):
        yield


def _execute(
    job: dg.JobDefinition, instance: dg.DagsterInstance, run_id: str, tags: Mapping[str, str]
) -> dg.ExecuteInProcessResult:
    """Run a job as `execute_in_process` does, with the origin that it has in the UI."""
    run = instance.create_run_for_job(
        job,
        run_id=run_id,
        run_config=_QUIET,
        tags={**job.run_tags, **tags},
        remote_job_origin=origin_of(job.name),
    )
    events = list(execute_run_iterator(InMemoryJob(job), run, instance))
    ended = instance.get_run_by_id(run_id)
    assert ended is not None  # noqa: S101 it was recorded above
    return dg.ExecuteInProcessResult(job_def=job, event_list=events, dagster_run=ended, output_capture={})


def _record_as_cancelled(instance: dg.DagsterInstance, run_id: str) -> None:
    """Show a run that Ctrl-C ended as cancelled: as a failure it would mark months as failed that it did not reach."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is not dg.DagsterRunStatus.CANCELED:
        instance.report_run_canceled(run, "interrupted in the terminal (Ctrl-C or SIGTERM)")
