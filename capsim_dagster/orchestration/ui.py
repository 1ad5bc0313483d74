"""The Dagster UI with its daemon, as one command that starts, says when it is ready, and ends cleanly."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from capsim_dagster.errors import CapsimError
from capsim_dagster.orchestration.instance import prepare_home, workspace_files
from capsim_dagster.settings import CONFIG_ENV, DEFAULT_CONFIG_ENV, find_config, named_config
from capsim_dagster.storage import DataLayout

LOOPBACK: Final = "127.0.0.1"
"""The only address that the UI is bound to."""
DEFAULT_PORT: Final = 3000
_POLL_SECONDS: Final = 0.25
_TAIL_LINES: Final = 20
_REMEDY: Final = "mend what its log tells (--verbose shows it here), and start it again"
_END_SECONDS: Final = 15.0
"""Dagster ends its four processes within four seconds; what is still there after this is killed."""


class UiError(CapsimError):
    """The UI cannot be started."""


def serve(
    layout: DataLayout,
    *,
    port: int | None,
    environment: Mapping[str, str],
    announce: Callable[[str], None],
    workspace: Path | None = None,
    log: Path | None = None,
) -> int:
    """Run web server and daemon until Ctrl-C or SIGTERM; return the exit code.

    The port is on loopback; without one it is the usual one, or a free one where it is taken. `environment` carries
    config file and data directory to the processes started, `announce` is told the address once the UI answers, and
    what the processes print goes into the log, or to the terminal. A workspace names code locations to show beside this
    one; without one it is the `workspace.yaml` that is at hand.

    Raises:
        UiError: If the port is taken, or the UI ends on its own.
        SettingsError: If the workspace cannot be read.
    """
    bound = _bindable(port)
    address = f"http://{LOOPBACK}:{bound}"
    process = _start(layout, str(bound), workspace_files(layout, workspace), environment, log)
    is_ready = False
    with _forwarded_signals(process) as ending:
        while process.poll() is None:
            if not is_ready and _answers(address):
                is_ready = True
                announce(address)
            if ending and time.monotonic() > ending[0] + _END_SECONDS:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
    if ending:
        return 0
    told = f":\n{_tail(log)}" if log else ""
    raise UiError(f"the UI ended on its own, exit code {process.returncode}{told}", remedy=_REMEDY)


def _start(
    layout: DataLayout, port: str, workspaces: Sequence[Path], environment: Mapping[str, str], log: Path | None
) -> "subprocess.Popen[bytes]":
    """Start the server in a session of its own, so that signals reach it once and from here."""
    home = prepare_home(layout)
    command = [sys.executable, "-W", "ignore", "-m", "capsim_dagster.orchestration.ui_server", LOOPBACK, port]
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log else None
        return subprocess.Popen(
            [*command, str(layout.root.absolute()), *(str(path.absolute()) for path in workspaces)],
            # Modules that a workspace names are sought in its folder, as where `dagster dev` is started there.
            cwd=workspaces[0].absolute().parent,
            env={**os.environ, **environment, "DAGSTER_HOME": str(home.absolute()), "DAGSTER_IS_DEV_CLI": "1"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])


@contextmanager
def _forwarded_signals(process: "subprocess.Popen[bytes]") -> Iterator[list[float]]:
    """Pass Ctrl-C and SIGTERM on as one interrupt; yield when they came, in seconds of the monotonic clock."""
    received: list[float] = []

    def end(_number: int, _frame: FrameType | None) -> None:
        received.append(time.monotonic())
        if len(received) == 1 and process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=2) as response:  # noqa: S310 our own loopback
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _bindable(port: int | None) -> int:
    """Return a port that is free on loopback."""
    for candidate in [port] if port else [DEFAULT_PORT, 0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UiError(f"port {port} on {LOOPBACK} is taken", remedy="name another with --port, or leave it out")


def child_environment(config: Path | None, data_dir: Path, fleet: Mapping[str, object]) -> dict[str, str]:
    """Return the variables that give a child process the same settings from any folder.

    Those of `data_generation` that are None were not chosen on the command line.
    """
    chosen = {f"CAPSIM__DATA_GENERATION__{name.upper()}": str(value) for name, value in fleet.items() if value}
    named = named_config(config)
    variable = CONFIG_ENV if named else DEFAULT_CONFIG_ENV
    return {
        variable: str((named or find_config(None)).absolute()),
        "CAPSIM__STORAGE__LOCAL_BASE_PATH": str(data_dir.absolute()),
        **chosen,
    }
