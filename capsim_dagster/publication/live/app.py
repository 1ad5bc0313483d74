"""The paths of the live server, and what its page shows: an interval by region, the hosts that run hot, each host."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

import polars as pl
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from capsim_dagster.publication.live.connections import stays
from capsim_dagster.publication.live.feed import EVENTS_TYPE, LINES_TYPE, Abort, Encode, Feed, Stream
from capsim_dagster.publication.live.guard import Guard
from capsim_dagster.publication.live.interval import PLACES, Interval, as_event
from capsim_dagster.publication.live.openmetrics import Renderer
from capsim_dagster.publication.live.timeline import TIME_FORMAT, Clock, Timeline
from capsim_dagster.publication.tier3.columns import NUMBERS, UTILIZATIONS

_PAGE: Final = {
    "/": ("live.html", "text/html"),
    "/live.css": ("live.css", "text/css"),
    "/live.js": ("live.js", "text/javascript"),
    "/hosts.js": ("hosts.js", "text/javascript"),
}
PUBLIC: Final = frozenset({*_PAGE, "/healthz"})
"""Paths that hold nothing of the fleet."""
_PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; img-src data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_JSON: Final = "application/json"
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)
MAX_LISTED: Final = 100
"""Hot series that are listed, the hottest first; all are counted."""
_DECIMALS: Final = 2
_LATE_S: Final = 30.0
"""So much later than it should an interval may come before the server is called unwell [s]."""


@dataclass
class LiveState:
    """What the server shows; summaries and hosts that were made last are kept by the number of their interval.

    `max_streams` leaves connections for those who ask once, `archived` tells how many intervals this process wrote.
    """

    feed: Feed
    clock: Clock
    timeline: Timeline
    hosts: int
    hot_percent: float
    archived: Callable[[], int]
    max_streams: int = 1_000
    abort: Abort = lambda _scope: None
    summaries: dict[int, bytes] = field(default_factory=dict)
    hosts_text: tuple[int, bytes] = (-1, b"")
    renderer: Renderer = field(default_factory=Renderer)

    @property
    def lag(self) -> int:
        """Intervals that are due and were not emitted yet."""
        newest = self.feed.newest
        return max(self.timeline.number_at(self.clock.now()) - newest.number, 0) if newest else 0

    @property
    def ailment(self) -> str | None:
        """Why the server is not well; None = it is."""
        newest, silent_s = self.feed.newest, self.feed.silent_s
        if self.feed.is_closed:
            return "the server ends"
        if newest is None:
            return "no interval was emitted yet"
        every_s = self.timeline.interval_s / self.clock.speed
        if silent_s <= every_s + _LATE_S:
            return None
        said = f"no interval for {silent_s:,.0f} s, though one is due every {every_s:,.0f} s: "
        if self.lag:
            return said + "the simulation or the disk of the archive does not come to an end"
        now = f"{self.clock.now():{TIME_FORMAT}}"
        return said + f"the clock says {now} and was set back, the newest is of {newest.begin:{TIME_FORMAT}}"

    def summary(self, interval: Interval) -> bytes:
        """Return the summary of an interval; it is made once."""
        if interval.number not in self.summaries:
            oldest = interval.number - self.feed.max_backlog
            self.summaries = {number: text for number, text in self.summaries.items() if number > oldest}
            facts = _summary_of(interval, self.hot_percent)
            facts |= {"interval_s": self.timeline.interval_s, "speed": self.clock.speed}
            self.summaries[interval.number] = _as_line(facts)
        return self.summaries[interval.number]

    def every_host(self, interval: Interval) -> bytes:
        """Return the hosts in an interval, a list a column; it is made once."""
        if self.hosts_text[0] != interval.number:
            facts = _columns_of(interval) | {"hot_percent": self.hot_percent}
            self.hosts_text = interval.number, _as_line(facts)
        return self.hosts_text[1]

    def facts(self, interval: Interval) -> list[Metric]:
        """Return how the server fares, as metrics."""
        gauges = [
            ("interval_seconds", "Time between two samples of a host.", self.timeline.interval_s),
            ("sample_timestamp_seconds", "Simulated time of the samples.", interval.begin.timestamp()),
            ("speed_ratio", "Simulated seconds in a second.", self.clock.speed),
            ("lag_intervals", "Intervals that are due and not emitted yet.", self.lag),
            ("silence_seconds", "Time since the last interval came.", self.feed.silent_s),
            ("hosts", "Hosts of the fleet, reporting or not.", self.hosts),
            ("clients", "Clients of the streams.", self.feed.clients),
        ]
        return [
            *(GaugeMetricFamily(f"capsim_live_{name}", text, value=value) for name, text, value in gauges),
            CounterMetricFamily("capsim_live_dropped_clients", "Clients that lagged too far.", value=self.feed.dropped),
            CounterMetricFamily("capsim_live_archived_intervals", "Intervals written.", value=self.archived()),
        ]


def live_app(state: LiveState, *, host: str, token: str | None) -> ASGIApp:
    """Return the application of a server bound to an address; callers must show the token, None = nothing."""
    paths = _Paths(state)
    routes = [Route(path, paths.page) for path in _PAGE]
    endpoints = (paths.metrics, paths.latest, paths.stream, paths.summary, paths.hosts, paths.healthz)
    routes += [Route(f"/{endpoint.__name__}", endpoint) for endpoint in endpoints]
    routes.append(Route("/hosts/{host_id}", paths.host))
    return Guard(Starlette(routes=routes), host, token, PUBLIC)


class _Paths:
    """What each path answers."""

    def __init__(self, state: LiveState) -> None:
        self._state = state

    async def page(self, request: Request) -> Response:
        """Answer with a file of the page."""
        name, kind = _PAGE[request.url.path]
        text = files(__package__).joinpath("page", name).read_text(encoding="utf-8")
        text = text.replace("{resources}", " ".join(UTILIZATIONS))
        return Response(text, media_type=kind, headers=_PAGE_HEADERS)

    async def healthz(self, _request: Request) -> Response:
        """Answer whether intervals come as they should."""
        reason = self._state.ailment
        return JSONResponse({"status": "unwell", "reason": reason}, 503) if reason else JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        """Answer with the current interval and how the server fares, as metrics."""
        interval = self._state.feed.newest
        if interval is None:
            return _nothing_yet()
        accept, facts = request.headers.get("accept", ""), self._state.facts(interval)
        content, kind = await run_in_threadpool(self._state.renderer.render, accept, interval, facts)
        return Response(content, headers={"content-type": kind})

    async def latest(self, _request: Request) -> Response:
        """Answer with the current interval."""
        interval = self._state.feed.newest
        return Response(interval.as_json, media_type=_JSON) if interval else _nothing_yet()

    async def hosts(self, _request: Request) -> Response:
        """Answer with every host in the current interval, column by column."""
        interval = self._state.feed.newest
        return Response(self._state.every_host(interval), media_type=_JSON) if interval else _nothing_yet()

    async def host(self, request: Request) -> Response:
        """Answer with a host in every interval that is held."""
        held = self._state.feed.held
        if not held:
            return _nothing_yet()
        facts = await run_in_threadpool(_history_of, request.path_params["host_id"], held)
        return Response(_as_line(facts), media_type=_JSON) if facts else JSONResponse({"error": "no such host"}, 404)

    async def stream(self, request: Request) -> ASGIApp:
        """Answer with every interval from now on; its connection stays."""
        return self._stream(request, lambda each: each.lines, lambda each: each.event)

    async def summary(self, request: Request) -> ASGIApp:
        """Answer with the summary of the current interval; to who wants events, with that of every interval."""
        if _wants_events(request):
            return self._stream(request, self._state.summary, self._summary_event)
        interval = self._state.feed.newest
        return Response(self._state.summary(interval), media_type=_JSON) if interval else _nothing_yet()

    def _summary_event(self, interval: Interval) -> bytes:
        return as_event(interval.number, self._state.summary(interval))

    def _stream(self, request: Request, lines: Encode, event: Encode) -> ASGIApp:
        is_events = _wants_events(request)
        if request.method == "HEAD":
            return Response(media_type=EVENTS_TYPE if is_events else LINES_TYPE)
        # The header is what a browser sends by itself when it connects again: it is newer than the query.
        after = request.headers.get("last-event-id") or request.query_params.get("after")
        if after is not None and not _NUMBER.fullmatch(after):
            return JSONResponse({"error": "after and Last-Event-ID are the seq of an interval, 0 and up"}, 400)
        if self._state.feed.clients >= self._state.max_streams:
            return JSONResponse({"error": "all streams are taken; try again later"}, 503, headers={"retry-after": "10"})
        stays(request)
        number = None if after is None else int(after)
        return Stream(self._state.feed, event if is_events else lines, self._state.abort, is_events, number)


def _as_line(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, separators=(",", ":")).encode() + b"\n"


def _wants_events(request: Request) -> bool:
    return EVENTS_TYPE in request.headers.get("accept", "")


def _nothing_yet() -> Response:
    return JSONResponse({"error": "no interval was emitted yet"}, 503)


def _summary_of(interval: Interval, hot_percent: float) -> dict[str, Any]:
    """Return the summary of an interval for JSON; hosts are listed from a utilization [%] on, above 0 to 100."""
    long = interval.frame.select("host_id", "region", *UTILIZATIONS).unpivot(
        on=list(UTILIZATIONS), index=["host_id", "region"], variable_name="resource", value_name="value"
    )
    hot = long.filter(pl.col("value") >= hot_percent).sort(
        ["value", "host_id", "resource"], descending=[True, False, False]
    )
    reporting = long.drop_nulls("value").get_column("host_id").n_unique()
    return {
        "seq": interval.number,
        "ts": f"{interval.begin:{TIME_FORMAT}}",
        "hosts": interval.frame.height,
        "reporting": reporting,
        "hot_percent": hot_percent,
        "hot_hosts": hot.get_column("host_id").n_unique(),
        "hot_series": hot.height,
        "hot": hot.head(MAX_LISTED).to_dicts(),
        "regions": _by_region(interval.frame, long),
    }


def _columns_of(interval: Interval) -> dict[str, Any]:
    """Return an interval for JSON: what is said of each host and its samples, a list a column."""
    head = {"seq": interval.number, "ts": f"{interval.begin:{TIME_FORMAT}}"}
    return head | interval.frame.select("host_id", *PLACES, *NUMBERS).to_dict(as_series=False)


def _history_of(host_id: str, intervals: Sequence[Interval]) -> dict[str, Any] | None:
    """Return a host in some intervals for JSON: what is said of it, and a list a sample; None = it is unknown."""
    said = intervals[-1].frame.filter(pl.col("host_id") == host_id).select("host_id", *PLACES)
    if said.is_empty():
        return None
    lines = [json.loads(each.line_of(host_id)) for each in intervals]
    samples = {name: [line[name] for line in lines] for name in NUMBERS}
    return said.row(0, named=True) | {"ts": [f"{each.begin:{TIME_FORMAT}}" for each in intervals]} | samples


def _by_region(frame: pl.DataFrame, long: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each region with its hosts, and mean and highest utilization of each resource; None = no host reports."""
    hosts = frame.group_by("region").len("hosts").sort("region")
    cells = long.group_by("region", "resource").agg(
        pl.col("value").mean().round(_DECIMALS).alias("mean"),
        pl.col("value").max().alias("max"),
        pl.col("value").count().alias("reporting"),
    )
    found = {(cell["region"], cell["resource"]): cell for cell in cells.to_dicts()}
    names = ("mean", "max", "reporting")
    return [
        {
            "region": region,
            "hosts": count,
            "resources": {r: {name: found[region, r][name] for name in names} for r in UTILIZATIONS},
        }
        for region, count in hosts.iter_rows()
    ]
