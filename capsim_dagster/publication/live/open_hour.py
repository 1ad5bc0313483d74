"""The hour of the archive that is being written: whole gzip members, each on disk before anyone is shown it.

An hour that was whole before is left alone. The file of the next hour is begun before that of the last one gets its
final name, so there is an open hour at any instant by which a restart knows where to go on.

In the present, a start catches up the intervals since the last one in the archive if they are less than a day's. Older
ones are not: the open hour is completed, and the current day is written from midnight; the days between are for
`capsim archive`. From a start of its own, the simulation goes on where it stopped, which the open hour tells.
"""

import datetime as dt
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.hour_files import DayHour, archived_hours
from capsim_dagster.publication.live.interval import Interval, Simulator
from capsim_dagster.publication.live.timeline import Timeline
from capsim_dagster.storage import local_disk
from capsim_dagster.storage.files import sync

_GZIP: Final = 31
"""What zlib calls the format of gzip."""


class OpenArchive:
    """Appends intervals to the archive, in order.

    Attributes:
        appended: Intervals written so far.
    """

    def __init__(self, root: Path, simulator: Simulator, hour: DayHour | None = None) -> None:
        """Open no file yet; an hour that is open has been mended, None = none is."""
        self.appended = 0
        self._kept = 0
        self._root, self._simulator, self._hour = root, simulator, hour

    def append(self, interval: Interval) -> None:
        """Write an interval to its hour, durably; a file of the hour before gets its final name.

        Raises:
            StorageError: If the disk refuses.
        """
        hour, before = self._simulator.timeline.hour_of(interval.number), self._hour
        if hour != before:
            self._kept = self._kept_of(hour)
        with local_disk(hour.open_path(self._root), "written"):
            is_there = self._simulator.timeline.place_in_hour(interval.number) < self._kept
            if not is_there and not hour.whole_path(self._root).exists():
                _append(hour.open_path(self._root), interval.member)
                self.appended += 1
            self._hour = hour
            if before is not None and before != hour:
                close_hour(self._root, before)

    def _kept_of(self, hour: DayHour) -> int:
        """Return how many intervals of an hour that comes now are there: a run that was ahead may have left them."""
        is_open = hour.open_path(self._root).exists()
        return mend(self._root, self._simulator, hour) if is_open else 0

    def finish(self, hour: DayHour, kept: int) -> None:
        """Write what an hour that is over lacks beyond the intervals in its file, and give that its final name.

        Raises:
            StorageError: If the disk refuses.
        """
        timeline = self._simulator.timeline
        first = timeline.first_of(hour)
        with local_disk(hour.open_path(self._root), "written"):
            for number in range(first + kept, first + timeline.per_hour):
                _append(hour.open_path(self._root), self._simulator.interval(number).member)
                self.appended += 1
            close_hour(self._root, hour)


def close_hour(root: Path, hour: DayHour) -> None:
    """Give the open file of an hour its final name; one beside a whole hour goes."""
    opened, whole = hour.open_path(root), hour.whole_path(root)
    with suppress(FileNotFoundError):
        if whole.exists():
            opened.unlink()
        else:
            opened.rename(whole)
        sync(whole.parent)


def mend(root: Path, simulator: Simulator, hour: DayHour) -> int:
    """Cut what a kill or a crash left at the end of an open hour; return how many intervals it holds.

    Raises:
        PublicationError: If it holds other samples than this fleet's.
        StorageError: If the disk refuses.
    """
    path, first = hour.open_path(root), simulator.timeline.first_of(hour)
    kept, size = 0, 0
    with local_disk(path, "mended"):
        for end, lines in whole_members(path.read_bytes()):
            is_over = kept == simulator.timeline.per_hour
            if is_over or lines != simulator.interval(first + kept).lines:
                raise _other_samples(path, kept)
            kept, size = kept + 1, end
        with path.open("r+b") as stream:
            stream.truncate(size)
            os.fsync(stream.fileno())
    return kept


