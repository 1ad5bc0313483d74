"""The samples within a day: their P95 is the master's, they follow the hour, and each host and day stands alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from capsim_dagster.schemas import Resource
from capsim_dagster.seeding import Float32Array
from capsim_dagster.simulation.samples import DayCurves, p95_rank, sampled_day
from capsim_dagster_tests.support.cases import each_case

DAY = 20_000
SAMPLES = (24, 48, 96, 144, 288, 1_440)


def samples_of(
    p95: Float32Array,
    *,
    resource: Resource = Resource.CPU,
    day: int = DAY,
    samples: int = 288,
    first: int = 1,
    seed: int = 42,
) -> Float32Array:
    numbers = np.arange(first, first + p95.size)
    curves = DayCurves(numbers, peak_hour=np.full(p95.size, 14.0), swing=np.full(p95.size, 0.6))
    return sampled_day(p95, resource, curves, seed=seed, day=day, samples=samples).between(0, samples)


def cents(count: int) -> Float32Array:
    """Return percentages with two decimals from 0 to 100."""
    return (np.linspace(0, 10_000, count).round() / 100).astype(np.float32)


def nearest_rank(values: Float32Array) -> NDArray[np.float32]:
    """Return the P95 of each host as numpy defines the nearest rank."""
    found: NDArray[np.float32] = np.quantile(values, 0.95, axis=1, method="inverted_cdf").astype(np.float32)
    return found


@each_case("samples", SAMPLES)
@each_case("resource", list(Resource))
def test_the_p95_of_the_samples_is_the_days_value_to_its_last_decimal(resource: Resource, samples: int) -> None:
    p95 = cents(301)

    found = samples_of(p95, resource=resource, samples=samples)

    assert found.shape == (301, samples)
    assert np.array_equal(np.sort(found, axis=1)[:, p95_rank(samples)], p95)
    assert np.array_equal(nearest_rank(found), p95)


@given(
    value=st.integers(0, 10_000), seed=st.integers(0, 2**31), day=st.integers(0, 60_000), host=st.integers(1, 200_000)
)
@property_settings(max_examples=20)
def test_any_value_of_any_host_on_any_day_is_the_p95_of_its_samples(value: int, seed: int, day: int, host: int) -> None:
    p95 = np.array([value / 100], dtype=np.float32)

    found = samples_of(p95, day=day, first=host, seed=seed)

    assert nearest_rank(found)[0] == p95[0]
    assert found.min() >= 0
    assert found.max() <= 100


def test_samples_have_two_decimals() -> None:
    p95 = cents(101)
    found = samples_of(p95).astype(np.float64)

    assert np.abs(found * 100 - np.rint(found * 100)).max() < 1e-3
    assert np.array_equal((np.rint(found * 100) / 100).astype(np.float32), samples_of(p95))


def test_a_day_without_a_value_has_no_samples() -> None:
    found = samples_of(np.array([np.nan, 50], dtype=np.float32))

    assert np.isnan(found[0]).all()
    assert not np.isnan(found[1]).any()


def test_each_host_and_day_alone_has_the_samples_of_the_whole() -> None:
    p95 = cents(50)
    whole = samples_of(p95)

    assert np.array_equal(samples_of(p95[10:20], first=11), whole[10:20])
    assert not np.array_equal(samples_of(p95, day=DAY + 1), whole)
    assert not np.array_equal(samples_of(p95, seed=43), whole)


def test_load_follows_the_hour_of_the_workload() -> None:
    p95 = np.full(400, 60, dtype=np.float32)

    hourly = samples_of(p95).reshape(400, 24, 12).mean(axis=(0, 2))

    assert 12 <= int(hourly.argmax()) <= 16
    assert int(hourly.argmin()) in (1, 2, 3)
    # The swing is 0.6: the night is at about 40 % of the day.
    assert hourly.min() / hourly.max() == pytest.approx(0.4, abs=0.04)


def test_a_disk_hardly_notices_the_hour() -> None:
    p95 = np.full(100, 60, dtype=np.float32)

    assert samples_of(p95, resource=Resource.DISK).min() > 54


@each_case(("samples", "place"), [(1, 0), (20, 18), (24, 22), (288, 273), (1_440, 1_367)])
def test_the_rank_of_the_p95_is_the_nearest_one(samples: int, place: int) -> None:
    assert p95_rank(samples) == place


@given(first=st.integers(0, 287), length=st.integers(1, 288))
@property_settings(max_examples=20)
def test_any_stretch_of_a_day_is_that_of_the_whole_day(first: int, length: int) -> None:
    p95, last = cents(9), min(first + length, 288)
    curves = DayCurves(np.arange(1, 10), peak_hour=np.linspace(0, 23, 9), swing=np.linspace(0, 1, 9))
    day = sampled_day(p95, Resource.NETWORK, curves, seed=1, day=DAY, samples=288)

    assert np.array_equal(day.between(first, last), day.between(0, 288)[:, first:last])
