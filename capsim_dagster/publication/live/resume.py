"""Where a start goes on: what of the archive is there, what is caught up, and from when the clock runs.

In the present, the intervals since the last one in the archive are caught up if they are less than a day's. Older ones
are not: the open hour is completed, and the current day is written from midnight; the days between are for
`capsim archive`. From a start of its own, the simulation goes on where it stopped, which the open hour tells.
"""

import datetime as dt
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.live.interval import Simulator
from capsim_dagster.publication.live.open_hour import OpenArchive, mend
from capsim_dagster.publication.live.timeline import Timeline
from capsim_dagster.storage.store import local_disk

_HOUR_FILE: Final = re.compile(r"(?P<day>\d{8})/(?P<hour>[01]\d|2[0-3])\.jsonl\.gz(?P<open>\.part)?")
_DAY_FORMAT: Final = "%Y%m%d"


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
    """An open hour after mending.

    Attributes:
        hour: The hour.
        kept: Intervals in it.
        next: Number of the first interval after those.
    """

    hour: DayHour
    kept: int
    next: int


def resume(root: Path, simulator: Simulator, start: dt.datetime, *, is_present: bool) -> Resumption:
    """Mend the open hours of an archive and return where to go on.

    Args:
        root: Root of the archive.
        simulator: Makes the intervals.
        start: The time it is, or from when the simulation is to run, UTC.
        is_present: Whether it is the present.

    Raises:
        PublicationError: If it lies before the fleet's window, or an open hour holds other samples than this fleet's.
        StorageError: If the disk refuses.
    """
    timeline = simulator.timeline
    _require_window(timeline, start)
    here = timeline.hour_of(timeline.number_at(start))
    every = _hours(root, is_open=True)
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
    whole = [hour for hour in _hours(root, is_open=False) if hour.day >= timeline.start]
    return [timeline.first_of(hour) + timeline.per_hour for hour in whole]


def _hours(root: Path, *, is_open: bool) -> list[DayHour]:
    """Return the hours of an archive that are open, or those that are whole, in order."""
    with local_disk(root, "read"):
        names = [path.relative_to(root).as_posix() for path in root.glob("*/*")]
    found = [match for name in names if (match := _HOUR_FILE.fullmatch(name))]
    return sorted(_hour(match) for match in found if bool(match["open"]) == is_open)


def _hour(match: re.Match[str]) -> DayHour:
    day = dt.datetime.strptime(match["day"], _DAY_FORMAT).replace(tzinfo=dt.UTC).date()
    return DayHour(day, int(match["hour"]))


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
