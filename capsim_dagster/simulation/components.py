"""The additive components of a utilization series, as kernels over arrays.

Each kernel takes parameters of shape `(n_hosts,)` and days of shape `(n_days,)`, and returns `(n_hosts, n_days)` in
% points. Each day is computed by itself, so a month alone equals the same month of a long run, bit for bit: no
reduction, no cumulative sum, and only float32 additions and multiplications, which every machine rounds alike.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.seeding import Float32Array, HostStreams

Int64Array = NDArray[np.int64]

DAYS_PER_YEAR: Final = 365.25
"""Mean length of a year in the Julian calendar [days]."""
WEEKLY_PROFILE: Final = (0.2, 0.6, 0.7, 0.6, 0.3, -1.1, -1.3)
"""Monday to Sunday: business load peaks mid-week and rests at weekends; the mean is 0."""
MAX_BURST_DAYS: Final = 3
"""Longest burst [days]; also how far back a burst can reach into a day."""
EARLY_GROWTH_SHARE: Final = 0.25
"""Part of a breach's rise that is linear; the rest is cubic, so that growth accelerates towards the date."""
BREACH_DATE_SLOPE: Final = EARLY_GROWTH_SHARE + 3 * (1 - EARLY_GROWTH_SHARE)
"""Slope of the growth on the breach day, as a multiple of its mean until then: the derivative of the formula at 1."""
_SEASON_DECIMALS: Final = 7
"""Rounding of sines and cosines: their last bits differ between C libraries and processors."""
_EPOCH_WEEKDAY: Final = 3
"""1970-01-01, day 0, was a Thursday."""


def drift(per_year: Float32Array, elapsed_days: Int64Array) -> Float32Array:
    """Return linear growth since the first day of the window, shape `(n_hosts, n_days)`.

    Args:
        per_year: Growth [% points a year], shape `(n_hosts,)`.
        elapsed_days: Days since the window's start, 0 and up, shape `(n_days,)`.
    """
    years = (elapsed_days / DAYS_PER_YEAR).astype(np.float32)
    return per_year[:, np.newaxis] * years


def annual_season(phase: NDArray[np.float64], epoch_days: Int64Array) -> Float32Array:
    """Return the unit annual season, -1 to 1, shape `(n_hosts, n_days)`.

    Args:
        phase: Where in the year the peak lies, as a share of the year, 0 to 1, shape `(n_hosts,)`.
        epoch_days: Days since 1970-01-01, shape `(n_days,)`.

    >>> annual_season(np.array([0.0]), np.array([0, 1461])).round(3).tolist()
    [[1.0, 1.0]]
    """
    host_angle = 2 * np.pi * phase
    day_angle = 2 * np.pi * (epoch_days / DAYS_PER_YEAR % 1.0)
    cosine = _stable(np.cos(host_angle))[:, np.newaxis] * _stable(np.cos(day_angle))
    return cosine + _stable(np.sin(host_angle))[:, np.newaxis] * _stable(np.sin(day_angle))


def weekly_season(amplitude: Float32Array, epoch_days: Int64Array) -> Float32Array:
    """Return the weekly profile at true weekdays, shape `(n_hosts, n_days)`.

    Args:
        amplitude: Scale of `WEEKLY_PROFILE` [% points], shape `(n_hosts,)`.
        epoch_days: Days since 1970-01-01, shape `(n_days,)`.

    >>> weekly_season(np.array([10], dtype="f4"), np.array([3])).round(3).tolist()
    [[-13.0]]
    """
    profile = np.array(WEEKLY_PROFILE, dtype=np.float32)
    return amplitude[:, np.newaxis] * profile[(epoch_days + _EPOCH_WEEKDAY) % len(WEEKLY_PROFILE)]


def bursts(
    rate: Float32Array, height: Float32Array, *, starts: HostStreams, shapes: HostStreams, first: int, last: int
) -> Float32Array:
    """Return irregular spikes of one to three days, shape `(n_hosts, last - first)`.

    A burst starts on a day with the given chance, lasts one to three days with equal chance and has 0.75 to 1.25
    times the given height; where bursts overlap the higher one counts.

    Args:
        rate: Chance that a burst starts on a day, 0 to 1, shape `(n_hosts,)`.
        height: Typical height [% points], shape `(n_hosts,)`.
        starts: Streams that decide on which days bursts start.
        shapes: Streams that decide length and height.
        first: First day, inclusive [days since 1970-01-01, 3 and up].
        last: Last day, exclusive.
    """
    reach = MAX_BURST_DAYS - 1
    is_start = starts.uniforms(first - reach, last) < rate[:, np.newaxis]
    level = shapes.levels(first - reach, last)
    length = level % MAX_BURST_DAYS + 1
    size = height[:, np.newaxis] * (np.float32(0.75) + (level >> 2).astype(np.float32) * np.float32(0.5 / (1 << 14)))
    n_days = last - first
    active = np.zeros((len(rate), n_days), dtype=np.float32)
    for lag in range(MAX_BURST_DAYS):
        days = slice(reach - lag, reach - lag + n_days)
        np.maximum(active, np.where(is_start[:, days] & (length[:, days] > lag), size[:, days], 0), out=active)
    return active


def breach_growth(rise: Float32Array, breach_day: Float32Array, elapsed_days: Int64Array) -> Float32Array:
    """Return accelerating growth that has risen by `rise` on the breach day, shape `(n_hosts, n_days)`.

    With s = day / breach day the growth is `rise * (0.25 s + 0.75 s^3)`; it goes on after the breach.

    Args:
        rise: Growth until the breach day [% points], shape `(n_hosts,)`.
        breach_day: Days from the window's start to the breach, above 0, shape `(n_hosts,)`.
        elapsed_days: Days since the window's start, 0 and up, shape `(n_days,)`.

    >>> breach_growth(np.array([80], dtype="f4"), np.array([100], dtype="f4"), np.array([0, 50, 100])).tolist()
    [[0.0, 17.5, 80.0]]
    """
    progress: Float32Array = elapsed_days.astype(np.float32) / breach_day[:, np.newaxis]
    early, late = np.float32(EARLY_GROWTH_SHARE), np.float32(1 - EARLY_GROWTH_SHARE)
    grown: Float32Array = rise[:, np.newaxis] * (progress * (early + late * progress * progress))
    return grown


def _stable(values: NDArray[np.float64]) -> Float32Array:
    """Round sines and cosines to what every machine agrees on."""
    return np.round(values, _SEASON_DECIMALS).astype(np.float32)
