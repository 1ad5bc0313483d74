"""Waiting for another run: said aloud, with an end, and awake to Ctrl-C.

Steps that use the warehouse take turns over all runs, by slots of a pool. Dagster asks for a slot without a pause, says
so only in the log, keeps a signal for the step that does not begin, and waits for the slot of a killed run for ever.
"""

import datetime as dt
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import dagster as dg

from capsim_dagster.errors import CapsimError
from capsim_dagster.orchestration.dagster_private import ConcurrencyClaimStatus, pop_captured_interrupt
from capsim_dagster.orchestration.dead_runs import HOST_TAG, release_dead_runs

_POLL_SECONDS: Final = 0.25
_AFTERMATH: Final = dt.timedelta(seconds=5)
"""How long after its end a run may hold a slot: it ends a moment before it frees it, or was ended from elsewhere."""


class WaitError(CapsimError):
    """Another run kept the warehouse for longer than this one waits."""


@dataclass(frozen=True)
class Patience:
    """How a run waits.

    Attributes:
        seconds: How long at most, at each step [s].
        announce: Called with a line that says for what.
    """

    seconds: float = math.inf
    announce: Callable[[str], None] = lambda _text: None


class Claim(Protocol):
    """Asks for a slot of a pool."""

    def __call__(self) -> ConcurrencyClaimStatus:
        """Return whether it is there."""
        ...


def claimed_in_turn(
    instance: dg.DagsterInstance, claim: Claim, *, pool: str, run_id: str, patience: Patience
) -> ConcurrencyClaimStatus:
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
        if pop_captured_interrupt():
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
    """Return a run in words: which, since when and where."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return f"run {run_id[:8]}"
    began = dt.datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), dt.UTC)
    host = record.dagster_run.tags.get(HOST_TAG)
    return (
        f"run {run_id[:8]} of {record.dagster_run.job_name}, started {began:%Y-%m-%d %H:%M:%S} UTC"
        f"{f' on {host}' if host else ''}"
    )
