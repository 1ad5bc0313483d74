"""The audit of the calendar: what the telemetry shows equals the settings, and other settings do not hold."""

import math
from dataclasses import replace
from functools import cache
from statistics import NormalDist

import numpy as np
import pytest

from capsim_dagster.audits.calendar import CHANCE, CalendarScan, Ratio, calendar_effects, errors_by_chance
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation import telemetry
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.support.audits.months import months_of
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import Change, changed
from capsim_dagster_tests.support.simulation import default_fleet

BREACHING = [1, 8, 9]
"""Indices of STEADY_GROWTH/BREACH and CAPACITY_BREACH in `VARIETIES`."""


def ratios(model: telemetry.HostModel, generation: DataGeneration) -> list[Ratio]:
    """Return the ratios of a fleet as judged by some settings."""
    groups = model.block.regions * len(generation.metadata.server_types) + model.block.server_types
    scan = CalendarScan(generation, np.where(np.isin(model.block.varieties, BREACHING), -1, groups))
    for month in months_of(model):
        scan.add(month)
    return scan.ratios()


@cache
def default_ratios() -> list[Ratio]:
    return ratios(default_fleet.model(), default_fleet.generation())


def test_every_ratio_of_the_default_fleet_is_within_two_percent_of_its_setting() -> None:
    found = default_ratios()

    assert len(found) == 4 * 4 * 4
    assert {ratio.occasion for ratio in found} == {"weekend", "bank holiday", "quarter end", "month end"}
    assert max(abs(ratio.measured / ratio.expected - 1) for ratio in found) < 0.02
    assert calendar_effects(found).passed


@each_case(
    ("change", "occasion"),
    [
        ({"metrics.cpu.weekly_pattern_factor": 0.86}, "weekend"),
        ({"metrics.cpu.holiday_effect_multiplier": 0.76}, "bank holiday"),
        ({"metrics.cpu.eoq_spike_multiplier": 1.22}, "quarter end"),
        ({"metrics.cpu.month_end_multiplier": 1.11}, "month end"),
        ({"metrics.cpu.use_holidays": False}, "bank holiday"),
    ],
)
def test_telemetry_of_other_settings_is_noticed_on_its_occasion(change: Change, occasion: str) -> None:
    small = changed(default_fleet.generation(), {"num_servers": 400})
    model = telemetry.host_model(small, inventory(small))
    report = calendar_effects(ratios(model, changed(small, change)))

    assert not report.passed
    assert all(f"cpu on {occasion}" in problem for problem in report.examples)


def test_effects_that_are_switched_off_are_measured_as_none() -> None:
    off = {f"metrics.{r}.use_holidays": False for r in Resource} | {
        f"metrics.{r}.use_eoq_spikes": False for r in Resource
    }
    quiet = changed(default_fleet.generation(), {"num_servers": 400, **off})
    found = ratios(telemetry.host_model(quiet, inventory(quiet)), quiet)

    assert {ratio.expected for ratio in found if ratio.occasion == "bank holiday"} == {1.0}
    assert "quarter end" not in {ratio.occasion for ratio in found}
    assert calendar_effects(found).passed


def test_fleet_too_small_or_window_too_short_is_not_judged_but_said() -> None:
    tiny = changed(default_fleet.generation(), {"num_servers": 10, "end_date": "2023-01-31"})
    model = telemetry.host_model(tiny, inventory(tiny))
    report = calendar_effects([r for r in ratios(model, tiny) if r.occasion != "weekend"])

    assert report.passed
    assert "too short" in report.verdict


def test_tolerance_is_two_percent_of_the_setting_and_what_chance_explains() -> None:
    ratio = Ratio("us-east", "cpu", "weekend", expected=0.8, measured=0.0, error=0.001, days=101)

    # The two-sided quantile of Student's t with 100 degrees of freedom at one in 100,000, from tables.
    assert ratio.tolerance == pytest.approx(0.016 + 0.004654, abs=2e-6)
    assert replace(ratio, measured=0.82).holds
    assert not replace(ratio, measured=0.821).holds


@pytest.mark.parametrize(("freedom", "exact"), [(1, 63_662.0), (2, math.sqrt(2 / (1e-5 * (2 - 1e-5)) - 2))])
def test_few_values_allow_what_the_distribution_of_their_error_says(freedom: int, exact: float) -> None:
    assert errors_by_chance(freedom) == pytest.approx(exact, rel=1e-4)


def test_many_values_allow_as_many_standard_errors_as_a_normal_distribution() -> None:
    assert errors_by_chance(20_000) == pytest.approx(NormalDist().inv_cdf(1 - CHANCE / 2), rel=1e-3)


def test_an_occasion_of_one_quarter_is_not_judged_however_many_days_it_has() -> None:
    half_year = changed(default_fleet.generation(), {"num_servers": 40, "end_date": "2023-06-30"})
    found = ratios(telemetry.host_model(half_year, inventory(half_year)), half_year)

    assert "quarter end" not in {ratio.occasion for ratio in found}
    assert "month end" in {ratio.occasion for ratio in found}


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_sound_telemetry_of_a_small_fleet_and_a_short_window_raises_no_alarm(seed: int) -> None:
    small = changed(
        default_fleet.generation(),
        {"num_servers": 12, "random_seed": seed, "start_date": "2024-01-01", "end_date": "2024-03-31"},
    )

    assert calendar_effects(ratios(telemetry.host_model(small, inventory(small)), small)).passed
