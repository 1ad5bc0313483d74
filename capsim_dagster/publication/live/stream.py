"""The answer that does not end: intervals one after the other, as JSON lines or server-sent events.

A client that does not read keeps its last write waiting. When it is dropped, that write is given up, which leaves only
whole intervals behind; it is told why, if it reads on within a second, and its connection is cut otherwise.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Scope, Send

from capsim_dagster.publication.live.feed import Client, Feed
from capsim_dagster.publication.live.interval import Interval

Encode = Callable[[Interval], bytes]
"""Makes the bytes of an interval that all clients of a kind share."""
Abort = Callable[[Scope], None]
"""Cuts the connection that a request came on."""

_FAREWELL_S: Final = 1.0
"""So long a client that is let go may take to read on."""
_KEEPALIVE_S: Final = 15.0
"""So often a silent stream of events says that it is still there: proxies cut what is silent for a minute."""
_KEEPALIVE: Final = b": no news\n\n"
EVENTS_TYPE: Final = "text/event-stream"
LINES_TYPE: Final = "application/x-ndjson"


@dataclass(frozen=True)
class Stream:
    """What a client asked for.

    Attributes:
        feed: Where the intervals come from.
        encode: Makes its bytes of an interval.
        abort: Cuts the connection.
        is_events: Whether it wants server-sent events.
        after: Number of the last interval that it has; None = it begins with the current one.
    """

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
