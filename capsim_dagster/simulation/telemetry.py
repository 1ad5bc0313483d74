"""Daily P95 utilization for any hosts, resources and days, and the expectation behind it.

A value is the calendar's factor times the sum of expected demand, noise, bursts and anomalies, clipped to the bounds
of the resource and rounded to two decimals; a day in a gap has none. Each day is computed by itself, so any stretch of
days of any hosts equals the same piece of the full run, bit for bit.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from capsim_dagster.schemas import EventKind, Resource
from capsim_dagster.seeding import Float32Array, HostStreams, streams
from capsim_dagster.settings import DataGeneration, Metric, settings_hash
from capsim_dagster.simulation import components, events, noise
from capsim_dagster.simulation.calendar_effects import calendar_factors
from capsim_dagster.simulation.parameters import HostBlock, SeriesParameters, draw_parameters, host_block
from capsim_dagster.simulation.time_dimension import epoch_days

MODEL_VERSION: Final = "2"
"""Raised whenever the same settings give other values."""
_CENTS: Final = np.float32(100)
"""Values are kept to 1 / 100 of a percent."""


@dataclass(frozen=True)
class HostModel:
    """All that is needed to compute any day of some hosts; `burst_hits` decide which bursts hit a resource."""

    generation: DataGeneration
    block: HostBlock
    series: Mapping[Resource, SeriesParameters]
    shocks: noise.ShockStreams
    bursts: events.SlotStreams
    burst_hits: Mapping[Resource, HostStreams]
    anomalies: Mapping[Resource, events.SlotStreams]
    gaps: Mapping[Resource, events.GapStreams]


@dataclass(frozen=True)
class Load:
    """One resource's load on some days before events, each array of shape `(n_hosts, n_days)`.

    Attributes:
        demand: Expected demand on a day without any effect of the calendar [%].
        noise: Noise, likewise [% points].
        factor: Factor of the calendar.
    """

    demand: Float32Array
    noise: Float32Array
    factor: Float32Array


def fleet_hash(generation: DataGeneration) -> str:
    """Return the hash of every setting, and the model version, that decides the fleet's values."""
    return settings_hash(generation, f"model {MODEL_VERSION}")


def host_model(generation: DataGeneration, hosts: pl.DataFrame) -> HostModel:
    """Return the model of some hosts of the inventory.

    `hosts`: columns of `schemas.fleet.HOSTS`, with `app_code` of `schemas.fleet.BUSINESS_HIERARCHY`.
    """
    block = host_block(generation, hosts)
    seed, numbers = generation.random_seed, block.numbers
    return HostModel(
        generation=generation,
        block=block,
        series={resource: draw_parameters(generation, resource, block) for resource in Resource},
        shocks=noise.shock_streams(generation, numbers, block.apps),
        bursts=events.burst_streams(seed, numbers),
        burst_hits={r: streams(seed, "telemetry", r.value, "burst_hits", hosts=numbers) for r in Resource},
        anomalies={r: events.anomaly_streams(seed, r.value, numbers) for r in Resource},
        gaps={r: events.gap_streams(seed, r.value, numbers) for r in Resource},
    )


def own_series_model(model: HostModel, name: str, resource: Resource, metric: Metric) -> HostModel:
    """Return a model of the same hosts in which a series of its own stands in a resource's place.

    The series is drawn as the resource's is, from numbers and streams of its own: its level, growth, noise, anomalies
    and gaps are independent, but it belongs to the same hosts, so their scenario, bursts and dead agents are its, too.
    It never is the limiting resource of a breach.

    `name`: name of the series, which names its streams.
    `resource`: the resource in whose place it stands: ask for this one alone.
    """
    generation = model.generation.model_copy(update={"metrics": {**model.generation.metrics, resource: metric}})
    seed, block, own_name = generation.random_seed, model.block, f"series {name}"
    names = [own_name if r is resource else r.value for r in Resource]
    return replace(
        model,
        generation=generation,
        series={resource: draw_parameters(generation, resource, block, own_name=own_name)},
        shocks=noise.shock_streams(generation, block.numbers, block.apps, names),
        burst_hits={resource: streams(seed, "telemetry", own_name, "burst_hits", hosts=block.numbers)},
        anomalies={resource: events.anomaly_streams(seed, own_name, block.numbers)},
        gaps={resource: events.gap_streams(seed, own_name, block.numbers)},
    )


def expected_utilization(model: HostModel, resource: Resource, first: dt.date, last: dt.date) -> Float32Array:
    """Return the noise-free expectation before clipping [%], shape `(n_hosts, n_days)`.

    `first`: first day, inclusive, on or after the window's start.
    `last`: last day, inclusive.
    """
    expected = _demand(model.series[resource], first, last)
    expected *= _factor(model, resource, first, last)
    return expected


