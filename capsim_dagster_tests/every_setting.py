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

_NEW_METRIC: Final = {"level_factor": 1.3, "noise_factor": 2.0, "min_clip": 20.0, "max_clip": 97.0}
_NEW_VALUE: Final[Change] = {
    "num_servers": 200,
    "start_date": "2023-01-02",
    "end_date": "2023-04-01",
    "random_seed": 43,
    "scenario_horizon_days": 61,
    "breach_threshold": 90.0,
    "metadata.departments.0.name": "Cards",
    "metadata.departments.0.code": "CRD",
    "metadata.departments.0.weight": 0.9,
    "metadata.departments.0.business_unit": "Wholesale",
    "metadata.departments.0.teams.0": "Settlement",
    "metadata.regions.0.name": "us-central",
    "metadata.regions.0.weight": 0.9,
    "metadata.regions.0.bank_calendar": "JP",
    "metadata.criticality_levels.0.name": "platinum",
    "metadata.criticality_levels.0.weight": 0.9,
    "metadata.server_types.0.name": "mainframe",
    "metadata.server_types.0.weight": 0.9,
    "metadata.virtual_share": 0.3,
    "metadata.apps_per_team": 30,
    **{f"metrics.{resource}.{field}": value for resource in Resource for field, value in _NEW_METRIC.items()},
    **{f"scenario_mix.{scenario}.rare_share": 0.5 for scenario in Scenario},
}

CHANGES: Final[dict[str, Change]] = {path: {path: value} for path, value in _NEW_VALUE.items()} | {
    "scenario_mix.STEADY_GROWTH.share": {
        "scenario_mix.STEADY_GROWTH.share": 0.2,
        "scenario_mix.CAPACITY_BREACH.share": 0.2,
    },
    "scenario_mix.LOW_IDLE.share": {"scenario_mix.LOW_IDLE.share": 0.1, "scenario_mix.SEASONAL.share": 0.35},
    "scenario_mix.SEASONAL.share": {"scenario_mix.SEASONAL.share": 0.05, "scenario_mix.BURST.share": 0.3},
    "scenario_mix.BURST.share": {"scenario_mix.BURST.share": 0.1, "scenario_mix.SEASONAL.share": 0.25},
    "scenario_mix.CAPACITY_BREACH.share": {
        "scenario_mix.CAPACITY_BREACH.share": 0.15,
        "scenario_mix.STEADY_GROWTH.share": 0.25,
    },
}
"""A valid change for each setting; shares move in pairs, as they must add up to 1."""


@cache
def base_generation() -> DataGeneration:
    """Return a fleet and a window in which each change shows: all breaches happen within it."""
    return small_settings(Path("unused"), num_servers=150, scenario_horizon_days=60).data_generation


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
