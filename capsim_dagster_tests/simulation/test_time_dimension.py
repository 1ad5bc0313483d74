"""The calendar: every day once, ISO weekdays, and bank holidays as central banks publish them."""

import datetime as dt

import polars as pl
import pytest

from capsim_dagster.schemas import BankHolidays, TimePeriods
from capsim_dagster.settings import Region
from capsim_dagster.simulation.time_dimension import (
    bank_holidays,
    month_end,
    month_start,
    months_between,
    time_periods,
    yearmonth,
)

WINDOW = (dt.date(2023, 1, 1), dt.date(2025, 12, 31))


def closed_weekdays(calendar: str, year: int) -> set[dt.date]:
    region = Region(name="here", weight=1, bank_calendar=calendar)
    days = bank_holidays([region], dt.date(year, 1, 1), dt.date(year, 12, 31))
    return {day for day in days["date"] if day.weekday() < 5}


def test_calendar_holds_every_day_of_the_window_once_in_order() -> None:
    days = time_periods(*WINDOW)["date"].to_list()

    assert days == [dt.date(2023, 1, 1) + dt.timedelta(offset) for offset in range(365 + 366 + 365)]
    assert dt.date(2024, 2, 29) in days


def test_calendar_fulfils_its_contract() -> None:
    days = time_periods(*WINDOW)

    assert TimePeriods.is_valid(days)
    assert days.columns == TimePeriods.column_names()


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


def test_federal_reserve_is_closed_on_its_published_weekdays_of_2023() -> None:
    published = [(1, 2), (1, 16), (2, 20), (5, 29), (6, 19), (7, 4), (9, 4), (10, 9), (11, 23), (12, 25)]

    assert closed_weekdays("US", 2023) == {dt.date(2023, month, day) for month, day in published}


def test_federal_reserve_stays_open_on_the_friday_before_a_saturday_holiday() -> None:
    assert dt.date(2023, 11, 10) not in closed_weekdays("US", 2023)
    assert dt.date(2021, 12, 31) not in closed_weekdays("US", 2021)


def test_federal_reserve_is_closed_on_the_monday_after_a_sunday_holiday() -> None:
    assert dt.date(2023, 1, 2) in closed_weekdays("US", 2023)


def test_european_central_bank_keeps_the_target_holidays() -> None:
    """TARGET closes on New Year, Good Friday, Easter Monday, 1 May, 25 and 26 December."""
    assert closed_weekdays("ECB", 2024) == {
        dt.date(2024, 1, 1),
        dt.date(2024, 3, 29),
        dt.date(2024, 4, 1),
        dt.date(2024, 5, 1),
        dt.date(2024, 12, 25),
        dt.date(2024, 12, 26),
    }


def test_bank_holidays_hold_each_region_with_the_days_of_its_calendar() -> None:
    regions = [
        Region(name=name, weight=1, bank_calendar=code) for name, code in [("w", "US"), ("e", "US"), ("f", "ECB")]
    ]
    rows = bank_holidays(regions, *WINDOW)
    days = {name: rows.filter(pl.col("region") == name)["date"].to_list() for name in "wef"}

    assert BankHolidays.is_valid(rows)
    assert rows.equals(rows.sort("region", "date"))
    assert days["w"] == days["e"] != days["f"]


def test_bank_holidays_lie_within_the_window_both_ends_included() -> None:
    region = Region(name="here", weight=1, bank_calendar="ECB")
    days = bank_holidays([region], dt.date(2023, 12, 25), dt.date(2024, 1, 1))["date"].to_list()

    assert days == [dt.date(2023, 12, 25), dt.date(2023, 12, 26), dt.date(2024, 1, 1)]


def test_extending_the_window_changes_no_existing_bank_holiday() -> None:
    regions = [Region(name=code, weight=1, bank_calendar=code) for code in ("US", "ECB", "SG")]
    longer = bank_holidays(regions, WINDOW[0], dt.date(2026, 12, 31))

    assert longer.filter(pl.col("date") <= WINDOW[1]).equals(bank_holidays(regions, *WINDOW))


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
