"""The gates of a generated panel, and its summary: collected a piece at a time, so that no fleet is too large.

A panel as it lies in its store is looked at again in the same pieces, and compared with the master.
"""

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.audits.calendar import Ratio, calendar_groups, ratios_of_loads
from capsim_dagster.audits.fingerprints import fingerprints, view_panel
from capsim_dagster.audits.parity import content_parity
from capsim_dagster.audits.report import Finding, Reports, by_claim
from capsim_dagster.errors import PanelError
from capsim_dagster.panel.build import Int64Array, PanelPiece, hosts_at_once, shown_factors
from capsim_dagster.panel.contract import KEY, server_id
from capsim_dagster.panel.examine import MISSING, RANGE, MetricCount, lacks
from capsim_dagster.schemas import CAPACITY_COLUMNS, FULL_UTILIZATION
from capsim_dagster.schemas.months import months_between, yearmonth
from capsim_dagster.seeding import Float64Array
from capsim_dagster.settings import DataGeneration, Metric, Panel, PanelMetric
from capsim_dagster.simulated.footer import readable
from capsim_dagster.simulation.parameters import host_block
from capsim_dagster.simulation.time_dimension import epoch_days

HISTOGRAM_STEPS: Final = 10_000
"""Steps of the histogram from which a P95 is read: a hundredth of a percent, or of the largest capacity."""
PERCENTILE: Final = 0.95
_SHAPE: Final = "panel_has_one_row_per_server_day"


@dataclass(frozen=True)
class MetricSummary:
    """What the values of one metric look like, NaN where there is none; P95 to a ten-thousandth of the scale."""

    values: int
    missing: int
    mean: float
    std: float
    low: float
    high: float
    p95: float

    @property
    def missing_share(self) -> float:
        """Share of values that are missing, 0 to 1."""
        return self.missing / max(self.values + self.missing, 1)


class PanelScan:
    """Collects what gates and summary need of each metric."""

    def __init__(self, generation: DataGeneration, panel: Panel, hosts: pl.DataFrame, *, end: dt.date) -> None:
        """Start with no server of the inventory; `end` is the last day, inclusive."""
        self._generation, self._panel = generation, panel
        self._days = epoch_days(generation.start_date, end)
        self.servers = 0
        self.rows = 0
        n_groups = len(generation.metadata.regions) * len(generation.metadata.server_types)
        self._sizes = np.zeros(n_groups)
        self._tallies = {}
        for name, metric in panel.metrics.items():
            scale = _scale(metric, hosts)
            count = MetricCount(name, *self._bounds(name, scale))
            self._tallies[name] = _Tally(count, scale, (n_groups, self._days.size))

    def add(self, piece: PanelPiece) -> None:
        """Take some more servers."""
        groups = calendar_groups(self._generation, piece.block)
        self._sizes += np.bincount(groups[groups >= 0], minlength=self._sizes.size)
        self.servers += piece.hosts.height
        self.rows += piece.hosts.height * self._days.size
        for name, tally in self._tallies.items():
            tally.add(piece.values[name], groups)

    def summary(self) -> dict[str, MetricSummary]:
        """Return what the values of each metric look like."""
        return {name: tally.summary() for name, tally in self._tallies.items()}

    def reports(self) -> Reports:
        """Return the gates: name of the check -> report."""
        counts = [tally.count for tally in self._tallies.values()]
        missing = _missing(counts, self._panel.quality.max_missing_share)
        return by_claim(self._shape(), missing, _ranges(counts), self._patterns())

    def _shape(self) -> Finding:
        expected = self._generation.num_servers * self._days.size
        problems = [] if self.rows == expected else [f"{self.rows:,} rows instead of {expected:,}"]
        return Finding(
            _SHAPE,
            examples=problems,
            counts={"rows": self.rows, "servers": self.servers, "days": self._days.size},
        )

    def _bounds(self, name: str, scale: float) -> tuple[float, float]:
        """Return the lowest and highest value that a metric may have."""
        metric, column = self._metric(name), self._panel.metrics[name]
        low = metric.min_clip if column.unit == "percent" and not column.direction else 0.0
        return low, metric.max_clip * (scale / FULL_UTILIZATION)

    def _metric(self, name: str) -> Metric:
        column = self._panel.metrics[name]
        return column.own or self._generation.metrics[column.resource]

    def _patterns(self) -> Finding:
        measured = {name: tally.loads(self._sizes) for name, tally in self._tallies.items()}
        # What is infinite has no pattern; its range is told by the gate for that.
        loads = {name: (self._metric(name), load) for name, load in measured.items() if np.isfinite(load).all()}
        return _patterns(ratios_of_loads(self._generation, self._days, loads), self._panel.quality.pattern_tolerance)


