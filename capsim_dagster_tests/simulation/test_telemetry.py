"""The series: stable history, bounds and rounding, truth that holds, and settings that act."""

import datetime as dt
import math
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from capsim_dagster.schemas import Resource, Scenario
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation import fleet, telemetry
from capsim_dagster.simulation.components import WEEKLY_PROFILE
from capsim_dagster.simulation.time_dimension import bank_holidays, month_end, time_periods
from capsim_dagster_tests.conftest import MakeSettings
from capsim_dagster_tests.every_setting import CHANGES, base_generation, changed

Utilization = NDArray[np.float32]

START, END = dt.date(2023, 1, 1), dt.date(2025, 12, 31)
N_HOSTS = 120
SIGMAS = 5
"""Bound of a statistical test [standard errors]; the seed is fixed, another one would fail with a chance of 6e-7."""

repeatable = property_settings(max_examples=40, deadline=None, derandomize=True, database=None)


@cache
def three_years() -> DataGeneration:
    return changed(
        base_generation(), {"num_servers": N_HOSTS, "end_date": END.isoformat(), "scenario_horizon_days": 1096}
    )


def block_of(generation: DataGeneration) -> telemetry.HostBlock:
    return telemetry.host_block(fleet.host_inventory(generation))


def simulate(
    generation: DataGeneration, resource: Resource, block: telemetry.HostBlock, first: dt.date, last: dt.date
) -> Utilization:
    return telemetry.utilization(telemetry.draw_parameters(generation, resource, block), first, last)


@cache
def whole(resource: Resource) -> Utilization:
    """Every host and day of a resource, made in one piece."""
    return simulate(three_years(), resource, block_of(three_years()), START, END)


def everything(generation: DataGeneration) -> list[pl.DataFrame]:
    """Return all that the settings of `data_generation` decide."""
    block = block_of(generation)
    series = [simulate(generation, r, block, generation.start_date, generation.end_date) for r in Resource]
    return [
        fleet.host_inventory(generation),
        fleet.business_hierarchy(generation),
        time_periods(generation.start_date, generation.end_date),
        bank_holidays(generation.metadata.regions, generation.start_date, generation.end_date),
        *(pl.DataFrame(values) for values in series),
    ]


@cache
def base_output() -> list[pl.DataFrame]:
    return everything(base_generation())


@repeatable
@given(
    host=st.integers(1, N_HOSTS),
    resource=st.sampled_from(Resource),
    month=st.dates(START, END).map(lambda day: day.replace(day=1)),
)
def test_one_month_of_one_host_alone_equals_the_same_piece_of_the_full_run(
    host: int, resource: Resource, month: dt.date
) -> None:
    hosts = fleet.host_inventory(three_years()).slice(host - 1, 1)
    alone = simulate(three_years(), resource, telemetry.host_block(hosts), month, month_end(month))

    offset = (month - START).days
    np.testing.assert_array_equal(alone[0], whole(resource)[host - 1, offset : offset + alone.shape[1]])


@repeatable
@given(first=st.dates(START, END), length=st.integers(1, 40))
def test_any_stretch_of_days_equals_the_same_days_of_the_full_run(first: dt.date, length: int) -> None:
    last = min(first + dt.timedelta(length - 1), END)
    alone = simulate(three_years(), Resource.NETWORK, block_of(three_years()), first, last)

    offset = (first - START).days
    np.testing.assert_array_equal(alone, whole(Resource.NETWORK)[:, offset : offset + alone.shape[1]])


def test_hosts_in_any_order_keep_their_series() -> None:
    hosts = fleet.host_inventory(three_years()).reverse()
    reversed_order = simulate(three_years(), Resource.DISK, telemetry.host_block(hosts), START, END)

    np.testing.assert_array_equal(reversed_order[::-1], whole(Resource.DISK))


@pytest.mark.parametrize("resource", Resource)
def test_longer_window_and_larger_fleet_change_no_existing_value(resource: Resource) -> None:
    grown = changed(three_years(), {"num_servers": 2 * N_HOSTS, "end_date": "2027-06-30"})
    values = simulate(grown, resource, block_of(grown), START, grown.end_date)

    np.testing.assert_array_equal(values[:N_HOSTS, : whole(resource).shape[1]], whole(resource))


