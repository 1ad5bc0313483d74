"""Simulated values of every host x resource x day, piece by piece, in the order in which files hold them.

The order is month, resource, block of hosts, host, day, so one month of one resource is one contiguous piece. Hosts
and months are simulated in pieces of bounded size, whatever the fleet and the window.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from capsim_dagster.schemas import Resource
from capsim_dagster.schemas.months import month_end, months_between
from capsim_dagster.seeding import Float32Array
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation import telemetry
from capsim_dagster.simulation.time_dimension import epoch_days

HOSTS_PER_ROW_GROUP: Final = 32_768
"""Hosts in a row group: about a million rows a month, 100 MB while it is made."""
HOSTS_PER_CHUNK: Final = 1_024
"""Hosts simulated at a time: the arrays of half a year fit the processor's cache."""
MONTHS_AT_ONCE: Final = 6
"""Most months simulated at a time: noise looks eight days back, which costs half as much again for a single month."""

Advance = Callable[[int], None]
"""Called with the number of rows just done."""
Simulate = Callable[[telemetry.HostModel, dt.date, dt.date], dict[Resource, Float32Array]]
"""Computes values of shape `(n_hosts, n_days)` of each resource from a first to a last day."""


@dataclass(frozen=True)
class GridPiece:
    """The values of one month, resource and block of hosts, of shape `(n_hosts, n_days)`."""

    resource: Resource
    hosts: pl.DataFrame
    first: dt.date
    values: Float32Array

    def key_columns(self) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Return the columns date, host and resource; strings as dictionaries."""
        n_hosts, n_days = self.values.shape
        days = epoch_days(self.first, self.first + dt.timedelta(n_days - 1)).astype(np.int32)
        host_index = np.repeat(np.arange(n_hosts, dtype=np.int32), n_days)
        names = self.hosts.get_column("host_id").to_arrow().cast(pa.string())
        return (
            pa.array(np.tile(days, n_hosts)).cast(pa.date32()),
            pa.DictionaryArray.from_arrays(host_index, names),
            pa.DictionaryArray.from_arrays(np.zeros(self.values.size, dtype=np.int32), [self.resource.value]),
        )


def grid_pieces(
    generation: DataGeneration, hosts: pl.DataFrame, *, end: dt.date, simulate: Simulate
) -> Iterator[GridPiece]:
    """Yield the values of all hosts from the window's start to `end`, in file order.

    `hosts`: the inventory with application codes, ordered by host number.
    `end`: last day, inclusive.
    """
    models = [telemetry.host_model(generation, chunk) for chunk in hosts.iter_slices(HOSTS_PER_CHUNK)]
    groups = [hosts.slice(offset, HOSTS_PER_ROW_GROUP) for offset in range(0, hosts.height, HOSTS_PER_ROW_GROUP)]
    chunks_per_group = HOSTS_PER_ROW_GROUP // HOSTS_PER_CHUNK
    for months in _spans(generation.start_date, end, hosts.height):
        simulated = [simulate(model, months[0][0], months[-1][1]) for model in models]
        for first, last in months:
            days = slice((first - months[0][0]).days, (last - months[0][0]).days + 1)
            for resource in Resource:
                for index, group in enumerate(groups):
                    chunks = simulated[index * chunks_per_group : (index + 1) * chunks_per_group]
                    values = np.concatenate([chunk[resource][:, days] for chunk in chunks])
                    yield GridPiece(resource, group, first, values)


def _spans(start: dt.date, end: dt.date, n_hosts: int) -> Iterator[list[tuple[dt.date, dt.date]]]:
    """Yield the first and last days of the months to simulate at once: fewer, the larger the fleet."""
    at_once = max(1, min(MONTHS_AT_ONCE, MONTHS_AT_ONCE * HOSTS_PER_ROW_GROUP // n_hosts))
    months = months_between(start, end)
    for offset in range(0, len(months), at_once):
        yield [(max(m, start), min(month_end(m), end)) for m in months[offset : offset + at_once]]


def reported(batches: Iterator[pa.RecordBatch], advance: Advance) -> Iterator[pa.RecordBatch]:
    """Yield batches, and report the rows of each when the next one is asked for."""
    for batch in batches:
        yield batch
        advance(batch.num_rows)
