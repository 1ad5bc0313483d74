"""An interval of the whole fleet, made from the same gzip members that the archive gets.

What is served is read back from those bytes, so that no client sees other values than the archive holds. A day is
scaled in advance by a thread, while the one before it is emitted.
"""

import datetime as dt
import gzip
import io
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

import polars as pl

from capsim_dagster.publication.archive import SampledFleet
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.live.timeline import TIME_FORMAT, Timeline
from capsim_dagster.publication.tier3.columns import NUMBERS
from capsim_dagster.settings import Archive, DataGeneration

PLACES: Final = ("region", "department", "criticality", "server_type")
"""What is said of a host beside its samples."""
_SCHEMA: Final = {"host_id": pl.String, **dict.fromkeys(NUMBERS, pl.Float64)}


@dataclass(frozen=True)
class LiveFleet:
    """What decides every sample of a fleet; `hosts` have application codes, by host number.

    `inbound` are lowest and highest inbound part of a host's network traffic.
    """

    generation: DataGeneration
    archive: Archive
    inbound: tuple[float, float]
    hosts: pl.DataFrame

    @property
    def timeline(self) -> Timeline:
        """Which interval is when."""
        return Timeline(self.generation.start_date, self.archive.interval_minutes)

    def on(self, day: dt.date) -> SampledFleet:
        """Return the samples of a day."""
        return SampledFleet(self.generation, self.archive, self.inbound, self.hosts, day)


@dataclass(frozen=True)
class Interval:
    """The samples of all hosts in an interval: its gzip member as in the archive, and its JSON lines.

    Its number is `meta.seq`; `places` say of each host where it is, in the order of the lines.
    """

    number: int
    begin: dt.datetime
    member: bytes
    lines: bytes
    places: pl.DataFrame

    @cached_property
    def event(self) -> bytes:
        """It as a server-sent event: its lines are the data, its number is the id."""
        return as_event(self.number, self.lines)

    @cached_property
    def frame(self) -> pl.DataFrame:
        """Its samples as columns, with what is said of each host."""
        return pl.read_ndjson(io.BytesIO(self.lines), schema=_SCHEMA).hstack(self.places)

    def line_of(self, host_id: str) -> bytes:
        """Return the line of a host, which is one of the fleet."""
        begin = self.lines.index(b'"host_id":"%s"' % host_id.encode())
        return self.lines[self.lines.rfind(b"\n", 0, begin) + 1 :].partition(b"\n")[0]

    @property
    def as_json(self) -> bytes:
        """It as one JSON object."""
        head = f'{{"seq":{self.number},"ts":"{self.begin:{TIME_FORMAT}}","samples":['
        return head.encode() + self.lines.rstrip(b"\n").replace(b"\n", b",") + b"]}\n"


def as_event(number: int, lines: bytes) -> bytes:
    r"""Return lines as a server-sent event.

    >>> as_event(7, b"{}\n[]\n")
    b'id: 7\ndata: {}\ndata: []\n\n'
    """
    return b"id: %d\ndata: %s\n\n" % (number, lines.rstrip(b"\n").replace(b"\n", b"\ndata: "))


class Simulator:
    """Makes intervals, cheaply if they are asked for in order; for one thread at a time."""

    def __init__(self, fleet: LiveFleet) -> None:
        """Make nothing yet."""
        self.fleet, self.timeline = fleet, fleet.timeline
        self._places = fleet.hosts.select(PLACES)
        self._in_advance = ThreadPoolExecutor(1, thread_name_prefix="next-day")
        self._days: dict[dt.date, Future[SampledFleet]] = {}
        self._hour: DayHour | None = None
        self._place = 0
        self._members: Iterator[bytes] = iter(())

    def interval(self, number: int) -> Interval:
        """Return the interval with a number, 0 and up."""
        hour, place = self.timeline.hour_of(number), self.timeline.place_in_hour(number)
        if hour != self._hour or place < self._place:
            self._hour, self._place, self._members = hour, 0, self._day(hour.day).members(hour.hour)
        member = next(islice(self._members, place - self._place, None))
        self._place = place + 1
        return Interval(number, self.timeline.begin(number), member, gzip.decompress(member), self._places)

    def close(self) -> None:
        """End the thread, without waiting for it."""
        self._in_advance.shutdown(wait=False, cancel_futures=True)

    def _day(self, day: dt.date) -> SampledFleet:
        """Return the samples of a day, and let those of the next one be made."""
        wanted = (day, day + dt.timedelta(days=1))
        found = {each: self._days.get(each) or self._in_advance.submit(self.fleet.on, each) for each in wanted}
        self._days = found
        return found[day].result()
