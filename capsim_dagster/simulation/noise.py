"""Day-to-day noise: autocorrelated, shared by the resources of a host and by the hosts of an application.

Model: independent normal shocks, one series a resource of a host and one a resource of an application, are each
smoothed over the last eight days with weights that fall by the same ratio a day, then added, then mixed by the
Cholesky factor of the host's correlation profile. The finite memory is what lets a month be computed alone; its ratio
is chosen so that the correlation of two days in a row is just the one asked for.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.schemas import Resource
from capsim_dagster.seeding import Float32Array, HostStreams, streams
from capsim_dagster.settings import DataGeneration

MEMORY_DAYS: Final = 8
"""Days that a shock is felt, a power of 2; enough for a lag-1 correlation of up to 0.8."""
_BISECTIONS: Final = 60
_SERIES: Final = tuple(resource.value for resource in Resource)
_WEIGHT_DECIMALS: Final = 9


@dataclass(frozen=True)
class ShockStreams:
    """Streams of the shocks of some hosts.

    Attributes:
        own: Streams of the hosts themselves, one a resource.
        shared: Streams of their applications, one a resource.
        app_index: Each host's application as an index into the keys of `shared`, shape `(n_hosts,)`.
        autocorrelation: Correlation of two days in a row, 0 to 0.8.
        app_share: Part of the variance that comes from the applications, 0 to 0.9.
    """

    own: tuple[HostStreams, ...]
    shared: tuple[HostStreams, ...]
    app_index: NDArray[np.int64]
    autocorrelation: float
    app_share: float


def shock_streams(
    generation: DataGeneration,
    numbers: NDArray[np.int64],
    apps: NDArray[np.int64],
    names: Sequence[str] = _SERIES,
) -> ShockStreams:
    """Return the streams of the shocks of some hosts.

    `numbers`: host numbers, shape `(n_hosts,)`.
    `apps`: number of each host's application, shape `(n_hosts,)`.
    `names`: names of the independent series, one a resource.
    """
    distinct, app_index = np.unique(apps, return_inverse=True)
    seed = generation.random_seed
    return ShockStreams(
        own=tuple(streams(seed, "telemetry", name, "shocks", hosts=numbers) for name in names),
        shared=tuple(streams(seed, "telemetry", name, "application shocks", hosts=distinct) for name in names),
        app_index=app_index.astype(np.int64),
        autocorrelation=generation.noise.autocorrelation,
        app_share=generation.noise.app_share,
    )


def shocks(source: ShockStreams, index: int, first: int, last: int) -> Float32Array:
    """Return the smoothed shocks of one index of the mix, unit variance, shape `(n_hosts, last - first)`.

    `index`: which of the independent series, 0 and up.
    `first`: first day, inclusive [days since 1970-01-01].
    `last`: last day, exclusive.
    """
    ratio = decay_ratio(source.autocorrelation)
    own = _smoothed(source.own[index], ratio, first, last, scale=float(np.sqrt(1 - source.app_share)))
    if source.app_share:
        shared = _smoothed(source.shared[index], ratio, first, last, scale=float(np.sqrt(source.app_share)))
        own += shared[source.app_index]
    return own


@lru_cache(maxsize=16)
def decay_ratio(autocorrelation: float) -> float:
    """Return the ratio of the weights of a shock on two days in a row that gives a lag-1 correlation.

    Over `MEMORY_DAYS` weights q^k the correlation is q (1 - q^(2m-2)) / (1 - q^2m), which grows with q.

    Args:
        autocorrelation: Correlation of two days in a row, 0 to 0.8.

    >>> round(decay_ratio(0.5), 4), decay_ratio(0.0)
    (0.5, 0.0)
    """
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        weights = [middle**k for k in range(MEMORY_DAYS)]
        reached = sum(a * b for a, b in itertools.pairwise(weights)) / sum(w * w for w in weights)
        low, high = (middle, high) if reached < autocorrelation else (low, middle)
    return round(low, _WEIGHT_DECIMALS)


def mix(profile: Float32Array, shock_series: list[Float32Array]) -> Float32Array:
    """Return one resource's noise as the weighted sum of independent shocks, shape `(n_hosts, n_days)`.

    Args:
        profile: Weight of each series for each host [% points], shape `(n_hosts, n_series)`.
        shock_series: The series, each of shape `(n_hosts, n_days)`.
    """
    noise = shock_series[0] * profile[:, :1]
    for index in range(1, len(shock_series)):
        noise += shock_series[index] * profile[:, index : index + 1]
    return noise


def _smoothed(source: HostStreams, ratio: float, first: int, last: int, *, scale: float) -> Float32Array:
    """Return shocks felt for `MEMORY_DAYS` days: each doubling adds the series so far, shifted and faded."""
    if not ratio:
        return source.normals(first, last) * np.float32(scale)
    series = source.normals(first - MEMORY_DAYS + 1, last)
    variance = sum(ratio ** (2 * k) for k in range(MEMORY_DAYS))
    series *= np.float32(round(scale / variance**0.5, _WEIGHT_DECIMALS))
    shift = 1
    while shift < MEMORY_DAYS:
        faded = series[:, :-shift] * np.float32(round(ratio**shift, _WEIGHT_DECIMALS))
        faded += series[:, shift:]
        series, shift = faded, 2 * shift
    return series