def test_longer_window_and_larger_fleet_change_no_existing_breach_date() -> None:
    grown = changed(three_years(), {"num_servers": 2 * N_HOSTS, "end_date": "2027-06-30"})
    before = telemetry.breach_days(three_years(), block_of(three_years()))

    np.testing.assert_array_equal(telemetry.breach_days(grown, block_of(grown))[:N_HOSTS], before)


@pytest.mark.parametrize("resource", Resource)
def test_values_are_the_float32_nearest_to_two_decimals_within_0_and_100(resource: Resource) -> None:
    values = whole(resource)

    assert values.dtype == np.float32
    assert values.shape == (N_HOSTS, 1_096)
    assert 0 <= values.min() < values.max() <= 100
    assert all(np.float32(f"{value:.2f}") == value for value in np.unique(values))
    assert not np.signbit(values).any()


def test_values_stay_within_the_bounds_of_their_resource() -> None:
    generation = changed(three_years(), {"metrics.cpu.min_clip": 12.5, "metrics.cpu.max_clip": 96.25})
    values = simulate(generation, Resource.CPU, block_of(generation), START, END)

    assert (values.min(), values.max()) == (12.5, 96.25)


def parameter(series: telemetry.SeriesParameters, name: str, host: int) -> float:
    return float(getattr(series, name)[host - 1])


def expected_by_hand(series: telemetry.SeriesParameters, host: int, day: dt.date) -> float:
    """The model in plain Python: level + drift + seasons + growth towards the breach."""
    elapsed, epoch_day = (day - START).days, (day - dt.date(1970, 1, 1)).days
    value = parameter(series, "level", host) + parameter(series, "drift", host) * elapsed / 365.25
    angle = 2 * math.pi * (epoch_day / 365.25 - parameter(series, "annual_phase", host))
    value += parameter(series, "annual_amplitude", host) * math.cos(angle)
    value += parameter(series, "weekly_amplitude", host) * WEEKLY_PROFILE[day.weekday()]
    progress = elapsed / parameter(series, "breach_day", host)
    return value + parameter(series, "breach_rise", host) * (0.25 * progress + 0.75 * progress**3)


@pytest.mark.parametrize("host", range(1, 11))
def test_expectation_of_each_variety_agrees_with_the_model_in_plain_python(host: int) -> None:
    series = telemetry.draw_parameters(three_years(), Resource.MEMORY, block_of(three_years()))
    found = telemetry.expected_utilization(series, START, END)[host - 1]
    expected = [expected_by_hand(series, host, START + dt.timedelta(offset)) for offset in range(1_096)]

    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_without_noise_and_bursts_the_series_is_its_expectation() -> None:
    quiet = changed(three_years(), {"metrics.cpu.noise_factor": 0})
    block = block_of(quiet)
    series = telemetry.draw_parameters(quiet, Resource.CPU, block)
    expected = telemetry.expected_utilization(series, START, END)
    steady = series.burst_rate == 0

    values = telemetry.utilization(series, START, END)[steady]
    np.testing.assert_allclose(values, np.clip(expected[steady], 0, 100), atol=0.00501)


def test_noise_has_the_drawn_spread_and_no_bias() -> None:
    series = telemetry.draw_parameters(three_years(), Resource.CPU, block_of(three_years()))
    residual = whole(Resource.CPU)[0] - telemetry.expected_utilization(series, START, END)[0]
    spread, n_days = parameter(series, "noise_std", 1), residual.size

    assert abs(float(residual.mean())) < SIGMAS * spread / math.sqrt(n_days)
    assert abs(float(residual.std()) / spread - 1) < SIGMAS / math.sqrt(2 * n_days)


def test_noise_of_two_resources_of_a_host_is_drawn_apart() -> None:
    residuals = []
    for resource in (Resource.CPU, Resource.MEMORY):
        series = telemetry.draw_parameters(three_years(), resource, block_of(three_years()))
        residuals.append(whole(resource)[0] - telemetry.expected_utilization(series, START, END)[0])

    assert abs(np.corrcoef(*residuals)[0, 1]) < SIGMAS / math.sqrt(1_096)


