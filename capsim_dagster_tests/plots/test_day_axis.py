"""Ticks of dates: few enough to read, and the year wherever it changes."""

import datetime as dt

import pytest

from capsim_dagster.plots.day_axis import MOST_TICKS, day_ticks

START = dt.date(2023, 1, 1)


@pytest.mark.parametrize("n_days", [1, 2, 14, 15, 31, 90, 365, 1096, 3653, 36_525, 80_000])
def test_ticks_are_few_lie_within_the_window_and_ascend(n_days: int) -> None:
    last = START + dt.timedelta(n_days - 1)

    ticks = [dt.date(1970, 1, 1) + dt.timedelta(day) for day in day_ticks(START, last)]

    assert 1 <= len(ticks) <= MOST_TICKS + 1
    assert ticks == sorted(set(ticks))
    assert START <= ticks[0] <= ticks[-1] <= last


@pytest.mark.parametrize(
    ("last", "labels"),
    [
        (dt.date(2023, 1, 3), ["1 Jan\n2023", "2 Jan", "3 Jan"]),
        (dt.date(2023, 2, 20), ["1 Jan\n2023", "8 Jan", "15 Jan", "22 Jan", "29 Jan", "5 Feb", "12 Feb", "19 Feb"]),
        (dt.date(2023, 3, 31), ["Jan\n2023", "Feb", "Mar"]),
        (dt.date(2024, 12, 31), ["Jan\n2023", "Apr", "Jul", "Oct", "Jan\n2024", "Apr", "Jul", "Oct"]),
        (
            dt.date(2030, 12, 31),
            ["Jan\n2023", "Jul"] + [name for y in range(2024, 2031) for name in (f"Jan\n{y}", "Jul")],
        ),
        (dt.date(2034, 12, 31), [str(year) for year in range(2023, 2035)]),
    ],
)
def test_labels_name_the_year_where_it_changes(last: dt.date, labels: list[str]) -> None:
    assert list(day_ticks(START, last).values()) == labels