class _Tally:
    """What the gates need of one metric: its count, its histogram, and its sums by group and day."""

    def __init__(self, count: MetricCount, scale: float, shape: tuple[int, int]) -> None:
        self.count = count
        self._scale = scale
        self._histogram = np.zeros(HISTOGRAM_STEPS + 1, dtype=np.int64)
        self._sums, self._gaps = np.zeros(shape), np.zeros(shape)

    def add(self, values: Float64Array, groups: Int64Array) -> None:
        """Take values of shape `(n_hosts, n_days)` of hosts with these groups, -1 = none, shape `(n_hosts,)`."""
        self.count.add(pl.DataFrame({self.count.name: values.ravel()}).fill_nan(None))
        hosts, days = np.nonzero(np.isnan(values))
        known = values.copy()
        known[hosts, days] = 0
        is_grouped = groups[hosts] >= 0
        np.add.at(self._gaps, (groups[hosts][is_grouped], days[is_grouped]), 1)
        # No matrix product: the threads of a BLAS spin for longer than the sums take.
        for group in np.unique(groups[groups >= 0]).tolist():
            self._sums[group] += known[groups == group].sum(axis=0)
        if hosts.size < values.size:
            self._count_steps(known)
            self._histogram[0] -= hosts.size

    def _count_steps(self, known: Float64Array) -> None:
        """Count how many values lie in each step of the scale; those beyond it in its ends."""
        known *= HISTOGRAM_STEPS / self._scale
        np.rint(known, out=known)
        np.clip(known, 0, HISTOGRAM_STEPS, out=known)
        steps = known.astype(np.int64).ravel()
        self._histogram += np.bincount(steps, minlength=HISTOGRAM_STEPS + 1)

    def loads(self, sizes: Float64Array) -> Float64Array:
        """Return the load of each group and day; what is missing counts as the mean of its group."""
        counts = sizes[:, np.newaxis] - self._gaps
        loads: Float64Array = self._sums * sizes[:, np.newaxis] / np.maximum(counts, 1)
        return loads

    def summary(self) -> MetricSummary:
        """Return what the values so far look like."""
        count = self.count
        missing = count.rows - count.count
        if not count.count:
            return MetricSummary(0, missing, *[math.nan] * 5)
        mean = sum(count.sums) / count.count
        variance = max(sum(count.squares) / count.count - mean * mean, 0.0)
        step = int(np.searchsorted(np.cumsum(self._histogram), PERCENTILE * count.count))
        p95 = step * self._scale / HISTOGRAM_STEPS
        return MetricSummary(count.count, missing, mean, variance**0.5, count.lowest, count.highest, p95)


def _scale(metric: PanelMetric, hosts: pl.DataFrame) -> float:
    """Return the highest value that a metric could have: 100 %, or the largest capacity of the fleet."""
    if metric.unit == "percent":
        return FULL_UTILIZATION
    return float(hosts.get_column(CAPACITY_COLUMNS[metric.resource]).to_numpy().max())


def _missing(counts: Sequence[MetricCount], limit: float) -> Finding:
    missing = {count.name: (count.rows - count.count, count.rows) for count in counts}
    return Finding(
        MISSING,
        examples=lacks(missing, limit),
        counts={f"{name}_missing": lacking for name, (lacking, _) in missing.items()},
        threshold={"max_missing_share": limit},
        table=[
            {"metric": name, "values": rows - lacking, "missing": lacking, "missing_share": lacking / max(rows, 1)}
            for name, (lacking, rows) in missing.items()
        ],
    )


def _ranges(counts: Sequence[MetricCount]) -> Finding:
    seen = [count for count in counts if count.count]
    return Finding(
        RANGE,
        examples=[
            f"{count.name} spans {count.lowest:g} to {count.highest:g}, "
            f"allowed {count.low_bound:g} to {count.high_bound:g}"
            for count in seen
            if count.outside
        ],
        counts={"values": sum(count.count for count in counts)},
        table=[
            {
                "metric": count.name,
                "low": count.lowest,
                "high": count.highest,
                "lowest": count.low_bound,
                "highest": count.high_bound,
            }
            for count in seen
        ],
    )


