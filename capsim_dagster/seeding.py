"""Named random streams: the only source of randomness in capsim.

A stream is named by words, for example `("telemetry", "cpu", "noise")`, and holds one sub-stream a host. Element
`t` of a host's sub-stream depends on the seed, the name, the host number and `t` alone. So any host, any resource
and any day can be computed by itself, in any order, and neither a longer window nor a larger fleet moves a value.

Model: SplitMix64 in counter mode. A host's sub-stream is the SplitMix64 sequence whose state starts at that host's
64-bit key; its `t`-th output is `mix(key + (t + 1) * gamma)`, which needs none of the outputs before it. Keys come
from BLAKE2b over seed and name, mixed with the host number.

Only integer arithmetic and one table look-up stand between a key and a number. `numpy` chooses its `log` and `cos`
kernels by the processor, and their last bits differ; nothing here calls them, so every machine gets the same bits.
Cost: 5 ns a normal number, against 40 ns for one `Generator` a series.

Source: Steele, Lea, Flood (2014), "Fast splittable pseudorandom number generators", OOPSLA; constants of Stafford's
mix 13 as used there.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

UInt64Array = NDArray[np.uint64]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd increment nearest to 2**64 divided by the golden ratio."""
_MIX_A: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B: Final = np.uint64(0x94D049BB133111EB)
_MODULUS: Final = 1 << 64
_LANES: Final = 4
"""16-bit numbers in one 64-bit output: four days cost one mix."""
_LEVELS: Final = 1 << 16
"""Distinct values of a 16-bit number."""
_TABLE_DECIMALS: Final = 9
"""Rounding of the quantile table, so that a last-bit difference of `log` between C libraries cannot reach it."""


def key(seed: int, *name: str) -> np.uint64:
    """Return the 64-bit key of a named stream.

    Args:
        seed: Seed of the fleet, 0 and up.
        name: Words that name the stream; their boundaries count.
    """
    text = "\x1f".join((str(seed), *name)).encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little"))


@dataclass(frozen=True)
class HostStreams:
    """The sub-streams of some hosts under one name.

    Attributes:
        keys: One 64-bit key a host, shape `(n_hosts,)`.
    """

    keys: UInt64Array

    def uniform(self, element: int = 0) -> Float64Array:
        """Return one number a host in `[0, 1)`, with 53 random bits, shape `(n_hosts,)`.

        Args:
            element: Which element of each sub-stream, 0 and up.
        """
        state = self.keys + np.uint64((element + 1) * int(_GAMMA) % _MODULUS)
        return (_mix(state) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def levels(self, first: int, last: int) -> NDArray[np.uint16]:
        """Return elements `first` (inclusive) to `last` (exclusive) as 16-bit numbers, shape `(n_hosts, last - first)`.

        Args:
            first: First element, 0 and up.
            last: One past the last element, `first` or more.
        """
        block = first // _LANES
        words = self.words(block, -(-last // _LANES))
        lanes = words.astype("<u8", copy=False).view("<u2")
        return lanes[:, first - block * _LANES : last - block * _LANES]

    def words(self, first: int, last: int) -> UInt64Array:
        """Return elements `first` (inclusive) to `last` (exclusive) as 64-bit numbers, shape `(n_hosts, last - first)`.

        Args:
            first: First element, 0 and up.
            last: One past the last element, `first` or more.
        """
        elements = np.arange(first + 1, last + 1, dtype=np.uint64)
        return _mix(self.keys[:, np.newaxis] + (elements * _GAMMA)[np.newaxis, :])

    def words_at(self, rows: NDArray[np.int64], elements: NDArray[np.int64]) -> UInt64Array:
        """Return one 64-bit number for each pair of host and element, shape `(n_pairs,)`.

        Args:
            rows: Indices of hosts in `keys`.
            elements: Elements, 0 and up.
        """
        return _mix(self.keys[rows] + (elements + 1).astype(np.uint64) * _GAMMA)

    def normals(self, first: int, last: int) -> Float32Array:
        """Return elements as standard normal numbers, shape `(n_hosts, last - first)`, within ±4.33.

        The 65,536 values are the normal quantiles at the middles of equal probabilities: next to zero they lie
        0.00004 apart, so a noise of 10 points still moves in steps finer than the two decimals that are kept.
        """
        return _normal_quantiles()[self.levels(first, last)]


def streams(seed: int, *name: str, hosts: NDArray[np.int64]) -> HostStreams:
    """Return the sub-streams of hosts under a name.

    Args:
        seed: Seed of the fleet, 0 and up.
        name: Words that name the stream.
        hosts: Host numbers, 1 and up, shape `(n_hosts,)`.

    >>> one = streams(42, "doc", hosts=np.array([7])).normals(100, 103)
    >>> many = streams(42, "doc", hosts=np.arange(1, 9)).normals(0, 200)
    >>> bool((one[0] == many[6, 100:103]).all())
    True
    """
    return HostStreams(_mix(_mix(hosts.astype(np.uint64) * _GAMMA) ^ key(seed, *name)))


def lanes_of(words: UInt64Array) -> tuple[Float64Array, ...]:
    """Split 64-bit numbers into four independent numbers each, strictly between 0 and 1 in steps of 2**-16."""
    return tuple(
        (((words >> np.uint64(16 * lane)) & np.uint64(_LEVELS - 1)).astype(np.float64) + 0.5) / _LEVELS
        for lane in range(_LANES)
    )


def low_discrepancy(numbers: NDArray[np.int64]) -> Float64Array:
    """Return the golden-ratio sequence at these numbers, in `[0, 1)`, same shape.

    Any stretch of it fills the unit interval evenly, so shares hold at every fleet size without knowing the size.

    >>> low_discrepancy(np.array([1, 2, 3])).round(3).tolist()
    [0.618, 0.236, 0.854]
    """
    return ((numbers.astype(np.uint64) * _GAMMA) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(state: UInt64Array) -> UInt64Array:
    """Scramble 64-bit states (a bijection), in place on its own copy."""
    mixed = state ^ (state >> np.uint64(30))
    mixed *= _MIX_A
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MIX_B
    mixed ^= mixed >> np.uint64(31)
    return mixed


@lru_cache(maxsize=1)
def _normal_quantiles() -> Float32Array:
    """Return the standard normal quantiles at the middles of 65,536 equal probabilities, ascending."""
    inverse = NormalDist().inv_cdf
    upper = [inverse((index + 0.5) / _LEVELS) for index in range(_LEVELS // 2, _LEVELS)]
    half = np.round(np.array(upper), _TABLE_DECIMALS)
    return np.concatenate([-half[::-1], half]).astype(np.float32)
