"""Other runs: those whose process was killed, and those that this one waits for.

Each run holds a lock while it goes on, and the kernel lets go of it. Dagster's daemon watches the runs that it
launched, by their code server; nobody watches those of a terminal, nor any once the container that they ran in is gone.

Steps that use the warehouse take turns over all runs, by slots of a pool. Dagster asks for a slot without a pause, says
so only in the log, keeps a signal for the step that does not begin, and waits for the slot of a killed run for ever.
So waiting is said aloud here, has an end, and is awake to Ctrl-C.
"""

import datetime as dt
import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg
import psutil

from capsim_dagster.errors import CapsimError
from capsim_dagster.orchestration import dagster_private as private
from capsim_dagster.storage.locks import held, is_held, remove_abandoned

HOST_TAG: Final = f"{private.HIDDEN_TAG_PREFIX}capsim_host"
"""Of a run that holds its lock from before it is recorded: the name of its machine, for a person to read."""
_PROCESS_TAG: Final = "capsim/process"
"""Of a run by an earlier version, which knew a process by host name, process id and start time."""
_OLDEST: Final = dt.timedelta(hours=2)
"""How long such a run of another host name may take: what dagster.yaml allows a run, run_monitoring."""
_EVERY_SECONDS: Final = 30


class RunLocks:
    """The locks of runs, in one folder: those that this process holds, and who else holds one."""

    def __init__(self, folder: Path) -> None:
        """Hold none."""
        self._folder = folder
        self._held: dict[str, ExitStack] = {}
        self._ended: set[str] = set()

    def hold(self, run_id: str) -> None:
        """Hold the lock of a run that this process executes, and let go of those that have ended."""
        if run_id in self._held:
            return
        for ended in self._ended & set(self._held):
            self.release(ended)
        remove_abandoned(self._path(run_id))
        self._held[run_id] = ExitStack()
        self._held[run_id].enter_context(held(self._path(run_id)))

    def end(self, run_id: str) -> None:
        """Note that a run is about to be recorded as ended; until then its lock is held."""
        self._ended.add(run_id)

    def release(self, run_id: str) -> None:
        """Let go of the lock of a run, if this process holds it."""
        self._held.pop(run_id, ExitStack()).close()
        self._ended.discard(run_id)

    def release_all(self) -> None:
        """Let go of every lock that this process holds."""
        for run_id in list(self._held):
            self.release(run_id)

    def is_dead(self, run: dg.DagsterRun) -> bool:
        """Return whether the process of an unfinished run is gone; where nothing tells, it is taken to be there."""
        if HOST_TAG in run.tags or self._path(run.run_id).exists():
            return not is_held(self._path(run.run_id))
        return _PROCESS_TAG in run.tags and not _is_process(run.tags[_PROCESS_TAG])

    def run_ids(self) -> list[str]:
        """Return the runs that have a lock, held or left."""
        return [path.stem for path in self._folder.glob("*.lock")]

    def forget(self, run_id: str) -> None:
        """Remove the lock of a run, if its process left it."""
        remove_abandoned(self._path(run_id))

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.lock"


def host_tag() -> dict[str, str]:
    """Return the tag of a run that holds its lock from before it is recorded."""
    return {HOST_TAG: platform.node()}


