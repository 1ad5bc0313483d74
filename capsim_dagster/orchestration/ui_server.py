"""The process behind `capsim ui`: code servers, daemon and web server of Dagster, as `dagster dev` starts them.

`dagster dev` itself offers no way to put a guard before its web server.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import dagster as dg
import uvicorn
import yaml
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver

from capsim_dagster.orchestration import dagster_private as private
from capsim_dagster.orchestration.ui_app import ui_app
from capsim_dagster.storage import DataLayout

_LOG_LEVEL: Final = "warning"
_POLL_SECONDS: Final = 1.0
_POLL_MS: Final = 2000
"""How often a page asks for what is new."""
_END_SECONDS: Final = 3
"""What open pages are left when the server ends; they would stay for ever."""
_DAEMON_END_SECONDS: Final = 10.0


def main(arguments: Sequence[str]) -> int:
    """Serve until an interrupt; return the exit code.

    Args:
        arguments: Host, port, data directory, and the workspace files.
    """
    host, port, root, *workspaces = arguments
    private.configure_loggers(log_level=_LOG_LEVEL.upper())
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        instance = stack.enter_context(dg.DagsterInstance.get())
        workspace = stack.enter_context(_code_servers(instance, workspaces))
        daemon = stack.enter_context(_daemon(workspace))
        target = private.WorkspaceFileTarget([str(workspace)])
        context = stack.enter_context(private.WorkspaceProcessContext(instance, target, version=__version__))
        dagster = DagsterWebserver(context, live_data_poll_rate=_POLL_MS).create_asgi_app()
        app = ui_app(dagster, DataLayout(Path(root)), host=host)
        asyncio.run(_serve(_server(app, host, int(port)), daemon))
        return daemon.returncode or 1
    return 0


@contextmanager
def _code_servers(instance: dg.DagsterInstance, workspaces: Sequence[str]) -> Iterator[Path]:
    """Start the servers of all code locations, once for web server and daemon; yield the workspace that names them."""
    target = private.WorkspaceFileTarget(list(workspaces))
    starting = private.proxy_server_manager()
    with starting(instance, target, _LOG_LEVEL) as servers, tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace.yaml"
        workspace.write_text(yaml.safe_dump({"load_from": list(servers.get_code_server_specs())}), encoding="utf-8")
        yield workspace


@contextmanager
def _daemon(workspace: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run the daemon: schedules, sensors, backfills, queued runs."""
    command = [sys.executable, "-W", "ignore", "-m", "dagster._daemon", "run", "--workspace", str(workspace)]
    daemon = subprocess.Popen([*command, "--log-level", _LOG_LEVEL, "--code-server-log-level", _LOG_LEVEL])
    try:
        yield daemon
    finally:
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGINT)
        try:
            daemon.wait(_DAEMON_END_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()


def _server(app: object, host: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=host,
        port=port,
        log_level=_LOG_LEVEL,
        timeout_graceful_shutdown=_END_SECONDS,
    )
    return uvicorn.Server(config)


async def _serve(server: uvicorn.Server, daemon: "subprocess.Popen[bytes]") -> None:
    """Serve until an interrupt, or until the daemon has ended: without it runs would queue for ever."""
    serving = asyncio.create_task(server.serve())
    while not serving.done():
        server.should_exit |= daemon.poll() is not None
        await asyncio.wait([serving], timeout=_POLL_SECONDS)
    await serving


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is closed; Python would spend two CPU seconds on giving back what it loaded, and Ctrl-C waits for it.
    os._exit(code)
