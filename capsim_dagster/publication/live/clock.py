"""The time that it is in the simulation: the present, or from any start and faster."""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass

from capsim_dagster.publication.dataset.export import now_utc


@dataclass(frozen=True)
class Clock:
    """Simulated time.

    Attributes:
        start: When it starts, UTC; None = it is the present, and `speed` is 1.
        speed: Simulated seconds in a second, 1 and up.
        started_s: Reading of `monotonic` at the start [s].
        monotonic: Tells seconds that never go back.
        present: Tells the present, UTC.
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
    """Return a clock that starts now at an instant of simulated time.

    Args:
        start: The instant, UTC.
        speed: Simulated seconds in a second, 1 and up.
        monotonic: Tells seconds that never go back.
    """
    return Clock(start, speed, started_s=monotonic(), monotonic=monotonic)
