"""How each resource is simulated, apart from settings: the sizes that hosts come in, and its way through the day."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from capsim_dagster.schemas import Resource

_GB: Final = 1_024
"""In MB."""


@dataclass(frozen=True)
class Simulated:
    """One resource.

    Attributes:
        size_stream: Name of the stream that a host's capacity is drawn from.
        sizes: Capacities that hosts of a server type come in, in the unit of `schemas.resources.CAPACITIES`.
        other_sizes: Those of server types that are not named.
        swing: How far it follows the daily curve of its workload: memory is held, a disk hardly notices the hour.
        noise: How noisy its samples are, likewise.
    """

    size_stream: str
    sizes: Mapping[str, tuple[int, ...]]
    other_sizes: tuple[int, ...]
    swing: float
    noise: float


SIMULATED: Final = {
    Resource.CPU: Simulated(
        "cpu_cores",
        {"web": (4, 8, 16), "application": (8, 16, 32), "database": (16, 32, 64), "batch": (16, 32, 48)},
        other_sizes=(8, 16),
        swing=1.0,
        noise=1.0,
    ),
    Resource.MEMORY: Simulated(
        "memory_gb",
        {"web": (16, 32, 64), "application": (32, 64, 128), "database": (128, 256, 512), "batch": (64, 128, 256)},
        other_sizes=(32, 64),
        swing=0.35,
        noise=0.25,
    ),
    Resource.DISK: Simulated(
        "storage",
        {
            "web": (100 * _GB, 200 * _GB),
            "application": (200 * _GB, 500 * _GB),
            "database": (1_000 * _GB, 2_000 * _GB, 4_000 * _GB),
            "batch": (500 * _GB, 1_000 * _GB),
        },
        other_sizes=(2_000 * _GB, 8_000 * _GB, 16_000 * _GB),
        swing=0.06,
        noise=0.03,
    ),
    Resource.NETWORK: Simulated(
        "network_mbps",
        {"web": (1_000, 10_000), "application": (1_000, 10_000), "database": (10_000, 25_000)},
        other_sizes=(1_000, 10_000),
        swing=1.1,
        noise=1.2,
    ),
}
