"""The audit of the calendar: what the telemetry shows equals the settings, and other settings do not hold."""

from functools import cache

import numpy as np
import pytest

from capsim_dagster.audits.calendar import CalendarScan, Ratio, calendar_effects
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation import telemetry
from capsim_dagster_tests.audits.months import months_of
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.every_setting import Change, changed
from capsim_dagster_tests.simulation import default_fleet

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


@pytest.mark.parametrize(
    ("change", "occasion"),
    [
        ({"metrics.cpu.weekly_pattern_factor": 0.86}, "weekend"),
        ({"metrics.cpu.holiday_effect_multiplier": 0.76}, "bank holiday"),
        ({"metrics.cpu.eoq_spike_multiplier": 1.22}, "quarter end"),
        ({"metrics.cpu.month_end_multiplier": 1.11}, "month end"),
        ({"metrics.cpu.use_holidays": False}, "bank holiday"),
    ],
    ids=str,
)
def test_telemetry_of_other_settings_is_noticed_on_its_occasion(change: Change, occasion: str) -> None:
    small = changed(default_fleet.generation(), {"num_servers": 400})
    model = telemetry.host_model(small, inventory(small))
    report = calendar_effects(ratios(model, changed(small, change)))

    assert not report.passed
    assert all(f"cpu on {occasion}" in problem for problem in report.problems)


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


def test_tolerance_is_two_percent_of_the_setting_and_four_standard_errors() -> None:
    ratio = Ratio("us-east", Resource.CPU, "weekend", expected=0.8, measured=0.826, error=0.0025, days=100)

    assert ratio.tolerance == pytest.approx(0.026)
    assert ratio.holds
    assert not Ratio("us-east", Resource.CPU, "weekend", expected=0.8, measured=0.827, error=0.0025, days=100).holds
