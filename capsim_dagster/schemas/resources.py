"""The resources of a host, declared once: tables, settings, feed, datasets and pages take them from here.

How each is simulated, such as the sizes of hosts, is in `simulation.resources`; its load and its share of the feed are
settings.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from capsim_dagster.schemas.column import Column, Type


class Resource(StrEnum):
    """A measured resource of a host, in the order in which the master is sorted."""

    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    NETWORK = "network"


CAPACITIES: Final[dict[Resource, Column]] = {
    Resource.CPU: Column("cpu_cores", Type.INT32, "CPU capacity.", "cores", minimum=1),
    Resource.MEMORY: Column("memory_gb", Type.INT32, "Memory capacity.", "GB", minimum=1),
    Resource.DISK: Column("storage_mb", Type.INT64, "Disk capacity.", "MB", minimum=1),
    Resource.NETWORK: Column("network_mbps", Type.INT32, "Network capacity.", "Mbps", minimum=1),
}
"""The column of `hosts` that holds the capacity of each, with its unit."""
CAPACITY_COLUMNS: Final = {resource: column.name for resource, column in CAPACITIES.items()}
CAPACITY_UNITS: Final = {resource: column.unit for resource, column in CAPACITIES.items()}
RESOURCE_COUNT: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")[len(Resource)]
"""How many there are, in a word."""


def any_of(resources: Sequence[str]) -> str:
    """Return resources as a sentence names them.

    >>> any_of(list(Resource))
    'cpu, memory, disk or network'
    """
    return f"{', '.join(resources[:-1])} or {resources[-1]}"
