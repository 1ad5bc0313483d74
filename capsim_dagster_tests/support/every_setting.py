"""One change of each setting under `data_generation`, for the law that every setting acts."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from capsim_dagster.schemas import Resource, Scenario
from capsim_dagster.settings import DataGeneration
from capsim_dagster_tests.conftest import small_settings

Change = dict[str, object]
"""Dotted path of each setting to change, with its new value."""

_NEW_METRIC: Final = {
    "base_mean": 50.0,
    "base_std": 4.0,
    "min_clip": 20.0,
    "max_clip": 97.0,
    "growth_per_year": 6.0,
    "growth_std": 2.0,
    "seasonality_amplitude": 0.2,
    "weekly_pattern_factor": 0.5,
    "use_eoq_spikes": False,
    "eoq_spike_multiplier": 1.4,
    "eoq_months.0": 5,
    "month_end_multiplier": 1.2,
    "use_holidays": False,
    "holiday_effect_multiplier": 0.4,
}
_NEW_PLACE: Final = {
    "name": "elsewhere",
    "weight": 0.9,
    "level_factor": 1.3,
    "season_factor": 2.0,
    "growth_factor": 2.5,
}
"""What departments, regions and criticality levels have in common."""
_NEW_CORRELATION: Final = {
    "cpu_memory": 0.35,
    "cpu_disk": 0.2,
    "memory_disk": 0.3,
    "cpu_network": 0.7,
    "memory_network": 0.3,
    "disk_network": 0.2,
}
_NEW_VALUE: Final[Change] = {
    "num_servers": 200,
    "start_date": "2023-01-02",
    "end_date": "2024-01-01",
    "random_seed": 43,
    "scenario_horizon_days": 61,
    "breach_threshold": 90.0,
    "calendar.eoq_window_days": 6,
    "calendar.month_end_window_days": 3,
    "calendar.holiday_shoulder_days": 2,
    "calendar.holiday_shoulder_share": 0.6,
    "calendar.season_jitter_days": 90,
    "noise.autocorrelation": 0.3,
    "noise.app_share": 0.4,
    "bursts.resource_share": 0.5,
    "anomalies.rate": 0.01,
    "anomalies.spike.days.0": 2,
    "anomalies.spike.size.0": 0.8,
    "anomalies.dip.days.0": 2,
    "anomalies.dip.size.0": 0.6,
    "anomalies.level_shift.days.0": 20,
    "anomalies.level_shift.size.0": 0.3,
    "anomalies.variance_change.days.0": 20,
    "anomalies.variance_change.size.0": 3.0,
    "gaps.missing_rate": 0.02,
    "gaps.outage_share": 0.3,
    "gaps.agent_down_share": 0.2,
    "gaps.outage_days.0": 3,
    "metadata.departments.0.code": "CRD",
    "metadata.departments.0.business_unit": "Wholesale",
    "metadata.departments.0.teams.0": "Settlement",
    "metadata.departments.0.season_peak_day": 180,
    "metadata.regions.0.bank_calendar": "JP",
    "metadata.server_types.0.name": "mainframe",
    "metadata.server_types.0.weight": 0.9,
    "metadata.server_types.0.weekend_response": 0.5,
    "metadata.virtual_share": 0.3,
    "metadata.apps_per_team": 30,
    **{f"metrics.{resource}.{field}": value for resource in Resource for field, value in _NEW_METRIC.items()},
    **{f"scenario_mix.{scenario}.rare_share": 0.5 for scenario in Scenario},
    **{
        f"metadata.{places}.0.{field}": value
        for places in ("departments", "regions", "criticality_levels")
        for field, value in _NEW_PLACE.items()
    },
    **{f"metadata.server_types.0.correlation.{pair}": value for pair, value in _NEW_CORRELATION.items()},
}
_NEW_PAIR: Final[dict[str, Change]] = {
    "scenario_mix.STEADY_GROWTH.share": {"scenario_mix.CAPACITY_BREACH.share": 0.2},
    "scenario_mix.LOW_IDLE.share": {"scenario_mix.SEASONAL.share": 0.35},
    "scenario_mix.SEASONAL.share": {"scenario_mix.BURST.share": 0.3},
    "scenario_mix.BURST.share": {"scenario_mix.SEASONAL.share": 0.25},
    "scenario_mix.CAPACITY_BREACH.share": {"scenario_mix.STEADY_GROWTH.share": 0.25},
    "anomalies.spike.share": {"anomalies.dip.share": 0.1},
    "anomalies.dip.share": {"anomalies.spike.share": 0.1},
    "anomalies.level_shift.share": {"anomalies.variance_change.share": 0.1},
    "anomalies.variance_change.share": {"anomalies.level_shift.share": 0.1},
    "calendar.weekly_profile.0": {"calendar.weekly_profile.4": -0.18},
}
"""What changes along with a setting that is a part of a whole."""
_NEW_PART: Final[Change] = {
    "scenario_mix.STEADY_GROWTH.share": 0.2,
    "scenario_mix.LOW_IDLE.share": 0.1,
    "scenario_mix.SEASONAL.share": 0.05,
    "scenario_mix.BURST.share": 0.1,
    "scenario_mix.CAPACITY_BREACH.share": 0.15,
    "anomalies.spike.share": 0.3,
    "anomalies.dip.share": 0.3,
    "anomalies.level_shift.share": 0.5,
    "anomalies.variance_change.share": 0.5,
    "calendar.weekly_profile.0": 0.3,
}

CHANGES: Final[dict[str, Change]] = {path: {path: value} for path, value in _NEW_VALUE.items()} | {
    path: {path: value, **_NEW_PAIR[path]} for path, value in _NEW_PART.items()
}
"""A valid change for each setting; shares move in pairs, as they must add up to 1."""


@cache
def base_generation() -> DataGeneration:
    """Return a fleet and a window in which each change shows: all breaches, seasons and quarter ends are within it."""
    return small_settings(
        Path("unused"), num_servers=150, end_date="2023-12-31", scenario_horizon_days=60
    ).data_generation


def changed(generation: DataGeneration, change: Mapping[str, object]) -> DataGeneration:
    """Return the settings with the values at some dotted paths replaced."""
    facts = generation.model_dump(mode="json")
    for path, value in change.items():
        *parents, leaf = path.split(".")
        place: Any = facts
        for part in parents:
            place = place[_step(part)]
        place[_step(leaf)] = value
    return DataGeneration.model_validate(facts)


def leaf_paths(facts: Any, prefix: str = "") -> Iterator[str]:  # noqa: ANN401 a tree of JSON
    """Yield the dotted path of every value; of a list only the first element, as the others are alike."""
    items = facts.items() if isinstance(facts, dict) else enumerate(facts[:1])
    for name, value in items:
        path = f"{prefix}{name}"
        if isinstance(value, dict | list):
            yield from leaf_paths(value, f"{path}.")
        else:
            yield path


def _step(part: str) -> str | int:
    return int(part) if part.isdigit() else part
