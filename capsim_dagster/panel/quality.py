"""The gates of a generated panel, and its summary: collected a piece at a time, so that no fleet is too large."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from capsim_dagster.audits.calendar import Ratio, calendar_groups, ratios_of_loads
from capsim_dagster.audits.report import Finding, Reports, by_claim
from capsim_dagster.panel.build import Int64Array, PanelPiece
from capsim_dagster.schemas import CAPACITY_COLUMNS, FULL_UTILIZATION
from capsim_dagster.seeding import Float64Array
from capsim_dagster.settings import DataGeneration, Metric, Panel, PanelMetric
from capsim_dagster.simulation.time_dimension import epoch_days

HISTOGRAM_STEPS: Final = 10_000
"""Steps of the histogram from which a P95 is read: a hundredth of a percent, or of the largest capacity."""
SHAPE_CHECK: Final = "panel_has_one_row_per_server_day"
PERCENTILE: Final = 0.95


@dataclass(frozen=True)
class MetricSummary:
    """What the values of one metric look like.

    Attributes:
        values: Values that are there.
        missing: Values that are missing.
        mean: Their mean; NaN where there is none, as all below.
        std: Their standard deviation.
        low: The lowest.
        high: The highest.
        p95: Their 95th percentile, to a ten-thousandth of the scale.
    """

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

    def __init__(
        self, generation: DataGeneration, panel: Panel, capacities: Mapping[str, float], *, end: dt.date
    ) -> None:
        """Start with no server.

        Args:
            generation: The settings.
            panel: Which metrics.
            capacities: The largest capacity of the fleet by column of `schemas.fleet.HOSTS`.
            end: Last day, inclusive.
        """
        self._generation, self._panel = generation, panel
        self._days = epoch_days(generation.start_date, end)
        self.servers = 0
        self.rows = 0
        n_groups = len(generation.metadata.regions) * len(generation.metadata.server_types)
        self._sizes = np.zeros(n_groups)
        self._tallies = {
            name: _Tally(n_groups, self._days.size, _scale(metric, capacities))
            for name, metric in panel.metrics.items()
        }

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
        summary = self.summary()
        return by_claim(
            self._shape(),
            _missing(summary, self._panel.quality.max_missing_share),
            _ranges(summary, {name: self._bounds(name) for name in summary}),
            self._patterns(),
        )

    def _shape(self) -> Finding:
        expected = self._generation.num_servers * self._days.size
        problems = [] if self.rows == expected else [f"{self.rows:,} rows instead of {expected:,}"]
        return Finding(
            SHAPE_CHECK,
            examples=problems,
            counts={"rows": self.rows, "servers": self.servers, "days": self._days.size},
        )

    def _bounds(self, name: str) -> tuple[float, float]:
        """Return the lowest and highest value that a metric may have."""
        metric = self._metric(name)
        scale = self._tallies[name].scale / FULL_UTILIZATION
        low = metric.min_clip if self._panel.metrics[name].unit == "percent" else 0.0
        return (0.0 if self._panel.metrics[name].direction else low), metric.max_clip * scale

    def _metric(self, name: str) -> Metric:
        column = self._panel.metrics[name]
        return column.own or self._generation.metrics[column.resource]

    def _patterns(self) -> Finding:
        measured = {name: tally.loads(self._sizes) for name, tally in self._tallies.items()}
        # What is infinite has no pattern; its range is told by the gate for that.
        loads = {name: (self._metric(name), load) for name, load in measured.items() if np.isfinite(load).all()}
        return _patterns(ratios_of_loads(self._generation, self._days, loads), self._panel.quality.pattern_tolerance)


class _Tally:
    """Running sums of one metric."""

    def __init__(self, n_groups: int, n_days: int, scale: float) -> None:
        self.scale = scale
        self._values = self._missing = 0
        self._sum = self._squares = 0.0
        self._low, self._high = np.inf, -np.inf
        self._histogram = np.zeros(HISTOGRAM_STEPS + 1, dtype=np.int64)
        self._sums = np.zeros((n_groups, n_days))
        self._gaps = np.zeros((n_groups, n_days))

    def add(self, values: Float64Array, groups: Int64Array) -> None:
        """Take values of shape `(n_hosts, n_days)` of hosts with these groups, -1 = none, shape `(n_hosts,)`."""
        hosts, days = np.nonzero(np.isnan(values))
        known = values.copy()
        known[hosts, days] = 0
        self._values += values.size - hosts.size
        self._missing += hosts.size
        is_grouped = groups[hosts] >= 0
        np.add.at(self._gaps, (groups[hosts][is_grouped], days[is_grouped]), 1)
        # No matrix product: the threads of a BLAS spin for longer than the sums take.
        for group in np.unique(groups[groups >= 0]).tolist():
            self._sums[group] += known[groups == group].sum(axis=0)
        if hosts.size < values.size:
            flat = known.ravel()
            self._sum += float(flat.sum())
            self._squares += float(np.einsum("i,i->", flat, flat))
            self._low = min(self._low, float(np.fmin.reduce(values, axis=None)))
            self._high = max(self._high, float(np.fmax.reduce(values, axis=None)))
            self._count_steps(known)
        self._histogram[0] -= hosts.size if hosts.size < values.size else 0

    def _count_steps(self, known: Float64Array) -> None:
        """Count how many values lie in each step of the scale; those beyond it in its ends."""
        known *= HISTOGRAM_STEPS / self.scale
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
        if not self._values:
            return MetricSummary(0, self._missing, *[float("nan")] * 5)
        mean = self._sum / self._values
        variance = max(self._squares / self._values - mean * mean, 0.0)
        step = int(np.searchsorted(np.cumsum(self._histogram), PERCENTILE * self._values))
        p95 = step * self.scale / HISTOGRAM_STEPS
        return MetricSummary(self._values, self._missing, mean, variance**0.5, self._low, self._high, p95)


def _scale(metric: PanelMetric, capacities: Mapping[str, float]) -> float:
    """Return the highest value that a metric could have: 100 %, or the largest capacity."""
    return FULL_UTILIZATION if metric.unit == "percent" else float(capacities[CAPACITY_COLUMNS[metric.resource]])


def _missing(summary: Mapping[str, MetricSummary], limit: float) -> Finding:
    return Finding(
        "missing_share_is_within_limit",
        examples=[
            f"{name} lacks {found.missing_share:.2%} of its values, at most {limit:.2%} may be missing"
            if found.values
            else f"{name} has no value at all"
            for name, found in summary.items()
            if found.missing_share > limit or not found.values
        ],
        counts={f"{name}_missing": found.missing for name, found in summary.items()},
        threshold={"max_missing_share": limit},
        table=[
            {"metric": name, "values": found.values, "missing": found.missing, "missing_share": found.missing_share}
            for name, found in summary.items()
        ],
    )


def _ranges(summary: Mapping[str, MetricSummary], bounds: Mapping[str, tuple[float, float]]) -> Finding:
    return Finding(
        "values_are_within_range",
        examples=[
            f"{name} spans {found.low:g} to {found.high:g}, allowed {bounds[name][0]:g} to {bounds[name][1]:g}"
            for name, found in summary.items()
            if found.values and not (found.low >= bounds[name][0] and found.high <= bounds[name][1])
        ],
        counts={"values": sum(found.values for found in summary.values())},
        table=[
            {
                "metric": name,
                "low": found.low,
                "high": found.high,
                "lowest": bounds[name][0],
                "highest": bounds[name][1],
            }
            for name, found in summary.items()
            if found.values
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
