"""The audit of behaviour: it knows the varieties by their telemetry alone, and notices when they are exchanged."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from capsim_dagster.audits.behaviour import (
    OVERALL_SHARE,
    VARIETY_SHARE,
    Features,
    behaves_as,
    behavioral_diversity,
)
from capsim_dagster.audits.report import Finding
from capsim_dagster.schemas import VARIETIES, Resource
from capsim_dagster.simulation import telemetry
from capsim_dagster.simulation.scenarios import BEHAVIOURS
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.support.audits.months import features_of
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import changed
from capsim_dagster_tests.support.simulation import default_fleet
from capsim_dagster_tests.support.simulation.models import model_of

HORIZON = 1_096
SEED = 42


@cache
def features(seed: int) -> Features:
    return features_of(model(seed))


@cache
def model(seed: int) -> telemetry.HostModel:
    """Return the default fleet, or of another seed its first quarter."""
    if seed == SEED:
        return default_fleet.model()
    return model_of(changed(default_fleet.generation(seed), {"num_servers": 500}))


def audit(found: Features, kinds: NDArray[np.int64], is_due: NDArray[np.bool_] | None = None) -> Finding:
    due = np.ones(kinds.size, dtype=np.bool_) if is_due is None else is_due
    return behavioral_diversity(found, kinds, horizon_days=HORIZON, is_due=due)


@pytest.mark.parametrize("seed", [42, 7, 2026])
def test_varieties_of_the_default_fleet_are_recognised_on_three_seeds(seed: int) -> None:
    kinds = model(seed).block.varieties
    is_recognised = behaves_as(features(seed), HORIZON) == kinds

    assert is_recognised.mean() >= OVERALL_SHARE == 0.98
    for index in range(len(VARIETIES)):
        assert is_recognised[kinds == index].mean() >= VARIETY_SHARE == 0.95
    assert audit(features(seed), kinds).passed


@each_case(("one", "other"), list(itertools.combinations(range(len(VARIETIES)), 2)))
def test_exchanged_labels_of_any_two_varieties_are_noticed(one: int, other: int) -> None:
    kinds = default_fleet.model().block.varieties
    exchanged = np.select([kinds == one, kinds == other], [other, one], default=kinds)

    report = audit(features(42), exchanged)

    assert not report.passed
    assert any(str(VARIETIES[one]) in problem for problem in report.examples)
    assert any(str(VARIETIES[other]) in problem for problem in report.examples)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (0, 4), (3, 6)])
def test_exchanged_parameters_of_two_varieties_are_noticed(
    monkeypatch: pytest.MonkeyPatch, one: int, other: int
) -> None:
    first, second = VARIETIES[one], VARIETIES[other]
    monkeypatch.setitem(BEHAVIOURS, first, BEHAVIOURS[second])
    monkeypatch.setitem(BEHAVIOURS, second, BEHAVIOURS[first])
    generation = changed(default_fleet.generation(), {"num_servers": 200})
    model = telemetry.host_model(generation, inventory(generation))

    assert not audit(features_of(model), model.block.varieties).passed


def test_swapped_parameters_really_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    idle, seasonal = VARIETIES[2], VARIETIES[5]
    swapped = {idle: BEHAVIOURS[seasonal], seasonal: BEHAVIOURS[idle]}
    for variety, behaviour in swapped.items():
        monkeypatch.setitem(BEHAVIOURS, variety, behaviour)
    generation = changed(default_fleet.generation(), {"num_servers": 100})
    model = telemetry.host_model(generation, inventory(generation))
    shown = behaves_as(features_of(model), HORIZON)

    assert (shown[model.block.varieties == 2] == 5).mean() >= VARIETY_SHARE


def test_report_shows_features_thresholds_and_as_what_each_variety_behaves() -> None:
    kinds = default_fleet.model().block.varieties
    report = audit(features(42), np.where(kinds == 6, 7, kinds))
    moderate = next(row for row in report.table if row["variety"] == "BURST/MODERATE")
    extreme = next(row for row in report.table if row["variety"] == "BURST/EXTREME")

    assert moderate["hosts"] == 0
    assert str(extreme["behave_as_others"]).endswith("BURST/MODERATE")
    assert {"level", "slope", "annual_amplitude", "weekend_ratio", "noise", "burst_days", "burst_height"} <= set(
        extreme
    )
    assert len(report.threshold) >= 8
    assert "no host of BURST/MODERATE" in report.examples


def test_hosts_that_are_not_due_are_not_judged() -> None:
    kinds = default_fleet.model().block.varieties
    wrong = np.where(kinds == 9, 2, kinds)

    assert not audit(features(42), wrong).passed
    report = audit(features(42), np.where(kinds == 9, 2, kinds), is_due=kinds != 9)
    assert [problem for problem in report.examples if "LOW_IDLE" in problem] == []
    assert report.counts["judged"] == int((kinds != 9).sum())


def test_features_are_near_the_drawn_parameters() -> None:
    model, found = default_fleet.model(), features(42)
    is_seasonal, is_growing = np.isin(model.block.varieties, [4, 5]), model.block.varieties == 0
    for index, resource in enumerate(Resource):
        series, metric = model.series[resource], model.generation.metrics[resource]
        scale, is_noisy = metric.base_mean / 40, series.noise_std > 0.5 * metric.base_std
        season_off = np.abs(found.annual_amplitude[index] * scale - series.annual_amplitude)
        slope_off = np.abs(found.slope[index] * scale - series.drift)
        noise_off = np.abs(found.noise[index] * metric.base_std / series.noise_std - 1)
        assert np.median(season_off[is_seasonal]) < 1.0
        assert np.median(slope_off[is_growing]) < 0.5
        assert np.median(noise_off[is_noisy]) < 0.3


@each_case("name", ["slope", "annual_amplitude", "burst_days", "noise"])
def test_each_feature_counts(name: str) -> None:
    kinds = default_fleet.model().block.varieties
    dull = replace(features(42), **{name: np.zeros_like(getattr(features(42), name))})

    assert not audit(dull, kinds).passed
