"""`tier1_realtime` from start to end.

The archive is taken hold of and mended, what was missed is caught up, and then every interval is archived and shown
when it begins, until a signal ends it.
Simulation, packing and disk have a thread of their own; clients have the event loop.
"""

import asyncio
import datetime as dt
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from capsim_dagster.errors import PublicationError, listed, plural
from capsim_dagster.publication.dataset.export import now_utc
from capsim_dagster.publication.dataset.folder import sole_writer
from capsim_dagster.publication.live.app import LiveState, live_app
from capsim_dagster.publication.live.connections import LiveServer, listening, room_for_connections, url_of
from capsim_dagster.publication.live.feed import Client, Feed
from capsim_dagster.publication.live.guard import require_token
from capsim_dagster.publication.live.interval import Interval, LiveFleet, Simulator
from capsim_dagster.publication.live.open_hour import OpenArchive, Resumption, resume
from capsim_dagster.publication.live.timeline import Clock, clock_from

Say = Callable[[str], None]
"""Prints a line."""

_MAX_REFILL: Final = 48
"""Intervals before the first one that a restart holds for clients that come again: each costs its simulation."""
_LONGEST_WAIT_S: Final = 30.0
"""The clock is looked at again after this: a machine that slept has to notice [s]."""
_SLACK_S: Final = 5.0
"""A clock that is set by so little is not worth a word [s of simulated time]."""
_MAX_NAMED: Final = 5
"""Days that a command is written for."""
_BREATH_S: Final = 0.25
"""So long clients may hold up the next interval where several are due at once, as after a machine slept [s]."""
_FOR_OTHERS: Final = 10
"""One connection in so many is for others than streams: health and metrics are to be had at any time."""
_POLL_S: Final = 0.02
_STOP_POLL_S: Final = 0.1


@dataclass(frozen=True)
class LiveOptions:
    """How a fleet is made live.

    Attributes:
        port: Port; 0 = any that is free.
        max_backlog: Intervals that a client may lag behind.
        hot_percent: Utilization from which a host is listed [%].
        start: Simulated time to start from, UTC; None = the present.
        speed: Simulated seconds in a second, 1 and up.
        monotonic: Tells seconds that never go back, by which simulated time runs.
        day_over: Called with each day that may have become whole: the server has written its last hour, or goes on
            after one that had; it must not take long.
    """

    archive_root: Path
    host: str
    port: int
    max_backlog: int
    max_connections: int
    hot_percent: float
    token: str | None = None
    start: dt.datetime | None = None
    speed: float = 1.0
    monotonic: Callable[[], float] = time.monotonic
    day_over: Callable[[dt.date], None] = lambda _day: None

    @property
    def is_present(self) -> bool:
        """Whether simulated time is the present."""
        return self.start is None and self.speed == 1


def serve(fleet: LiveFleet, options: LiveOptions, say: Say, *, stop: threading.Event | None = None) -> None:
    """Make a fleet live until SIGINT or SIGTERM, or within a second of `stop`, outside of the main thread.

    Raises:
        SettingsError: If a token must be set and is not.
        PublicationError: If another server has the archive or the port, the start lies before the window, or an open
            hour holds other samples than this fleet's.
        StorageError: If the disk refuses.
    """
    token = require_token(options.host, options.token)
    with (
        _sole_server(options.archive_root),
        listening(options.host, options.port) as listener,
        closing(Simulator(fleet)) as simulator,
    ):
        session = LiveSession(simulator, options, say)
        session.catch_up()
        asyncio.run(session.run(listener, token, stop or threading.Event()))


