"""The series: stable history, bounds and rounding, and an expectation in plain Python."""

import datetime as dt
import math
from functools import cache

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from capsim_dagster.schemas import Resource
from capsim_dagster.schemas.months import month_end
from capsim_dagster.seeding import Float32Array
from capsim_dagster.simulation import telemetry
from capsim_dagster.simulation.calendar_effects import calendar_factors
from capsim_dagster.simulation.parameters import SeriesParameters
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import base_generation, changed
from capsim_dagster_tests.support.simulation.models import (
    END,
    N_DAYS,
    N_HOSTS,
    SIGMAS,
    START,
    model_of,
    three_years,
    twin_of,
    values_of,
    whole,
    whole_model,
)

repeatable = property_settings(max_examples=15, deadline=None, derandomize=True, database=None)


@cache
def hosts() -> pl.DataFrame:
    return inventory(three_years())


@repeatable
@given(host=st.integers(1, N_HOSTS), month=st.dates(START, END).map(lambda day: day.replace(day=1)))
def test_one_month_of_one_host_alone_equals_the_same_piece_of_the_full_run(host: int, month: dt.date) -> None:
    alone = telemetry.host_model(three_years(), hosts().slice(host - 1, 1))
    found = telemetry.utilization(alone, month, month_end(month))

    offset = (month - START).days
    for resource in Resource:
        piece = whole()[resource][host - 1, offset : offset + found[resource].shape[1]]
        np.testing.assert_array_equal(found[resource][0], piece)


@repeatable
@given(first=st.dates(START, END), length=st.integers(1, 100))
def test_any_stretch_of_days_equals_the_same_days_of_the_full_run(first: dt.date, length: int) -> None:
    last = min(first + dt.timedelta(length - 1), END)
    found = telemetry.utilization(whole_model(), first, last)

    offset = (first - START).days
    for resource in Resource:
        np.testing.assert_array_equal(found[resource], whole()[resource][:, offset : offset + found[resource].shape[1]])


@repeatable
@given(order=st.lists(st.integers(0, N_HOSTS - 1), min_size=1, max_size=12, unique=True))
def test_hosts_in_any_selection_and_order_keep_their_series(order: list[int]) -> None:
    model = telemetry.host_model(three_years(), hosts()[order])
    found = telemetry.utilization(model, dt.date(2024, 3, 1), dt.date(2024, 4, 30))

    for resource in Resource:
        np.testing.assert_array_equal(found[resource], whole()[resource][order, 425:486])


def test_longer_window_and_larger_fleet_change_no_existing_value() -> None:
    grown = values_of(changed(three_years(), {"num_servers": N_HOSTS + 500, "end_date": "2026-01-30"}))

    for resource in Resource:
        np.testing.assert_array_equal(grown[resource][:N_HOSTS, :N_DAYS], whole()[resource])


def test_longer_window_and_larger_fleet_change_no_existing_expectation() -> None:
    grown = model_of(changed(three_years(), {"num_servers": N_HOSTS + 500, "end_date": "2026-01-30"}))

    for resource in Resource:
        found = telemetry.expected_utilization(grown, resource, START, grown.generation.end_date)
        expected = telemetry.expected_utilization(whole_model(), resource, START, END)
        np.testing.assert_array_equal(found[:N_HOSTS, :N_DAYS], expected)


@each_case("resources", [[resource] for resource in Resource] + [[Resource.NETWORK, Resource.MEMORY]])
def test_resources_alone_equal_the_same_resources_of_all_together(resources: list[Resource]) -> None:
    found = telemetry.utilization(whole_model(), START, END, resources)

    assert set(found) == set(resources)
    for resource in resources:
        np.testing.assert_array_equal(found[resource], whole()[resource])


@each_case("resource", Resource)
def test_values_are_the_float32_nearest_to_two_decimals_within_0_and_100(resource: Resource) -> None:
    values = whole()[resource]
    reported = values[~np.isnan(values)]

    assert values.dtype == np.float32
    assert values.shape == (N_HOSTS, N_DAYS)
    assert 0 <= reported.min() < reported.max() <= 100
    assert all(np.float32(f"{value:.2f}") == value for value in np.unique(reported))
    assert not np.signbit(reported).any()


def test_values_stay_within_the_bounds_of_their_resource() -> None:
    values = values_of(changed(three_years(), {"metrics.cpu.min_clip": 12.5, "metrics.cpu.max_clip": 96.25}))

    assert [float(bound(values[Resource.CPU])) for bound in (np.nanmin, np.nanmax)] == [12.5, 96.25]


def parameter(series: SeriesParameters, name: str, host: int) -> float:
    return float(getattr(series, name)[host - 1])


@cache
def expectation(resource: Resource) -> Float32Array:
    return telemetry.expected_utilization(whole_model(), resource, START, END)


def demand_by_hand(series: SeriesParameters, host: int, day: dt.date) -> float:
    """The model in plain Python: level + drift + season + growth towards a breach and beyond."""
    elapsed, epoch_day = (day - START).days, (day - dt.date(1970, 1, 1)).days
    value = parameter(series, "level", host) + parameter(series, "drift", host) * elapsed / 365.25
    angle = 2 * math.pi * (epoch_day / 365.25 - parameter(series, "annual_peak", host))
    value += parameter(series, "annual_amplitude", host) * math.cos(angle)
    progress = elapsed / parameter(series, "breach_day", host)
    growth = 0.25 * min(progress, 1) + 0.75 * min(progress, 1) ** 4
    if progress > 1 and parameter(series, "is_limiting", host):
        growth += 3.25 * (progress - 1) / progress
    return value + parameter(series, "breach_rise", host) * growth


