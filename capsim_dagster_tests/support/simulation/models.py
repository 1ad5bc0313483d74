"""Models of a few hosts and of a whole fleet, for the tests of the simulation."""

import datetime as dt
from collections.abc import Iterator
from functools import cache
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.schemas import Resource
from capsim_dagster.seeding import Float32Array
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation import fleet, telemetry, truth
from capsim_dagster.simulation.region_calendar import bank_holidays, region_calendar
from capsim_dagster.simulation.time_dimension import time_periods
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.support.every_setting import base_generation, changed

BoolArray = NDArray[np.bool_]

START, END = dt.date(2023, 1, 1), dt.date(2025, 12, 31)
N_DAYS: Final = 1_096
N_HOSTS: Final = 60
SIGMAS: Final = 5
"""Bound of a statistical test [standard errors]; the seed is fixed, another one would fail with a chance of 6e-7."""


@cache
def three_years() -> DataGeneration:
    """Return the default window for a few hosts."""
    return changed(
        base_generation(), {"num_servers": N_HOSTS, "end_date": END.isoformat(), "scenario_horizon_days": N_DAYS}
    )


def model_of(generation: DataGeneration) -> telemetry.HostModel:
    return telemetry.host_model(generation, inventory(generation))


def values_of(generation: DataGeneration) -> dict[Resource, Float32Array]:
    """Return the telemetry of all hosts and days."""
    return telemetry.utilization(model_of(generation), generation.start_date, generation.end_date)


@cache
def whole_model() -> telemetry.HostModel:
    return model_of(three_years())


@cache
def whole() -> dict[Resource, Float32Array]:
    """Return every host and day of `three_years`, made in one piece."""
    return values_of(three_years())


def twin_of(model: telemetry.HostModel) -> dict[Resource, Float32Array]:
    """Return the telemetry of a model if nothing ever happened: no bursts, anomalies and gaps."""
    return truth.without_events(model, model.generation.start_date, model.generation.end_date)


def everything(generation: DataGeneration) -> Iterator[pl.DataFrame]:
    """Yield all that the settings of `data_generation` decide, what is cheapest first."""
    window = (generation.start_date, generation.end_date)
    yield fleet.host_inventory(generation)
    yield fleet.business_hierarchy(generation)
    yield time_periods(*window)
    yield region_calendar(generation.metadata.regions, generation.calendar, *window)
    yield bank_holidays(generation.metadata.regions, *window)
    model = model_of(generation)
    values = telemetry.utilization(model, *window)
    yield from (pl.DataFrame({"value": values[resource].ravel()}) for resource in Resource)
    yield truth.series_truth(model)
    yield truth.event_truth(model, generation.end_date)
