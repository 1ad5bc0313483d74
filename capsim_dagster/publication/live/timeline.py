"""Which interval is when, and the time that it is in the simulation: the present, or from any start and faster.

All times are UTC. Intervals are counted from midnight of the first day of the fleet's window, as `meta.seq` of a line
does. An interval is emitted when it begins, which is the time that its samples are stamped with; so an hour's file is
complete when its last interval was emitted, and closed when the next hour begins.
"""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from capsim_dagster.publication.dataset.export import now_utc
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.simulation.samples import HOURS_PER_DAY

_SECONDS_PER_MINUTE: Final = 60
TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
"""Of instants in what is served: as in the lines."""


@dataclass(frozen=True)
class Timeline:
    """The intervals of a fleet: from the first day of its window on, of so many minutes, which divide an hour."""

    start: dt.date
    interval_minutes: int

    @property
    def interval_s(self) -> int:
        """Length of an interval [s]."""
        return self.interval_minutes * _SECONDS_PER_MINUTE

    @property
    def per_hour(self) -> int:
        """Intervals in an hour."""
        return _SECONDS_PER_MINUTE // self.interval_minutes

    @property
    def per_day(self) -> int:
        """Intervals in a day."""
        return self.per_hour * HOURS_PER_DAY

    def number_at(self, instant: dt.datetime) -> int:
        """Return the number of the interval that an instant lies in; below 0 before the window.

        >>> Timeline(dt.date(2026, 1, 1), 5).number_at(dt.datetime(2026, 1, 2, 0, 9, 59, tzinfo=dt.UTC))
        289
        """
        return int((instant - self._origin).total_seconds() // self.interval_s)

    def begin(self, number: int) -> dt.datetime:
        """Return when an interval begins."""
        return self._origin + dt.timedelta(seconds=number * self.interval_s)

    def hour_of(self, number: int) -> DayHour:
        """Return the hour that an interval belongs to."""
        begin = self.begin(number)
        return DayHour(begin.date(), begin.hour)

    def place_in_hour(self, number: int) -> int:
        """Return how many intervals of its hour come before one."""
        return number % self.per_hour

    def first_of(self, hour: DayHour) -> int:
        """Return the number of an hour's first interval."""
        return (hour.day - self.start).days * self.per_day + hour.hour * self.per_hour

    def first_of_hour_at(self, instant: dt.datetime) -> int:
        """Return the number of the first interval of the hour that an instant lies in."""
        number = self.number_at(instant)
        return number - self.place_in_hour(number)

    @property
    def _origin(self) -> dt.datetime:
        return dt.datetime.combine(self.start, dt.time(), tzinfo=dt.UTC)


@dataclass(frozen=True)
class Clock:
    """Simulated time: from `start` on, UTC, and so many seconds in one, 1 and up; None = it is the present.

    `started_s` is the reading of `monotonic` at the start [s], which tells seconds that never go back.
    """

    start: dt.datetime | None = None
    speed: float = 1.0
    started_s: float = 0.0
    monotonic: Callable[[], float] = time.monotonic
    present: Callable[[], dt.datetime] = now_utc

    def now(self) -> dt.datetime:
        """Return simulated time."""
        if self.start is None:
            return self.present()
        return self.start + dt.timedelta(seconds=(self.monotonic() - self.started_s) * self.speed)

    def seconds_until(self, instant: dt.datetime) -> float:
        """Return how long it takes until simulated time comes to an instant [s]; 0 = it has."""
        return max((instant - self.now()).total_seconds() / self.speed, 0.0)


def clock_from(start: dt.datetime, speed: float, monotonic: Callable[[], float] = time.monotonic) -> Clock:
    """Return a clock that starts now at an instant of simulated time, UTC."""
    return Clock(start, speed, started_s=monotonic(), monotonic=monotonic)
