"""The web server as it is used here: signals are the caller's, and connections are bounded, in number and in patience.

Each connection holds a descriptor, and the archive needs some as well: so there are no more connections than the limit
of descriptors leaves room for. Who comes when all are taken gets the place of the one that has waited longest without a
request; if every other is being answered, it is told so and let go.

ASGI knows no way to cut a connection whose client does not read: its last bytes would wait for ever.
"""

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from capsim_dagster.errors import PublicationError

_GRACE_S: Final = 1
"""So long answers that are under way may take when the server ends [s]."""
_RESERVE: Final = 64
"""Descriptors that connections leave to the archive, the event loop and modules; about 20 are open at any time."""
_WAITING_S: Final = 10.0
"""So long a connection may be without a whole request [s]."""
_ANSWERING_S: Final = 120.0
"""So long a client may take to read an answer that is no stream [s]."""
_SWEEP_S: Final = 1.0
_BACK_OFF_S: Final = 0.25
"""After this it is tried again to accept, where the system refused [s]."""
_FULL: Final = b"""HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 10\r\n\
content-type: application/json\r\ncontent-length: 55\r\n\r\n{"error":"all connections are taken; try again later"}
"""


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens, port 0 = on any that is free; who connects early waits until it is served.

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


def room_for_connections(wanted: int) -> int:
    """Return how many of the connections wanted, 1 and up, there may be; get the process descriptors for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _RESERVE
    if needed > soft != resource.RLIM_INFINITY:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(min(wanted, soft - _RESERVE), 1)


def stays(request: Request) -> None:
    """Let the connection of a request stay, however long it takes to answer it."""
    request.state.stays = True


class _Connection(H11Protocol):
    """A connection, which knows since when it is as it is."""

    since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        self.since = self.loop.time()
        super().connection_made(transport)

    def on_response_complete(self) -> None:
        """Begin to wait for the next one."""
        self.since = self.loop.time()
        super().on_response_complete()

    @property
    def is_answered(self) -> bool:
        """Whether a request is being answered."""
        # Before its first request it has no cycle, though its type says so.
        return bool(self.cycle) and not self.cycle.response_complete

    @property
    def is_sending(self) -> bool:
        """Whether it has not sent yet all that it was answered."""
        return self.is_answered or self.transport.get_write_buffer_size() > 0

    @property
    def stays(self) -> bool:
        """Whether its client may take any time."""
        return self.is_answered and bool(self.scope.get("state", {}).get("stays"))

    def cut(self) -> None:
        """Close it at once; what was not sent is lost."""
        self.transport.abort()


class LiveServer(uvicorn.Server):
    """A web server that leaves signals alone, and has so many connections at most."""

    def __init__(self, app: ASGIApp, listener: socket.socket, max_connections: int) -> None:
        """Serve nothing yet."""
        options: dict[str, Any] = {"http": _Connection, "ws": "none", "lifespan": "off", "loop": "asyncio"}
        options |= {"log_config": None, "log_level": "error", "access_log": False, "proxy_headers": False}
        super().__init__(uvicorn.Config(app, server_header=False, timeout_graceful_shutdown=_GRACE_S, **options))
        self._listener, self._max_connections = listener, max_connections
        self._tasks: list[asyncio.Task[None]] = []

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 it has its listener
        """Begin to accept; the web server's own way runs into the limit of descriptors and knows no other bound."""
        await super().startup(sockets=[])
        self._listener.setblocking(False)
        self._tasks = [asyncio.create_task(self._accept_all()), asyncio.create_task(self._sweep_all())]

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to end; a task that failed is the reason to."""
        for task in self._tasks:
            if task.done():
                task.result()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and end what is under way."""
        for task in self._tasks:
            task.cancel()
        await super().shutdown(sockets)

    def abort(self, scope: Scope) -> None:
        """Cut the connection that a request came on."""
        for each in self._connections():
            if each.client is not None and each.client == tuple(scope["client"] or ()):
                each.cut()

    async def _accept_all(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _address = await loop.sock_accept(self._listener)
            except OSError:
                # No descriptor or memory is left, though there should be: the archive is not to lack one for long.
                self._cut_longest_waiting()
                await asyncio.sleep(_BACK_OFF_S)
                continue
            if len(self.server_state.connections) >= self._max_connections and not self._cut_longest_waiting():
                _refuse(peer)
            else:
                with suppress(OSError):
                    await loop.connect_accepted_socket(self._protocol, peer)
            # A connection that was cut is closed in the next turn of the loop, where the archive has one as well.
            await asyncio.sleep(0)

    def _protocol(self) -> _Connection:
        return _Connection(self.config, self.server_state, {})

    def _connections(self) -> list[_Connection]:
        return [each for each in self.server_state.connections if isinstance(each, _Connection)]

    def _cut_longest_waiting(self) -> bool:
        """Cut the connection that has waited longest; return whether there is one, closed or about to be."""
        idle = [each for each in self._connections() if not each.is_answered]
        if not idle:
            return False
        min(idle, key=lambda each: (not each.transport.is_closing(), each.is_sending, each.since)).cut()
        return True

    async def _sweep_all(self) -> None:
        """Cut connections that wait too long, again and again."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = asyncio.get_running_loop().time()
            for each in self._connections():
                if not each.stays and now - each.since > (_ANSWERING_S if each.is_sending else _WAITING_S):
                    each.cut()


def _refuse(peer: socket.socket) -> None:
    """Say that there is no room, to who can still hear it, and close."""
    with peer, suppress(OSError):
        peer.setblocking(False)
        peer.send(_FULL)