def breach_hosts(generation: DataGeneration) -> telemetry.HostBlock:
    hosts = fleet.host_inventory(generation)
    return telemetry.host_block(hosts.filter(pl.col("scenario") == Scenario.CAPACITY_BREACH.value))


def test_only_breach_hosts_have_a_breach_date() -> None:
    days = telemetry.breach_days(three_years(), block_of(three_years()))
    is_breach = fleet.host_inventory(three_years())["scenario"] == Scenario.CAPACITY_BREACH.value

    assert ((days > 0) == is_breach.to_numpy()).all()


@pytest.mark.parametrize("horizon_days", [30, 365, 1_096, 36_525])
def test_breach_dates_lie_within_the_horizon_whatever_the_windows_end(horizon_days: int) -> None:
    generation = changed(three_years(), {"num_servers": 2_000, "scenario_horizon_days": horizon_days})
    days = telemetry.breach_days(generation, breach_hosts(generation))

    assert days.size >= 100
    assert 0 < days.min() < days.max() <= horizon_days


def test_severe_breaches_come_before_imminent_ones() -> None:
    imminent, severe = telemetry.breach_days(three_years(), block_of(three_years()))[8:10]

    assert severe < imminent


def test_limiting_series_first_reaches_the_threshold_within_14_days_of_its_breach_date(
    make_settings: MakeSettings,
) -> None:
    generation = make_settings(num_servers=2_000, end_date=END).data_generation
    block = breach_hosts(generation)
    days = telemetry.breach_days(generation, block)
    for resource in Resource:
        series = telemetry.draw_parameters(generation, resource, block)
        reached = telemetry.utilization(series, START, END)[series.is_limiting] >= generation.breach_threshold
        assert reached.any(axis=1).all()
        assert np.abs(reached.argmax(axis=1) - days[series.is_limiting]).max() <= 14


def test_exactly_one_series_of_a_breach_host_is_limiting_and_the_others_stay_below_until_then() -> None:
    block = breach_hosts(three_years())
    days = telemetry.breach_days(three_years(), block)
    limiting = np.zeros(days.size, dtype=np.int64)
    for resource in Resource:
        series = telemetry.draw_parameters(three_years(), resource, block)
        limiting += series.is_limiting
        values = telemetry.utilization(series, START, END)
        for host in np.flatnonzero(~series.is_limiting).tolist():
            assert values[host, : days[host]].max() < three_years().breach_threshold

    assert set(limiting.tolist()) == {1}


def test_every_resource_limits_a_quarter_of_the_hosts() -> None:
    numbers = np.arange(1, 10_001)
    block = telemetry.HostBlock(numbers=numbers, varieties=np.zeros_like(numbers))
    counts = np.bincount(telemetry.limiting_resource(42, block), minlength=4)

    assert np.abs(counts - 2_500).max() < SIGMAS * math.sqrt(10_000 * 3 / 16)


@pytest.mark.parametrize("path", sorted(CHANGES))
def test_every_setting_of_data_generation_changes_the_output(path: str) -> None:
    output = everything(changed(base_generation(), CHANGES[path]))

    assert not all(one.equals(other) for one, other in zip(output, base_output(), strict=True))


@pytest.mark.parametrize("resource", Resource)
def test_settings_of_a_metric_change_its_resource_alone(resource: Resource) -> None:
    change = {path: CHANGES[path][path] for path in CHANGES if path.startswith(f"metrics.{resource}.")}
    output = everything(changed(base_generation(), change))

    same = [one.equals(other) for one, other in zip(output, base_output(), strict=True)]
    assert same == [True] * 4 + [other is not resource for other in Resource]


def test_fleet_hash_tells_settings_apart_and_ignores_the_windows_end() -> None:
    base = telemetry.fleet_hash(base_generation())

    assert telemetry.fleet_hash(changed(base_generation(), {"random_seed": 43})) != base
    assert telemetry.fleet_hash(changed(base_generation(), {"end_date": "2030-01-01"})) == base
