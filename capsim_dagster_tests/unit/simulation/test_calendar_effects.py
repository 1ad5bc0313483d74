"""How the calendar acts on load: factors by hand, which occasion wins, and effects that can be switched off."""

import datetime as dt
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from capsim_dagster.schemas import Resource
from capsim_dagster.seeding import Float64Array
from capsim_dagster.settings import Calendar, DataGeneration, Metric
from capsim_dagster.simulation.calendar_effects import calendar_factors, occasion_factor, weekday_factor
from capsim_dagster.simulation.region_calendar import region_days
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import base_generation, changed

WINDOW = (dt.date(2023, 1, 1), dt.date(2025, 12, 31))
MONDAY, SUNDAY = dt.date(2024, 2, 26), dt.date(2024, 3, 3)
GOOD_FRIDAY = dt.date(2024, 3, 29)
OFF = {"use_holidays": False, "use_eoq_spikes": False, "weekly_pattern_factor": 1.0, "month_end_multiplier": 1.0}

repeatable = property_settings(max_examples=25, deadline=None, derandomize=True, database=None)


def metric(**changes: object) -> Metric:
    return Metric.model_validate(base_generation().metrics[Resource.CPU].model_dump() | changes)


def calendar_settings(**changes: object) -> Calendar:
    return Calendar.model_validate(base_generation().calendar.model_dump() | changes)


def occasions(code: str, first: dt.date, last: dt.date, load: Metric, rules: Calendar) -> Float64Array:
    return occasion_factor(region_days(code, first, last, rules.holiday_shoulder_days), load, rules)


def occasion(code: str, day: dt.date) -> float:
    """Return the factor of one day's occasion with the default settings of cpu."""
    return float(occasions(code, day, day, metric(), calendar_settings())[0])


def weekdays(load: Metric, response: float) -> list[float]:
    """Return the factors of Monday to Sunday."""
    rules = calendar_settings()
    found: list[float] = weekday_factor(region_days("US", MONDAY, SUNDAY, 1), load, rules, response=response).tolist()
    return found


def group_of(generation: DataGeneration, region: str, server_type: str) -> int:
    regions = [choice.name for choice in generation.metadata.regions]
    types = [choice.name for choice in generation.metadata.server_types]
    return regions.index(region) * len(types) + types.index(server_type)


def factors_of(resource: Resource, region: str, server_type: str, first: dt.date, last: dt.date) -> list[float]:
    """Return the factors of one group with the default settings."""
    generation = base_generation()
    group = group_of(generation, region, server_type)
    found: list[float] = calendar_factors(generation, resource, first, last)[group].tolist()
    return found


@each_case(
    ("code", "day", "factor"),
    [
        ("US", dt.date(2024, 12, 25), 0.7),
        ("US", dt.date(2024, 12, 31), 1.15),
        ("US", dt.date(2024, 7, 5), 0.91),
        ("US", dt.date(2024, 10, 31), 1.05),
        ("US", dt.date(2024, 10, 16), 1.0),
        ("US", dt.date(2024, 6, 29), 1.0),
    ],
)
def test_factor_of_an_occasion_is_its_setting(code: str, day: dt.date, factor: float) -> None:
    """Holiday, quarter end, shoulder of 30 % of the holiday's -0.3, month end, ordinary day, weekend after June."""
    assert occasion(code, day) == pytest.approx(factor)


@each_case(
    ("code", "day", "factor"),
    [
        ("ECB", GOOD_FRIDAY, 0.7),
        ("US", dt.date(2024, 12, 24), 1.15),
        ("US", dt.date(2024, 12, 26), 1.15),
        ("US", dt.date(2024, 11, 27), 0.91),
        ("US", dt.date(2024, 11, 29), 0.91),
        ("US", dt.date(2024, 12, 30), 1.15),
    ],
)
def test_one_occasion_wins_holiday_before_quarter_end_before_shoulder_before_month_end(
    code: str, day: dt.date, factor: float
) -> None:
    """Good Friday 2024 is the last Friday of the quarter; Thanksgiving is two business days before November's end."""
    assert occasion(code, day) == pytest.approx(factor)


