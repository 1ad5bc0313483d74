"""Simulated time: the present, or as fast as told from any start."""

import datetime as dt

from capsim_dagster.publication.live.timeline import Clock

NOON = dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC)


def test_simulated_time_runs_as_fast_as_told_from_its_start() -> None:
    seconds = iter([100.0, 110.0, 110.0, 110.0])
    clock = Clock(NOON, 60.0, started_s=100.0, monotonic=lambda: next(seconds))

    assert clock.now() == NOON
    assert clock.now() == NOON + dt.timedelta(minutes=10)
    # Five minutes ahead at 60 times the speed.
    assert clock.seconds_until(NOON + dt.timedelta(minutes=15)) == 5.0
    assert clock.seconds_until(NOON) == 0.0


def test_without_a_start_it_is_the_present() -> None:
    clock = Clock(present=lambda: NOON)

    assert clock.now() == NOON
    assert clock.seconds_until(NOON + dt.timedelta(minutes=5)) == 300.0
