"""`capsim` in processes of its own that have loaded before what a command needs: that costs more than a small fleet.

Such a process is as real as one of a shell: it has its own streams, signals and host name, ends with its own exit code,
and can be killed. What a process of a shell does before the command begins is a test of its own.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Final

from capsim_dagster_tests.support.child_process import FORK, Fork, Nursery, nursery

NEEDED: Final = (
    "capsim_dagster.definitions",
    *(f"capsim_dagster.cli.{name}" for name in ("archive", "backfill", "refine", "run", "tier1", "tier3")),
    *(f"capsim_dagster.orchestration.{name}" for name in ("command_runs", "instance", "launch")),
    "capsim_dagster.publication.live.serve",
    "holidays.countries",
    # What others load once they are used.
    "pandas",
    "upath",
)
CAPSIM: Final = f"""
from capsim_dagster_tests.support.commands import load, run
load()
{FORK}
run(*sys.argv[1:])
"""
_NAMES: Final = count()
_CLONE_NEWUTS: Final = 0x04000000


def load() -> None:
    """Load what commands need."""
    for name in NEEDED:
        import_module(name)


def run(folder: str, environment: str, host: str, *words: str) -> None:
    """Become a command that writes what it says to files in a folder."""
    os.environ.clear()
    os.environ.update(json.loads(environment))
    for number, name in enumerate((os.devnull, f"{folder}/out", f"{folder}/err")):
        opened = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    # As the interpreter opens them when it starts.
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering=1, encoding=os.environ.get("PYTHONIOENCODING"))  # noqa: PTH123, SIM115 to its end
        for number, mode in enumerate("rww")
    )
    if host:
        _go_to(host)
    sys.argv[:] = ["capsim", *words]

    from capsim_dagster.cli import main

    main()


def _go_to(host: str) -> None:
    """Give this process a host name of its own, as `unshare -u` does."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUTS):
        raise OSError(ctypes.get_errno(), "unshare")
    socket.sethostname(host)


@dataclass(frozen=True)
class Command:
    """A command that is running, or has ended.

    Attributes:
        process: Its process.
        folder: Where what it says goes.
    """

    process: Fork
    folder: Path

    @property
    def out(self) -> str:
        """What it has said so far."""
        return self._said("out")

    @property
    def err(self) -> str:
        """What it has said so far of errors."""
        return self._said("err")

    def _said(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""

    def until_it_says(self, start: str) -> None:
        """Wait for a line with this start."""
        while not any(line.startswith(start) for line in self.out.splitlines()):
            assert not self.process.is_over(), self.out + self.err
            time.sleep(0.01)

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        return self.process.wait()


@dataclass(frozen=True)
class Capsim:
    """What starts commands.

    Attributes:
        processes: Where they begin.
        folder: Where what they say goes.
    """

    processes: Nursery
    folder: Path

    @contextmanager
    def started(self, *words: str | Path, host: str = "") -> Iterator[Command]:
        """Yield a command that has just begun, on a host of another name; it is gone afterwards."""
        folder = self.folder / str(next(_NAMES))
        folder.mkdir()
        environment = json.dumps(dict(os.environ))
        with self.processes.child(folder, environment, host, *words) as process:
            yield Command(process, folder)

    def done(self, *words: str | Path, host: str = "") -> Command:
        """Let a command run to its end, and return it."""
        with self.started(*words, host=host) as command:
            command.wait()
        return command


@contextmanager
def capsim_loaded(folder: Path) -> Iterator[Capsim]:
    """Yield what starts commands, which say what they say in a folder."""
    with nursery(CAPSIM) as processes:
        yield Capsim(processes, folder)
