"""Verifying a published hour: what its rows must say; the rest is in `dataset.verify`.

The mean is judged by what the ranks allow: of n sorted values those from the median's place on are no less than the
median, and so on, which bounds their sum from both sides.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from capsim_dagster.audits.report import Finding, Findings
from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.publication.dataset.rules import MICROS, BoolArray, Judgement, Rows, Rule, claims_of, outside
from capsim_dagster.publication.dataset.verify import claim, counted, row_groups, verify
from capsim_dagster.publication.hour_files import HOUR_NUMBER
from capsim_dagster.publication.tier2.aggregate import MEDIAN, TAIL, places, ranked
from capsim_dagster.publication.tier2.columns import COLUMNS, KEY, RESOURCES, STATISTICS
from capsim_dagster.publication.tier2.manifest import HourManifest, described
from capsim_dagster.publication.tier3.tally import SECONDS_PER_HOUR
from capsim_dagster.simulation.samples import Int64Array

_UNIQUE, _OF_HOST, _SORTED = "keys_are_unique", "each_host_has_one_row_a_resource", "rows_are_sorted"
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


_RULES: Final = tuple(_rules())
_BY_ROW: Final = (_UNIQUE, *claims_of(_RULES))
ROW_CLAIMS: Final = (*_BY_ROW, _OF_HOST, _SORTED)
"""What is claimed of the rows."""


def hour_folders(day_folder: Path) -> list[Path]:
    """Return the folders of hours in the folder of a day, in order."""
    found = sorted(day_folder.iterdir()) if day_folder.is_dir() else []
    return [path for path in found if path.is_dir() and re.fullmatch(HOUR_NUMBER, path.name)]


def verify_hour(folder: Path) -> Findings:
    """Return everything that can be said of a published hour."""
    return verify(folder, HourManifest, _judge)


def _judge(file: pq.ParquetFile, manifest: HourManifest) -> tuple[int, list[Finding]]:
    table = pa.concat_tables([file.schema_arrow.empty_table(), *row_groups(file)])
    rows, judgement = Rows(table), Judgement(_BY_ROW, KEY[:2])
    hosts, resources = ranked(table, "host_id"), ranked(table, "resource")
    order = np.lexsort((rows["ts"], resources[1], hosts[1]))
    is_same = [np.diff(key[order]) == 0 for key in (hosts[1], resources[1], rows["ts"])]
    is_repeated = np.zeros(order.size, np.bool_)
    is_repeated[order[1:]] = np.all(is_same, axis=0)
    judgement.add(_UNIQUE, rows, is_repeated)
    judgement.judge(_RULES, rows, manifest)
    of_hosts = int(np.unique(hosts[1]).size)
    samples = int(rows["samples"].sum(dtype=np.int64))
    is_sorted = np.array_equal(order, np.arange(order.size))
    return table.num_rows, [
        *counted(manifest, described(table), rows=table.num_rows, hosts=of_hosts, samples=samples),
        *judgement.findings(),
        _one_row_a_resource(*hosts, *resources),
        claim(_SORTED, [] if is_sorted else ["rows are not sorted by host and resource"]),
    ]


def _one_row_a_resource(hosts: Any, of_host: Int64Array, resources: Any, of_resource: Int64Array) -> Finding:  # noqa: ANN401
    """Return whether each host has just its rows; names, and the place of each row's among them."""
    kinds = len(RESOURCES) + 1
    known = [RESOURCES.index(name) if name in RESOURCES else len(RESOURCES) for name in resources]
    kind = np.array(known, np.int64)[of_resource]
    counts = np.bincount(of_host * kinds + kind, minlength=hosts.size * kinds).reshape(-1, kinds)
    is_other = counts.any(axis=1) & (counts != [*[1] * len(RESOURCES), 0]).any(axis=1)
    said = [
        f"{hosts[host]}: {', '.join(sorted(resources[of_resource[of_host == host]]))}"
        for host in np.flatnonzero(is_other)[:MAX_EXAMPLES]
    ]
    return claim(_OF_HOST, said, count=int(is_other.sum()))