def whole_members(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where each whole gzip member ends, and its text, up to the first that is not whole."""
    begin = 0
    while begin < len(content):
        unpacker = zlib.decompressobj(_GZIP)
        try:
            text = unpacker.decompress(content[begin:])
        except zlib.error:
            return
        if not unpacker.eof:
            return
        begin = len(content) - len(unpacker.unused_data)
        yield begin, text


def _append(path: Path, member: bytes) -> None:
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.write(member)
        stream.flush()
        os.fsync(stream.fileno())
    if is_new:
        sync(path.parent)
        sync(path.parent.parent)


def _other_samples(path: Path, kept: int) -> PublicationError:
    return PublicationError(
        f"{path} holds other samples than this fleet's, from its interval {kept + 1:,} on: it was begun with other"
        " settings",
        remedy="give the settings that it was begun with, or another --data-dir; or remove the file",
    )


@dataclass(frozen=True)
class LatestInterval:
    """The interval that was archived last: its start, UTC, its hosts, gaps included, and how many its file has."""

    path: Path
    ts: dt.datetime
    hosts: int
    intervals: int
    is_open: bool


def latest_interval(root: Path) -> LatestInterval | None:
    """Return the latest interval of an archive; None = it has none.

    What a writer has not finished is left out.

    Raises:
        StorageError: If a file cannot be read.
    """
    for hour, is_open in reversed(archived_hours(root)):
        path = hour.open_path(root) if is_open else hour.whole_path(root)
        with local_disk(path, "read"):
            texts = [text for _end, text in whole_members(path.read_bytes())]
        if texts and texts[-1]:
            lines = texts[-1].splitlines()
            ts = dt.datetime.fromisoformat(json.loads(lines[-1])["ts"])
            return LatestInterval(path, ts, len(lines), len(texts), is_open)
    return None


@dataclass(frozen=True)
class Resumption:
    """Where a start goes on.

    Attributes:
        writer: The archive, mended.
        first: Number of the first interval to emit.
        start: When the clock starts, UTC.
        is_continued: Whether the interval before the first one is in the archive.
        skipped: Days that are not caught up, at least in part.
        left_open: Hours that are open and that it does not go on with.
        days_over: Days that may be whole by it, or are and nobody was told when the run before was killed.
    """

    writer: OpenArchive
    first: int
    start: dt.datetime
    is_continued: bool
    skipped: tuple[dt.date, ...] = ()
    left_open: tuple[DayHour, ...] = ()
    days_over: tuple[dt.date, ...] = ()


@dataclass(frozen=True)
class _Mended:
    """An open hour after mending: how many intervals it keeps, and the number of the next."""

    hour: DayHour
    kept: int
    next: int


def resume(root: Path, simulator: Simulator, start: dt.datetime, *, is_present: bool) -> Resumption:
    """Mend the open hours of an archive and return where to go on at a time, UTC, which is the present or simulated.

    Raises:
        PublicationError: If it lies before the fleet's window, or an open hour holds other samples than this fleet's.
        StorageError: If the disk refuses.
    """
    timeline = simulator.timeline
    _require_window(timeline, start)
    here = timeline.hour_of(timeline.number_at(start))
    every = [hour for hour, is_open in archived_hours(root) if is_open]
    opened = [hour for hour in every if (hour <= here if is_present else hour >= here)]
    left = tuple(hour for hour in every if hour not in opened and not hour.whole_path(root).exists())
    resumed = _resume(root, simulator, start, opened, is_present=is_present)
    before = timeline.begin(resumed.first).date() - dt.timedelta(days=1)
    return replace(resumed, left_open=left, days_over=tuple(sorted({before, *(hour.day for hour in opened)})))


def _resume(
    root: Path, simulator: Simulator, start: dt.datetime, opened: list[DayHour], *, is_present: bool
) -> Resumption:
    timeline = simulator.timeline
    mended = [_mend(root, simulator, hour) for hour in opened if hour.day >= timeline.start]
    for older in mended[:-1]:
        OpenArchive(root, simulator).finish(older.hour, older.kept)
    newest = mended[-1] if mended else None
    if is_present:
        return _in_the_present(root, simulator, start, newest)
    if newest is None:
        return Resumption(OpenArchive(root, simulator), timeline.first_of_hour_at(start), start, is_continued=False)
    writer = OpenArchive(root, simulator, newest.hour)
    return Resumption(writer, newest.next, max(start, timeline.begin(newest.next)), is_continued=True)


def _in_the_present(root: Path, simulator: Simulator, now: dt.datetime, newest: _Mended | None) -> Resumption:
    timeline, here = simulator.timeline, simulator.timeline.number_at(now)
    ends = [end for end in _whole_ends(root, timeline) if end <= here + 1] + ([newest.next] if newest else [])
    if not ends:
        fresh = OpenArchive(root, simulator)
        return Resumption(fresh, timeline.first_of_hour_at(now), now, is_continued=False)
    first = max(ends)
    is_near = here - first < timeline.per_day
    goes_on = newest is not None and is_near and newest.next == first
    writer = OpenArchive(root, simulator, newest.hour if newest and goes_on else None)
    if newest and not goes_on:
        writer.finish(newest.hour, newest.kept)
    if is_near:
        return Resumption(writer, first, now, is_continued=True)
    midnight = here - here % timeline.per_day
    skipped = _days(timeline.hour_of(first).day, now.date())
    return Resumption(writer, midnight, now, is_continued=False, skipped=skipped)


def _mend(root: Path, simulator: Simulator, hour: DayHour) -> _Mended:
    kept = mend(root, simulator, hour)
    return _Mended(hour, kept, simulator.timeline.first_of(hour) + kept)


def _whole_ends(root: Path, timeline: Timeline) -> list[int]:
    """Return the number of the interval after each whole hour."""
    return [
        timeline.first_of(hour) + timeline.per_hour
        for hour, is_open in archived_hours(root)
        if not is_open and hour.day >= timeline.start
    ]


def _days(first: dt.date, end: dt.date) -> tuple[dt.date, ...]:
    """Return the days from `first`, inclusive, to `end`, exclusive."""
    return tuple(first + dt.timedelta(days=offset) for offset in range((end - first).days))


def _require_window(timeline: Timeline, start: dt.datetime) -> None:
    if start.date() < timeline.start:
        raise PublicationError(
            f"{start:%Y-%m-%d %H:%M} lies before the fleet's window, which starts on {timeline.start}",
            remedy=f"start at {timeline.start} or later, or set data_generation.start_date (another fleet, in a"
            " --data-dir of its own)",
        )
