"""The effects of the calendar, measured on loads whose effects are known."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from capsim_dagster.pictures import profiles
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import Calendar, Region
from capsim_dagster.simulation.region_calendar import region_calendar
from capsim_dagster_tests.conftest import MakeSettings

START, END = dt.date(2023, 1, 1), dt.date(2024, 12, 31)
WEEK = {1: 0.95, 2: 1.0, 3: 1.05, 4: 1.0, 5: 1.0, 6: 0.6, 7: 0.4}
QUARTER_END = 1.3
REGIONS = [Region(name="us", weight=1, bank_calendar="US"), Region(name="uk", weight=1, bank_calendar="GB")]


@pytest.fixture
def calendar(make_settings: MakeSettings) -> pl.DataFrame:
    settings: Calendar = make_settings().data_generation.calendar
    return region_calendar(REGIONS, settings, START, END)


def loads_with_known_effects(calendar: pl.DataFrame, *, growth_per_day: float = 0.0) -> pl.DataFrame:
    """Return loads of two regions of different size, with a week, a quarter end, wild holidays and growth."""
    elapsed = (pl.col("date") - START).dt.total_days()
    factor = pl.col("date").dt.weekday().replace_strict(WEEK, return_dtype=pl.Float64)
    factor *= pl.when("is_quarter_end_window").then(QUARTER_END).otherwise(1.0)
    factor *= (
        pl.when(pl.col("is_bank_holiday") | pl.col("is_month_end_window") & ~pl.col("is_quarter_end_window"))
        .then(7.0)
        .otherwise(1.0)
    )
    return calendar.select(
        "region",
        "date",
        group=pl.lit("cpu"),
        hosts=pl.when(pl.col("region") == "us").then(3.0).otherwise(5.0),
        load=pl.when(pl.col("region") == "us").then(3 * 40.0).otherwise(5 * 20.0)
        * factor
        * (1 + growth_per_day * elapsed),
    )


def test_weekly_profile_recovers_the_week_beside_holidays_and_quarter_ends(calendar: pl.DataFrame) -> None:
    found = profiles.weekly_profile(loads_with_known_effects(calendar), calendar)

    assert found["weekday"].to_list() == list(range(1, 8))
    assert found["ratio"].to_list() == pytest.approx(list(WEEK.values()))


def test_weekly_profile_is_not_bent_by_growth(calendar: pl.DataFrame) -> None:
    found = profiles.weekly_profile(loads_with_known_effects(calendar, growth_per_day=0.001), calendar)

    # Within a week it grows by 0.7 % of the load of the first day, which no comparison of its days can hide.
    assert found["ratio"].to_list() == pytest.approx(list(WEEK.values()), abs=0.004)


@pytest.mark.parametrize(("first", "last"), [(START, dt.date(2023, 1, 8)), (dt.date(2023, 2, 6), dt.date(2023, 2, 9))])
def test_weekly_profile_of_a_window_without_an_ordinary_week_is_empty(
    calendar: pl.DataFrame, first: dt.date, last: dt.date
) -> None:
    few = calendar.filter(pl.col("date").is_between(first, last))

    assert profiles.weekly_profile(loads_with_known_effects(few), few).is_empty()


def test_quarter_end_effect_recovers_the_window_and_nothing_else(calendar: pl.DataFrame) -> None:
    found = profiles.quarter_end_effect(loads_with_known_effects(calendar), calendar)

    window = profiles.window_days(calendar)
    assert profiles.quarter_ends(calendar) == 8
    assert 0 < window < profiles.BUSINESS_DAYS_BEFORE
    assert found["business_day"].to_list() == [*range(-15, 0), *range(1, 11)]
    for day, ratio in found.select("business_day", "ratio").iter_rows():
        is_inside = -window <= day < 0
        # Holidays and month ends, seven times as loud, are left out or lie beyond the days that are shown.
        assert ratio == pytest.approx(QUARTER_END if is_inside else 1.0), day


def test_quarter_end_effect_counts_business_days_back_from_the_last_one_of_the_region() -> None:
    days = pl.date_range(dt.date(2023, 3, 1), dt.date(2023, 4, 14), eager=True)
    business = [day.weekday() < 5 and day not in (dt.date(2023, 3, 31), dt.date(2023, 4, 7)) for day in days]
    flags = ["is_bank_holiday", "is_holiday_shoulder", "is_quarter_end_window", "is_month_end_window"]
    calendar = pl.DataFrame({"region": "x", "date": days, "is_business_day": business, **dict.fromkeys(flags, False)})
    loads = pl.DataFrame({"group": "cpu", "region": "x", "date": days, "hosts": 1.0, "load": 10.0}).with_columns(
        load=pl.when(pl.col("date") == dt.date(2023, 3, 30)).then(20.0).otherwise("load")
    )

    found = profiles.quarter_end_effect(loads, calendar)

    assert found.sort("ratio")["business_day"][-1] == -1  # the 31st is no business day here


@pytest.mark.parametrize("last", [dt.date(2023, 3, 30), dt.date(2023, 2, 1)])
def test_quarter_end_effect_of_a_window_that_stops_before_the_quarter_does_is_empty(
    calendar: pl.DataFrame, last: dt.date
) -> None:
    short = calendar.filter(pl.col("date") <= last)

    assert profiles.quarter_ends(short) == 0
    assert profiles.quarter_end_effect(loads_with_known_effects(short), short).is_empty()


def test_loads_sum_hosts_by_region_and_server_type_and_leave_gaps_out() -> None:
    hosts = pl.DataFrame({"region": ["b", "a", "b"], "server_type": ["web", "web", "web"]})
    loads = profiles.Loads(hosts)
    days = np.array(["2023-01-31", "2023-02-01"], dtype="datetime64[D]")

    loads.add(Resource.DISK, days, np.array([[1, np.nan], [10, 20], [2, np.nan]], dtype=np.float32))

    assert loads.frame().select("region", "date", "load", "hosts").sort("region", "date").rows() == [
        ("a", dt.date(2023, 1, 31), 10.0, 1.0),
        ("a", dt.date(2023, 2, 1), 20.0, 1.0),
        ("b", dt.date(2023, 1, 31), 3.0, 2.0),
        ("b", dt.date(2023, 2, 1), 0.0, 0.0),
    ]
