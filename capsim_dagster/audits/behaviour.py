"""Audit of behaviour: from telemetry alone, which of the ten varieties does each host show, and is it its own?

Each series is reduced, month by month, to features that a few odd days cannot move: the median of its working days, the
typical step from one to the next, the days that stand far out. Over the months they give level, slope, annual
amplitude, noise, bursts and when the threshold is reached. The features of a host's four resources together name its
variety by a short list of thresholds, which are fixed here and lie between the varieties' ranges.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.audits.report import Finding
from capsim_dagster.audits.scan import MonthOfTelemetry
from capsim_dagster.schemas import VARIETIES, Resource, Scenario, Variant, Variety
from capsim_dagster.seeding import Float32Array, Float64Array
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation.components import DAYS_PER_YEAR
from capsim_dagster.simulation.scenarios import TYPICAL_MEAN
from capsim_dagster.simulation.time_dimension import SATURDAY, epoch_days, weekdays

MIN_DAYS: Final = 730
"""Shortest window in which growth and an annual season can be told apart [days]."""
DAYS_TO_SHOW: Final = 15
"""How long a breach must last to be seen as one [days]."""
OVERALL_SHARE: Final = 0.98
"""Least share of all hosts that must behave as their variety."""
VARIETY_SHARE: Final = 0.95
"""Least share of the hosts of each variety that must behave as it."""
CALM_NOISE: Final = 0.35
"""Noise below it, as a multiple of the metric's `base_std`, is that of a series which fills up steadily."""
SEASON_POINTS: Final = (6.0, 19.0)
"""Annual amplitude from which a host is seasonal, and extremely so [% points]."""
GROWTH_POINTS: Final = (3.0, 10.5)
"""Slope from which a host grows, and towards a breach [% points a year]."""
IDLE_NOISE: Final = 0.45
"""Noise from which an idle host is variable, as a multiple of the metric's `base_std`."""
BURST_DAYS: Final = 0.018
"""Share of days that stand out from which a host bursts."""
BURST_POINTS: Final = 33.0
"""Mean height of the days that stand out from which bursts are extreme [% points]."""
SEVERE_SHARE: Final = 0.7
"""A breach before this share of the scenario horizon is severe."""
_THRESHOLDS: Final = {
    "breach_below_noise_of_base_std": CALM_NOISE,
    "severe_before_share_of_horizon": SEVERE_SHARE,
    "bursting_from_share_of_days": BURST_DAYS,
    "burst_extreme_from_points": BURST_POINTS,
    "seasonal_from_points": SEASON_POINTS[0],
    "seasonal_extreme_from_points": SEASON_POINTS[1],
    "growing_from_points_a_year": GROWTH_POINTS[0],
    "growing_to_breach_from_points_a_year": GROWTH_POINTS[1],
    "idle_variable_from_noise_of_base_std": IDLE_NOISE,
}
"""The thresholds in the order in which they are asked, for people to see."""
_OUTSTANDING: Final = (0.3, 9.0)
"""A day stands out if it is above the month's median by both this share of it and so many points."""
_LAST_DAYS: Final = 10
"""A crossing lasts if the median of so many days at the end is at the threshold."""
_CEILING_MARGIN: Final = 2.0
"""Months this close to the threshold say nothing of slope and noise: the ceiling flattens both [% points]."""
_MONTHS_OF_A_YEAR: Final = 12
_NORMAL_MAD: Final = 0.6745
"""Median of the absolute value of a standard normal number."""
_LEAST_LEVEL: Final = np.float32(0.01)
_LEAST_NOISE: Final = 1e-9
_N_TERMS: Final = 4
_RIDGE: Final = 1e-6
"""Keeps the fit of a series with too few months finite."""
_NEVER: Final = int(np.iinfo(np.int64).max)
_SHOWN_DECIMALS: Final = 3


