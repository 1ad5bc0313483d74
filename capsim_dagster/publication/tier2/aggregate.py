"""The samples of an hour by host and resource: mean, median, P95, highest value, and how many there are.

Percentiles are nearest ranks as in `simulation.samples`. The mean is the correctly rounded sum of the values by their
number, kept between the lowest and the highest: whatever the order of the lines, and however many decimals the values
of an archive have, it is the same to the last bit.
"""

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from capsim_dagster.publication.tier2.columns import RESOURCES, SCHEMA, STATISTICS
from capsim_dagster.seeding import Float64Array
from capsim_dagster.simulation.samples import Int64Array

MEDIAN: Final = 50
"""As a percentile [%]."""
TAIL: Final = 95
"""As a percentile [%]."""
_WHOLE: Final = 100


@dataclass(frozen=True)
class Statistics:
    """What the samples of each host come to [%], and how many have a value; shape `(n_hosts,)`, NaN = none has."""

    mean: Float64Array
    p50: Float64Array
    p95: Float64Array
    max: Float64Array
    samples: Int64Array


def places(samples: Int64Array, percentile: int) -> Int64Array:
    """Return the place of a percentile [%], 1 to 100, among so many sorted values, from 0, shape `(n,)`; of none 0.

    >>> places(np.array([0, 1, 12, 20, 60]), 95).tolist()
    [0, 0, 11, 18, 56]
    """
    found: Int64Array = np.maximum((samples * percentile + _WHOLE - 1) // _WHOLE - 1, 0)
    return found


def statistics(values: Float64Array) -> Statistics:
    """Return what utilization [%] comes to, NaN = no value, shape `(n_hosts, n_samples)`, one sample and more.

    >>> found = statistics(np.array([[3.0, 1.0, np.nan, 2.0]]))
    >>> found.mean[0], found.p50[0], found.p95[0], found.samples[0]
    (np.float64(2.0), np.float64(2.0), np.float64(3.0), np.int64(3))
    """
    # A zero may be negative, which no order tells apart; adding 0 makes it positive. NaN sort last.
    ordered = np.sort(values + 0.0, axis=1)
    samples: Int64Array = np.count_nonzero(~np.isnan(ordered), axis=1).astype(np.int64)
    highest = _at(ordered, places(samples, _WHOLE))
    return Statistics(
        mean=np.clip(_means(ordered, samples), ordered[:, 0], highest),
        p50=_at(ordered, places(samples, MEDIAN)),
        p95=_at(ordered, places(samples, TAIL)),
        max=highest,
        samples=samples,
    )


def aggregate_hour(rows: pa.Table, start: dt.datetime) -> pa.Table:
    """Return the rows of an hour that starts at a time, UTC, sorted by host and resource.

    `rows` are samples as `publication.lines` has them, as many of each host, one and more.
    """
    hosts, ranks = ranked(rows, "host_id")
    order = np.argsort(ranks, kind="stable")
    by_resource = [statistics(rows[name].to_numpy()[order].reshape(len(hosts), -1)) for name in RESOURCES]
    found: dict[str, Any] = {
        name: pa.array(_interleaved(by_resource, name), from_pandas=True) for name in (*STATISTICS, "samples")
    }
    found["ts"] = pa.repeat(pa.scalar(start, SCHEMA.field("ts").type), len(hosts) * len(RESOURCES))
    found["host_id"] = pa.array(np.repeat(hosts, len(RESOURCES)), pa.string())
    found["resource"] = pa.array(RESOURCES * len(hosts), pa.string())
    return pa.table([found[name] for name in SCHEMA.names], names=SCHEMA.names).cast(SCHEMA)


def ranked(rows: pa.Table, name: str) -> tuple[Any, Int64Array]:
    """Return the texts of a column that is a dictionary, each once and sorted, and the place of each row's."""
    encoded = rows[name].combine_chunks()
    texts, ranks = np.unique(np.array(encoded.dictionary.to_pylist(), dtype=object), return_inverse=True)
    return texts, ranks[encoded.indices.to_numpy()]


def _interleaved(by_resource: list[Statistics], name: str) -> Any:  # noqa: ANN401 values or counts
    """Return a statistic host by host, each with all resources."""
    return np.stack([getattr(each, name) for each in by_resource], axis=1).ravel()


def _means(ordered: Float64Array, samples: Int64Array) -> Float64Array:
    sums = [math.fsum(row[:count]) for row, count in zip(ordered.tolist(), samples.tolist(), strict=True)]
    return np.where(samples > 0, np.array(sums) / np.maximum(samples, 1), np.nan)


def _at(ordered: Float64Array, place: Int64Array) -> Float64Array:
    found: Float64Array = np.take_along_axis(ordered, place[:, np.newaxis], axis=1)[:, 0]
    return found