class LiveSession:
    """One run of the server, with the feed that its clients read."""

    def __init__(self, simulator: Simulator, options: LiveOptions, say: Say) -> None:
        """Do nothing yet."""
        self._simulator, self._options, self._say = simulator, options, say
        self._timeline = simulator.timeline
        self.feed = Feed(options.max_backlog, self._report_drop)
        self._clock = Clock()
        self._writer = OpenArchive(options.archive_root, simulator)
        self._next = 0
        self._is_running = self._is_back = False

    def catch_up(self) -> None:
        """Mend the archive, write what it lacks up to now, and start the clock."""
        options, timeline = self._options, self._timeline
        start = options.start or now_utc()
        resumed = resume(options.archive_root, self._simulator, start, is_present=options.is_present)
        self._writer, self._next = resumed.writer, resumed.first
        current = timeline.number_at(resumed.start)
        self._announce(resumed, current)
        for day in resumed.days_over:
            options.day_over(day)
        if resumed.is_continued:
            for number in range(max(resumed.first - min(options.max_backlog, _MAX_REFILL), 0), resumed.first):
                self.feed.publish(self._simulator.interval(number))
        while self._next <= current:
            self._show(self._archive(self._next))
        if not options.is_present:
            self._clock = clock_from(resumed.start, options.speed, options.monotonic)
        self._is_running = True

    def _announce(self, resumed: Resumption, current: int) -> None:
        if resumed.skipped:
            self._say(
                f"not caught up: {listed(resumed.skipped)}, more than a day ago; capsim archive --date writes such days"
            )
        if resumed.left_open:
            days = sorted({hour.day for hour in resumed.left_open})[:_MAX_NAMED]
            command = " ".join(["capsim archive", *(f"--date {day}" for day in days)])
            self._say(f"left open: {listed(resumed.left_open)}; this start skips that, {command} writes it whole")
        behind = current - resumed.first
        if behind >= self._timeline.per_hour:
            self._say(f"catching up {behind:,} intervals since {self._timeline.begin(resumed.first):%Y-%m-%d %H:%M}")

    async def run(self, listener: socket.socket, token: str | None, stop: threading.Event) -> None:
        """Serve, and emit each interval when it begins, until it is told to stop or one of both fails."""
        is_over, state, room = asyncio.Event(), self._state(), self._room()
        server = LiveServer(live_app(state, host=self._options.host, token=token), listener, room)
        state.abort, state.max_streams = server.abort, max(room - room // _FOR_OTHERS - 1, 1)
        with _signals_setting(is_over):
            tasks = [
                asyncio.create_task(server.serve()),
                asyncio.create_task(self.emit_all(is_over)),
                asyncio.create_task(_until_either(stop, is_over)),
            ]
            while not (server.started or tasks[0].done()):
                await asyncio.sleep(_POLL_S)
            self._say(self._ready_line(listener))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            is_over.set()
            self.feed.close()
            server.should_exit = True
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for result in ended:
            if isinstance(result, BaseException):
                raise result

    def _room(self) -> int:
        """Return how many connections there may be."""
        wanted = self._options.max_connections
        if (room := room_for_connections(wanted)) < wanted:
            self._say(f"{room:,} connections at most instead of {wanted:,}: raise the limit of open files (ulimit -n)")
        return room

    def _state(self) -> LiveState:
        return LiveState(
            feed=self.feed,
            clock=self._clock,
            timeline=self._timeline,
            hosts=self._simulator.fleet.hosts.height,
            hot_percent=self._options.hot_percent,
            archived=lambda: self._writer.appended,
        )

    async def emit_all(self, is_over: asyncio.Event) -> None:
        """Emit each interval when it begins, until it is told to stop.

        Raises:
            StorageError: If the disk refuses.
        """
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="archive") as worker:
            while not is_over.is_set():
                wait_s = self._clock.seconds_until(self._timeline.begin(self._next))
                if wait_s > 0:
                    self._mind(wait_s)
                    await _until(is_over, min(wait_s, _LONGEST_WAIT_S))
                    continue
                self._show(await loop.run_in_executor(worker, self._archive, self._next))
                if self._lag() > 0:
                    await self.feed.wait_for_clients(_BREATH_S)

    def _mind(self, wait_s: float) -> None:
        """Say once if it takes longer to the next interval than it may, which a clock that was set back makes."""
        is_back = wait_s * self._clock.speed > self._timeline.interval_s + _SLACK_S
        if is_back and not self._is_back:
            self._say(
                f"the clock was set back: no interval comes for {wait_s:,.0f} s, until it shows the time of the next"
            )
        self._is_back = is_back

    def _archive(self, number: int) -> Interval:
        interval = self._simulator.interval(number)
        self._writer.append(interval)
        return interval

    def _show(self, interval: Interval) -> None:
        """Give an interval, which is in the archive, to clients; say something once an hour."""
        is_first = self.feed.newest is None
        self.feed.publish(interval)
        if interval.number % self._timeline.per_day == 0:
            self._options.day_over(interval.begin.date() - dt.timedelta(days=1))
        self._next = interval.number + 1
        if self._timeline.place_in_hour(interval.number) == 0 and not is_first:
            self._say(self._hour_line(interval))

    def _lag(self) -> int:
        """Return how many intervals are due."""
        return self._timeline.number_at(self._clock.now()) + 1 - self._next

    def _hour_line(self, interval: Interval) -> str:
        over = interval.begin - dt.timedelta(hours=1)
        said = f"{over:%Y-%m-%d %H}:00 archived; {plural(self.feed.clients, 'client')}, {self.feed.dropped:,} dropped"
        lag = self._lag() if self._is_running else 0
        return f"{said}; {lag:,} intervals late: --speed is too high for this machine" if lag > 1 else said

    def _ready_line(self, listener: socket.socket) -> str:
        hosts, minutes = self._simulator.fleet.hosts.height, self._timeline.interval_minutes
        speed = "" if self._clock.start is None else f", {self._clock.speed:g} times as fast"
        return (
            f"live on {url_of(listener)} ({hosts:,} hosts, every {minutes} min, from"
            f" {self._timeline.begin(self._next - 1):%Y-%m-%d %H:%M} UTC{speed}); Ctrl-C ends it"
        )

    def _report_drop(self, client: Client) -> None:
        self._say(
            f"dropped a client that was more than {self._options.max_backlog:,} intervals behind; it has those up to"
            f" {client.sent:,}"
        )


@contextmanager
def _sole_server(root: Path) -> Iterator[None]:
    """Hold the archive against other servers."""
    with ExitStack() as stack:
        try:
            stack.enter_context(sole_writer(root))
        except PublicationError:
            raise PublicationError(
                f"another server writes the archive in {root}; this one wrote nothing",
                remedy="end the other one, or give this one a --data-dir of its own",
            ) from None
        yield


@contextmanager
def _signals_setting(event: asyncio.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set an event; elsewhere than in the main thread there are none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but not longer."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def _until_either(stop: threading.Event, event: asyncio.Event) -> None:
    while not (stop.is_set() or event.is_set()):
        await _until(event, _STOP_POLL_S)
