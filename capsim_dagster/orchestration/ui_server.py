"""The process behind `capsim ui`: code servers, daemon and web server of Dagster, as `dagster dev` starts them.

`dagster dev` itself offers no way to put a guard before its web server, which trusts whoever reaches it: any page in
the same browser could wipe the history of an asset. Beside its application are the pages of capsim.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import dagster as dg
import uvicorn
import yaml
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from capsim_dagster.errors import CapsimError
from capsim_dagster.orchestration import dagster_private as private
from capsim_dagster.orchestration.keys import AUDIT_URL, PICTURES_URL
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.publication.live.guard import Guard
from capsim_dagster.settings import directory_settings
from capsim_dagster.storage import DataLayout

_GRAPHQL: Final = "/graphql"
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_NOT_MADE: Final = (
    "<!doctype html><title>capsim</title><p>This page was not made yet: materialize refinery_audit, or run "
)


def ui_app(dagster: ASGIApp, instance: dg.DagsterInstance, layout: DataLayout, *, host: str) -> ASGIApp:
    """Return the application."""
    pages = [*_pages({AUDIT_URL: (layout.audit, "capsim audit")}), _pictures(instance, layout)]
    return Guard(Starlette(routes=[*pages, Mount("/", _PostsQueries(dagster))]), host)


def _pictures(instance: dg.DagsterInstance, layout: DataLayout) -> Route:
    """Return the route of the pictures beside assets, each drawn when it is asked for and has changed."""

    def picture(request: Request) -> Response:
        # Drawing loads matplotlib: a server that nobody asks for a picture is smaller without.
        from capsim_dagster.orchestration.checks import check_trends
        from capsim_dagster.pictures.gallery import picture_beside

        asset, name = request.path_params["asset"], request.path_params["name"]
        try:
            chosen = directory_settings(overrides={"storage": {"local_base_path": layout.root}})
        except CapsimError as error:
            return JSONResponse({"error": str(error)}, 503)
        drawn = picture_beside(Platform(chosen.settings), asset, name, lambda: check_trends(instance))
        if drawn is None:
            return JSONResponse({"error": f"{asset} has no picture {name}"}, 404)
        return Response(drawn, media_type="image/svg+xml", headers=_HEADERS)

    return Route(f"{PICTURES_URL}/{{asset}}/{{name}}", picture)


def _pages(files: Mapping[str, tuple[Path, str]]) -> list[Route]:
    """Return the route of each page, by its URL: the file that holds it, and the command that makes it."""

    def page(request: Request) -> Response:
        path, command = files[request.url.path]
        try:
            return HTMLResponse(path.read_bytes(), headers=_HEADERS)
        except FileNotFoundError:
            return HTMLResponse(f"{_NOT_MADE}<code>{command}</code>.</p>", 404, headers=_HEADERS)

    return [Route(url, page) for url in files]


class _PostsQueries:
    """Refuses GraphQL in an address: a link of another site, followed by a person, would change something here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        is_address = scope["type"] == "http" and scope["method"] != "POST" and scope["query_string"]
        if is_address and scope["path"].rstrip("/") == _GRAPHQL:
            app = JSONResponse({"error": "a query is sent by POST"}, 405, headers={"Allow": "POST"})
        await app(scope, receive, send)


_LOG_LEVEL: Final = "warning"
_POLL_SECONDS: Final = 1.0
_POLL_MS: Final = 2000
"""How often a page asks for what is new."""
_END_SECONDS: Final = 3
"""What open pages are left when the server ends; they would stay for ever."""
_DAEMON_END_SECONDS: Final = 10.0


def main(arguments: Sequence[str]) -> int:
    """Serve until an interrupt; return the exit code. Arguments: host, port, data directory, workspace files."""
    host, port, root, *workspaces = arguments
    private.configure_loggers(log_level=_LOG_LEVEL.upper())
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        instance = stack.enter_context(dg.DagsterInstance.get())
        workspace = stack.enter_context(_code_servers(instance, workspaces))
        daemon = stack.enter_context(_daemon(workspace))
        target = private.WorkspaceFileTarget([str(workspace)])
        context = stack.enter_context(private.WorkspaceProcessContext(instance, target, version=__version__))
        dagster = DagsterWebserver(context, live_data_poll_rate=_POLL_MS).create_asgi_app()
        app = ui_app(dagster, instance, DataLayout(Path(root)), host=host)
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
