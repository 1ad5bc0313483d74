"""The feed and its streams: every client gets each interval once, in order; one that lags too far is dropped alone."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

import polars as pl
import pytest

from capsim_dagster.publication.live import feed as stream_module
from capsim_dagster.publication.live.feed import Feed, Stream
from capsim_dagster.publication.live.interval import Interval

Messages = list[dict[str, Any]]


def interval(number: int) -> Interval:
    begin = dt.datetime(2026, 1, 15, tzinfo=dt.UTC) + dt.timedelta(minutes=5 * number)
    return Interval(number, begin, b"", b'{"n":%d}\n' % number, pl.DataFrame())


def feed_with(numbers: range, max_backlog: int = 5) -> Feed:
    feed = Feed(max_backlog)
    for number in numbers:
        feed.publish(interval(number))
    return feed


class Reader:
    """A client of a stream at the other end of ASGI; it can stop reading, and go."""

    def __init__(self, feed: Feed, *, is_events: bool = False, after: int | None = None) -> None:
        self.messages: Messages = []
        self.reads, self.goes = asyncio.Event(), asyncio.Event()
        self.reads.set()
        self.was_cut = False
        stream = Stream(feed, lambda each: each.event if is_events else each.lines, self._cut, is_events, after)
        self.task = asyncio.create_task(stream({"type": "http"}, self._receive, self._send))  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.messages).decode()

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.messages.append(message)

    async def _receive(self) -> dict[str, Any]:
        await self.goes.wait()
        return {"type": "http.disconnect"}

    def _cut(self, _scope: object) -> None:
        self.was_cut = True


async def settle() -> None:
    """Let every task go as far as it can."""
    for _turn in range(30):
        await asyncio.sleep(0)


def lines(first: int, last: int) -> str:
    return "".join(f'{{"n":{number}}}\n' for number in range(first, last + 1))


def in_a_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await test()

    asyncio.run(run())


def test_a_client_begins_with_the_current_interval_and_gets_each_that_follows_once() -> None:
    async def scene() -> None:
        feed = feed_with(range(3))
        reader = Reader(feed)
        await settle()
        for number in (3, 4, 5):
            feed.publish(interval(number))
            await settle()
        feed.close()
        await reader.task

        assert reader.text == lines(2, 5)
        assert reader.headers["content-type"] == "application/x-ndjson; charset=utf-8"
        assert reader.messages[-1]["more_body"] is False
        assert feed.clients == 0

    in_a_loop(scene)


def test_a_client_that_comes_again_goes_on_after_the_interval_that_it_has() -> None:
    async def scene() -> None:
        feed = feed_with(range(8))
        held, gone, unknown = (Reader(feed, after=number) for number in (4, 0, 99))
        await settle()

        assert held.text == lines(5, 7)
        assert "capsim-missed-intervals" not in held.headers
        # Of 5 that are held, the first is 3; 1 and 2 are gone.
        assert (gone.text, gone.headers["capsim-missed-intervals"]) == (lines(3, 7), "2")
        assert unknown.text == lines(7, 7)
        feed.close()
        await asyncio.gather(held.task, gone.task, unknown.task)

    in_a_loop(scene)


def test_as_events_each_interval_has_its_number_as_id_and_its_lines_as_data() -> None:
    async def scene() -> None:
        feed = feed_with(range(8))
        reader = Reader(feed, is_events=True, after=1)
        await settle()

        assert reader.text.startswith(": 1 intervals are no longer held; the archive has them\n\nid: 3\ndata: {")
        assert reader.text.endswith('id: 7\ndata: {"n":7}\n\n')
        feed.close()
        await reader.task

    in_a_loop(scene)


def test_a_client_that_lags_too_far_is_dropped_and_told_and_no_other_one_loses_anything() -> None:
    async def scene() -> None:
        dropped: list[int] = []
        feed = Feed(5, lambda client: dropped.append(client.sent))
        feed.publish(interval(0))
        slow, fast = Reader(feed), Reader(feed)
        await settle()
        slow.reads.clear()
        for number in range(1, 6):
            feed.publish(interval(number))
            await settle()
        assert (feed.clients, feed.dropped, feed.largest_lag) == (2, 0, 5)
        feed.publish(interval(6))
        await settle()
        assert (feed.clients, feed.dropped, feed.largest_lag, dropped) == (1, 1, 0, [0])
        slow.reads.set()
        await slow.task

        assert slow.text == lines(0, 0) + '{"error":"dropped: more than 5 intervals behind; the archive has them"}\n'
        assert not slow.was_cut
        assert fast.text == lines(0, 6)
        feed.close()
        await fast.task

    in_a_loop(scene)


def test_the_connection_of_a_client_that_never_reads_on_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_FAREWELL_S", 0.01)

    async def scene() -> None:
        feed = feed_with(range(1), max_backlog=1)
        reader = Reader(feed)
        await settle()
        reader.reads.clear()
        for number in range(1, 4):
            feed.publish(interval(number))
        await reader.task

        assert reader.was_cut
        assert reader.text == lines(0, 0)

    in_a_loop(scene)


def test_a_client_that_goes_is_forgotten() -> None:
    async def scene() -> None:
        feed = feed_with(range(1))
        reader = Reader(feed)
        await settle()
        assert feed.clients == 1
        reader.goes.set()
        await reader.task

        assert (feed.clients, feed.dropped) == (0, 0)

    in_a_loop(scene)


def test_a_silent_stream_of_events_says_that_it_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_KEEPALIVE_S", 0.01)

    async def scene() -> None:
        feed = feed_with(range(1))
        events, plain = Reader(feed, is_events=True), Reader(feed)
        await asyncio.sleep(0.05)
        feed.publish(interval(1))
        await settle()

        assert ": no news\n\n" in events.text
        assert [part for part in events.text.split("\n\n") if part.startswith("id")] == [
            'id: 0\ndata: {"n":0}',
            'id: 1\ndata: {"n":1}',
        ]
        assert plain.text == lines(0, 1)
        feed.close()
        await asyncio.gather(events.task, plain.task)

    in_a_loop(scene)
