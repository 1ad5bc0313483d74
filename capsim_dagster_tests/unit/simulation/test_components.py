"""The kernels against formulas worked by hand and a slow second implementation."""

import datetime as dt
import math

import numpy as np
import pytest

from capsim_dagster.seeding import Float32Array
from capsim_dagster.simulation.components import (
    BREACH_DATE_SLOPE,
    DAYS_PER_YEAR,
    Int64Array,
    annual_season,
    breach_growth,
    drift,
)

FIRST_DAY = (dt.date(2023, 1, 1) - dt.date(1970, 1, 1)).days
BREACH_DAY = 400
GOES_ON, STAYS = np.array([True]), np.array([False])


def float32(*values: float) -> Float32Array:
    return np.array(values, dtype=np.float32)


def growth_by_hand(day: int) -> float:
    """Growth of one breach as a share of its rise."""
    progress = day / BREACH_DAY
    if progress <= 1:
        return 0.25 * progress + 0.75 * progress**4
    return 1 + 3.25 * (progress - 1) / progress


def test_drift_grows_by_its_rate_each_year() -> None:
    grown = drift(float32(12, -4), np.array([0, 1461, 2922]))

    assert grown.tolist() == [[0, 48, 96], [0, -16, -32]]


def test_annual_season_is_a_cosine_that_peaks_at_its_peak() -> None:
    peaks = np.array([0.0, 0.25, 0.9])
    days = np.arange(FIRST_DAY, FIRST_DAY + 800)
    expected = [
        [size * math.cos(2 * math.pi * (day / DAYS_PER_YEAR - peak)) for day in days.tolist()]
        for size, peak in zip((1, 3, 20), peaks.tolist(), strict=True)
    ]

    np.testing.assert_allclose(annual_season(float32(1, 3, 20), peaks, days), expected, atol=1e-5)


def test_annual_season_is_highest_on_its_day_of_the_year() -> None:
    """The year of the season begins with the Julian calendar's, within a day of ours."""
    season = annual_season(float32(10), np.array([99.5 / DAYS_PER_YEAR]), np.arange(FIRST_DAY, FIRST_DAY + 365))

    assert abs(int(season.argmax()) - 99) <= 1
    assert season.max() == pytest.approx(10, abs=1e-3)


def test_annual_season_of_four_years_averages_to_nothing() -> None:
    season = annual_season(float32(1), np.array([0.3]), np.arange(FIRST_DAY, FIRST_DAY + 1461))

    assert abs(season.mean(dtype=np.float64)) < 1e-6


def test_annual_season_without_an_amplitude_is_exactly_nothing() -> None:
    assert not annual_season(float32(0), np.array([0.3]), np.arange(FIRST_DAY, FIRST_DAY + 400)).any()


def test_breach_growth_is_nothing_at_first_and_its_rise_on_the_breach_day() -> None:
    grown = breach_growth(float32(60, 40), float32(400, 100), np.array([0, 100, 400]), goes_on=np.array([True, True]))

    assert grown[:, 0].tolist() == [0, 0]
    assert (grown[0, 2], grown[1, 1]) == (60, 40)
    assert grown[0, 1] == pytest.approx(60 * (0.25 / 4 + 0.75 / 256))


def test_breach_growth_agrees_with_the_formula_on_every_day_before_and_after() -> None:
    days = np.arange(3 * BREACH_DAY)
    grown = breach_growth(float32(60), float32(BREACH_DAY), days, goes_on=GOES_ON)[0]

    np.testing.assert_allclose(grown, [60 * growth_by_hand(day) for day in days.tolist()], rtol=1e-5, atol=1e-5)


def test_breach_growth_accelerates_until_the_breach_and_slows_down_after_it() -> None:
    grown = breach_growth(float32(60), float32(BREACH_DAY), np.arange(1_001), goes_on=GOES_ON).astype(np.float64)[0]
    steps = np.diff(grown[::20])
    before, after = steps[: BREACH_DAY // 20].tolist(), steps[BREACH_DAY // 20 :].tolist()

    assert np.diff(grown).min() > 0
    assert before == sorted(before)
    assert after == sorted(after, reverse=True)


def test_breach_growth_has_the_same_slope_on_both_sides_of_the_breach() -> None:
    around = np.array([BREACH_DAY - 1, BREACH_DAY, BREACH_DAY + 1])
    before, after = np.diff(breach_growth(float32(60), float32(BREACH_DAY), around, goes_on=GOES_ON)[0]).tolist()

    assert before == pytest.approx(60 * BREACH_DATE_SLOPE / BREACH_DAY, rel=0.01)
    assert after == pytest.approx(60 * BREACH_DATE_SLOPE / BREACH_DAY, rel=0.01)


def test_breach_growth_stays_below_its_rise_four_and_a_quarter_times_however_long_it_goes_on() -> None:
    grown = breach_growth(float32(60), float32(BREACH_DAY), np.array([10_000, 10_000_000]), goes_on=GOES_ON)[0]

    assert grown[0] < grown[1] <= 60 * 4.25


def test_breach_growth_that_does_not_go_on_stays_at_its_rise() -> None:
    days = np.arange(3 * BREACH_DAY)
    on, stays = (breach_growth(float32(60), float32(BREACH_DAY), days, goes_on=way)[0] for way in (GOES_ON, STAYS))

    np.testing.assert_array_equal(stays[: BREACH_DAY + 1], on[: BREACH_DAY + 1])
    assert set(stays[BREACH_DAY:].tolist()) == {60.0}


def components_of(days: Int64Array) -> list[Float32Array]:
    return [
        drift(float32(5), days),
        annual_season(float32(5), np.array([0.4]), days),
        breach_growth(float32(60), float32(BREACH_DAY), days, goes_on=GOES_ON),
    ]


@pytest.mark.parametrize("piece", [slice(0, 31), slice(395, 426), slice(700, 701)])
def test_components_of_a_month_equal_the_same_days_of_the_whole(piece: slice) -> None:
    days = np.arange(800)
    for alone, whole in zip(components_of(days[piece]), components_of(days), strict=True):
        np.testing.assert_array_equal(alone, whole[:, piece])
