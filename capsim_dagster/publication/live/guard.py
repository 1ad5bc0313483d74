"""Who may ask: on loopback anyone who came for this machine, elsewhere, and where one is set, who shows the token.

On loopback a browser may bring the pages of others along, and so two things are looked at. `Host` is a name of this
machine: a page of another site may point its own name here (DNS rebinding), and that name gives it away. And the
request comes from a page that was served here: `Origin` names what `Host` names, and `Sec-Fetch-Site`, which every
browser of today sends, says so where there is no `Origin`. The port is that of `Host`, not the one bound: a tunnel has
its own.

The token comes in the header `Authorization` alone: a query would leave it in histories and logs. The page is served to
anyone, as it holds nothing of the fleet; it asks for the token and sends it in that header.
"""

import hmac
import ipaddress
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from capsim_dagster.errors import SettingsError

TOKEN_VARIABLE: Final = "CAPSIM_LIVE_TOKEN"  # noqa: S105 the name of a variable
MIN_TOKEN_LENGTH: Final = 16
_TOKEN: Final = re.compile(rf"[!-~]{{{MIN_TOKEN_LENGTH},}}")
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_token(host: str, token: str | None) -> str | None:
    """Return the token that callers of a server bound to an address must show, if the environment holds one, or None.

    Raises:
        SettingsError: If there must be one and is not, or it is too short.
    """
    if not token:
        if is_loopback(host):
            return None
        raise SettingsError(
            f"{host} is not loopback, and {TOKEN_VARIABLE} is not set: the fleet would be open to anyone",
            remedy=f"set {TOKEN_VARIABLE} to {MIN_TOKEN_LENGTH} characters or more, or bind to 127.0.0.1",
        )
    if not _TOKEN.fullmatch(token):
        raise SettingsError(
            f"{TOKEN_VARIABLE} is shorter than {MIN_TOKEN_LENGTH} characters, or holds others than visible ASCII",
            remedy=f"set it to {MIN_TOKEN_LENGTH} or more letters, digits and signs, at random",
        )
    return token


class Guard:
    """Lets through who may ask, and answers the others."""

    def __init__(self, app: ASGIApp, host: str, token: str | None = None, public: Collection[str] = ()) -> None:
        """Stand before an application bound to an address; without a token none is asked for, nor for public paths."""
        self._app = app
        self._names = _LOCAL_NAMES | {host}
        self._token = token.encode() if token else None
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        app = self._app
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            # With a token any name will do, as a proxy hands on the one that it was asked by.
            refusal = self._without_token(scope, headers) if self._token is None else self._by_token(scope, headers)
            if refusal:
                app = refusal if scope["type"] == "http" else WebSocketClose()
        await app(scope, receive, send)

    def _without_token(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        if _name(headers.get("host", "")) not in self._names:
            return JSONResponse({"error": "this server answers to the names of this machine only"}, 403)
        if not (_is_own_page(headers) or _is_visit(scope, headers)):
            return JSONResponse({"error": "this server answers to its own pages only, not to those of others"}, 403)
        return None

    def _by_token(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        if scope["path"] in self._public:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if self._token and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
            return None
        return JSONResponse(
            {"error": "show the token: Authorization: Bearer ..."}, 401, headers={"WWW-Authenticate": "Bearer"}
        )


def _is_own_page(headers: Headers) -> bool:
    """Return whether a page that was served here asks, or no page: a person, a script, a scraper."""
    origin = headers.get("origin")
    is_own = origin is None or origin.lower().partition("://")[2] == headers.get("host", "").lower()
    return is_own and headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _is_visit(scope: Scope, headers: Headers) -> bool:
    """Return whether a person follows a link to here: a page of its own window, and no form that is sent."""
    is_top = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return is_top and scope.get("method") == "GET"


def _name(host: str) -> str:
    """Return the name in a header `Host`, without the port; empty = it holds none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
