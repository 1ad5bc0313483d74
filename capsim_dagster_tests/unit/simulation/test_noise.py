"""Noise: its memory, its sharing and its mix, against formulas and a slow second implementation.

The seed is fixed, so no test here is flaky. With a seed drawn at random each statistical test would fail with a chance
of 6e-7 a bound: five standard errors, where autocorrelation leaves fewer independent days than there are days.
"""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from capsim_dagster.schemas import Resource
from capsim_dagster.seeding import Float32Array, Float64Array, streams
from capsim_dagster.settings import Correlation
from capsim_dagster.simulation import noise
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import base_generation, changed
from capsim_dagster_tests.support.simulation.models import SIGMAS

FIRST, N_DAYS = 19_358, 100_000
LAST = FIRST + N_DAYS
SERVER_TYPES = ("web", "application", "database", "batch", "file")
HOSTS, APPS = np.array([1, 2, 3, 4]), np.array([70, 5, 70, 5])
"""Hosts 1 and 3 belong to one application, 2 and 4 to another."""

repeatable = property_settings(max_examples=20, deadline=None, derandomize=True, database=None)


def source(*, autocorrelation: float = 0.5, app_share: float = 0.2) -> noise.ShockStreams:
    change = {"noise.autocorrelation": autocorrelation, "noise.app_share": app_share}
    return noise.shock_streams(changed(base_generation(), change), HOSTS, APPS)


@cache
def long_shocks(autocorrelation: float, app_share: float, index: int = 0) -> Float32Array:
    return noise.shocks(source(autocorrelation=autocorrelation, app_share=app_share), index, FIRST, LAST)


def profile_of(name: str) -> Correlation:
    (kind,) = (kind for kind in base_generation().metadata.server_types if kind.name == name)
    return kind.correlation


def correlation(one: Float32Array, other: Float32Array) -> float:
    return float(np.corrcoef(one.astype(np.float64), other.astype(np.float64))[0, 1])


def standard_error(autocorrelation: float) -> float:
    """Standard error of a correlation of two series that each remember, by Bartlett's formula, at most."""
    ratio = noise.decay_ratio(autocorrelation)
    return math.sqrt((1 + ratio**2) / (1 - ratio**2) / N_DAYS)


def slowly_smoothed(normals: Float32Array, ratio: float) -> Float64Array:
    """Weighted sum of each day and the seven before it, with unit variance."""
    weights = ratio ** np.arange(noise.MEMORY_DAYS)
    weights /= math.sqrt(float((weights**2).sum()))
    return np.stack([np.convolve(row.astype(np.float64), weights, mode="valid") for row in normals])


@each_case("autocorrelation", [0.05, 0.2, 0.5, 0.7, 0.8])
def test_decay_ratio_gives_the_correlation_of_two_days_in_a_row(autocorrelation: float) -> None:
    """The second method: the closed form of the geometric sums."""
    ratio, memory = noise.decay_ratio(autocorrelation), noise.MEMORY_DAYS
    reached = ratio * (1 - ratio ** (2 * memory - 2)) / (1 - ratio ** (2 * memory))

    assert 0 < ratio < 1
    assert reached == pytest.approx(autocorrelation, abs=1e-8)


@each_case("autocorrelation", [0.0, 0.2, 0.5, 0.8])
def test_shocks_have_unit_variance_and_the_autocorrelation_asked_for(autocorrelation: float) -> None:
    """A variance of remembered values has the standard error of a correlation, times the root of 2."""
    for series in long_shocks(autocorrelation, 0.2):
        assert abs(float(series.mean())) < SIGMAS * 3 / math.sqrt(N_DAYS)
        assert abs(float(series.var()) - 1) < SIGMAS * math.sqrt(2) * standard_error(autocorrelation)
        assert abs(correlation(series[1:], series[:-1]) - autocorrelation) < SIGMAS * standard_error(autocorrelation)


def test_shocks_are_forgotten_after_eight_days() -> None:
    series = long_shocks(0.8, 0.0)[0]

    assert correlation(series[7:], series[:-7]) > 0.02
    assert abs(correlation(series[8:], series[:-8])) < SIGMAS * standard_error(0.8)


