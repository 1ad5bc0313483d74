"""Audit of the calendar: does the telemetry rest at weekends and holidays, and work at quarter end, as set?

Measured on the telemetry alone, by region: the mean load of the hosts of each workload on the days of an occasion,
against ordinary days of the same weekday in the weeks before and after. Weekends are compared with the working days of
weeks without any occasion. Hosts on their way to a breach are left out: a ceiling would flatten their days.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.audits.report import Finding
from capsim_dagster.audits.scan import MonthOfTelemetry
from capsim_dagster.schemas import VARIETIES, Resource, Scenario, Variant
from capsim_dagster.seeding import Float64Array
from capsim_dagster.settings import Calendar, DataGeneration, Metric, ServerType
from capsim_dagster.simulation.calendar_effects import weekend_factor
from capsim_dagster.simulation.parameters import HostBlock
from capsim_dagster.simulation.region_calendar import NOT_BUSINESS, RegionDays, region_days
from capsim_dagster.simulation.time_dimension import SATURDAY, date_of

BoolArray = NDArray[np.bool_]

TOLERANCE: Final = 0.02
"""How far a ratio may be from its setting, as a share of it, beyond its sampling error."""
CHANCE: Final = 1e-5
"""How often a sound ratio may be off by more than its sampling error: of up to 64 a fleet, less than one in 1,000."""
MIN_OCCASIONS: Final = 3
"""Times that an occasion must come to be judged; days in a row are one time."""
_MOST_ERRORS: Final = 1e6
"""Standard errors beyond which nothing is sought: of three times, 316 are allowed."""
_HALVINGS: Final = 60
_WEEK: Final = 7
_WEEKS: Final = (1, 2, 3)
"""How many weeks before and after an occasion an ordinary day is sought."""


@dataclass(frozen=True)
class Ratio:
    """A measured ratio of load of a region and a resource, or a metric, and the one that the settings ask for.

    Attributes:
        occasion: weekend, holiday, quarter end or month end.
        error: Its standard error.
        days: Days (or weekends) that were compared.
    """

    region: str
    resource: str
    occasion: str
    expected: float
    measured: float
    error: float
    days: int

    @property
    def sampling_error(self) -> float:
        """How far a sound ratio is from its setting by chance, in all but one of `1 / CHANCE` cases."""
        return errors_by_chance(self.days - 1) * self.error

    @property
    def tolerance(self) -> float:
        """How far the measured ratio may be from the setting."""
        return TOLERANCE * self.expected + self.sampling_error

    @property
    def holds(self) -> bool:
        """Whether it is as near as that."""
        return abs(self.measured - self.expected) <= self.tolerance


@cache
def errors_by_chance(freedom: int) -> float:
    """Return how many standard errors a mean is off by in a share `CHANCE` of cases: a quantile of Student's t.

    The standard error is itself estimated, from few days: where four would do for many, three times need 316. The
    degrees of freedom are one less than the values that mean and standard error are made of, 1 and up.

    >>> round(errors_by_chance(2)), round(errors_by_chance(11), 2), round(errors_by_chance(1_000), 2)
    (316, 7.65, 4.44)
    """
    low, high = 0.0, _MOST_ERRORS
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _beyond(middle, freedom) > CHANCE else (low, middle)
    return high


def _beyond(errors: float, freedom: int) -> float:
    """Return how often Student's t lies farther from 0, either way.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle, is_odd = math.atan(errors / math.sqrt(freedom)), freedom % 2
    term, total = (math.cos(angle) if is_odd else 1.0), 0.0
    for index in range(1, freedom // 2 + 1):
        total += term
        term *= math.cos(angle) ** 2 * (2 * index - 1 + is_odd) / (2 * index + is_odd)
    within = math.sin(angle) * total
    return 1 - (2 / math.pi * (angle + within) if is_odd else within)


def calendar_groups(generation: DataGeneration, block: HostBlock) -> NDArray[np.int64]:
    """Return the group of each host: its region times the number of server types plus its server type.

    Hosts on their way to a breach are in none, -1.
    """
    groups = block.regions * len(generation.metadata.server_types) + block.server_types
    is_breaching = np.array([v.scenario is Scenario.CAPACITY_BREACH or v.variant is Variant.BREACH for v in VARIETIES])
    return np.where(is_breaching[block.varieties], -1, groups)


class CalendarScan:
    """Collects the mean load of each workload in each region, a month at a time."""

    def __init__(self, generation: DataGeneration, groups: NDArray[np.int64]) -> None:
        """Start with no month; the group of each host is as `calendar_groups` has it."""
        self._generation = generation
        n_groups = len(generation.metadata.regions) * len(generation.metadata.server_types)
        self._sizes = np.bincount(groups[groups >= 0], minlength=n_groups).astype(np.float64)
        self._order = np.argsort(groups, kind="stable")[int((groups < 0).sum()) :]
        self._loads: list[Float64Array] = []
        self._days: list[NDArray[np.int64]] = []

    def add(self, month: MonthOfTelemetry) -> None:
        """Take one more month, in order; what is missing counts as the mean of its workload."""
        values = month.values[:, self._order]
        is_there = ~np.isnan(values)
        sums = self._by_group(np.where(is_there, values, 0))
        self._loads.append(sums * self._sizes[:, np.newaxis] / np.maximum(self._by_group(is_there), 1))
        self._days.append(month.days)

    def _by_group(self, values: NDArray[np.generic]) -> Float64Array:
        """Sum over the hosts of each group, shape `(4, n_groups, n_days)`."""
        sums = np.zeros((values.shape[0], self._sizes.size, values.shape[2]))
        (filled,) = np.nonzero(self._sizes)
        if filled.size:
            starts = (np.cumsum(self._sizes) - self._sizes)[filled].astype(np.int64)
            sums[:, filled] = np.add.reduceat(values, starts, axis=1, dtype=np.float64)
        return sums

    def ratios(self) -> list[Ratio]:
        """Return every ratio that the months so far allow to measure."""
        loads = np.concatenate(self._loads, axis=-1)
        metrics = self._generation.metrics
        return ratios_of_loads(
            self._generation,
            np.concatenate(self._days),
            {r.value: (metrics[r], load) for r, load in zip(Resource, loads, strict=True)},
        )


def ratios_of_loads(
    generation: DataGeneration, days: NDArray[np.int64], loads: Mapping[str, tuple[Metric, Float64Array]]
) -> list[Ratio]:
    """Return every ratio that these days allow to measure.

    Args:
        generation: The settings.
        days: The days in a row [days since 1970-01-01], shape `(n_days,)`.
        loads: Of each resource or metric, its settings, and its load by group and day: the sum over the hosts of each
            region and server type, regions first, shape `(n_groups, n_days)`.
    """
    metadata, calendar = generation.metadata, generation.calendar
    first, last = date_of(days[0]), date_of(days[-1])
    found: list[Ratio] = []
    for index, region in enumerate(metadata.regions):
        facts = region_days(region.bank_calendar, first, last, calendar.holiday_shoulder_days)
        for name, (metric, load) in loads.items():
            of_region = np.split(load, len(metadata.regions))[index]
            if of_region.sum(axis=0).min() > 0:
                found += _ratios_of_region(generation, (region.name, name), metric, of_region, facts)
    return found


def _ratios_of_region(
    generation: DataGeneration, name: tuple[str, str], metric: Metric, load: Float64Array, days: RegionDays
) -> Iterable[Ratio]:
    """Yield the ratios of one region and resource; the load is that of each server type, shape `(n_types, n_days)`."""
    calendar = generation.calendar
    occasions = _occasions(days, metric, calendar)
    is_ordinary = ~np.any([is_on for is_on, _ in occasions.values()], axis=0)
    is_ordinary &= days.holiday_distance > calendar.holiday_shoulder_days
    for occasion, (is_on, expected) in occasions.items():
        yield from _judged(name, occasion, expected, *_against_ordinary(load.sum(axis=0), is_on, is_ordinary))
    weekends, working = _clean_weeks(load, days, is_ordinary)
    expected = _weekend_factor(metric, generation.metadata.server_types, working.sum(axis=1))
    ratios = weekends.sum(axis=0) / working.sum(axis=0)
    yield from _judged(name, "weekend", expected, ratios, np.arange(ratios.size))


def calendar_effects(ratios: Sequence[Ratio]) -> Finding:
    """Report whether every measured ratio equals its setting, within 2 % of it and the sampling error."""
    return Finding(
        "calendar_effects_match_settings",
        examples=[
            f"{ratio.region} {ratio.resource} on {ratio.occasion}: {ratio.measured:.3f} times an ordinary day, "
            f"expected {ratio.expected:.3f} within {ratio.tolerance:.3f} ({ratio.days} days compared)"
            for ratio in ratios
            if not ratio.holds
        ],
        counts={"ratios": len(ratios), "largest_deviation": max((_off(ratio) for ratio in ratios), default=0.0)},
        table=[
            {
                "region": ratio.region,
                "resource": ratio.resource,
                "occasion": ratio.occasion,
                "expected": round(ratio.expected, 4),
                "measured": round(ratio.measured, 4),
                "tolerance": round(ratio.tolerance, 4),
                "days": ratio.days,
            }
            for ratio in ratios
        ],
        note="" if ratios else "the telemetry is too short, or the fleet too small, to judge any occasion",
    )


def _off(ratio: Ratio) -> float:
    """Return how far a ratio is from its setting, as a share of it."""
    return round(abs(ratio.measured / ratio.expected - 1), 4) if ratio.expected else ratio.measured


def _occasions(days: RegionDays, metric: Metric, calendar: Calendar) -> Mapping[str, tuple[BoolArray, float]]:
    """Return the days of each occasion that are no day of a stronger one, and the factor set for it."""
    is_business = days.business_days_left != NOT_BUSINESS
    is_near_holiday = days.holiday_distance <= calendar.holiday_shoulder_days
    is_last = is_business & (days.business_days_left < calendar.eoq_window_days)
    is_quarter_end = is_last & np.isin(days.month, metric.eoq_months) & metric.use_eoq_spikes
    is_month_end = is_business & (days.business_days_left < calendar.month_end_window_days)
    is_month_end &= ~is_quarter_end & ~is_near_holiday
    return {
        "bank holiday": (days.is_holiday, metric.holiday_effect_multiplier if metric.use_holidays else 1.0),
        "quarter end": (is_quarter_end, metric.eoq_spike_multiplier),
        "month end": (is_month_end, metric.month_end_multiplier),
    }


def _against_ordinary(
    load: Float64Array, is_on: BoolArray, is_ordinary: BoolArray
) -> tuple[Float64Array, NDArray[np.int64]]:
    """Return the load on each day of an occasion relative to the nearest ordinary days of the same weekday, and when.

    The two, one before and one after, are weighted by their nearness, so that growth and season cancel. Days within a
    week of each other share the noise of their hosts, and of what they are compared with: they are one time of the
    occasion, of which the number is returned.
    """
    ratios, days = [], []
    for day in np.flatnonzero(is_on).tolist():
        before = next((k for k in _WEEKS if day - k * _WEEK >= 0 and is_ordinary[day - k * _WEEK]), 0)
        after = next((k for k in _WEEKS if day + k * _WEEK < load.size and is_ordinary[day + k * _WEEK]), 0)
        if before and after:
            earlier, later = load[day - before * _WEEK], load[day + after * _WEEK]
            ratios.append(load[day] * (before + after) / (after * earlier + before * later))
            days.append(day)
    return np.array(ratios), np.cumsum(np.diff(days, prepend=days[:1]) >= _WEEK)


def _clean_weeks(load: Float64Array, days: RegionDays, is_ordinary: BoolArray) -> tuple[Float64Array, Float64Array]:
    """Return the mean load of weekend and working days of the weeks without occasion, `(n_server_types, n_weeks)`."""
    mondays = np.flatnonzero(days.weekday == 0)
    mondays = mondays[mondays + _WEEK <= load.shape[1]]
    weeks = mondays[:, np.newaxis] + np.arange(_WEEK)
    clean = weeks[is_ordinary[weeks].all(axis=1)]
    by_day = load[:, clean]
    return by_day[:, :, SATURDAY:].mean(axis=2), by_day[:, :, :SATURDAY].mean(axis=2)


def _weekend_factor(metric: Metric, kinds: Sequence[ServerType], working: Float64Array) -> float:
    """Return the weekend factor that is set for a mix of workloads with these loads on working days."""
    factors = [weekend_factor(metric, kind.weekend_response) for kind in kinds]
    return float(np.average(factors, weights=working)) if working.sum() else 1.0


def _judged(
    name: tuple[str, str], occasion: str, expected: float, ratios: Float64Array, times: NDArray[np.int64]
) -> Iterable[Ratio]:
    """Yield the ratio of an occasion, if it came often enough to be judged."""
    n_times = np.unique(times).size
    if n_times >= MIN_OCCASIONS:
        # Days in a row share noise, so their spread alone says too little; that of few times alone is chance.
        by_time = np.bincount(times, weights=ratios) / np.bincount(times)
        error = max(_standard_error(ratios), _standard_error(by_time))
        yield Ratio(*name, occasion, expected, float(ratios.mean()), error, ratios.size)


def _standard_error(values: Float64Array) -> float:
    return float(values.std(ddof=1)) / math.sqrt(values.size)
