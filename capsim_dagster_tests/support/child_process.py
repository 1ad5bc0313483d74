"""A Python process of its own, that a test starts, waits for and may kill."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

READY: Final = 'print("ready", flush=True); sys.stdin.readline()\n'
"""Code with which a child says that it is where the test wants it, and stays there."""
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
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-u", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no permission to change the host name")
    return [unshare, "-u", "sh", "-c", 'hostname "$0" && exec "$@"', name]
