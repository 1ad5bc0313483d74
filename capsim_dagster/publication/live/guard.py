"""Who may ask: on loopback anyone who came for this machine, elsewhere, and where one is set, who shows the token.

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
    """Return the token that callers must show; None = none.

    Args:
        host: Address that the server is bound to.
        token: What the environment holds; None or empty = nothing.

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

    def __init__(self, app: ASGIApp, host: str, token: str | None, public: Collection[str]) -> None:
        """Stand before an application.

        Args:
            app: The application.
            host: Address that the server is bound to.
            token: What callers must show; None = nothing.
            public: Paths that need no token.
        """
        self._app = app
        self._names = _LOCAL_NAMES | {host} if token is None else None
        self._token = token.encode() if token else None
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        app = self._app
        if scope["type"] == "http":
            app = self._refusal(scope["path"], Headers(scope=scope)) or app
        await app(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> ASGIApp | None:
        # A page of another site may point its own name at this machine (DNS rebinding): that name gives it away, where
        # no token does. With a token any name will do, as a proxy hands on the one that it was asked by.
        if self._names is not None and _name(headers.get("host", "")) not in self._names:
            return JSONResponse({"error": "this server answers to the names of this machine only"}, 403)
        if self._token is None or path in self._public:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
            return None
        return JSONResponse(
            {"error": "show the token: Authorization: Bearer ..."}, 401, headers={"WWW-Authenticate": "Bearer"}
        )


def _name(host: str) -> str:
    """Return the name in a header `Host`, without the port; empty = it holds none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