@each_case(
    ("reach", "share", "factors"),
    [
        (3, 0.6, [0.94, 0.88, 0.82, 0.7, 0.82, 0.88, 0.94]),
        (2, 0.5, [1, 0.925, 0.85, 0.7, 0.85, 0.925, 1]),
        (1, 0.3, [1, 1, 0.91, 0.7, 0.91, 1, 1]),
        (1, 0.0, [1, 1, 1, 0.7, 1, 1, 1]),
        (0, 1.0, [1, 1, 1, 0.7, 1, 1, 1]),
    ],
)
def test_days_around_a_holiday_feel_less_of_it_the_farther_they_are(
    reach: int, share: float, factors: list[float]
) -> None:
    """Veterans Day 2024, a Monday in mid-November with no other occasion near."""
    rules = calendar_settings(holiday_shoulder_days=reach, holiday_shoulder_share=share)
    found = occasions("US", dt.date(2024, 11, 8), dt.date(2024, 11, 14), metric(), rules)

    assert found.tolist() == pytest.approx(factors)


def test_factors_of_the_week_are_its_profile_by_hand() -> None:
    """0.7 at weekends and a response of 1.5 make an effect of -0.45, of which each day feels its share."""
    found = weekdays(metric(weekly_pattern_factor=0.7), 1.5)

    assert found == pytest.approx([0.973, 1.0135, 1.027, 1.0135, 0.973, 0.595, 0.505])


@each_case("factor", [0.5, 0.78, 1.2])
@each_case("response", [1.5, 1.0, 0.4])
def test_weekend_is_its_setting_times_working_days_as_far_as_a_workload_follows(factor: float, response: float) -> None:
    found = weekdays(metric(weekly_pattern_factor=factor), response)

    assert sum(found[:5]) / 5 == pytest.approx(1)
    assert sum(found[5:]) / 2 == pytest.approx(1 + (factor - 1) * response)


def test_workload_with_a_negative_response_is_busier_at_weekends() -> None:
    for region in ("us-east", "eu-west", "ap-southeast"):
        batch, web = (factors_of(Resource.CPU, region, kind, MONDAY, SUNDAY) for kind in ("batch", "web"))
        assert min(batch[5:]) > max(batch[:3])
        assert max(web[5:]) < min(web[:5])


def test_factor_of_a_weekday_is_never_below_nothing() -> None:
    assert weekdays(metric(weekly_pattern_factor=0), 2)[5:] == [0, 0]


@each_case("resource", Resource)
@each_case("year", [2023, 2024, 2025])
def test_christmas_is_quieter_than_the_week_before_in_every_group(resource: Resource, year: int) -> None:
    factors = calendar_factors(base_generation(), resource, dt.date(year, 12, 18), dt.date(year, 12, 25))[:-1]

    assert (factors[:, -1] < factors[:, :-1].mean(axis=1)).all()


def test_regions_differ_on_the_days_of_their_own_banks() -> None:
    """Good Friday closes European banks and is quarter end in America; Independence Day is American alone."""
    wednesday, independence = dt.date(2024, 6, 12), dt.date(2024, 7, 4)
    by_region = {
        region: [
            factors_of(Resource.CPU, region, "database", day, day)[0] for day in (GOOD_FRIDAY, independence, wednesday)
        ]
        for region in ("us-east", "us-west", "eu-west")
    }

    friday, thursday, middle = 1 - 0.22 * 0.06, 1 + 0.22 * 0.03, 1 + 0.22 * 0.06
    assert by_region["us-east"] == by_region["us-west"]
    assert by_region["us-east"] == pytest.approx([1.15 * friday, 0.7 * thursday, middle])
    assert by_region["eu-west"] == pytest.approx([0.7 * friday, thursday, middle])


