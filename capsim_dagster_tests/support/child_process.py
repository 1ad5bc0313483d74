"""A Python process of its own, that a test starts, waits for and may kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psutil
import pytest

READY: Final = 'print("ready", flush=True); sys.stdin.readline()\n'
"""Code with which a child says that it is where the test wants it, and stays there."""
FORK: Final = """
import gc, json, os
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    if not line.strip():
        continue  # a child was let go that was gone already
    if not os.fork():
        sys.argv[1:] = json.loads(line)
        print(os.getpid(), flush=True)
        break
    print("ended", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
else:
    sys.exit()
"""
"""Code from which on each child of a `Nursery` goes its own way, with arguments of its own.

What was loaded before is frozen: to look for garbage among it cost a child more than a second.
"""
OPEN_PLATFORM: Final = """
import json, sys
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import Settings
platform = Platform(Settings.model_validate(json.loads(sys.argv[1])))
"""
"""Code that makes `platform` from settings given as the first argument, in JSON."""


@contextmanager
def started(code: str, *arguments: object, host: str = "") -> Iterator[subprocess.Popen[str]]:
    """Yield a process that runs `code`, on a host of another name, and has come to `READY`; it is gone afterwards."""
    command = [*(on_host(host) if host else ()), sys.executable, "-c", f"import sys\n{code}", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


class Fork:
    """A child of a nursery, which runs what comes after `FORK`."""

    def __init__(self, nursery: subprocess.Popen[str], arguments: tuple[object, ...]) -> None:
        self._nursery = nursery
        self._say(json.dumps([str(argument) for argument in arguments]))
        self._pid = int(self.said())
        self._code: int | None = None

    def _say(self, text: str) -> None:
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(f"{text}\n")
        self._nursery.stdin.flush()

    def said(self) -> str:
        """Return the next line that the child says, or the nursery of its end."""
        assert self._nursery.stdout is not None
        return self._nursery.stdout.readline().rstrip("\n")

    def until_ready(self) -> None:
        """Wait until the child has come to `READY`."""
        assert self.said() == "ready"

    def let_go(self) -> None:
        """Let the child run on from `READY`, without waiting for it."""
        self._say("")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self._pid, number)

    def is_over(self) -> bool:
        """Return whether the child is gone."""
        return self._code is not None or not psutil.pid_exists(self._pid)

    def kill(self) -> None:
        """Send SIGKILL and wait until the child is gone."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Wait until the child is gone, and return its exit code."""
        while self._code is None:
            word, _, code = self.said().partition(" ")
            self._code = int(code) if word == "ended" else None
        return self._code


class Nursery:
    """A process that has loaded what a test needs, and has children: loading costs more than what is killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @contextmanager
    def child(self, *arguments: object) -> Iterator[Fork]:
        """Yield a child that has just begun; it is gone afterwards."""
        fork = Fork(self._process, arguments)
        try:
            yield fork
        finally:
            fork.kill()


@contextmanager
def nursery(code: str, *, host: str = "") -> Iterator[Nursery]:
    """Yield a process that has come to `FORK`, on a host of another name; it is gone afterwards."""
    with started(code, host=host) as process:
        yield Nursery(process)


def let_go(process: subprocess.Popen[str]) -> None:
    """Let a child that stays at `READY` run on, without waiting for it."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def kill(process: subprocess.Popen[str]) -> None:
    """Send SIGKILL and wait until the process is gone."""
    process.kill()
    process.wait()


def on_host(name: str) -> list[str]:
    """Return what stands before a command so that it runs under another host name, as in a container of its own."""
    return [require_host_names(), "-u", "sh", "-c", 'hostname "$0" && exec "$@"', name]


def require_host_names() -> str:
    """Skip the test where this user may give no process a host name of its own; return what gives one."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-u", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no permission to change the host name")
    return unshare
