"""What is drawn for each series: breaches with a date, the organization that shifts loads, and spread between hosts."""

import dataclasses
import datetime as dt
from functools import cache

import numpy as np
import polars as pl
import pytest

from capsim_dagster.schemas import VARIETIES, Resource, Scenario, Variant, Variety
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation.components import DAYS_PER_YEAR
from capsim_dagster.simulation.parameters import (
    HostBlock,
    SeriesParameters,
    breach_days,
    crossing_spread_days,
    draw_parameters,
    host_block,
    limiting_resource,
)
from capsim_dagster.simulation.scenarios import BEHAVIOURS
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import base_generation, changed
from capsim_dagster_tests.support.shipped_settings import shipped_settings
from capsim_dagster_tests.support.simulation.models import SIGMAS, BoolArray, three_years

BREACHES = (Variety(Scenario.CAPACITY_BREACH, Variant.IMMINENT), Variety(Scenario.CAPACITY_BREACH, Variant.SEVERE))
SHIFTED = {"level_factor": "level", "season_factor": "annual_amplitude", "growth_factor": "drift"}
"""What each factor of the organization multiplies."""


@cache
def default_fleet() -> DataGeneration:
    """Return the shipped settings, without the caller's environment."""
    return shipped_settings().data_generation


@cache
def default_block() -> HostBlock:
    return host_block(default_fleet(), inventory(default_fleet()))


@cache
def drawn(resource: Resource) -> SeriesParameters:
    """Return the parameters of the default fleet."""
    return draw_parameters(default_fleet(), resource, default_block())


def is_variety(block: HostBlock, *varieties: Variety) -> BoolArray:
    return np.isin(block.varieties, [VARIETIES.index(variety) for variety in varieties])


def test_only_breach_hosts_have_a_breach_day() -> None:
    days = breach_days(default_fleet(), default_block())

    np.testing.assert_array_equal(days > 0, is_variety(default_block(), *BREACHES))


@each_case("horizon_days", [30, 365, 1_096, 36_525])
def test_breach_days_lie_within_the_horizon_severe_ones_before_imminent_ones(horizon_days: int) -> None:
    generation = changed(default_fleet(), {"scenario_horizon_days": horizon_days})
    days = breach_days(generation, default_block())
    imminent, severe = (days[is_variety(default_block(), variety)] for variety in BREACHES)

    assert (imminent.size, severe.size) == (81, 21)
    assert 0.35 * horizon_days - 1 <= severe.min()
    assert severe.max() <= 0.65 * horizon_days + 1
    assert 0.75 * horizon_days - 1 <= imminent.min()
    assert imminent.max() <= horizon_days


def test_breach_days_do_not_depend_on_the_end_of_the_window() -> None:
    longer = changed(default_fleet(), {"end_date": "2030-06-30"})

    np.testing.assert_array_equal(breach_days(longer, default_block()), breach_days(default_fleet(), default_block()))


def test_exactly_one_series_of_a_breach_host_is_limiting_and_none_of_the_others() -> None:
    limiting = np.sum([drawn(resource).is_limiting for resource in Resource], axis=0)

    np.testing.assert_array_equal(limiting, is_variety(default_block(), *BREACHES))


def test_every_resource_limits_a_quarter_of_the_hosts() -> None:
    block = dataclasses.replace(default_block(), numbers=np.arange(1, 10_001))
    counts = np.bincount(limiting_resource(42, block), minlength=4)

    assert np.abs(counts - 2_500).max() < SIGMAS * (10_000 * 3 / 16) ** 0.5


@each_case("resource", Resource)
def test_limiting_series_rise_from_their_level_just_to_the_threshold_and_know_no_calendar(resource: Resource) -> None:
    series = drawn(resource)
    limiting = series.is_limiting
    others = ~limiting & (series.breach_rise > 0)
    way = 95 - series.level

    np.testing.assert_allclose(series.breach_rise[limiting], way[limiting], rtol=1e-6)
    assert (series.breach_rise[others] >= 0.45 * way[others] - 1e-4).all()
    assert (series.breach_rise[others] <= 0.7 * way[others] + 1e-4).all()
    assert not series.drift[limiting].any()
    assert not series.annual_amplitude[limiting].any()
    assert set(series.calendar_group[limiting].tolist()) == {20}
    assert series.calendar_group[~limiting].max() < 20