@each_case("resource", Resource)
def test_factors_are_weekday_times_occasion_in_groups_of_region_and_server_type(resource: Resource) -> None:
    generation = base_generation()
    load, rules, metadata = generation.metrics[resource], generation.calendar, generation.metadata
    found = calendar_factors(generation, resource, *WINDOW)

    assert found.dtype == np.float32
    assert found.shape == (len(metadata.regions) * len(metadata.server_types) + 1, 1_096)
    for group, (region, kind) in enumerate(itertools.product(metadata.regions, metadata.server_types)):
        days = region_days(region.bank_calendar, *WINDOW, rules.holiday_shoulder_days)
        weekly = weekday_factor(days, load, rules, response=kind.weekend_response)
        np.testing.assert_allclose(found[group], weekly * occasion_factor(days, load, rules), atol=1e-6)


def test_calendar_touches_no_day_of_the_last_group() -> None:
    assert set(calendar_factors(base_generation(), Resource.CPU, *WINDOW)[-1].tolist()) == {1.0}


@pytest.mark.parametrize("code", ["US", "ECB", "SG"])
def test_holidays_switched_off_leave_exactly_1_on_their_days_and_days_far_from_them_as_they_were(code: str) -> None:
    days, rules = region_days(code, *WINDOW, 1), calendar_settings()
    on, off = (occasion_factor(days, metric(use_holidays=use), rules) for use in (True, False))

    assert set(on[days.is_holiday].tolist()) == {0.7}
    assert set(off[days.is_holiday].tolist()) == {1.0}
    np.testing.assert_array_equal(off[days.holiday_distance > 1], on[days.holiday_distance > 1])


@pytest.mark.parametrize("code", ["US", "ECB", "SG"])
def test_quarter_end_switched_off_leaves_exactly_1_on_its_days_and_the_others_as_they_were(code: str) -> None:
    """Holidays and month end are off too, as they show where quarter end no longer does."""
    load = {"use_holidays": False, "month_end_multiplier": 1}
    on, off = (
        occasions(code, *WINDOW, metric(**load, use_eoq_spikes=use), calendar_settings()) for use in (True, False)
    )

    assert set(on.tolist()) == {1.0, 1.15}
    assert (on == 1.15).sum() == 5 * 12
    assert set(off.tolist()) == {1.0}


@pytest.mark.parametrize("code", ["US", "ECB", "SG"])
def test_month_end_switched_off_leaves_exactly_1_on_its_days_and_the_others_as_they_were(code: str) -> None:
    on, off = (
        occasions(code, *WINDOW, metric(**load), calendar_settings()) for load in ({}, {"month_end_multiplier": 1})
    )

    assert set(off[on == 1.05].tolist()) == {1.0}
    np.testing.assert_array_equal(off[on != 1.05], on[on != 1.05])


@pytest.mark.parametrize("response", [1.5, 1.0, -0.3])
def test_week_switched_off_is_exactly_1_on_every_day(response: float) -> None:
    assert weekdays(metric(weekly_pattern_factor=1), response) == [1] * 7


@each_case("resource", Resource)
def test_calendar_switched_off_altogether_is_1_everywhere(resource: Resource) -> None:
    generation = changed(base_generation(), {f"metrics.{resource}.{name}": value for name, value in OFF.items()})

    assert (calendar_factors(generation, resource, *WINDOW) == 1).all()


def test_without_quarter_end_months_every_month_ends_alike() -> None:
    load = metric(eoq_months=(), use_holidays=False)
    found = occasions("US", *WINDOW, load, calendar_settings())

    assert set(found.tolist()) == {1.0, 1.05}
    assert (found == 1.05).sum() == 2 * 36


@repeatable
@given(resource=st.sampled_from(Resource), first=st.dates(*WINDOW), length=st.integers(0, 60))
def test_factors_of_any_stretch_equal_the_same_days_of_the_whole_window(
    resource: Resource, first: dt.date, length: int
) -> None:
    last = min(first + dt.timedelta(length), WINDOW[1])
    whole = calendar_factors(base_generation(), resource, *WINDOW)
    piece = slice((first - WINDOW[0]).days, (last - WINDOW[0]).days + 1)

    np.testing.assert_array_equal(calendar_factors(base_generation(), resource, first, last), whole[:, piece])