@each_case("resource", Resource)
@each_case("host", range(1, 11))
def test_expectation_of_each_variety_agrees_with_the_model_in_plain_python(host: int, resource: Resource) -> None:
    series = whole_model().series[resource]
    found = expectation(resource)[host - 1]
    factors = calendar_factors(three_years(), resource, START, END)[series.calendar_group[host - 1]]
    expected = [
        demand_by_hand(series, host, START + dt.timedelta(offset)) * factor
        for offset, factor in enumerate(factors.tolist())
    ]

    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_expectation_goes_on_above_the_ceiling_while_the_observed_value_stays_there() -> None:
    """Host 10 breaches early on its limiting resource."""
    (resource,) = (each for each in Resource if whole_model().series[each].is_limiting[9])
    expected = telemetry.expected_utilization(whole_model(), resource, START, END)[9]
    late = expected > 105

    assert late.sum() > 100
    assert (np.diff(expected) > 0).all()
    assert np.nanmin(whole()[resource][9][late]) == 100


def test_without_noise_and_events_the_series_is_its_expectation() -> None:
    quiet = {f"metrics.{resource}.base_std": 0 for resource in Resource}
    model = model_of(changed(three_years(), {**quiet, "anomalies.rate": 0, "gaps.missing_rate": 0}))
    values = telemetry.utilization(model, START, END)
    for resource in Resource:
        expected = telemetry.expected_utilization(model, resource, START, END)
        steady = model.series[resource].burst_rate == 0
        np.testing.assert_allclose(values[resource][steady], np.clip(expected[steady], 0, 100), atol=0.00501)


def residual(resource: Resource) -> Float32Array:
    """Return noise in standard deviations of hosts without a burst, as it shows in the data; NaN where it does not."""
    series = whole_model().series[resource]
    factor = calendar_factors(three_years(), resource, START, END)[series.calendar_group]
    expected = telemetry.expected_utilization(whole_model(), resource, START, END)
    values = whole()[resource]
    happened = values != twin_of(whole_model())[resource]
    noise: Float32Array = (values - expected) / factor / series.noise_std[:, np.newaxis]
    noise[happened | (values == 0) | (values == 100)] = np.nan
    return noise


@each_case("resource", Resource)
def test_noise_of_a_series_has_the_drawn_spread_and_no_bias(resource: Resource) -> None:
    """Host 1; its noise of two days correlates by a half, which leaves a third of the days to the mean."""
    noise = residual(resource)[0].astype(np.float64)
    n_days = int((~np.isnan(noise)).sum())

    assert abs(float(np.nanmean(noise))) < SIGMAS * math.sqrt(3 / n_days)
    assert abs(float(np.nanstd(noise)) - 1) < SIGMAS * math.sqrt(5 / 3 / 2 / n_days)


def test_fleet_hash_tells_settings_apart_and_ignores_the_windows_end() -> None:
    base = telemetry.fleet_hash(base_generation())

    assert telemetry.fleet_hash(changed(base_generation(), {"random_seed": 43})) != base
    assert telemetry.fleet_hash(changed(base_generation(), {"end_date": "2030-01-01"})) == base


def test_a_series_of_its_own_has_its_numbers_and_changes_nothing_of_its_hosts() -> None:
    model, generation = whole_model(), three_years()
    metric = generation.metrics[Resource.CPU].model_copy(update={"base_mean": 80.0})
    own = telemetry.own_series_model(model, "gpu_p95", Resource.CPU, metric)

    values = telemetry.utilization(own, START, END, [Resource.CPU])[Resource.CPU]

    assert values.shape == (N_HOSTS, N_DAYS)
    assert np.nanmean(values) > 1.4 * np.nanmean(whole()[Resource.CPU])
    again = telemetry.utilization(model, START, END, [Resource.CPU])[Resource.CPU]
    assert np.array_equal(again, whole()[Resource.CPU], equal_nan=True)


@each_case("resource", list(Resource))
def test_a_series_of_its_own_is_stable_like_any_other(resource: Resource) -> None:
    model, metric = whole_model(), three_years().metrics[resource]
    own = telemetry.own_series_model(model, "x", resource, metric)
    first, last = dt.date(2024, 5, 1), dt.date(2024, 5, 31)

    whole_window = telemetry.utilization(own, START, END, [resource])[resource]
    month = telemetry.utilization(own, first, last, [resource])[resource]

    at = (first - START).days
    assert np.array_equal(month, whole_window[:, at : at + 31], equal_nan=True)


def test_series_of_their_own_differ_by_their_name_alone() -> None:
    model, metric = whole_model(), three_years().metrics[Resource.CPU]
    named = [telemetry.own_series_model(model, name, Resource.CPU, metric) for name in ("a", "b", "a")]

    a, b, again = (telemetry.utilization(own, START, END, [Resource.CPU])[Resource.CPU] for own in named)

    assert np.array_equal(a, again, equal_nan=True)
    # Two series of a host share its scenario, not its noise: days differ almost everywhere.
    assert np.mean(a != b) > 0.95


def test_a_series_of_its_own_never_is_the_one_that_breaches() -> None:
    model = whole_model()
    owns = [telemetry.own_series_model(model, "x", r, three_years().metrics[r]).series[r].is_limiting for r in Resource]

    assert any(series.is_limiting.any() for series in model.series.values())
    assert not np.any(owns)
