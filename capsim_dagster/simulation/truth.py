"""What the simulation knows about its series: drawn parameters, and every event that shows in the data.

An event is listed with the first and the last day on which a reported value differs from what it would be without
events, so one that a gap hides or that is lost above the ceiling is no event, and each that is listed can be found. Its
days after the end of the window count, so a longer window only adds events.
"""

import datetime as dt
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.schemas import EventKind, Resource, host_id
from capsim_dagster.seeding import Float32Array
from capsim_dagster.simulation import events, telemetry
from capsim_dagster.simulation.calendar_effects import weekend_factor
from capsim_dagster.simulation.components import DAYS_PER_YEAR
from capsim_dagster.simulation.parameters import SeriesParameters
from capsim_dagster.simulation.telemetry import HostModel

Int64Array = NDArray[np.int64]

_KINDS: Final = pl.Enum([kind.value for kind in EventKind])
_RESOURCES: Final = pl.Enum([resource.value for resource in Resource])
_FACTOR_DECIMALS: Final = 6


def series_truth(model: HostModel) -> pl.DataFrame:
    """Return the drawn parameters of each series of some hosts; columns of `schemas.fleet.TRUTH_SERIES`."""
    names = _host_ids(model)
    limiting = np.stack([model.series[resource].is_limiting for resource in Resource])
    which: list[int] = np.where(limiting.any(axis=0), limiting.argmax(axis=0), -1).tolist()
    limits = [list(Resource)[index].value if index >= 0 else None for index in which]
    frames = [_series_of(model, resource, names, limits).with_row_index("row") for resource in Resource]
    return pl.concat(frames).sort("row", "resource").drop("row")


def event_truth(model: HostModel, end: dt.date) -> pl.DataFrame:
    """Return the events of some hosts that show from the window's start to `end`.

    Columns are those of `schemas.fleet.TRUTH_EVENTS`. Rows are ordered by host, resource, start and kind.

    `end`: last day on which an event may begin to show, inclusive.
    """
    start = model.generation.start_date
    beyond = end + dt.timedelta(events.LONGEST_EVENT_DAYS)
    loads = telemetry.loads(model, start, beyond)
    names = _host_ids(model)
    frames = []
    for index, (resource, load) in enumerate(loads.items()):
        shown, first, last = _shown(model, resource, load, telemetry.span_of(start, beyond))
        frames.append(_event_rows(model.series[resource], shown, first, last, resource_index=index))
    listed = pl.concat(frames).filter(pl.col("start") <= end).sort("row", "resource", "start", "kind")
    return listed.with_columns(host_id=pl.Series(names).gather(listed["row"])).select(
        "host_id",
        pl.Series([resource.value for resource in Resource], dtype=_RESOURCES)
        .gather(listed["resource"])
        .alias("resource"),
        pl.Series([kind.value for kind in EventKind], dtype=_KINDS).gather(listed["kind"]).alias("kind"),
        "start",
        "end",
        "magnitude",
    )


def without_events(model: HostModel, first: dt.date, last: dt.date) -> dict[Resource, Float32Array]:
    """Return what utilization would be without bursts, anomalies and gaps [%], each of shape `(n_hosts, n_days)`.

    `first`: first day, inclusive, on or after the window's start.
    `last`: last day, inclusive.
    """
    return {
        resource: telemetry.quantized((load.demand + load.noise) * load.factor, model.series[resource])
        for resource, load in telemetry.loads(model, first, last).items()
    }


def _shown(
    model: HostModel, resource: Resource, load: telemetry.Load, span: range
) -> tuple[events.Events, Int64Array, Int64Array]:
    """Return the events of one resource that show, with the first and last day on which they do."""
    series = model.series[resource]
    happening = telemetry.changes(model, resource, span)
    on = events.days_of(happening, span)
    missing = np.zeros(load.demand.shape, dtype=np.bool_)
    gaps = events.gaps(model.gaps[resource], model.generation.gaps, span)
    for gap in gaps:
        days = events.days_of(gap, span)
        missing[days.rows, days.columns] = True
    places = (on.rows, on.columns)
    without = telemetry.quantized((load.demand[places] + load.noise[places]) * load.factor[places], series)
    values = telemetry.with_changes(load, happening, on, series)[places]
    does_show = (values != without) & ~missing[places]
    shown_days = (on.event[does_show], on.columns[does_show] + span.start)
    first, last = np.full(happening.rows.size, span.stop), np.full(happening.rows.size, -1)
    np.minimum.at(first, *shown_days)
    np.maximum.at(last, *shown_days)
    is_shown = last >= 0
    all_gaps = events.joined(gaps)
    return (
        events.joined([happening.take(is_shown), all_gaps]),
        np.concatenate([first[is_shown], np.maximum(all_gaps.start, span.start)]),
        np.concatenate([last[is_shown], all_gaps.start + all_gaps.days - 1]),
    )


def _event_rows(
    series: SeriesParameters, shown: events.Events, first: Int64Array, last: Int64Array, *, resource_index: int
) -> pl.DataFrame:
    is_burst = shown.is_of(EventKind.BURST)
    magnitude = np.where(is_burst, series.burst_height[shown.rows] * shown.size, shown.size).astype(np.float32)
    return pl.DataFrame(
        {
            "row": shown.rows,
            "resource": np.full(shown.rows.size, resource_index, dtype=np.int64),
            "kind": shown.kind,
            "start": first.astype(np.int32),
            "end": last.astype(np.int32),
            "magnitude": magnitude,
        }
    ).with_columns(
        pl.col("start", "end").cast(pl.Date),
        magnitude=pl.when(pl.col("magnitude") != 0).then("magnitude"),
    )


def _series_of(model: HostModel, resource: Resource, names: list[str], limits: list[str | None]) -> pl.DataFrame:
    series = model.series[resource]
    breach_dates = [
        series.start + dt.timedelta(int(day)) if is_limiting else None
        for day, is_limiting in zip(series.breach_day.tolist(), series.is_limiting.tolist(), strict=True)
    ]
    return pl.DataFrame(
        {
            "host_id": names,
            "resource": pl.Series([resource.value] * len(names), dtype=_RESOURCES),
            "level": series.level,
            "growth_per_year": series.drift,
            "annual_amplitude": series.annual_amplitude,
            "annual_peak_day": (np.floor(series.annual_peak * DAYS_PER_YEAR) + 1).astype(np.int16),
            "weekend_factor": _weekend_factor(model, resource),
            "noise_std": series.noise_std,
            "burst_rate": series.burst_rate,
            "burst_height": series.burst_height,
            "has_anomalies": ~series.is_limiting,
            "breach_rise": series.breach_rise.astype(np.float32),
            "breach_date": pl.Series(breach_dates, dtype=pl.Date),
            "limiting_resource": pl.Series(limits, dtype=pl.String),
        }
    )


def _weekend_factor(model: HostModel, resource: Resource) -> NDArray[np.float32]:
    metadata, metric = model.generation.metadata, model.generation.metrics[resource]
    by_type = [weekend_factor(metric, kind.weekend_response) for kind in metadata.server_types]
    groups = np.array([*(by_type * len(metadata.regions)), 1.0])
    return np.round(groups, _FACTOR_DECIMALS).astype(np.float32)[model.series[resource].calendar_group]


def _host_ids(model: HostModel) -> list[str]:
    return [host_id(number) for number in model.block.numbers.tolist()]
