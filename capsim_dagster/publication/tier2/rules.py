"""What every row of a published hour keeps to.

The mean is judged by what the ranks allow: of n sorted values those from the median's place on are no less than the
median, and so on, which bounds their sum from both sides.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.publication.dataset.rules import MICROS, BoolArray, Rows, Rule, outside
from capsim_dagster.publication.tier2.aggregate import MEDIAN, TAIL, places
from capsim_dagster.publication.tier2.columns import COLUMNS, STATISTICS
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier3.tally import SECONDS_PER_HOUR

MEAN_ROUNDING: Final = 1e-9
"""What sums in another order may differ by [%]."""
_MEAN, _P50, _P95, _MAX = STATISTICS


def _rules() -> Iterator[Rule[HourManifest]]:
    of_values = (*STATISTICS, "samples")
    yield Rule("timestamps_are_the_start_of_the_hour", _is_another_time)
    for column in (column for column in COLUMNS if column.name in STATISTICS):
        yield Rule("percent_is_within_bounds", outside(column), STATISTICS)
    yield Rule("samples_are_at_most_the_intervals", _are_too_many, ("samples",))
    for name in STATISTICS:
        yield Rule("values_are_null_just_where_no_sample_is", _differs_from_samples(name), of_values)
    yield Rule("percentiles_are_in_order", _are_in_disorder, of_values[1:])
    yield Rule("mean_is_what_the_percentiles_allow", _is_impossible, of_values)


def _is_another_time(rows: Rows, manifest: HourManifest) -> BoolArray:
    other: BoolArray = rows["ts"] != int(manifest.day_hour.start.timestamp()) * MICROS
    return other


def _are_too_many(rows: Rows, manifest: HourManifest) -> BoolArray:
    too_many: BoolArray = (rows["samples"] < 0) | (rows["samples"] > SECONDS_PER_HOUR // manifest.interval_s)
    return too_many


def _differs_from_samples(name: str) -> Callable[[Rows, HourManifest], BoolArray]:
    return lambda rows, _manifest: rows.lacks(name) != (rows["samples"] == 0)


def _are_in_disorder(rows: Rows, _manifest: HourManifest) -> BoolArray:
    """Return where a percentile is above the next, or differs from the one that is the same value."""
    samples, p50, p95, most = (rows[name] for name in ("samples", _P50, _P95, _MAX))
    middle, tail, last = _places(rows)
    same = ((tail == last) & (p95 != most)) | ((middle == tail) & (p50 != p95))
    disorder: BoolArray = ((p50 > p95) | (p95 > most) | same) & (samples != 0)
    return disorder


def _is_impossible(rows: Rows, _manifest: HourManifest) -> BoolArray:
    mean, p50, p95, most = (rows[name] for name in STATISTICS)
    middle, tail, last = _places(rows)
    samples = last + 1
    least_sum = p50 * (tail - middle) + p95 * (last - tail) + most
    most_sum = p50 * (middle + 1) + p95 * (tail - middle) + most * (last - tail)
    slack = MEAN_ROUNDING * samples
    is_possible = (mean * samples >= least_sum - slack) & (mean * samples <= most_sum + slack)
    impossible: BoolArray = ~is_possible & (samples != 0)
    return impossible


def _places(rows: Rows) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the places of median, P95 and highest value among the sorted ones, counted from 0."""
    samples = rows["samples"].astype(np.int64)
    return places(samples, MEDIAN), places(samples, TAIL), samples - 1


AGGREGATE_RULES: Final = tuple(_rules())
