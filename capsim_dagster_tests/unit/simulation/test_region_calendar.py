"""Bank calendars as central banks publish them, and the windows that count their business days."""

import calendar
import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from capsim_dagster.schemas.fleet import BANK_HOLIDAYS, REGION_CALENDAR
from capsim_dagster.schemas.frames import broken_rules, frame_schema
from capsim_dagster.settings import Calendar, Region
from capsim_dagster.simulation.region_calendar import NOT_BUSINESS, bank_holidays, region_calendar, region_days
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import base_generation

WINDOW = (dt.date(2023, 1, 1), dt.date(2025, 12, 31))
CODES = ["US", "ECB", "SG"]
REGIONS = [Region(name=code, weight=1, bank_calendar=code) for code in CODES]

repeatable = property_settings(max_examples=20, deadline=None, derandomize=True, database=None)


def calendar_settings(**changes: object) -> Calendar:
    return Calendar.model_validate(base_generation().calendar.model_dump() | changes)


def closed_weekdays(code: str, year: int) -> set[dt.date]:
    region = Region(name="here", weight=1, bank_calendar=code)
    days = bank_holidays([region], dt.date(year, 1, 1), dt.date(year, 12, 31))
    return {day for day in days["date"] if day.weekday() < 5}


def flagged(code: str, flag: str, first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the days of a stretch that have a flag in a bank calendar, with the default settings."""
    rows = region_calendar(REGIONS, calendar_settings(), first, last).filter(pl.col("region") == code, pl.col(flag))
    return rows["date"].to_list()


def days_of_month(year: int, month: int, *days: int) -> list[dt.date]:
    return [dt.date(year, month, day) for day in days]


def month_of(year: int, month: int) -> tuple[dt.date, dt.date]:
    return dt.date(year, month, 1), dt.date(year, month, calendar.monthrange(year, month)[1])


def test_federal_reserve_is_closed_on_its_published_weekdays_of_2023() -> None:
    published = [(1, 2), (1, 16), (2, 20), (5, 29), (6, 19), (7, 4), (9, 4), (10, 9), (11, 23), (12, 25)]

    assert closed_weekdays("US", 2023) == {dt.date(2023, month, day) for month, day in published}


@pytest.mark.parametrize("friday", [dt.date(2023, 11, 10), dt.date(2021, 12, 31), dt.date(2020, 7, 3)])
def test_federal_reserve_stays_open_on_the_friday_before_a_saturday_holiday(friday: dt.date) -> None:
    assert flagged("US", "is_business_day", friday, friday) == [friday]
    assert friday not in closed_weekdays("US", friday.year)


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


def test_singapore_is_closed_on_the_monday_after_a_lunar_new_year_on_a_sunday() -> None:
    assert flagged("SG", "is_bank_holiday", *month_of(2024, 2)) == days_of_month(2024, 2, 10, 11, 12)


@pytest.mark.parametrize("good_friday", [dt.date(2023, 4, 7), dt.date(2024, 3, 29), dt.date(2025, 4, 18)])
def test_good_friday_closes_european_banks_but_not_american_ones(good_friday: dt.date) -> None:
    assert flagged("ECB", "is_bank_holiday", good_friday, good_friday) == [good_friday]
    assert flagged("US", "is_business_day", good_friday, good_friday) == [good_friday]


@each_case("code", CODES)
@each_case("year", [2023, 2024, 2025])
def test_christmas_is_a_bank_holiday_everywhere(code: str, year: int) -> None:
    assert dt.date(year, 12, 25) in flagged(code, "is_bank_holiday", *month_of(year, 12))


@each_case(
    ("code", "month", "days"),
    [
        ("US", 12, (24, 26, 27, 30, 31)),
        ("ECB", 12, (23, 24, 27, 30, 31)),
        ("SG", 12, (24, 26, 27, 30, 31)),
        ("US", 3, (25, 26, 27, 28, 29)),
        ("ECB", 3, (22, 25, 26, 27, 28)),
        ("US", 6, (24, 25, 26, 27, 28)),
        ("US", 11, ()),
    ],
)
def test_quarter_end_window_of_2024_is_the_last_five_business_days_of_the_region(
    code: str, month: int, days: tuple[int, ...]
) -> None:
    assert flagged(code, "is_quarter_end_window", *month_of(2024, month)) == days_of_month(2024, month, *days)


@each_case(
    ("code", "month", "days"), [("US", 11, (27, 29)), ("ECB", 11, (28, 29)), ("ECB", 3, (27, 28)), ("US", 8, (29, 30))]
)
def test_month_end_window_of_2024_is_the_last_two_business_days_of_the_region(
    code: str, month: int, days: tuple[int, ...]
) -> None:
    """Thanksgiving 2024 is the 28th of November; Good Friday the 29th of March."""
    assert flagged(code, "is_month_end_window", *month_of(2024, month)) == days_of_month(2024, month, *days)


@pytest.mark.parametrize(("code", "days"), [("US", (24, 26, 31)), ("ECB", (24, 27, 31)), ("SG", (24, 26, 31))])
def test_shoulders_of_december_2024_are_the_days_next_to_holidays(code: str, days: tuple[int, ...]) -> None:
    """The last one belongs to New Year, which is in the next month."""
    assert flagged(code, "is_holiday_shoulder", *month_of(2024, 12)) == days_of_month(2024, 12, *days)


def test_distance_to_a_holiday_counts_calendar_days_on_both_sides() -> None:
    """Independence Day 2024 is a Thursday."""
    days = region_days("US", dt.date(2024, 7, 1), dt.date(2024, 7, 9), 3)

    assert days.holiday_distance.tolist() == [3, 2, 1, 0, 1, 2, 3, 4, 4]


def test_without_shoulder_days_no_day_is_a_shoulder() -> None:
    rows = region_calendar(REGIONS, calendar_settings(holiday_shoulder_days=0), *WINDOW)

    assert not rows["is_holiday_shoulder"].any()


@pytest.mark.parametrize("code", CODES)
def test_business_days_are_those_that_numpy_counts(code: str) -> None:
    """The second method: weekdays that are no bank holiday, counted from each of them to the end of its month."""
    closed = sorted(day for year in range(2023, 2026) for day in closed_weekdays(code, year))
    days = region_days(code, *WINDOW, 1)
    for index, left in enumerate(days.business_days_left.tolist()):
        day = WINDOW[0] + dt.timedelta(index)
        next_month = dt.date(day.year + day.month // 12, day.month % 12 + 1, 1)
        is_business = bool(np.is_busday(day, holidays=closed))
        expected = int(np.busday_count(day, next_month, holidays=closed)) - 1 if is_business else NOT_BUSINESS
        assert left == expected, day


@pytest.mark.parametrize("code", CODES)
def test_weekdays_and_months_agree_with_the_standard_library(code: str) -> None:
    found = region_days(code, *WINDOW, 1)
    days = [WINDOW[0] + dt.timedelta(offset) for offset in range(found.weekday.size)]

    assert found.weekday.tolist() == [day.weekday() for day in days]
    assert found.month.tolist() == [day.month for day in days]


@repeatable
@given(code=st.sampled_from(CODES), first=st.dates(*WINDOW), length=st.integers(0, 70), shoulder_days=st.integers(0, 5))
def test_days_of_any_stretch_equal_the_same_days_of_the_whole_window(
    code: str, first: dt.date, length: int, shoulder_days: int
) -> None:
    """So no window at the end of a month depends on where the simulation's window ends."""
    last = min(first + dt.timedelta(length), WINDOW[1])
    some, every = region_days(code, first, last, shoulder_days), region_days(code, *WINDOW, shoulder_days)
    piece = slice((first - WINDOW[0]).days, (last - WINDOW[0]).days + 1)

    for name in ("weekday", "month", "is_holiday", "holiday_distance", "business_days_left"):
        np.testing.assert_array_equal(getattr(some, name), getattr(every, name)[piece])


def test_region_calendar_fulfils_its_contract_with_one_row_a_region_and_day() -> None:
    rows = region_calendar(reversed(REGIONS), calendar_settings(), *WINDOW)

    assert broken_rules(REGION_CALENDAR, rows) == []
    assert rows.schema == frame_schema(REGION_CALENDAR)
    assert rows.height == 3 * 1_096
    assert rows.equals(rows.sort("region", "date"))


def test_regions_with_one_bank_calendar_have_the_same_days() -> None:
    regions = [Region(name=name, weight=1, bank_calendar="US") for name in ("east", "west")]
    east, west = region_calendar(regions, calendar_settings(), *WINDOW).partition_by("region", include_key=False)

    assert east.equals(west)


def test_every_day_is_business_day_or_weekend_or_holiday() -> None:
    rows = region_calendar(REGIONS, calendar_settings(), *WINDOW)
    is_rest = (pl.col("date").dt.weekday() >= 6) | pl.col("is_bank_holiday")

    assert rows.filter(pl.col("is_business_day") == is_rest).is_empty()
    assert rows.filter("is_bank_holiday", "is_holiday_shoulder").is_empty()
    assert rows.filter("is_quarter_end_window", ~pl.col("is_business_day")).is_empty()


def test_bank_holidays_hold_each_region_with_the_days_of_its_calendar() -> None:
    regions = [
        Region(name=name, weight=1, bank_calendar=code) for name, code in [("w", "US"), ("e", "US"), ("f", "ECB")]
    ]
    rows = bank_holidays(regions, *WINDOW)
    days = {name: rows.filter(pl.col("region") == name)["date"].to_list() for name in "wef"}

    assert broken_rules(BANK_HOLIDAYS, rows) == []
    assert rows.schema == frame_schema(BANK_HOLIDAYS)
    assert rows.equals(rows.sort("region", "date"))
    assert days["w"] == days["e"] != days["f"]


@pytest.mark.parametrize("code", CODES)
def test_bank_holidays_are_the_flagged_days_of_the_region_calendar(code: str) -> None:
    rows = bank_holidays([Region(name="here", weight=1, bank_calendar=code)], *WINDOW)

    assert rows["date"].to_list() == flagged(code, "is_bank_holiday", *WINDOW)


def test_bank_holidays_lie_within_the_window_both_ends_included() -> None:
    region = Region(name="here", weight=1, bank_calendar="ECB")
    days = bank_holidays([region], dt.date(2023, 12, 25), dt.date(2024, 1, 1))["date"].to_list()

    assert days == [dt.date(2023, 12, 25), dt.date(2023, 12, 26), dt.date(2024, 1, 1)]


def test_extending_the_window_changes_no_existing_bank_holiday() -> None:
    longer = bank_holidays(REGIONS, WINDOW[0], dt.date(2026, 12, 31))

    assert longer.filter(pl.col("date") <= WINDOW[1]).equals(bank_holidays(REGIONS, *WINDOW))