def _patterns(ratios: Sequence[Ratio], tolerance: float) -> Finding:
    """Report whether weekends, holidays, quarter and month ends are as busy as set, within a share of it."""
    allowed = [tolerance * ratio.expected + ratio.sampling_error for ratio in ratios]
    return Finding(
        "calendar_effects_match_settings",
        examples=[
            f"{ratio.region} {ratio.resource} on {ratio.occasion}: {ratio.measured:.3f} times an ordinary day, "
            f"expected {ratio.expected:.3f} within {limit:.3f}"
            for ratio, limit in zip(ratios, allowed, strict=True)
            if abs(ratio.measured - ratio.expected) > limit
        ],
        counts={"ratios": len(ratios)},
        threshold={"pattern_tolerance": tolerance},
        table=[
            {
                "region": ratio.region,
                "metric": ratio.resource,
                "occasion": ratio.occasion,
                "expected": round(ratio.expected, 4),
                "measured": round(ratio.measured, 4),
                "days": ratio.days,
            }
            for ratio in ratios
        ],
        note="" if ratios else "the window is too short, or the fleet too small, to judge any occasion",
    )


def audit_panel(path: Path, generation: DataGeneration, panel: Panel, hosts: pl.DataFrame, *, end: dt.date) -> Reports:
    """Return the gates of a panel up to a day, inclusive, judged by what the file holds: name of the check -> report.

    Raises:
        PanelError: If the file cannot be read.
    """
    scan = PanelScan(generation, panel, hosts, end=end)
    problems: list[str] = []
    with readable(path, PanelError, remedy="materialize server_metrics again"):
        for piece in _pieces(path, generation, panel, hosts, end, problems):
            scan.add(piece)
    reports = dict(scan.reports())
    return reports | {_SHAPE: reports[_SHAPE].with_problems(problems)}


def master_parity(
    path: Path, master: Path, generation: DataGeneration, panel: Panel, hosts: pl.DataFrame, *, end: dt.date
) -> Finding:
    """Report whether each metric that shows a resource holds the master's values, month by month up to a day.

    Raises:
        PanelError: If one of the files cannot be read.
    """
    factors = shown_factors(generation, panel, hosts)
    if factors.is_empty():
        return Finding("row_parity", note="no metric shows a resource: each has a series of its own")
    try:
        with duckdb.connect() as connection:
            view_panel(connection, path, master, factors, end=end)
            source, found = fingerprints(connection, "rows_behind_panel"), fingerprints(connection, "panel_rows")
    except duckdb.Error as error:
        raise PanelError(
            f"{path} cannot be compared with {master}: {str(error).splitlines()[0]}",
            remedy="materialize server_metrics again",
        ) from None
    return content_parity(
        source,
        found,
        expected_months=[yearmonth(month) for month in months_between(generation.start_date, end)],
        resources=factors.get_column("metric").unique().sort().to_list(),
    )


def _pieces(
    path: Path, generation: DataGeneration, panel: Panel, hosts: pl.DataFrame, end: dt.date, problems: list[str]
) -> Iterator[PanelPiece]:
    """Yield the row groups that hold the servers and days that they must, and say which do not."""
    days = epoch_days(generation.start_date, end)
    blocks = list(hosts.iter_slices(hosts_at_once(generation, end)))
    with pq.ParquetFile(path, read_dictionary=["server_id"], page_checksum_verification=True) as file:
        if file.num_row_groups != len(blocks):
            problems.append(f"{file.num_row_groups} row groups instead of {len(blocks)}")
        for index, block in enumerate(blocks[: file.num_row_groups]):
            table = file.read_row_group(index, columns=[*KEY, *panel.metrics])
            numbered = host_block(generation, block)
            servers = [server_id(panel, number) for number in numbered.numbers.tolist()]
            if not _holds(table, servers, days):
                problems.append(f"row group {index} has not one row for each of {servers[0]} to {servers[-1]} and day")
                continue
            shape = (block.height, days.size)
            values = {name: table[name].to_numpy().astype(np.float64).reshape(shape) for name in panel.metrics}
            yield PanelPiece(block, numbered, values)


def _holds(table: pa.Table, servers: list[str], days: np.ndarray) -> bool:
    """Tell whether a table has one row for each server and day, in order."""
    if table.num_rows != len(servers) * days.size:
        return False
    found = pl.from_arrow(table.select(list(KEY)))
    assert isinstance(found, pl.DataFrame)  # noqa: S101 a table is never a series
    timestamps = found.get_column("timestamp").dt.epoch("d").to_numpy()
    names = found.get_column("server_id").cast(pl.String).to_numpy().reshape(len(servers), days.size)
    same_days = bool((timestamps.reshape(len(servers), days.size) == days).all())
    return same_days and bool((names == np.array(servers, dtype=object)[:, np.newaxis]).all())