@each_case("resource", Resource)
def test_noise_may_shift_a_crossing_by_the_days_in_which_growth_rises_by_three_and_a_half_deviations(
    resource: Resource,
) -> None:
    """By hand: on its date a breach grows 3.25 times as fast as on average until then."""
    series = drawn(resource)
    limiting, spread = series.is_limiting, crossing_spread_days(series)
    daily = 3.25 * series.breach_rise[limiting] / series.breach_day[limiting]

    np.testing.assert_allclose(spread[limiting] * daily, 3.5 * series.noise_std[limiting], rtol=1e-5)
    assert np.isinf(spread[series.breach_rise == 0]).all()


@each_case("factor", sorted(SHIFTED))
@each_case("places", ["departments", "regions", "criticality_levels"])
def test_factor_of_an_organization_multiplies_its_hosts_alone(places: str, factor: str) -> None:
    generation = base_generation()
    old = getattr(getattr(generation.metadata, places)[0], factor)
    doubled = changed(generation, {f"metadata.{places}.0.{factor}": 2 * old})
    block = host_block(generation, inventory(generation))
    index = {"departments": block.departments, "regions": block.regions, "criticality_levels": block.criticalities}
    is_breaching = breach_days(generation, block) > 0
    is_there = (index[places] == 0) & ~is_breaching
    elsewhere = index[places] != 0

    for resource in Resource:
        before, after = (draw_parameters(each, resource, block) for each in (generation, doubled))
        parameter = SHIFTED[factor]
        np.testing.assert_allclose(
            getattr(after, parameter)[is_there], 2 * getattr(before, parameter)[is_there], rtol=1e-5, atol=2e-6
        )
        for name in ("level", "annual_amplitude", "drift", "noise_std", "burst_height"):
            np.testing.assert_array_equal(getattr(after, name)[elsewhere], getattr(before, name)[elsewhere])
    assert 10 < is_there.sum() < 140


@pytest.mark.parametrize("base_mean", [40.0, 70.0, 100.0])
def test_breach_starts_below_the_threshold_and_has_a_way_to_go_whatever_the_level(base_mean: float) -> None:
    loaded = changed(base_generation(), {f"metrics.{resource}.base_mean": base_mean for resource in Resource})
    block = host_block(loaded, inventory(loaded))
    is_breaching = breach_days(loaded, block) > 0
    for resource in Resource:
        series = draw_parameters(loaded, resource, block)
        assert series.level[is_breaching].max() <= 0.75 * 95
        assert series.breach_rise[series.is_limiting] == pytest.approx(95 - series.level[series.is_limiting], abs=1e-4)


def test_season_peaks_around_the_day_of_the_department() -> None:
    peaks = np.array([department.season_peak_day for department in default_fleet().metadata.departments])
    expected = peaks[default_block().departments] - 1
    found = drawn(Resource.CPU).annual_peak * DAYS_PER_YEAR
    off = (found - expected + DAYS_PER_YEAR / 2) % DAYS_PER_YEAR - DAYS_PER_YEAR / 2

    assert np.abs(off).max() <= 20.001
    assert abs(off.mean()) < SIGMAS * 40 / (12 * off.size) ** 0.5
    assert off.std() == pytest.approx(40 / 12**0.5, rel=0.05)


def test_season_without_jitter_peaks_on_the_day_of_the_department_in_all_resources() -> None:
    generation = changed(base_generation(), {"calendar.season_jitter_days": 0})
    block = host_block(generation, inventory(generation))
    peaks = [department.season_peak_day - 1 for department in generation.metadata.departments]

    for resource in Resource:
        found = draw_parameters(generation, resource, block).annual_peak * DAYS_PER_YEAR
        np.testing.assert_allclose(found, np.array(peaks)[block.departments], atol=1e-3)


@each_case("resource", Resource)
@each_case("variety", VARIETIES)
def test_levels_of_hosts_of_one_variety_differ_by_five_points_in_standard_deviation(
    variety: Variety, resource: Resource
) -> None:
    levels = drawn(resource).level[is_variety(default_block(), variety)]

    assert levels.std() >= 5
    assert levels.min() > 0
    assert levels.max() < 95


@each_case("resource", Resource)
def test_noise_never_exceeds_a_quarter_of_the_level(resource: Resource) -> None:
    series = drawn(resource)

    assert (series.noise_std <= 0.25 * series.level + 1e-6).all()
    assert (series.noise_std > 0).all()


def test_noise_profile_has_the_length_of_the_noise() -> None:
    for resource in Resource:
        series = drawn(resource)
        np.testing.assert_allclose(np.linalg.norm(series.noise_profile, axis=1), series.noise_std, rtol=1e-4)


