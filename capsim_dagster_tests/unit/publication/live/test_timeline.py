"""Intervals and instants: each interval is found again by its begin, its hour and its place there."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.live.timeline import Timeline

STARTS = st.dates(dt.date(2000, 1, 1), dt.date(2090, 1, 1))
MINUTES = st.sampled_from([1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30])


@given(STARTS, MINUTES, st.integers(0, 3_000_000), st.floats(0, 0.999))
def test_an_interval_is_the_one_of_any_instant_in_it_and_of_its_place_in_its_hour(
    start: dt.date, minutes: int, number: int, share: float
) -> None:
    line = Timeline(start, minutes)
    inside = line.begin(number) + dt.timedelta(seconds=share * line.interval_s)
    hour = line.hour_of(number)

    assert line.number_at(inside) == number
    assert line.first_of(hour) + line.place_in_hour(number) == number
    assert line.first_of_hour_at(inside) == line.first_of(hour)
    assert line.begin(line.first_of(hour)).minute == 0


def test_the_numbers_are_those_of_the_lines() -> None:
    line = Timeline(dt.date(2026, 1, 1), 5)

    # Two days of 288, seven hours of 12, and the third of the hour.
    assert line.number_at(dt.datetime(2026, 1, 3, 7, 14, 59, tzinfo=dt.UTC)) == 2 * 288 + 7 * 12 + 2
    assert line.number_at(dt.datetime(2025, 12, 31, 23, 59, tzinfo=dt.UTC)) == -1
    assert line.hour_of(2 * 288 + 7 * 12 + 2) == DayHour(dt.date(2026, 1, 3), 7)
