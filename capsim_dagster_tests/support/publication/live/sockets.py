"""Bare connections to a server, and a bare server of any application."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from capsim_dagster.publication.live.connections import LiveServer, listening

IDLE: Final = b""
HALF_A_HEAD: Final = b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "
LATEST: Final = b"GET /latest HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 4
HEALTH: Final = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
STREAM: Final = b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def connected(port: int, text: bytes = IDLE) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(text)
    return client


def heard(client: socket.socket) -> bytes:
    """Return all that comes until the connection is closed."""
    found = b""
    while piece := client.recv(1 << 16):
        found += piece
    return found


def next_line(stream: socket.socket) -> bytes:
    """Return what comes next, some bytes at least."""
    found = stream.recv(1 << 16)
    assert found
    return found


@contextmanager
def bare_server(app: ASGIApp, max_connections: int) -> Iterator[int]:
    """Yield the port of a server of any application, in a thread of its own."""
    with listening("127.0.0.1", 0) as listener:
        server = LiveServer(app, listener, max_connections)
        thread = threading.Thread(target=asyncio.run, args=(server.serve(),))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("well")(scope, receive, send)