@each_case("variety", VARIETIES)
def test_parameters_lie_in_the_ranges_of_their_variety(variety: Variety) -> None:
    """Levels by hand: those of memory scale with 44 / 40, and are shifted by the organization."""
    block, series, behaviour = default_block(), drawn(Resource.MEMORY), BEHAVIOURS[variety]
    chosen = is_variety(block, variety) & ~series.is_limiting
    metadata = default_fleet().metadata
    shift = (
        np.array([choice.level_factor for choice in metadata.departments])[block.departments]
        * np.array([choice.level_factor for choice in metadata.regions])[block.regions]
        * np.array([choice.level_factor for choice in metadata.criticality_levels])[block.criticalities]
    )
    unscaled = {
        "level": (series.level / shift / 1.1)[chosen],
        "burst_height": series.burst_height[chosen] / 1.1,
        "burst_rate": series.burst_rate[chosen],
    }

    for name, values in unscaled.items():
        low, high = getattr(behaviour, name)
        assert low - 1e-4 <= values.min(), name
        assert values.max() <= high + 1e-4, name


def test_bursts_of_a_host_come_at_one_rate_in_all_resources() -> None:
    for resource in Resource:
        np.testing.assert_array_equal(drawn(resource).burst_rate, drawn(Resource.CPU).burst_rate)


@each_case(
    ("change", "moves"),
    [
        ({"metrics.cpu.base_mean": 50.0}, {"level", "burst_height", "noise_std", "drift", "annual_amplitude"}),
        ({"metrics.cpu.base_std": 1.0}, {"noise_std"}),
        ({"metrics.cpu.growth_per_year": 3.0}, {"drift"}),
        ({"metrics.cpu.growth_std": 3.0}, {"drift"}),
        ({"metrics.cpu.seasonality_amplitude": 0.3}, {"annual_amplitude"}),
        ({"metrics.memory.base_mean": 60.0}, set()),
    ],
)
def test_setting_of_a_metric_moves_its_parameters_alone(change: dict[str, object], moves: set[str]) -> None:
    block = host_block(three_years(), inventory(three_years()))
    before, after = (
        draw_parameters(each, Resource.CPU, block) for each in (three_years(), changed(three_years(), change))
    )
    names = ("level", "burst_height", "noise_std", "drift", "annual_amplitude", "annual_peak", "burst_rate")

    assert {name for name in names if (getattr(before, name) != getattr(after, name)).any()} == moves


def test_growth_of_a_metric_has_the_mean_and_spread_of_its_settings() -> None:
    """On varieties without growth of their own: mean 0.5 and standard deviation 0.5 points a year for cpu."""
    generation = default_fleet()
    flat = changed(
        generation,
        {
            f"metadata.{places}.{index}.growth_factor": 1.0
            for places in ("departments", "regions", "criticality_levels")
            for index in range(len(getattr(generation.metadata, places)))
        },
    )
    is_flat = np.array([variety.scenario is Scenario.LOW_IDLE for variety in VARIETIES])[default_block().varieties]
    growth = draw_parameters(flat, Resource.CPU, default_block()).drift[is_flat]

    assert abs(growth.mean() - 0.5) < SIGMAS * 0.5 / growth.size**0.5
    assert abs(growth.std() - 0.5) < SIGMAS * 0.5 / (2 * growth.size) ** 0.5


def test_growth_without_settings_and_scenario_is_exactly_nothing() -> None:
    still = changed(three_years(), {"metrics.cpu.growth_per_year": 0, "metrics.cpu.growth_std": 0})
    block = host_block(still, inventory(still))
    grows = np.array([variety.scenario is Scenario.STEADY_GROWTH for variety in VARIETIES])[block.varieties]
    series = draw_parameters(still, Resource.CPU, block)

    assert not series.drift[~grows].any()
    assert (series.drift[grows] > 0).all()


def test_host_block_reads_the_inventory_in_its_order() -> None:
    hosts = inventory(base_generation()).reverse().head(3)
    block = host_block(base_generation(), hosts)
    metadata = base_generation().metadata

    assert block.numbers.tolist() == [150, 149, 148]
    assert [metadata.regions[index].name for index in block.regions] == hosts["region"].to_list()
    assert [metadata.departments[index].name for index in block.departments] == hosts["department"].to_list()
    assert [VARIETIES[index].scenario.value for index in block.varieties] == hosts["scenario"].to_list()


def test_hosts_have_one_application_number_for_one_code() -> None:
    hosts = inventory(base_generation())
    numbers = pl.Series("number", host_block(base_generation(), hosts).apps)
    pairs = hosts.select("app_code").with_columns(numbers).unique()

    assert pairs.height == pairs["app_code"].n_unique() == pairs["number"].n_unique()
    assert pairs.height < hosts.height


def test_series_start_with_the_window() -> None:
    assert {drawn(resource).start for resource in Resource} == {dt.date(2023, 1, 1)}
