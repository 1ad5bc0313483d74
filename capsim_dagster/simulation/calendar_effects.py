"""How the calendar acts on load: the factor by which each day multiplies the demand of a resource.

A day's factor is its weekday's times its occasion's. One occasion wins: a bank holiday over the quarter-end window,
that over the days around a holiday, and those over an ordinary month end.
"""

import datetime as dt
from typing import Final

import numpy as np

from capsim_dagster.schemas import Resource
from capsim_dagster.seeding import Float32Array, Float64Array
from capsim_dagster.settings import Calendar, DataGeneration, Metric
from capsim_dagster.simulation.region_calendar import NOT_BUSINESS, RegionDays, region_days

_DECIMALS: Final = 6
"""Rounding of factors: far finer than the two decimals of a value."""


def calendar_factors(generation: DataGeneration, resource: Resource, first: dt.date, last: dt.date) -> Float32Array:
    """Return each calendar group's factor on each day, 0 and up, shape `(n_groups, n_days)`.

    Groups are the pairs of region and server type, regions first, in the order of the settings; the last group is
    the one that no calendar touches.

    `first`: first day, inclusive.
    `last`: last day, inclusive.
    """
    metric, calendar = generation.metrics[resource], generation.calendar
    rows = []
    for region in generation.metadata.regions:
        days = region_days(region.bank_calendar, first, last, calendar.holiday_shoulder_days)
        occasion = occasion_factor(days, metric, calendar)
        rows += [
            weekday_factor(days, metric, calendar, response=kind.weekend_response) * occasion
            for kind in generation.metadata.server_types
        ]
    rows.append(np.ones((last - first).days + 1))
    return np.round(np.stack(rows), _DECIMALS).astype(np.float32)


def weekday_factor(days: RegionDays, metric: Metric, calendar: Calendar, *, response: float) -> Float64Array:
    """Return the factor of each day's weekday, 0 and up, shape `(n_days,)`.

    `metric`: its `weekly_pattern_factor` is the ratio of weekend to working days.
    `calendar`: its `weekly_profile` spreads that over the week.
    `response`: how far the workload follows the pattern, -2 to 2.
    """
    profile = np.array(calendar.weekly_profile)[days.weekday]
    factor: Float64Array = np.maximum(1 + (metric.weekly_pattern_factor - 1) * response * profile, 0)
    return factor


def weekend_factor(metric: Metric, response: float) -> float:
    """Return the mean factor of the weekend for a workload, 0 and up.

    Args:
        metric: Its `weekly_pattern_factor` is that of a workload which follows it wholly.
        response: How far the workload follows the pattern, -2 to 2.
    """
    return max(1 + (metric.weekly_pattern_factor - 1) * response, 0.0)


def occasion_factor(days: RegionDays, metric: Metric, calendar: Calendar) -> Float64Array:
    """Return the factor of holiday, quarter end, days around a holiday or month end, shape `(n_days,)`."""
    left, is_business = days.business_days_left, days.business_days_left != NOT_BUSINESS
    factor = np.ones(left.size)
    factor[is_business & (left < calendar.month_end_window_days)] = metric.month_end_multiplier
    if metric.use_holidays:
        _set_shoulders(factor, days, metric, calendar)
    if metric.use_eoq_spikes:
        is_quarter_end = is_business & (left < calendar.eoq_window_days) & np.isin(days.month, metric.eoq_months)
        factor[is_quarter_end] = metric.eoq_spike_multiplier
    if metric.use_holidays:
        factor[days.is_holiday] = metric.holiday_effect_multiplier
    return factor


def _set_shoulders(factor: Float64Array, days: RegionDays, metric: Metric, calendar: Calendar) -> None:
    """Set the factor of the days around a holiday: the farther away, the less of the holiday's effect."""
    reach = calendar.holiday_shoulder_days
    for distance in range(1, reach + 1):
        share = calendar.holiday_shoulder_share * (reach + 1 - distance) / reach
        factor[days.holiday_distance == distance] = 1 + (metric.holiday_effect_multiplier - 1) * share
