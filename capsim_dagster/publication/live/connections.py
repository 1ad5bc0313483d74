"""The web server as it is used here: signals are the caller's, and a connection can be cut.

ASGI knows no way to cut a connection whose client does not read: its last bytes would wait for ever.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from capsim_dagster.errors import PublicationError

_GRACE_S: Final = 1
"""So long answers that are under way may take when the server ends [s]."""


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens; who connects early waits until it is served.

    Args:
        host: Address, or a name.
        port: Port; 0 = any that is free.

    Raises:
        PublicationError: If it cannot be had.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            raise PublicationError(
                f"{host} port {port} cannot be had: {error.strerror or error}",
                remedy="name another --port (0 = any that is free) or --host, or end the program that has it",
            ) from None
        yield listener


def url_of(listener: socket.socket) -> str:
    """Return the address of a socket for a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Connections:
    """The connections that are open, by the address at the other end."""

    def __init__(self) -> None:
        """Start with none."""
        self._open: dict[tuple[str, int], asyncio.BaseTransport] = {}

    def abort(self, scope: Scope) -> None:
        """Cut the connection that a request came on; what was not sent is lost."""
        transport = self._open.get(tuple(scope["client"] or ()))
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()

    def protocol(self) -> type[asyncio.Protocol]:
        """Return a protocol whose connections are known here."""
        known = self._open

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                known[transport.get_extra_info("peername")[:2]] = transport
                super().connection_made(transport)  # type: ignore[arg-type]

            def connection_lost(self, exc: Exception | None) -> None:
                known.pop(self.transport.get_extra_info("peername")[:2], None)
                super().connection_lost(exc)

        return Protocol


class QuietServer(uvicorn.Server):
    """A web server that leaves signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def web_server(app: ASGIApp, connections: Connections) -> QuietServer:
    """Return a web server for an application."""
    options: dict[str, Any] = {"http": connections.protocol(), "ws": "none", "lifespan": "off", "loop": "asyncio"}
    options |= {"log_config": None, "log_level": "error", "access_log": False, "proxy_headers": False}
    return QuietServer(uvicorn.Config(app, server_header=False, timeout_graceful_shutdown=_GRACE_S, **options))