@contextmanager
def held_run(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the lock of a run from before it is recorded until after its end is, and leave no slot of a pool taken."""
    locks = getattr(instance.event_log_storage, "locks", None)
    if not isinstance(locks, RunLocks):
        yield
        return
    locks.hold(run_id)
    try:
        yield
    finally:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        locks.release(run_id)


def release_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs of killed processes, and return their ids.

    Nothing else would: such a run stays "started" for ever and keeps its slot of the pool, so that the next one waits
    without end.
    """
    locks = getattr(instance.event_log_storage, "locks", None)
    if not isinstance(locks, RunLocks):
        return []
    records = instance.get_run_records(filters=dg.RunsFilter(statuses=private.NOT_FINISHED_STATUSES))
    dead = [each.dagster_run for each in records if locks.is_dead(each.dagster_run) or _is_too_old(each)]
    ended = [run.run_id for run in dead if _end(instance, run.run_id, locks)]
    for run_id in locks.run_ids():
        # Of a process that ended without removing it, or was killed before its run was recorded.
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            locks.forget(run_id)
    return ended


def _end(instance: dg.DagsterInstance, run_id: str, locks: RunLocks) -> bool:
    """Record the end of a dead run and free its slots; return whether it had not ended by itself meanwhile."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    # In this order: whoever is killed in between leaves a run that is ended again.
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    instance.report_run_failed(run, "its process is gone: it was killed, or the machine was restarted")
    locks.forget(run_id)
    return True


def _is_process(identity: str) -> bool:
    """Return whether a process that an earlier version named still runs; one of another host name is taken to."""
    node, pid, began = identity.rsplit(" ", 2)
    if node != platform.node():
        return True
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == began
    except psutil.NoSuchProcess:
        return False


def _is_too_old(record: dg.RunRecord) -> bool:
    """Return whether a run by an earlier version, of another host name, has taken longer than any run may."""
    identity = record.dagster_run.tags.get(_PROCESS_TAG, platform.node())
    return not identity.startswith(platform.node()) and record.create_timestamp < dt.datetime.now(dt.UTC) - _OLDEST


def killed_runs_sensor() -> dg.SensorDefinition:
    """Return the sensor that ends runs of killed processes while the UI runs; it requests nothing."""

    @dg.sensor(
        name="killed_runs_sensor",
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Marks runs as failed whose process was killed, in a terminal, a container or the UI, and frees their slot "
            "of the pool. It requests no run."
        ),
    )
    def killed_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ended = release_dead_runs(context.instance)
        return dg.SkipReason(f"ended: {', '.join(ended)}" if ended else "no run of a killed process")

    return killed_runs_sensor


_POLL_SECONDS: Final = 0.25
_AFTERMATH: Final = dt.timedelta(seconds=5)
"""How long after its end a run may hold a slot: it ends a moment before it frees it, or was ended from elsewhere."""


class WaitError(CapsimError):
    """Another run kept the warehouse for longer than this one waits."""


@dataclass(frozen=True)
class Patience:
    """How a run waits: how long at most, at each step [s], and whom it tells for what."""

    seconds: float = math.inf
    announce: Callable[[str], None] = lambda _text: None


def claimed_in_turn(
    instance: dg.DagsterInstance,
    claim: Callable[[], private.ConcurrencyClaimStatus],
    *,
    pool: str,
    run_id: str,
    patience: Patience,
) -> private.ConcurrencyClaimStatus:
    """Claim a slot of a pool, waiting for other runs; slots of dead runs are freed.

    Raises:
        WaitError: If another run keeps it for too long.
        dagster.DagsterExecutionInterruptedError: If Ctrl-C or SIGTERM comes.
    """
    deadline, told = time.monotonic() + patience.seconds, set[str]()
    while not (status := claim()).is_claimed:
        holders = _holders(instance, pool)
        if run_id in holders:
            # Another step of the run has it: an executor that runs steps side by side must see to that one.
            return status
        if private.pop_captured_interrupt():
            raise dg.DagsterExecutionInterruptedError
        if not release_dead_runs(instance) and not _free_left_slots(instance, holders):
            _wait(instance, holders, told, run_id=run_id, patience=patience, deadline=deadline)
    return status


def _holders(instance: dg.DagsterInstance, pool: str) -> list[str]:
    """Return the runs that have a slot, or are to get the one that is free."""
    found = instance.event_log_storage.get_concurrency_info(pool)
    return sorted(found.active_run_ids or found.assigned_run_ids)


def _free_left_slots(instance: dg.DagsterInstance, holders: list[str]) -> bool:
    """Free the slots of runs that have ended or are no longer recorded; return whether there were any."""
    left = [run_id for run_id in holders if _has_left(instance, run_id)]
    for run_id in left:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return bool(left)


def _has_left(instance: dg.DagsterInstance, run_id: str) -> bool:
    record = instance.get_run_record_by_id(run_id)
    if record is None or not record.dagster_run.is_finished:
        return record is None
    return record.end_time is None or time.time() - record.end_time > _AFTERMATH.total_seconds()


def _wait(
    instance: dg.DagsterInstance,
    holders: list[str],
    told: set[str],
    *,
    run_id: str,
    patience: Patience,
    deadline: float,
) -> None:
    others = " and ".join(_described(instance, holder) for holder in holders) or "a slot of the pool"
    if time.monotonic() > deadline:
        raise WaitError(
            f"{others} still works on the warehouse; waited {patience.seconds:g} s for it",
            remedy="run this again when that is done, or wait longer: automation.max_wait_seconds",
        )
    if others not in told:
        told.add(others)
        patience.announce(f"waiting for {others}")
        run = instance.get_run_by_id(run_id)
        instance.report_engine_event(f"Waiting for {others}: it works on the warehouse.", run)
    time.sleep(_POLL_SECONDS)


def _described(instance: dg.DagsterInstance, run_id: str) -> str:
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return f"run {run_id[:8]}"
    began = dt.datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), dt.UTC)
    host = record.dagster_run.tags.get(HOST_TAG)
    return (
        f"run {run_id[:8]} of {record.dagster_run.job_name}, started {began:%Y-%m-%d %H:%M:%S} UTC"
        f"{f' on {host}' if host else ''}"
    )
