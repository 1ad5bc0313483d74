"""What `capsim ui` answers: Dagster's own web application behind the guard, and the pages of capsim beside it.

Dagster's server trusts whoever reaches it: any page in the same browser could wipe the history of an asset.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from capsim_dagster.publication.live.guard import Guard
from capsim_dagster.storage import DataLayout

AUDIT_URL: Final = "/capsim/audit"
"""Where the audit page is served; it stands in the metadata of an asset without a host, as the port may change."""
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


def ui_app(dagster: ASGIApp, layout: DataLayout, *, host: str) -> ASGIApp:
    """Return the application."""
    routes = [*_pages({AUDIT_URL: (layout.audit, "capsim audit")}), Mount("/", _PostsQueries(dagster))]
    return Guard(Starlette(routes=routes), host)


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
