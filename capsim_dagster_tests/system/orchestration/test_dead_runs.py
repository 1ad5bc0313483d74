"""Runs of killed processes end at once, under any host name; those of live processes never; waiting is awake."""

import datetime as dt
import os
import platform
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import dagster as dg
import psutil
import pytest

from capsim_dagster.orchestration.event_log import EngineReusingEventLog
from capsim_dagster.orchestration.launch import run_job
from capsim_dagster.orchestration.other_runs import HOST_TAG, Patience, release_dead_runs
from capsim_dagster.orchestration.progress import LogProgress
from capsim_dagster.orchestration.run_summary import RunSummary
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.child_process import FORK, READY, Fork, Nursery, nursery

OCCUPANT = f"""
from pathlib import Path
import dagster as dg
from capsim_dagster.orchestration.instance import open_instance
from capsim_dagster.storage import DataLayout
{FORK}

@dg.op(pool="warehouse")
def work():
    {READY}

@dg.job(executor_def=dg.in_process_executor)
def occupy():
    work()

quiet = {{"loggers": {{"console": {{"config": {{"log_level": "CRITICAL"}}}}}}}}
with open_instance(DataLayout(Path(sys.argv[1]))) as instance:
    occupy.execute_in_process(instance=instance, run_config=quiet, tags=dict(arg.split("=") for arg in sys.argv[2:]))
"""


@dataclass
class Said(LogProgress):
    """Keeps what is said, and does something then."""

    then: Callable[[], object] = bool
    lines: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.lines.append(text)
        self.then()


@dg.op(pool="warehouse")
def work() -> None:
    """Take a slot for a moment."""


@dg.job(executor_def=dg.in_process_executor)
def brief() -> None:
    work()


def run_brief(instance: dg.DagsterInstance, tmp_path: Path, said: LogProgress, seconds: float = 60) -> RunSummary:
    settings = small_settings(tmp_path / "data")
    automation = settings.automation.model_copy(update={"max_wait_seconds": seconds})
    platform = Platform(settings.model_copy(update={"automation": automation}))
    definitions = dg.Definitions(jobs=[brief], resources={"platform": platform, "progress": said})
    return run_job(definitions, instance, "brief", ["2023-01-01"])


def statuses(instance: dg.DagsterInstance) -> dict[str, str]:
    return {run.job_name: run.status.value for run in instance.get_runs()}


def slots_taken(tmp_path: Path) -> int:
    with sqlite3.connect(tmp_path / "instance/.dagster/storage/history/runs/index.db") as index:
        held = index.execute("SELECT run_id FROM concurrency_slots WHERE run_id IS NOT NULL").fetchall()
        return len(held + index.execute("SELECT run_id FROM pending_steps").fetchall())


@pytest.fixture(scope="module")
def first() -> Iterator[Nursery]:
    """Yield a process on a host of another name whose children hold the only slot of the pool."""
    with nursery(OCCUPANT, host="first") as process:
        yield process


@contextmanager
def occupied(processes: Nursery, tmp_path: Path, *tags: str) -> Iterator[Fork]:
    """Yield a child that is at its work."""
    with processes.child(tmp_path / "instance", *tags) as child:
        child.until_ready()
        yield child


@pytest.mark.parametrize("tags", [[], [f"{HOST_TAG}=first"]], ids=["of the UI", "of a terminal"])
def test_a_run_killed_under_another_host_name_is_ended_by_the_next_one_which_does_not_wait(
    first: Nursery, instance: dg.DagsterInstance, tmp_path: Path, tags: list[str]
) -> None:
    with occupied(first, tmp_path, *tags) as other:
        assert release_dead_runs(instance) == []
        other.kill()
    said = Said()

    assert run_brief(instance, tmp_path, said).succeeded
    assert said.lines == []
    assert statuses(instance) == {"occupy": "FAILURE", "brief": "SUCCESS"}
    assert slots_taken(tmp_path) == 0
    assert list((tmp_path / "instance/.dagster/storage").rglob("*.lock")) == []


