"""The rows of a published hour: which break a rule.

The mean is judged by what the ranks allow: of n sorted values those from the median's place on are no less than the
median, and so on, which bounds their sum from both sides.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from capsim_dagster.audits.report import Finding
from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.publication.findings import claim
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.tally import SECONDS_PER_HOUR
from capsim_dagster.publication.tier2.aggregate import MEDIAN, TAIL
from capsim_dagster.publication.tier2.columns import KEY, RESOURCES, STATISTICS
from capsim_dagster.publication.tier2.describe import HourManifest
from capsim_dagster.schemas import FULL_UTILIZATION

MEAN_ROUNDING: Final = 1e-9
"""What sums in another order may differ by [%]."""
_WHOLE: Final = 100
_MEAN, _P50, _P95, _MAX = (pl.col(name) for name in STATISTICS)
_SAMPLES: Final = pl.col("samples").cast(pl.Int64)
_IS_GAP: Final = _SAMPLES == 0


@dataclass(frozen=True)
class _Rule:
    """What holds of every row.

    Attributes:
        name: The claim.
        broken: Whether a row breaks it; null = it does not.
        shown: Columns to show beside the key.
    """

    name: str
    broken: pl.Expr
    shown: tuple[str, ...] = ()


def examine_rows(rows: pl.DataFrame, manifest: HourManifest) -> list[Finding]:
    """Return one finding a rule.

    Args:
        rows: Every row of a file that has the columns of the dataset.
        manifest: What its manifest says.
    """
    return [*(_judged(rows, rule) for rule in _rules(manifest)), _of_all_resources(rows), _in_order(rows)]


def _rules(manifest: HourManifest) -> list[_Rule]:
    intervals = SECONDS_PER_HOUR // manifest.interval_s
    start = DayHour(manifest.day, manifest.hour).start
    outside = [~pl.col(name).is_between(0, FULL_UTILIZATION) for name in STATISTICS]
    absent = [pl.col(name).is_null() != _IS_GAP for name in STATISTICS]
    return [
        _Rule("keys_are_unique", pl.struct(KEY).is_duplicated()),
        _Rule("timestamps_are_the_start_of_the_hour", pl.col("ts") != start),
        _Rule("percent_is_within_bounds", pl.any_horizontal(outside), STATISTICS),
        _Rule("samples_are_at_most_the_intervals", ~_SAMPLES.is_between(0, intervals), ("samples",)),
        _Rule("values_are_null_just_where_no_sample_is", pl.any_horizontal(absent), (*STATISTICS, "samples")),
        _Rule("percentiles_are_in_order", _disorder(), (*STATISTICS[1:], "samples")),
        _Rule("mean_is_what_the_percentiles_allow", _impossible_mean(), (*STATISTICS, "samples")),
    ]


def _place(percentile: int) -> pl.Expr:
    """Return the place of a percentile among the sorted values, counted from 1."""
    return (_SAMPLES * percentile + _WHOLE - 1) // _WHOLE


def _disorder() -> pl.Expr:
    """Whether a percentile is above the next, or differs from the one that is the same value."""
    same = ((_place(TAIL) == _SAMPLES) & (_P95 != _MAX)) | ((_place(MEDIAN) == _place(TAIL)) & (_P50 != _P95))
    return ((_P50 > _P95) | (_P95 > _MAX) | same) & ~_IS_GAP


def _impossible_mean() -> pl.Expr:
    half, tail = _place(MEDIAN), _place(TAIL)
    least = _P50 * (tail - half) + _P95 * (_SAMPLES - tail) + _MAX
    most = _P50 * half + _P95 * (tail - half) + _MAX * (_SAMPLES - tail)
    slack = MEAN_ROUNDING * _SAMPLES
    return ~(_MEAN * _SAMPLES).is_between(least - slack, most + slack) & ~_IS_GAP


def _judged(rows: pl.DataFrame, rule: _Rule) -> Finding:
    bad = rows.filter(rule.broken)
    said = [
        " ".join([row["host_id"], row["resource"], *(f"{name}={row[name]}" for name in rule.shown)])
        for row in bad.head(MAX_EXAMPLES).to_dicts()
    ]
    return claim(rule.name, said, count=bad.height)


def _of_all_resources(rows: pl.DataFrame) -> Finding:
    found = rows.group_by("host_id").agg(pl.col("resource").sort()).sort("host_id")
    said = [f"{host}: {', '.join(resources)}" for host, resources in found.iter_rows() if tuple(resources) != RESOURCES]
    return claim("each_host_has_one_row_a_resource", said)


def _in_order(rows: pl.DataFrame) -> Finding:
    key = rows.select(KEY)
    said = [] if key.equals(key.sort(KEY)) else ["rows are not sorted by host and resource"]
    return claim("rows_are_sorted", said)
