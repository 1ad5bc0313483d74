"""Small live fleets, their intervals, and servers that show them."""

import datetime as dt
import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx

from capsim_dagster.publication.archive import write_hour
from capsim_dagster.publication.hour_files import DayHour, hour_path
from capsim_dagster.publication.live.interval import LiveFleet, Simulator
from capsim_dagster.publication.live.open_hour import Resumption, resume
from capsim_dagster.publication.live.serve import LiveOptions, serve
from capsim_dagster.settings import Archive
from capsim_dagster.simulation.fleet import fleet_of
from capsim_dagster_tests.support.panel.generated import generation_of
from capsim_dagster_tests.support.shipped_settings import shipped_settings

HOSTS: Final = 12
DAY: Final = dt.date(2023, 2, 14)
MIDNIGHT: Final = dt.datetime(2023, 2, 14, tzinfo=dt.UTC)
FIRST: Final = 44 * 288
"""Number of the first interval of the day: 44 days of 288 come before it."""


def archive_of(minutes: int = 5) -> Archive:
    facts = shipped_settings().archive.model_dump(mode="json")
    return Archive.model_validate({**facts, "interval_minutes": minutes})


@cache
def live_fleet(minutes: int = 5, **generation: Any) -> LiveFleet:  # noqa: ANN401 any JSON value
    settings = generation_of(**{"num_servers": HOSTS, **generation})
    return LiveFleet(settings, archive_of(minutes), (0.3, 0.7), fleet_of(settings))


def at(hour: int, minute: int = 0, day: dt.date = DAY) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(hour, minute), tzinfo=dt.UTC)


def archived_hour(fleet: LiveFleet, folder: Path, hour: int, day: dt.date = DAY) -> bytes:
    """Return the hour's file as `capsim archive` writes it."""
    return write_hour(fleet.on(day), folder, hour).path.read_bytes()


def run_until(root: Path, fleet: LiveFleet, start: dt.datetime, end: dt.datetime) -> Resumption:
    """Write from where the archive ends up to the interval at an instant, as a server does that is killed then."""
    simulator = Simulator(fleet)
    resumed = resume(root, simulator, start, is_present=False)
    for number in range(resumed.first, fleet.timeline.number_at(end) + 1):
        resumed.writer.append(simulator.interval(number))
    simulator.close()
    return resumed


def numbers_in(root: Path, fleet: LiveFleet) -> list[int]:
    """Return the numbers of the intervals of all files of an archive, in order, from their lines."""
    paths = sorted(root.glob("*/*.jsonl.gz*"))
    lines = [line for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert len(lines) % fleet.hosts.height == 0
    found = [int(line.rpartition(b'"seq":')[2].rstrip(b"}")) for line in lines]
    numbers = found[:: fleet.hosts.height]
    assert found == [number for number in numbers for _host in range(fleet.hosts.height)]
    return numbers


def open_path(root: Path, hour: int, day: dt.date = DAY) -> Path:
    return DayHour(day, hour).open_path(root)


def whole_path(root: Path, hour: int, day: dt.date = DAY) -> Path:
    return hour_path(root, day, hour)


def options_for(root: Path, **changes: Any) -> LiveOptions:  # noqa: ANN401 any option
    facts = {"start": at(3), "speed": 6_000.0, "max_backlog": 24, "max_connections": 256, "hot_percent": 90.0}
    return LiveOptions(root, "127.0.0.1", **{"port": 0, **facts, **changes})


@dataclass
class Running:
    """A server in a thread of its own."""

    said: list[str] = field(default_factory=list)
    is_ready: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return next(line for line in self.said if line.startswith("live on ")).split()[2]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def say(self, line: str) -> None:
        self.said.append(line)
        if line.startswith("live on "):
            self.is_ready.set()


@contextmanager
def running(fleet: LiveFleet, options: LiveOptions) -> Iterator[Running]:
    """Yield a server that is ready; it has ended afterwards."""
    found, failures = Running(), []

    def run() -> None:
        try:
            serve(fleet, options, found.say, stop=found.stop)
        except BaseException as error:  # noqa: BLE001 the test shall see it, whatever it is
            failures.append(error)
            found.is_ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert found.is_ready.wait(60)
        if not failures:
            yield found
    finally:
        found.stop.set()
        thread.join(30)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def streamed(url: str, lines: int, query: str = "") -> list[str]:
    """Return the first lines of a stream."""
    found = []
    with httpx.stream("GET", f"{url}/stream{query}", timeout=20) as answer:
        for line in answer.iter_lines():
            found.append(line)
            if len(found) == lines:
                break
    return found
