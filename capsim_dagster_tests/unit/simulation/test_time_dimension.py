"""The calendar that holds everywhere: every day once, ISO weekdays, months."""

import datetime as dt

import pytest

from capsim_dagster.schemas.fleet import TIME_PERIODS
from capsim_dagster.schemas.frames import broken_rules, frame_schema
from capsim_dagster.schemas.months import month_end, month_start, months_between, yearmonth
from capsim_dagster.simulation.time_dimension import epoch_days, time_periods

WINDOW = (dt.date(2023, 1, 1), dt.date(2025, 12, 31))


def test_calendar_holds_every_day_of_the_window_once_in_order() -> None:
    days = time_periods(*WINDOW)["date"].to_list()

    assert days == [dt.date(2023, 1, 1) + dt.timedelta(offset) for offset in range(365 + 366 + 365)]
    assert dt.date(2024, 2, 29) in days


def test_calendar_fulfils_its_contract() -> None:
    days = time_periods(*WINDOW)

    assert broken_rules(TIME_PERIODS, days) == []
    assert days.schema == frame_schema(TIME_PERIODS)


def test_calendar_columns_agree_with_the_standard_library() -> None:
    for row in time_periods(*WINDOW).iter_rows(named=True):
        day = row["date"]
        assert row["day_of_week"] == day.isoweekday()
        assert row["is_weekend"] == (day.isoweekday() in {6, 7})
        assert (row["year"], row["month"], row["yearmonth"]) == (day.year, day.month, int(f"{day:%Y%m}"))
        assert row["quarter"] == (day.month + 2) // 3
        assert row["is_month_end"] == ((day + dt.timedelta(1)).day == 1)
        assert row["is_quarter_end_month"] == (day.month in {3, 6, 9, 12})


def test_calendar_of_one_day_is_one_row() -> None:
    (row,) = time_periods(dt.date(2024, 2, 29), dt.date(2024, 2, 29)).iter_rows(named=True)

    assert row == {
        "date": dt.date(2024, 2, 29),
        "yearmonth": 202402,
        "year": 2024,
        "month": 2,
        "day_of_week": 4,
        "quarter": 1,
        "is_weekend": False,
        "is_month_end": True,
        "is_quarter_end_month": False,
    }


def test_extending_the_calendar_changes_no_existing_day() -> None:
    longer = time_periods(WINDOW[0], dt.date(2026, 6, 30))

    assert longer.head(1_096).equals(time_periods(*WINDOW))


@pytest.mark.parametrize(
    ("day", "start", "end"),
    [
        (dt.date(2024, 2, 29), dt.date(2024, 2, 1), dt.date(2024, 2, 29)),
        (dt.date(2023, 2, 1), dt.date(2023, 2, 1), dt.date(2023, 2, 28)),
        (dt.date(2023, 12, 31), dt.date(2023, 12, 1), dt.date(2023, 12, 31)),
    ],
)
def test_month_of_a_day_has_its_first_and_last_day(day: dt.date, start: dt.date, end: dt.date) -> None:
    assert (month_start(day), month_end(day)) == (start, end)


def test_months_between_cross_the_year_and_include_both_ends() -> None:
    months = months_between(dt.date(2023, 11, 30), dt.date(2024, 2, 1))

    assert [yearmonth(month) for month in months] == [202311, 202312, 202401, 202402]
    assert months_between(dt.date(2024, 2, 1), dt.date(2024, 2, 29)) == [dt.date(2024, 2, 1)]


def test_epoch_days_count_from_1970_and_include_both_ends() -> None:
    days = epoch_days(dt.date(2024, 2, 28), dt.date(2024, 3, 1))

    assert days.tolist() == [(dt.date(2024, 2, 28) - dt.date(1970, 1, 1)).days + offset for offset in range(3)]
