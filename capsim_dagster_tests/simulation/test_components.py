"""The kernels against formulas worked by hand and a slow second implementation."""

import datetime as dt
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from capsim_dagster.seeding import HostStreams, streams
from capsim_dagster.simulation.components import (
    DAYS_PER_YEAR,
    WEEKLY_PROFILE,
    annual_season,
    breach_growth,
    bursts,
    drift,
    weekly_season,
)

EPOCH = dt.date(1970, 1, 1)
FIRST_DAY = (dt.date(2023, 1, 1) - EPOCH).days
SIGMAS = 5
"""Bound of a statistical test [standard errors]; the seed is fixed, another one would fail with a chance of 6e-7."""


def float32(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def burst_streams(n_hosts: int = 1) -> dict[str, HostStreams]:
    hosts = np.arange(1, n_hosts + 1)
    return {name: streams(42, name, hosts=hosts) for name in ("starts", "shapes")}


def run_lengths(active: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the lengths of the runs of True that have an end on both sides."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    return edges[1::2] - edges[::2]


def reference_bursts(rate: float, height: float, first: int, last: int) -> list[float]:
    """Bursts of one host, day by day and burst by burst."""
    drawn = burst_streams()
    values = [0.0] * (last - first)
    for start in range(first - 2, last):
        if float(drawn["starts"].uniforms(start, start + 1)[0, 0]) >= rate:
            continue
        level = int(drawn["shapes"].levels(start, start + 1)[0, 0])
        for day in range(start, start + level % 3 + 1):
            if first <= day < last:
                values[day - first] = max(values[day - first], height * (0.75 + 0.5 * (level // 4) / 16_384))
    return values


def test_drift_grows_by_its_rate_each_year() -> None:
    grown = drift(float32(12, -4), np.array([0, 1461, 2922]))

    assert grown.tolist() == [[0, 48, 96], [0, -16, -32]]


def test_annual_season_is_a_cosine_that_peaks_at_its_phase() -> None:
    phases = np.array([0.0, 0.25, 0.9])
    days = np.arange(FIRST_DAY, FIRST_DAY + 800)
    expected = [[math.cos(2 * math.pi * (day / DAYS_PER_YEAR - phase)) for day in days.tolist()] for phase in phases]

    np.testing.assert_allclose(annual_season(phases, days), expected, atol=1e-6)


def test_annual_season_of_four_years_averages_to_nothing() -> None:
    season = annual_season(np.array([0.3]), np.arange(FIRST_DAY, FIRST_DAY + 1461))

    assert abs(season.mean(dtype=np.float64)) < 1e-6


@pytest.mark.parametrize("offset", range(7))
def test_weekly_season_follows_true_weekdays(offset: int) -> None:
    day = dt.date(2024, 2, 26) + dt.timedelta(offset)

    found = weekly_season(float32(10), np.array([(day - EPOCH).days]))
    assert found.item() == pytest.approx(10 * WEEKLY_PROFILE[day.weekday()])


def test_weekly_season_averages_to_nothing_and_rests_at_weekends() -> None:
    assert math.fsum(WEEKLY_PROFILE) == pytest.approx(0)
    assert max(WEEKLY_PROFILE[5:]) < min(WEEKLY_PROFILE[:5])


def test_breach_growth_is_nothing_at_first_and_its_rise_on_the_breach_day() -> None:
    grown = breach_growth(float32(60, 40), float32(400, 100), np.array([0, 100, 400]))

    assert grown[:, 0].tolist() == [0, 0]
    assert (grown[0, 2], grown[1, 1]) == (60, 40)
    assert grown[0, 1] == pytest.approx(60 * (0.25 / 4 + 0.75 / 64))


def test_breach_growth_accelerates_and_goes_on_after_the_breach() -> None:
    grown = breach_growth(float32(60), float32(400), np.arange(600)).astype(np.float64)[0]

    assert np.diff(grown).min() > 0
    assert np.diff(grown[::50]).tolist() == sorted(np.diff(grown[::50]).tolist())
    assert grown[-1] > 60


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_bursts_agree_with_a_day_by_day_implementation(rate: float) -> None:
    found = bursts(float32(rate), float32(40), **burst_streams(), first=19_358, last=19_658)

    assert found.any()
    np.testing.assert_allclose(found[0], reference_bursts(rate, 40, 19_358, 19_658), rtol=1e-6)


def test_bursts_last_one_to_three_days_with_equal_chance() -> None:
    """At 2 starts in 10,000 days, about one burst in 2,000 runs into the next."""
    active = bursts(float32(0.0002), float32(40), **burst_streams(), first=3, last=10_000_003)[0] > 0
    counts = np.bincount(run_lengths(active), minlength=4)

    assert counts[1:4].sum() > 1_500
    assert counts[4:].sum() <= 0.005 * counts.sum()
    assert np.abs(counts[1:4] / counts.sum() - 1 / 3).max() < SIGMAS * math.sqrt(2 / 9 / counts.sum())


def test_bursts_start_as_often_as_their_rate_says() -> None:
    """A day is active if a burst started on it, or one of length 2 or 3 the day before, or of length 3 before that."""
    rate, n_days = 0.03, 200_000
    active = bursts(float32(rate), float32(40), **burst_streams(), first=3, last=3 + n_days)[0] > 0
    expected = 1 - (1 - rate) * (1 - rate * 2 / 3) * (1 - rate / 3)

    assert abs(active.mean() - expected) < SIGMAS * math.sqrt(3 * expected / n_days)


def test_bursts_are_three_quarters_to_five_quarters_of_their_height() -> None:
    found = bursts(float32(0.05), float32(40), **burst_streams(), first=3, last=50_003)
    sizes = found[found > 0]

    assert 30 <= sizes.min() < 30.1
    assert 49.9 < sizes.max() < 50


@pytest.mark.parametrize(("rate", "is_active"), [(0.0, False), (1.0, True)])
def test_bursts_never_or_always_start_at_a_chance_of_0_or_1(rate: float, is_active: bool) -> None:
    found = bursts(float32(rate), float32(40), **burst_streams(), first=3, last=10_003)

    assert set((found > 0).ravel().tolist()) == {is_active}


def test_bursts_of_one_month_equal_the_same_days_of_many_years() -> None:
    rate, height, drawn = float32(0.3, 0.05), float32(40, 20), burst_streams(2)
    whole = bursts(rate, height, **drawn, first=19_000, last=20_000)
    month = bursts(rate, height, **drawn, first=19_500, last=19_531)

    np.testing.assert_array_equal(month, whole[:, 500:531])