@pytest.mark.parametrize("autocorrelation", [0.2, 0.5, 0.8])
def test_shocks_agree_with_a_convolution_of_the_drawn_normals(autocorrelation: float) -> None:
    alone = source(autocorrelation=autocorrelation, app_share=0)
    normals = alone.own[2].normals(FIRST - noise.MEMORY_DAYS + 1, FIRST + 500)
    expected = slowly_smoothed(normals, noise.decay_ratio(autocorrelation))

    np.testing.assert_allclose(noise.shocks(alone, 2, FIRST, FIRST + 500), expected, atol=2e-6)


def test_without_autocorrelation_and_sharing_shocks_are_the_drawn_normals() -> None:
    drawn = streams(base_generation().random_seed, "telemetry", "cpu", "shocks", hosts=HOSTS)
    found = noise.shocks(source(autocorrelation=0, app_share=0), 0, FIRST, FIRST + 900)

    np.testing.assert_array_equal(found, drawn.normals(FIRST, FIRST + 900))


@repeatable
@given(
    autocorrelation=st.sampled_from([0.0, 0.5, 0.8]),
    app_share=st.sampled_from([0.0, 0.2]),
    index=st.integers(0, 3),
    offset=st.integers(0, 900),
    length=st.integers(1, 60),
)
def test_any_stretch_of_shocks_equals_the_same_days_of_the_full_run(
    autocorrelation: float, app_share: float, index: int, offset: int, length: int
) -> None:
    drawn = source(autocorrelation=autocorrelation, app_share=app_share)
    whole = noise.shocks(drawn, index, FIRST, FIRST + 960)
    piece = noise.shocks(drawn, index, FIRST + offset, FIRST + offset + length)

    np.testing.assert_array_equal(piece, whole[:, offset : offset + length])


@pytest.mark.parametrize("rows", [[2], [3, 0], [3, 2, 1, 0]])
def test_shocks_of_a_host_do_not_depend_on_the_other_hosts(rows: list[int]) -> None:
    some = noise.shock_streams(base_generation(), HOSTS[rows], APPS[rows])

    for index in range(4):
        np.testing.assert_array_equal(
            noise.shocks(some, index, FIRST, FIRST + 90), noise.shocks(source(), index, FIRST, FIRST + 90)[rows]
        )


@pytest.mark.parametrize("app_share", [0.0, 0.2, 0.6])
def test_hosts_of_one_application_share_its_part_of_the_variance_and_others_nothing(app_share: float) -> None:
    series = long_shocks(0.5, app_share)
    for one, other in itertools.combinations(range(4), 2):
        expected = app_share if APPS[one] == APPS[other] else 0.0
        assert abs(correlation(series[one], series[other]) - expected) < SIGMAS * standard_error(0.5), (one, other)


@each_case("name", SERVER_TYPES)
def test_mixed_shocks_are_correlated_as_the_profile_says(name: str) -> None:
    factor = np.array(profile_of(name).factor, dtype=np.float32)
    series = [long_shocks(0.5, 0.2, index) for index in range(4)]
    mixed = [noise.mix(np.tile(3 * factor[row, : row + 1], (4, 1)), series[: row + 1]) for row in range(4)]

    for one, other in itertools.combinations(range(4), 2):
        pair = f"{list(Resource)[one]}_{list(Resource)[other]}"
        found = correlation(mixed[one][0], mixed[other][0])
        assert abs(found - getattr(profile_of(name), pair)) < SIGMAS * standard_error(0.5), pair
    for noise_of in mixed:
        assert abs(float(noise_of[0].std()) - 3) < 3 * SIGMAS * standard_error(0.5)


def test_mix_is_the_weighted_sum_by_hand() -> None:
    profile = np.array([[2, 1], [0, 3]], dtype=np.float32)
    first, second = np.array([[1, 2], [3, 4]], dtype=np.float32), np.array([[10, 20], [30, 40]], dtype=np.float32)

    assert noise.mix(profile, [first, second]).tolist() == [[12, 24], [90, 120]]


@each_case("name", SERVER_TYPES)
def test_factor_of_a_profile_is_the_cholesky_factor_that_numpy_finds(name: str) -> None:
    matrix = np.eye(4)
    for one, other in itertools.combinations(range(4), 2):
        pair = f"{list(Resource)[one]}_{list(Resource)[other]}"
        matrix[one, other] = matrix[other, one] = getattr(profile_of(name), pair)

    np.testing.assert_allclose(profile_of(name).factor, np.linalg.cholesky(matrix), atol=1e-12)
