"""Running jobs from the command line: in this process, on the instance that the UI shows."""

import platform
from collections.abc import Mapping, Sequence
from typing import Final

import dagster as dg
import psutil

from capsim_dagster.orchestration.partitions import range_tags
from capsim_dagster.orchestration.run_summary import RunSummary, summary_of

_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The summary says what happened; the whole log is in the UI."""
_PROCESS_TAG: Final = "capsim/process"


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
    """
    release_dead_runs(instance)
    result = definitions.resolve_job_def(job).execute_in_process(
        instance=instance,
        tags={**range_tags(months), _PROCESS_TAG: _identity(psutil.Process()), **(tags or {})},
        run_config=_QUIET,
        raise_on_error=False,
    )
    return summary_of(result)


def release_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs of this machine's killed `capsim run` processes, and return their ids.

    Nothing else would: such a run stays "started" for ever and keeps its slot of the write pool, so that the next
    run waits without end.
    """
    unfinished = instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    dead = [run for run in unfinished if _PROCESS_TAG in run.tags and not _is_alive(run.tags[_PROCESS_TAG])]
    for run in dead:
        instance.report_run_failed(run, "its process is gone: it was killed, or the machine was restarted")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


def _identity(process: psutil.Process) -> str:
    """Return host, process id and start time: a later process may get the same id."""
    return f"{platform.node()} {process.pid} {process.create_time():.2f}"


def _is_alive(identity: str) -> bool:
    """Return whether a process still runs; one of another machine is taken to."""
    node, pid, _ = identity.rsplit(" ", 2)
    if node != platform.node():
        return True
    try:
        return _identity(psutil.Process(int(pid))) == identity
    except psutil.NoSuchProcess:
        return False