def test_a_second_run_waits_visibly_for_a_live_one_elsewhere_and_then_goes_on(
    first: Nursery, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with occupied(first, tmp_path, f"{HOST_TAG}=first") as other:
        said = Said(then=other.let_go)
        summary = run_brief(instance, tmp_path, said)
        assert other.wait() == 0

    (run,) = instance.get_runs(filters=dg.RunsFilter(job_name="occupy"))
    line = said.lines[0]
    assert summary.succeeded
    assert line.startswith(f"waiting for run {run.run_id[:8]} of occupy, started 20")
    assert line.endswith(" UTC on first")
    assert run.status is dg.DagsterRunStatus.SUCCESS


def test_a_run_that_is_killed_while_another_waits_for_it_lets_that_one_go_on(
    first: Nursery, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with occupied(first, tmp_path) as other:
        summary = run_brief(instance, tmp_path, Said(then=other.kill))

    assert summary.succeeded
    assert statuses(instance)["occupy"] == "FAILURE"


def test_a_signal_ends_a_waiting_run_at_once_as_cancelled_and_leaves_the_queue_of_the_pool(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with nursery(OCCUPANT) as here, occupied(here, tmp_path) as other:
        for number in (signal.SIGINT, signal.SIGTERM):
            summary = run_brief(instance, tmp_path, Said(then=partial(signal.raise_signal, number)))

            assert summary.interrupted, number
            assert instance.get_runs(limit=1)[0].status is dg.DagsterRunStatus.CANCELED, number
        assert statuses(instance) == {"occupy": "STARTED", "brief": "CANCELED"}
        other.let_go()
        assert other.wait() == 0
    assert slots_taken(tmp_path) == 0


def test_waiting_is_no_work_and_ends_with_an_error_that_names_the_run_and_the_setting(
    first: Nursery, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with occupied(first, tmp_path):
        before = time.process_time()
        summary = run_brief(instance, tmp_path, Said(), seconds=4)
        # Dagster's own loop would have spent all four seconds.
        assert time.process_time() - before < 2

    (failure,) = summary.failures
    assert not summary.succeeded
    assert not summary.interrupted
    assert "of occupy, started 20" in failure
    assert "automation.max_wait_seconds" in failure
    assert "Traceback" not in failure


def test_a_slot_of_a_run_that_has_ended_or_is_gone_does_not_keep_the_next_one_waiting(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    storage = instance.event_log_storage
    assert isinstance(storage, EngineReusingEventLog)
    storage.initialize_concurrency_limit_to_default("warehouse")
    storage.claim_concurrency_slot("warehouse", "nobody", "work")

    assert run_brief(instance, tmp_path, Said()).succeeded
    assert storage.patience.seconds == 60
    assert Patience().seconds > 60


@pytest.mark.parametrize(("pid", "ended"), [(os.getpid(), False), (None, True)], ids=["live", "gone"])
def test_a_run_of_an_earlier_version_is_known_by_its_process(
    instance: dg.DagsterInstance, pid: int | None, *, ended: bool
) -> None:
    process = psutil.Process(os.getpid())
    identity = f"{platform.node()} {pid or 2**22 + 1} {process.create_time():.2f}"
    run = instance.create_run_for_job(brief, tags={"capsim/process": identity}, status=dg.DagsterRunStatus.STARTED)

    assert release_dead_runs(instance) == ([run.run_id] if ended else [])


def test_a_run_of_an_earlier_version_under_another_host_name_ends_once_it_takes_longer_than_any_may(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    run = instance.create_run_for_job(
        brief, tags={"capsim/process": "other 1 1.00"}, status=dg.DagsterRunStatus.STARTED
    )
    assert release_dead_runs(instance) == []

    long_ago = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=3)).replace(tzinfo=None)
    with sqlite3.connect(tmp_path / "instance/.dagster/storage/history/runs.db") as runs:
        runs.execute("UPDATE runs SET create_timestamp = ?", [str(long_ago)])
    assert release_dead_runs(instance) == [run.run_id]


def test_a_run_that_ends_keeps_its_lock_until_its_end_is_recorded(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    handle = instance.run_storage.handle_run_event

    def look(run_id: str, event: dg.DagsterEvent, update_timestamp: dt.datetime | None = None) -> None:
        seen.append(release_dead_runs(instance))
        handle(run_id, event, update_timestamp)

    monkeypatch.setattr(instance.run_storage, "handle_run_event", look)
    assert run_brief(instance, tmp_path, Said()).succeeded
    assert seen
    assert not any(seen)


def test_locks_that_processes_left_go_and_those_that_are_held_stay(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    assert isinstance(storage, EngineReusingEventLog)
    ended = instance.create_run_for_job(brief, status=dg.DagsterRunStatus.SUCCESS).run_id
    for run_id in (ended, "never-recorded"):
        (Path(storage.path_for_shard(run_id)).with_suffix(".lock")).touch()
    storage.locks.hold("about-to-be-recorded")

    release_dead_runs(instance)

    assert storage.locks.run_ids() == ["about-to-be-recorded"]
