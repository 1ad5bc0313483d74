"""The calendar of the default fleet, measured on its output by region.

Each ratio compares the mean load of a region's hosts on some days with the same weekdays just before and after, where
no occasion is near; so the week, growth and season cancel. Hosts that breach are left out: the calendar does not touch
their limiting resource, and they saturate. The smallest group has 25 hosts and every ratio at least 70 days: its
standard error is below 0.3 % (worst of 4 regions x 4 resources: 0.65 %), against a tolerance of 2 % of the setting. Of
effects that are smaller than that, the tolerance is half the effect, 0.8 % at least.
"""

import datetime as dt
from functools import cache

import numpy as np
import pytest

from capsim_dagster.schemas import Resource
from capsim_dagster.settings import Metric
from capsim_dagster.simulation.region_calendar import NOT_BUSINESS, RegionDays, region_days
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.simulation.default_fleet import (
    REGIONS,
    SERVER_TYPES,
    generation,
    mean_load,
    model,
    offset,
    ordinary_load,
)
from capsim_dagster_tests.support.simulation.models import BoolArray

by_region = each_case("region", REGIONS)
by_resource = each_case("resource", Resource)


@cache
def days_of(region: str) -> RegionDays:
    calendar, code = generation().calendar, generation().metadata.regions[REGIONS.index(region)].bank_calendar
    window = (generation().start_date, generation().end_date)
    return region_days(code, *window, calendar.holiday_shoulder_days)


@cache
def occasions(region: str) -> dict[str, BoolArray]:
    """Return the days of each occasion in a region, where a bank holiday beats all, and quarter end all but that."""
    days, calendar = days_of(region), generation().calendar
    left, is_business = days.business_days_left, days.business_days_left != NOT_BUSINESS
    quarter_end = is_business & (left < calendar.eoq_window_days) & (days.month % 3 == 0)
    shoulder = ~days.is_holiday & ~quarter_end & (days.holiday_distance <= calendar.holiday_shoulder_days)
    month_end = is_business & (left < calendar.month_end_window_days) & ~quarter_end & ~shoulder
    return {
        "holiday": days.is_holiday,
        "quarter_end": quarter_end,
        "shoulder": shoulder,
        "month_end": month_end,
        "none": ~(days.is_holiday | quarter_end | shoulder | month_end),
    }


def setting_of(occasion: str, metric: Metric) -> float:
    return {
        "holiday": metric.holiday_effect_multiplier,
        "quarter_end": metric.eoq_spike_multiplier,
        "shoulder": 1 + (metric.holiday_effect_multiplier - 1) * generation().calendar.holiday_shoulder_share,
        "month_end": metric.month_end_multiplier,
    }[occasion]


def tolerance(setting: float) -> float:
    """Return 2 % of a setting, or half of the effect where that is less, but not below the sampling error."""
    return max(0.008, min(0.02 * setting, abs(setting - 1) / 2))


def ratio_on(days: list[int], resource: Resource, region: str) -> float:
    """Return the load of a region on some days as a multiple of what is ordinary on them."""
    load = mean_load(resource, REGIONS.index(region))
    expected = {day: ordinary_load(load, day, occasions(region)["none"]) for day in days}
    known = {day: value for day, value in expected.items() if value is not None}
    return float(load[list(known)].sum()) / sum(known.values())


@by_region
@by_resource
@each_case("occasion", ["holiday", "quarter_end", "shoulder", "month_end"])
def test_load_of_an_occasion_is_its_setting_times_ordinary_load(occasion: str, resource: Resource, region: str) -> None:
    setting = setting_of(occasion, generation().metrics[resource])
    days = np.flatnonzero(occasions(region)[occasion]).tolist()
    assert len(days) >= 18

    assert abs(ratio_on(days, resource, region) - setting) < tolerance(setting)


@by_region
@by_resource
def test_load_of_weekends_is_the_setting_times_that_of_working_days_as_far_as_each_workload_follows(
    resource: Resource, region: str
) -> None:
    mondays = np.flatnonzero(days_of(region).weekday == 0)
    is_ordinary = occasions(region)["none"]
    weeks = np.stack([monday + np.arange(7) for monday in mondays if is_ordinary[monday : monday + 7].sum() == 7])
    assert len(weeks) >= 70
    for index, kind in enumerate(generation().metadata.server_types):
        load = mean_load(resource, REGIONS.index(region), index)[weeks]
        setting = 1 + (generation().metrics[resource].weekly_pattern_factor - 1) * kind.weekend_response
        assert abs(load[:, 5:].mean() / load[:, :5].mean() - setting) < tolerance(setting), kind.name


@by_resource
def test_day_that_is_holiday_and_in_the_last_week_of_the_quarter_is_a_holiday(resource: Resource) -> None:
    """Good Friday 2024: one day of 480 European hosts, with a standard error of 1 % of a setting."""
    day = offset(dt.date(2024, 3, 29))
    metric = generation().metrics[resource]

    assert ratio_on([day], resource, "eu-west") == pytest.approx(metric.holiday_effect_multiplier, rel=0.03)
    assert ratio_on([day], resource, "us-east") == pytest.approx(metric.eoq_spike_multiplier, rel=0.03)


@by_region
@by_resource
@each_case("year", [2023, 2024, 2025])
def test_christmas_is_quieter_than_the_week_before(year: int, resource: Resource, region: str) -> None:
    load = mean_load(resource, REGIONS.index(region))
    christmas = offset(dt.date(year, 12, 25))

    assert load[christmas] < load[christmas - 7 : christmas].mean()


@by_resource
def test_batch_hosts_are_busier_and_all_others_quieter_at_weekends(resource: Resource) -> None:
    for region, name in enumerate(REGIONS):
        is_weekend = days_of(name).weekday >= 5
        for index, kind in enumerate(generation().metadata.server_types):
            load = mean_load(resource, region, index)
            is_busier = load[is_weekend].mean() > load[~is_weekend].mean()
            if resource is not Resource.DISK:
                assert is_busier == (kind.weekend_response < 0), (name, kind.name)


def test_every_region_and_server_type_has_hosts_enough_to_measure() -> None:
    block = model().block
    counts = np.bincount(block.regions * len(SERVER_TYPES) + block.server_types)

    assert counts.min() >= 25


def test_names_are_those_of_the_shipped_settings() -> None:
    assert tuple(region.name for region in generation().metadata.regions) == REGIONS
    assert tuple(kind.name for kind in generation().metadata.server_types) == SERVER_TYPES
