"""The samples within a day: what an agent reports every few minutes, such that the day's P95 is the one of the master.

Model: a daily curve that peaks at an hour of the workload, plus noise of each sample and of each hour, is scaled so
that the sample at the rank of the P95 is just the day's value. Scaling and rounding keep the order, so the P95 of the
rounded samples is that value, to the last of its two decimals. A day without a value has no samples.

P95 here is the nearest rank: of n sorted samples the one at place ceil(0.95 n), as most agents compute it.
Source: Hyndman and Fan (1996), Sample Quantiles in Statistical Packages, definition 1.

How network traffic splits into inbound and outbound is here too.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.schemas import FULL_UTILIZATION, Resource
from capsim_dagster.seeding import Float32Array, Float64Array, streams
from capsim_dagster.simulation.resources import SIMULATED

Int64Array = NDArray[np.int64]

HOURS_PER_DAY: Final = 24
PERCENTILE: Final = 0.95
_SAMPLE_NOISE: Final = 0.06
"""Standard deviation of a sample's own noise, as a share of the curve's peak."""
_HOUR_NOISE: Final = 0.05
"""Standard deviation of what the samples of an hour have in common."""
_SHARE_DECIMALS: Final = 4
_LEAST: Final = 0.02
"""Lowest value of the curve: a server is never quite idle."""
_MOST_SWING: Final = 0.95
_CENTS: Final = np.float32(100)
_SINE_DECIMALS: Final = 7
"""Rounding of cosines: their last bits differ between C libraries and processors."""


@dataclass(frozen=True)
class DayCurves:
    """The daily curves of some hosts; each array of shape `(n_hosts,)`.

    Attributes:
        numbers: Host numbers, 1 and up.
        peak_hour: Hour at which each is highest, UTC, 0 to 24.
        swing: How far the night lies below the peak, as a share of it, 0 to 1.
    """

    numbers: Int64Array
    peak_hour: Float64Array
    swing: Float64Array


def p95_rank(samples: int) -> int:
    """Return the place of the P95 among so many sorted samples, counted from 0.

    >>> p95_rank(288), p95_rank(24), p95_rank(1)
    (273, 22, 0)
    """
    # 0.95 has no exact double: 20 samples would give place 20.
    return math.ceil(samples * 95 / 100) - 1


@dataclass(frozen=True)
class SampledDay:
    """One day of one resource of some hosts, of which any stretch of samples can be made alone.

    Attributes:
        day: The day [days since 1970-01-01].
        samples: Samples a day, a multiple of 24.
        scale: By what the curve of each host is multiplied [%], NaN = no samples, shape `(n_hosts,)`.
    """

    resource: Resource
    curves: DayCurves
    seed: int
    day: int
    samples: int
    scale: Float32Array

    def between(self, first: int, last: int) -> Float32Array:
        """Return the samples from `first`, inclusive, to `last`, exclusive [%], shape `(n_hosts, last - first)`.

        They have two decimals; NaN = none.
        """
        values = _levels(self, first, last)
        values *= self.scale[:, np.newaxis]
        np.clip(values, 0, np.float32(FULL_UTILIZATION), out=values)
        values *= _CENTS
        np.rint(values, out=values)
        values /= _CENTS
        return values


def sampled_day(
    p95: Float32Array, resource: Resource, curves: DayCurves, *, seed: int, day: int, samples: int
) -> SampledDay:
    """Return the day whose samples have this P95.

    `p95`: the day's P95 of each host [%], two decimals; NaN = the agent reported nothing, shape `(n_hosts,)`.
    `day`: the day [days since 1970-01-01].
    `samples`: samples a day, a multiple of 24.
    """
    unscaled = SampledDay(resource, curves, seed, day, samples, np.ones_like(p95))
    rank = p95_rank(samples)
    at_rank = np.partition(_levels(unscaled, 0, samples), rank, axis=1)[:, rank]
    return replace(unscaled, scale=p95 / at_rank)


def inbound_shares(seed: int, bounds: tuple[float, float], numbers: NDArray[np.int64]) -> Float64Array:
    """Return the inbound part of each host's network traffic, 0 to 1, shape `(n_hosts,)`.

    `bounds`: lowest and highest share of the uniform draw, 0 to 1.
    `numbers`: host numbers, shape `(n_hosts,)`.
    """
    drawn: Float64Array = streams(seed, "panel", "inbound share", hosts=numbers).uniform()
    shares: Float64Array = np.round(bounds[0] + (bounds[1] - bounds[0]) * drawn, _SHARE_DECIMALS)
    return shares


def _levels(sampled: SampledDay, first: int, last: int) -> Float32Array:
    """Return the daily curve with its noise, about 1 at its peak, shape `(n_hosts, last - first)`."""
    levels = _curve(sampled, first, last) + _noise(sampled, first, last)
    np.maximum(levels, np.float32(_LEAST), out=levels)
    return levels


def _curve(sampled: SampledDay, first: int, last: int) -> Float32Array:
    hours = np.arange(first, last) * (HOURS_PER_DAY / sampled.samples)
    angle = 2 * np.pi / HOURS_PER_DAY * (hours - sampled.curves.peak_hour[:, np.newaxis])
    swing = np.minimum(sampled.curves.swing * SIMULATED[sampled.resource].swing, _MOST_SWING)[:, np.newaxis]
    level: Float32Array = (1 - swing * (1 - np.round(np.cos(angle), _SINE_DECIMALS)) / 2).astype(np.float32)
    return level


def _noise(sampled: SampledDay, first: int, last: int) -> Float32Array:
    """Return the noise of each sample and of its hour, shape `(n_hosts, last - first)`."""
    seed, name, numbers = sampled.seed, sampled.resource.value, sampled.curves.numbers
    share = np.float32(SIMULATED[sampled.resource].noise)
    start, an_hour = sampled.day * sampled.samples, sampled.samples // HOURS_PER_DAY
    noise = streams(seed, "samples", name, hosts=numbers).normals(start + first, start + last)
    noise *= share * np.float32(_SAMPLE_NOISE)
    hours = np.arange(first, last) // an_hour
    hourly = streams(seed, "hours", name, hosts=numbers).normals(
        sampled.day * HOURS_PER_DAY + int(hours[0]), sampled.day * HOURS_PER_DAY + int(hours[-1]) + 1
    )
    noise += (hourly * (share * np.float32(_HOUR_NOISE)))[:, hours - hours[0]]
    return noise
