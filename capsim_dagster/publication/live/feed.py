"""The intervals that are held for clients, and the clients, each with how far it has come.

Every client reads the same bytes at its own pace; what is held is the queue of all of them. A client that lags behind
further than that is told so and dropped, so none can hold up the others for long. For one event loop.

A stream is an answer that does not end. A client that does not read keeps its last write waiting. When it is dropped,
that write is given up, which leaves only whole intervals behind; it is told why, if it reads on within a second, and
its connection is cut otherwise.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Receive, Scope, Send

from capsim_dagster.publication.live.interval import Interval

Encode = Callable[[Interval], bytes]
"""Makes the bytes of an interval that all clients of a kind share."""
Abort = Callable[[Scope], None]
"""Cuts the connection that a request came on."""

_POLL_S: Final = 0.005
_FAREWELL_S: Final = 1.0
"""So long a client that is let go may take to read on."""
_KEEPALIVE_S: Final = 15.0
"""So often a silent stream of events says that it is still there: proxies cut what is silent for a minute."""
_KEEPALIVE: Final = b": no news\n\n"
EVENTS_TYPE: Final = "text/event-stream"
LINES_TYPE: Final = "application/x-ndjson"


@dataclass(eq=False)
class Client:
    """One who reads the feed, and has news when an interval came.

    Attributes:
        sent: Number of the last interval that it was sent, or does not want.
        missed: Intervals that it asked for and that are no longer held.
        is_dropped: Whether it lagged behind too far.
        ended: Set when it is dropped, or the feed is closed.
    """

    sent: int
    missed: int
    is_dropped: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """The last intervals, and those who read them.

    Attributes:
        max_backlog: Intervals that are held, and that a client may lag behind.
        dropped: Clients that were dropped so far.
        is_closed: Whether no more intervals come.
    """

    def __init__(
        self,
        max_backlog: int,
        on_drop: Callable[[Client], None] = lambda _client: None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold nothing; `max_backlog` is 1 and up, and `monotonic` tells seconds that never go back."""
        self.max_backlog = max_backlog
        self.dropped = 0
        self.is_closed = False
        self._on_drop = on_drop
        self._monotonic = monotonic
        self._published_s = monotonic()
        self._held: deque[Interval] = deque(maxlen=max_backlog)
        self._clients: set[Client] = set()

    @property
    def clients(self) -> int:
        """How many read it."""
        return len(self._clients)

    @property
    def newest(self) -> Interval | None:
        """The current interval; None = none was emitted."""
        return self._held[-1] if self._held else None

    @property
    def held(self) -> tuple[Interval, ...]:
        """The intervals that are held, the oldest first."""
        return tuple(self._held)

    @property
    def silent_s(self) -> float:
        """How long ago the last interval came, or it was begun with, whatever the clock on the wall says [s]."""
        return self._monotonic() - self._published_s

    @property
    def largest_lag(self) -> int:
        """Intervals that the slowest client was not sent yet."""
        newest = self._held[-1].number if self._held else 0
        return max((newest - client.sent for client in self._clients), default=0)

    def publish(self, interval: Interval) -> None:
        """Give an interval to all clients; those that lag too far behind are dropped."""
        self._held.append(interval)
        self._published_s = self._monotonic()
        for client in list(self._clients):
            if interval.number - client.sent > self.max_backlog:
                self._drop(client)
            client.news.set()

    def close(self) -> None:
        """Let every client go once it has what is held."""
        self.is_closed = True
        for client in self._clients:
            client.news.set()
            client.ended.set()

    @contextmanager
    def subscribed(self, after: int | None = None) -> Iterator[Client]:
        """Yield a client that has the intervals up to `after`, and forget it afterwards.

        Without it, or where that one has not come, the client begins with the current one.
        """
        client = self._client(after)
        self._clients.add(client)
        if self.is_closed:
            client.ended.set()
        try:
            yield client
        finally:
            self._clients.discard(client)

    async def next_for(self, client: Client) -> Interval | None:
        """Return the next interval for a client when it is there; None = no more come."""
        while (interval := self._after(client.sent)) is None:
            if self.is_closed:
                return None
            client.news.clear()
            await client.news.wait()
        return interval

    async def wait_for_clients(self, seconds: float) -> None:
        """Wait while a client lags behind by more than half of what it may, but not longer than so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.largest_lag > self.max_backlog // 2 and not self.is_closed:
                    await asyncio.sleep(_POLL_S)

    def _client(self, after: int | None) -> Client:
        if not self._held:
            return Client(-1 if after is None else after, 0)
        oldest, newest = self._held[0].number, self._held[-1].number
        if after is None or after > newest:
            return Client(newest - 1, 0)
        return Client(max(after, oldest - 1), max(oldest - 1 - after, 0))

    def _after(self, number: int) -> Interval | None:
        """Return the interval after one; of those that were skipped, the first that is held."""
        if not self._held or self._held[-1].number <= number:
            return None
        return self._held[max(number + 1 - self._held[0].number, 0)]

    def _drop(self, client: Client) -> None:
        self._clients.discard(client)
        self.dropped += 1
        client.is_dropped = True
        client.ended.set()
        self._on_drop(client)


@dataclass(frozen=True)
class Stream:
    """What a client asked for, from the interval after one on; None = it begins with the current one."""

    feed: Feed
    encode: Encode
    abort: Abort
    is_events: bool
    after: int | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send intervals until the client goes, is dropped, or no more come."""
        with self.feed.subscribed(self.after) as client:
            await send(self._start(client))
            sending = asyncio.create_task(self._send_all(client, send))
            others = [asyncio.create_task(_until_gone(receive)), asyncio.create_task(client.ended.wait())]
            try:
                await asyncio.wait([sending, *others], return_when=asyncio.FIRST_COMPLETED)
                if client.ended.is_set():
                    await self._take_leave(client, sending, scope, send)
            finally:
                for task in (sending, *others):
                    task.cancel()
                await asyncio.gather(sending, *others, return_exceptions=True)

    def _start(self, client: Client) -> dict[str, object]:
        kind = EVENTS_TYPE if self.is_events else LINES_TYPE
        headers = {"content-type": f"{kind}; charset=utf-8", "cache-control": "no-store", "x-accel-buffering": "no"}
        if client.missed:
            headers["capsim-missed-intervals"] = str(client.missed)
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        return {"type": "http.response.start", "status": 200, "headers": pairs}

    async def _send_all(self, client: Client, send: Send) -> None:
        if self.is_events and client.missed:
            await send(_body(b": %d intervals are no longer held; the archive has them\n\n" % client.missed))
        while True:
            try:
                interval = await asyncio.wait_for(self.feed.next_for(client), _KEEPALIVE_S if self.is_events else None)
            except TimeoutError:
                await send(_body(_KEEPALIVE))
                continue
            if interval is None:
                return
            await send(_body(self.encode(interval)))
            client.sent = interval.number

    async def _take_leave(self, client: Client, sending: asyncio.Task[None], scope: Scope, send: Send) -> None:
        """Send what is held, or why no more comes, and end the answer."""
        try:
            async with asyncio.timeout(_FAREWELL_S):
                if client.is_dropped:
                    sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                await send(_body(self._reason() if client.is_dropped else b"", more=False))
        except TimeoutError:
            self.abort(scope)

    def _reason(self) -> bytes:
        text = f"dropped: more than {self.feed.max_backlog} intervals behind; the archive has them"
        return f"event: dropped\ndata: {text}\n\n".encode() if self.is_events else f'{{"error":"{text}"}}\n'.encode()


def _body(content: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