@dataclass(frozen=True)
class Features:
    """Robust features of each series, scaled to a metric of `TYPICAL_MEAN`; each of shape `(4, n_hosts)`.

    Attributes:
        level: Median working day of the first year [%].
        slope: Growth, without the months at the threshold [% points a year].
        annual_amplitude: Half the annual swing [% points].
        weekend_ratio: Weekend load relative to working days.
        noise: Day-to-day noise as a multiple of the metric's `base_std`.
        burst_days: Share of days that stand out.
        burst_height: Mean height of those days [% points].
        crossing_day: First day at the threshold, if the crossing lasts, in days since the start; else a huge number.
    """

    level: Float64Array
    slope: Float64Array
    annual_amplitude: Float64Array
    weekend_ratio: Float64Array
    noise: Float64Array
    burst_days: Float64Array
    burst_height: Float64Array
    crossing_day: NDArray[np.int64]


_SHOWN_FEATURES: Final = [each.name for each in fields(Features) if each.name != "crossing_day"]


class FeatureScan:
    """Collects what the features need, a month at a time: a few numbers a series and month, whatever the days."""

    def __init__(self, generation: DataGeneration) -> None:
        """Start with no month."""
        self._generation = generation
        metrics = [generation.metrics[resource] for resource in Resource]
        self._scale = np.array([metric.base_mean / TYPICAL_MEAN for metric in metrics])[:, np.newaxis]
        self._base_std = np.array([metric.base_std for metric in metrics])[:, np.newaxis]
        self._middles: list[float] = []
        self._medians: list[Float32Array] = []
        self._steps: list[Float32Array] = []
        self._weekends: list[Float32Array] = []
        self._counts: Float64Array = np.zeros((3, len(metrics), 1))
        self._first_at_threshold = np.full((len(metrics), 1), _NEVER)
        self._last_days = np.empty((0, 0, 0), dtype=np.float32)

    def add(self, month: MonthOfTelemetry) -> None:
        """Take one more month, in order."""
        values = month.values
        is_weekend = weekdays(month.days) >= SATURDAY
        median = _lower_median(values[:, :, ~is_weekend])
        self._middles.append(float(month.days.mean()))
        self._medians.append(median)
        self._weekends.append(_ratio(_lower_median(values[:, :, is_weekend]), median))
        follows = ~is_weekend[1:] & ~is_weekend[:-1]
        steps = _lower_median(np.abs(np.diff(values, axis=2))[:, :, follows])
        self._steps.append(np.where(self._is_below_ceiling(median), steps, np.float32(np.nan)))
        self._counts = self._counts + self._standing_out(values, median)
        is_at = values >= self._generation.breach_threshold
        first = np.where(is_at.any(axis=2), month.days[is_at.argmax(axis=2)], _NEVER)
        self._first_at_threshold = np.minimum(self._first_at_threshold, first)
        self._last_days = values[:, :, -_LAST_DAYS:]

    def features(self) -> Features:
        """Return the features of the months so far; at least one."""
        slope, amplitude = self._fit(np.stack(self._medians, axis=-1))
        reported, days, heights = self._counts
        step_of_noise = _NORMAL_MAD * (2 * (1 - self._generation.noise.autocorrelation)) ** 0.5
        return Features(
            level=_typical(self._medians[:_MONTHS_OF_A_YEAR]) / self._scale,
            slope=slope / self._scale,
            annual_amplitude=amplitude / self._scale,
            weekend_ratio=_typical(self._weekends),
            noise=_typical(self._steps) / step_of_noise / np.maximum(self._base_std, _LEAST_NOISE),
            burst_days=days / np.maximum(reported, 1),
            burst_height=heights / np.maximum(days, 1) / self._scale,
            crossing_day=self._lasting_crossings(),
        )

    def _is_below_ceiling(self, medians: Float32Array) -> NDArray[np.bool_]:
        """Return which medians are far enough below the threshold to say something; NaN is not."""
        return medians < self._generation.breach_threshold - _CEILING_MARGIN

    def _standing_out(self, values: Float32Array, median: Float32Array) -> Float64Array:
        """Return reported days, days that stand out and the sum of their heights, shape `(3, 4, n_hosts)`."""
        share, points = _OUTSTANDING
        bar = np.maximum(share * median, points * self._scale)
        above = values - median[:, :, np.newaxis]
        stands_out = above > bar[:, :, np.newaxis]
        heights = np.where(stands_out, above, 0).sum(axis=2, dtype=np.float64)
        return np.stack([(~np.isnan(values)).sum(axis=2), stands_out.sum(axis=2), heights])

    def _lasting_crossings(self) -> NDArray[np.int64]:
        """Return the first day at the threshold of the series that are at it in the end, since the window's start."""
        first = self._first_at_threshold
        is_at_end = _lower_median(self._last_days) >= self._generation.breach_threshold
        start = int(epoch_days(self._generation.start_date, self._generation.start_date)[0])
        return np.where(is_at_end & (first != _NEVER), first - start, _NEVER)

    def _fit(self, medians: Float32Array) -> tuple[Float64Array, Float64Array]:
        """Return slope [% points a year] and half the annual swing, fitted to the months below the ceiling."""
        years = np.array(self._middles) / DAYS_PER_YEAR
        angle = 2 * np.pi * years
        basis = np.stack([np.ones_like(years), years - years.mean(), np.cos(angle), np.sin(angle)], axis=-1)
        counts = self._is_below_ceiling(medians)
        products = (basis[:, :, np.newaxis] * basis[:, np.newaxis, :]).reshape(years.size, -1)
        normal = (counts @ products).reshape(*medians.shape[:2], _N_TERMS, _N_TERMS) + _RIDGE * np.eye(_N_TERMS)
        targets = np.where(counts, medians, 0).astype(np.float64) @ basis
        fitted = np.linalg.solve(normal, targets[..., np.newaxis])[..., 0]
        return fitted[..., 1], np.hypot(fitted[..., 2], fitted[..., 3])