def utilization(
    model: HostModel, first: dt.date, last: dt.date, resources: Sequence[Resource] = tuple(Resource)
) -> dict[Resource, Float32Array]:
    """Return daily P95 utilization with two decimals by resource [%], each of shape `(n_hosts, n_days)`; NaN = gap.

    Each value is the float32 nearest to its two decimals, so text and table agree with it exactly.

    `first`: first day, inclusive, on or after the window's start.
    `last`: last day, inclusive.
    `resources`: which resources; computing all at once shares their shocks.
    """
    values = {}
    span = span_of(first, last)
    for resource, load in loads(model, first, last, resources).items():
        happening = changes(model, resource, span)
        total = with_changes(load, happening, events.days_of(happening, span), model.series[resource])
        for gaps in events.gaps(model.gaps[resource], model.generation.gaps, span):
            missing = events.days_of(gaps, span)
            total[missing.rows, missing.columns] = np.nan
        values[resource] = total
    return values


def span_of(first: dt.date, last: dt.date) -> range:
    """Return the days from `first` to `last`, both inclusive, as a range of days since 1970-01-01."""
    days = epoch_days(first, last)
    return range(int(days[0]), int(days[-1]) + 1)


def loads(
    model: HostModel, first: dt.date, last: dt.date, resources: Sequence[Resource] = tuple(Resource)
) -> dict[Resource, Load]:
    """Return the load of each resource before events."""
    span = span_of(first, last)
    order = list(Resource)
    n_series = max(order.index(resource) for resource in resources) + 1
    shocks = [noise.shocks(model.shocks, index, span.start, span.stop) for index in range(n_series)]
    return {
        resource: Load(
            demand=_demand(model.series[resource], first, last),
            noise=noise.mix(model.series[resource].noise_profile, shocks[: order.index(resource) + 1]),
            factor=_factor(model, resource, first, last),
        )
        for resource in resources
    }


def changes(model: HostModel, resource: Resource, span: range) -> events.Events:
    """Return the events of one resource that change values: bursts and anomalies.

    The limiting resource of a breach has no anomalies: one on its way up would give it a second date.
    """
    series = model.series[resource]
    return events.joined(
        [
            events.bursts(
                model.bursts,
                series.burst_rate,
                model.burst_hits[resource],
                hit_share=model.generation.bursts.resource_share,
                span=span,
            ),
            events.anomalies(
                model.anomalies[resource], model.generation.anomalies, has_any=~series.is_limiting, span=span
            ),
        ]
    )


def with_changes(load: Load, happening: events.Events, on: events.EventDays, series: SeriesParameters) -> Float32Array:
    """Return the values that result from a load and the events that change it, shape `(n_hosts, n_days)`.

    `load`: the load, which is used up: its arrays are overwritten.
    """
    added = _added(load, happening, on, series)
    total = np.add(load.demand, load.noise, out=load.noise)
    np.add.at(total, (on.rows, on.columns), added)
    total *= load.factor
    return quantized(total, series)


def quantized(total: Float32Array, series: SeriesParameters) -> Float32Array:
    """Return values clipped to the bounds of their resource and rounded to two decimals, in place."""
    np.clip(total, np.float32(series.bounds[0]), np.float32(series.bounds[1]), out=total)
    total *= _CENTS
    np.rint(total, out=total)
    total += np.float32(0)  # -0 would be written as -0.0
    total /= _CENTS
    return total


def _added(load: Load, happening: events.Events, on: events.EventDays, series: SeriesParameters) -> Float32Array:
    """Return what each day of each event adds to demand and noise [% points], shape `(n_event_days,)`."""
    size = happening.size[on.event]
    added = load.demand[on.rows, on.columns] * size
    is_burst = happening.is_of(EventKind.BURST)[on.event]
    added[is_burst] = (series.burst_height[on.rows] * size)[is_burst]
    is_wild = happening.is_of(EventKind.VARIANCE_CHANGE)[on.event]
    added[is_wild] = (load.noise[on.rows, on.columns] * (size - np.float32(1)))[is_wild]
    return added


def _demand(series: SeriesParameters, first: dt.date, last: dt.date) -> Float32Array:
    days = epoch_days(first, last)
    elapsed = days - epoch_days(series.start, series.start)
    demand = components.drift(series.drift, elapsed)
    demand += series.level[:, np.newaxis]
    demand += components.annual_season(series.annual_amplitude, series.annual_peak, days)
    (breaching,) = np.nonzero(series.breach_rise)
    if breaching.size:
        demand[breaching] += components.breach_growth(
            series.breach_rise[breaching],
            series.breach_day[breaching],
            elapsed,
            goes_on=series.is_limiting[breaching],
        )
    return demand


def _factor(model: HostModel, resource: Resource, first: dt.date, last: dt.date) -> Float32Array:
    return calendar_factors(model.generation, resource, first, last)[model.series[resource].calendar_group]
