"""Files that are held: seen by every process, free at death, and never taken from one that lives."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from capsim_dagster.storage import locks
from capsim_dagster.storage.locks import held, is_held, remove_abandoned
from capsim_dagster_tests.support.child_process import READY, kill, on_host, started

HOLDER = f"""
from pathlib import Path
from capsim_dagster.storage.locks import held
with held(Path(sys.argv[1])):
    {READY}
"""


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_a_held_file_goes_with_the_block(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path):
        assert is_held(path)
        remove_abandoned(path)
        assert path.exists()

    assert not path.exists()
    assert not is_held(path)


def test_a_file_of_another_process_is_held_until_that_process_is_killed_whatever_it_started(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = HOLDER.replace(READY, f"__import__('subprocess').Popen(['sleep', '20'], stdout=2); {READY}")
    with started(code, path) as holder:
        assert is_held(path)
        kill(holder)

        assert not is_held(path)
    remove_abandoned(path)
    assert not path.exists()


def test_a_file_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = tmp_path / "lock", fcntl.flock

    def sweep_first(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        path.unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    with held(path):
        assert is_held(path)


def test_where_locks_may_not_be_shared_a_file_counts_as_left_once_it_has_been_quiet_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_mounts", lambda: [("/", "ext4"), (str(tmp_path), "nfs4")])
    path = tmp_path / "lock"
    path.touch()

    assert is_held(path)
    age(path, 3_600)
    assert not is_held(path)
    remove_abandoned(path)
    assert not path.exists()


def test_where_locks_may_not_be_shared_a_live_holder_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_mounts", lambda: [("/", "fuse.sshfs")])
    monkeypatch.setattr(locks, "_BEAT_SECONDS", 0.01)
    path = tmp_path / "lock"
    with held(path):
        age(path, 3_600)
        deadline = time.monotonic() + 30
        while time.time() - path.stat().st_mtime > 60:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_processes_of_another_host_name_see_the_lock(tmp_path: Path) -> None:
    look = "import sys; from pathlib import Path; from capsim_dagster.storage.locks import is_held; "
    command = [*on_host("other"), sys.executable, "-c", f"{look} print(is_held(Path(sys.argv[1])))"]
    with held(tmp_path / "lock"):
        seen = subprocess.run([*command, tmp_path / "lock"], check=True, capture_output=True, text=True).stdout

    assert seen == "True\n"