def behaves_as(features: Features, horizon_days: int) -> NDArray[np.int64]:
    """Return which variety each host's features show, as an index into `VARIETIES`, shape `(n_hosts,)`.

    A host whose calm series is at the threshold for good has breached, severely within 0.7 of the scenario horizon
    [days]; otherwise days that stand out make it bursting, a large annual swing seasonal, a slope growing, and what is
    left is idle.
    """
    breached = (features.crossing_day != _NEVER) & (features.noise < CALM_NOISE)
    crossing = np.where(breached, features.crossing_day, _NEVER).min(axis=0)
    typical = {
        name: np.median(getattr(features, name), axis=0)
        for name in ("slope", "annual_amplitude", "noise", "burst_days", "burst_height")
    }
    swing, slope = typical["annual_amplitude"], typical["slope"]
    is_bursting = typical["burst_days"] >= BURST_DAYS
    rules = [
        (crossing < SEVERE_SHARE * horizon_days, Variety(Scenario.CAPACITY_BREACH, Variant.SEVERE)),
        (crossing != _NEVER, Variety(Scenario.CAPACITY_BREACH, Variant.IMMINENT)),
        (is_bursting & (typical["burst_height"] >= BURST_POINTS), Variety(Scenario.BURST, Variant.EXTREME)),
        (is_bursting, Variety(Scenario.BURST, Variant.MODERATE)),
        (swing >= SEASON_POINTS[1], Variety(Scenario.SEASONAL, Variant.EXTREME)),
        (swing >= SEASON_POINTS[0], Variety(Scenario.SEASONAL, Variant.BALANCED)),
        (slope >= GROWTH_POINTS[1], Variety(Scenario.STEADY_GROWTH, Variant.BREACH)),
        (slope >= GROWTH_POINTS[0], Variety(Scenario.STEADY_GROWTH, Variant.NORMAL)),
        (typical["noise"] >= IDLE_NOISE, Variety(Scenario.LOW_IDLE, Variant.VARIABLE)),
    ]
    stable = VARIETIES.index(Variety(Scenario.LOW_IDLE, Variant.STABLE))
    return np.select([rule for rule, _ in rules], [VARIETIES.index(variety) for _, variety in rules], default=stable)


