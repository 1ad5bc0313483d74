"""Running jobs from the command line: in this process, on the instance that the UI shows."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import dagster as dg

from capsim_dagster.orchestration.dagster_private import InMemoryJob, execute_run_iterator
from capsim_dagster.orchestration.dead_runs import held_run, host_tag, release_dead_runs
from capsim_dagster.orchestration.event_log import EngineReusingEventLog
from capsim_dagster.orchestration.months import range_tags
from capsim_dagster.orchestration.origin import origin_of
from capsim_dagster.orchestration.run_summary import RunSummary, summary_of
from capsim_dagster.orchestration.waiting import Patience

_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The summary says what happened; the whole log is in the UI."""


def run_job(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    months: Sequence[str],
    tags: Mapping[str, str] | None = None,
) -> RunSummary:
    """Run a job in this process, as one run over the range from the first to the last of some months.

    Raises:
        dagster.DagsterExecutionInterruptedError: If Ctrl-C comes between two steps; the run is recorded as cancelled.
    """
    release_dead_runs(instance)
    run_id = str(uuid.uuid4())
    with _held(instance, run_id, patience_of(definitions)):
        try:
            result = _execute(
                definitions.resolve_job_def(job), instance, run_id, {**range_tags(months), **host_tag(), **(tags or {})}
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
        job, run_id=run_id, run_config=_QUIET, tags={**job.run_tags, **tags}, remote_job_origin=origin_of(job.name)
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
