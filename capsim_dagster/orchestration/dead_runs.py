"""Runs of this machine's terminals whose process was killed: nothing in Dagster notices them.

Runs that the UI launches are watched by Dagster's daemon; those of `capsim run` and `capsim backfill` are not.
"""

import platform
from typing import Final

import dagster as dg
import psutil
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES  # not exported

_PROCESS_TAG: Final = ".dagster/capsim_process"
"""Hidden: the UI shows no tag that begins so."""
_EVERY_SECONDS: Final = 30


def process_tag() -> dict[str, str]:
    """Return the tag of a run by which its process is known."""
    return {_PROCESS_TAG: _identity(psutil.Process())}


def release_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs of this machine's killed terminals, and return their ids.

    Nothing else would: such a run stays "started" for ever and keeps its slot of the pool, so that the next one waits
    without end.
    """
    unfinished = instance.get_runs(filters=dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
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


def killed_runs_sensor() -> dg.SensorDefinition:
    """Return the sensor that ends runs of killed processes while the UI runs; it requests nothing."""

    @dg.sensor(
        name="killed_runs_sensor",
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Marks runs of this machine's terminals as failed when their process was killed, and frees their slot of "
            "the pool. It requests no run."
        ),
    )
    def killed_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ended = release_dead_runs(context.instance)
        return dg.SkipReason(f"ended: {', '.join(ended)}" if ended else "no run of a killed process")

    return killed_runs_sensor
