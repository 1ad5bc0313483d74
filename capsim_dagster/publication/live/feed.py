"""The intervals that are held for clients, and the clients, each with how far it has come.

Every client reads the same bytes at its own pace; what is held is the queue of all of them. A client that lags behind
further than that is told so and dropped, so none can hold up the others for long. For one event loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from capsim_dagster.publication.live.interval import Interval

_POLL_S: Final = 0.005


class Client:
    """One who reads the feed.

    Attributes:
        sent: Number of the last interval that it was sent, or does not want.
        missed: Intervals that it asked for and that are no longer held.
        is_dropped: Whether it lagged behind too far.
        ended: Set when it is dropped, or the feed is closed.
    """

    def __init__(self, sent: int, missed: int) -> None:
        """Start after an interval.

        Args:
            sent: Number of that interval.
            missed: Intervals that it asked for and that are no longer held.
        """
        self.sent, self.missed = sent, missed
        self.is_dropped = False
        self.ended = asyncio.Event()
        self.news = asyncio.Event()


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
        """Hold nothing.

        Args:
            max_backlog: Intervals that are held, 1 and up.
            on_drop: Called with each client that is dropped.
            monotonic: Tells seconds that never go back.
        """
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
        """Yield a client; it is forgotten afterwards.

        Args:
            after: Number of the last interval that it has; None, or one that has not come, = it begins with the current
                one.
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
        """Wait while a client lags behind by more than half of what it may, but not longer than told.

        Args:
            seconds: Longest time to wait [s].
        """
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