def behavioral_diversity(
    features: Features, kinds: NDArray[np.int64], *, horizon_days: int, is_due: NDArray[np.bool_]
) -> Finding:
    """Report whether the hosts behave as their varieties, and all ten are there.

    Args:
        features: Features of each host's series.
        kinds: Each host's variety in the inventory, as an index into `VARIETIES`, shape `(n_hosts,)`.
        horizon_days: The scenario horizon [days].
        is_due: Which hosts can be judged: a breach that lies after the telemetry cannot, shape `(n_hosts,)`.
    """
    shown = behaves_as(features, horizon_days)
    judged, recognised = kinds[is_due], shown[is_due] == kinds[is_due]
    problems = []
    for index, variety in enumerate(VARIETIES):
        own = judged == index
        if not (kinds == index).any():
            problems.append(f"no host of {variety}")
        elif own.any() and recognised[own].mean() < VARIETY_SHARE:
            behave_as = Counter(shown[is_due][own & ~recognised].tolist()).most_common(1)[0][0]
            problems.append(
                f"{recognised[own].sum():,} of {own.sum():,} hosts behave as {variety}; most others as "
                f"{VARIETIES[behave_as]}"
            )
    if judged.size and recognised.mean() < OVERALL_SHARE:
        problems.append(f"{recognised.mean():.1%} of all hosts behave as their variety, expected {OVERALL_SHARE:.0%}")
    return Finding(
        "behavioral_diversity",
        examples=problems,
        counts={"hosts": kinds.size, "judged": judged.size, "recognised": int(recognised.sum())},
        table=_confusion(features, kinds, np.where(is_due, shown, -1)),
        threshold=_THRESHOLDS,
    )


def _confusion(
    features: Features, kinds: NDArray[np.int64], shown: NDArray[np.int64]
) -> Sequence[Mapping[str, str | int | float]]:
    """Return one row a variety: as what its hosts behave, and the medians of their features."""
    rows = []
    for index, variety in enumerate(VARIETIES):
        own = kinds == index
        row: dict[str, str | int | float] = {"variety": str(variety), "hosts": int(own.sum())}
        others = Counter(int(kind) for kind in shown[own & (shown >= 0) & (shown != index)])
        row["behave_as_it"] = int((shown[own] == index).sum())
        row["behave_as_others"] = ", ".join(f"{n} {VARIETIES[kind]}" for kind, n in others.most_common())
        row |= {name: _middle(getattr(features, name)[:, own]) for name in _SHOWN_FEATURES}
        rows.append(row)
    return rows


def too_short(days: int) -> str:
    """Return in words that a window is too short to judge behaviour."""
    return f"{days:,} days are too few to tell growth from season; behaviour is judged from {MIN_DAYS} days on"


def _lower_median(values: Float32Array) -> Float32Array:
    """Return the lower median along the last axis, NaN where nothing is there: ten times as fast as `nanmedian`."""
    if not values.shape[-1]:
        return np.full(values.shape[:-1], np.nan, dtype=np.float32)
    ordered = np.sort(values, axis=-1)
    there = (~np.isnan(ordered)).sum(axis=-1)
    middle = np.maximum(there - 1, 0) // 2
    taken: Float32Array = np.take_along_axis(ordered, middle[..., np.newaxis], axis=-1)[..., 0]
    return taken


def _ratio(values: Float32Array, others: Float32Array) -> Float32Array:
    return np.divide(values, np.maximum(others, _LEAST_LEVEL), dtype=np.float32)


def _typical(months: Iterable[Float32Array]) -> Float64Array:
    """Return the lower median over months, 0 where no month has a value."""
    typical: Float64Array = np.nan_to_num(_lower_median(np.stack(list(months), axis=-1)).astype(np.float64))
    return typical


def _middle(values: Float64Array) -> float:
    return round(float(np.median(values)), _SHOWN_DECIMALS) if values.size else 0.0
