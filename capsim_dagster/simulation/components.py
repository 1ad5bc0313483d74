"""The components of a utilization series, as kernels over arrays.

Each kernel takes parameters of shape `(n_hosts,)` and days of shape `(n_days,)`, and returns `(n_hosts, n_days)`. Each
day is computed by itself, so a month alone equals the same month of a long run, bit for bit: no reduction, no
cumulative sum, and only float32 additions and multiplications, which every machine rounds alike.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.seeding import Float32Array, Float64Array

Int64Array = NDArray[np.int64]

DAYS_PER_YEAR: Final = 365.25
"""Mean length of a year in the Julian calendar [days]."""
EARLY_GROWTH_SHARE: Final = 0.25
"""Part of a breach's rise that is linear; the rest is of fourth order, so that growth accelerates towards the date."""
BREACH_DATE_SLOPE: Final = EARLY_GROWTH_SHARE + 4 * (1 - EARLY_GROWTH_SHARE)
"""Slope of the growth on the breach day, as a multiple of its mean until then: the derivative of the formula at 1."""
_SEASON_DECIMALS: Final = 7
"""Rounding of sines and cosines: their last bits differ between C libraries and processors."""


def drift(per_year: Float32Array, elapsed_days: Int64Array) -> Float32Array:
    """Return linear growth since the first day of the window, shape `(n_hosts, n_days)`.

    Args:
        per_year: Growth [% points a year], shape `(n_hosts,)`.
        elapsed_days: Days since the window's start, 0 and up, shape `(n_days,)`.
    """
    years = (elapsed_days / DAYS_PER_YEAR).astype(np.float32)
    return per_year[:, np.newaxis] * years


def annual_season(amplitude: Float32Array, peak: Float64Array, epoch_days: Int64Array) -> Float32Array:
    """Return the annual season [% points], shape `(n_hosts, n_days)`.

    Args:
        amplitude: Half its swing [% points], shape `(n_hosts,)`.
        peak: Where in the year it is highest, as a share of the year, 0 to 1, shape `(n_hosts,)`.
        epoch_days: Days since 1970-01-01, shape `(n_days,)`.

    >>> annual_season(np.array([2], dtype="f4"), np.array([0.0]), np.array([0, 1461])).round(3).tolist()
    [[2.0, 2.0]]
    """
    host_angle = 2 * np.pi * peak
    day_angle = 2 * np.pi * (epoch_days / DAYS_PER_YEAR % 1.0)
    season = (amplitude * _stable(np.cos(host_angle)))[:, np.newaxis] * _stable(np.cos(day_angle))
    season += (amplitude * _stable(np.sin(host_angle)))[:, np.newaxis] * _stable(np.sin(day_angle))
    return season


def breach_growth(
    rise: Float32Array, breach_day: Float32Array, elapsed_days: Int64Array, *, goes_on: NDArray[np.bool_]
) -> Float32Array:
    """Return accelerating growth that has risen by `rise` on the breach day, shape `(n_hosts, n_days)`.

    With s = day / breach day the growth is `rise * (0.25 s + 0.75 s^4)` until the breach. Afterwards it goes on at the
    same slope, which then falls: with x = s - 1 it is `rise * (1 + 3.25 x / (1 + x))`, and 4.25 times the rise in the
    end. Where it does not go on it stays at `rise`.

    Args:
        rise: Growth until the breach day [% points], shape `(n_hosts,)`.
        breach_day: Days from the window's start to the breach, above 0, shape `(n_hosts,)`.
        elapsed_days: Days since the window's start, 0 and up, shape `(n_days,)`.
        goes_on: Whether demand grows after the breach, shape `(n_hosts,)`.

    >>> days, on = np.array([0, 50, 100, 200]), np.array([True])
    >>> breach_growth(np.array([80], dtype="f4"), np.array([100], dtype="f4"), days, goes_on=on).tolist()
    [[0.0, 13.75, 80.0, 210.0]]
    """
    progress: Float32Array = elapsed_days.astype(np.float32) / breach_day[:, np.newaxis]
    after: Float32Array = np.maximum(progress - np.float32(1), np.float32(0))
    np.minimum(progress, np.float32(1), out=progress)
    square: Float32Array = progress * progress
    early, late = np.float32(EARLY_GROWTH_SHARE), np.float32(1 - EARLY_GROWTH_SHARE)
    growth = early * progress + late * (square * square)
    growth[goes_on] += np.float32(BREACH_DATE_SLOPE) * (after / (np.float32(1) + after))[goes_on]
    grown: Float32Array = rise[:, np.newaxis] * growth
    return grown


def _stable(values: Float64Array) -> Float32Array:
    """Round sines and cosines to what every machine agrees on."""
    return np.round(values, _SEASON_DECIMALS).astype(np.float32)
