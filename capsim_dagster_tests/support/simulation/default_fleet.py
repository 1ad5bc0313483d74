"""The default fleet, simulated once a worker, and what the tests measure on it."""

import datetime as dt
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.schemas import ANOMALY_KINDS, VARIETIES, EventKind, Resource, Scenario, Variety
from capsim_dagster.seeding import Float32Array, Float64Array
from capsim_dagster.settings import DataGeneration, load_settings
from capsim_dagster.simulation import telemetry, truth
from capsim_dagster.simulation.calendar_effects import calendar_factors
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.simulation.models import BoolArray, model_of

Int64Array = NDArray[np.int64]

N_DAYS: Final = 1_096
STEADY_BREACH: Final = VARIETIES[1]
SERVER_TYPES: Final = ("web", "application", "database", "batch", "file")
REGIONS: Final = ("us-east", "us-west", "eu-west", "ap-southeast")
"""Names in the order of the shipped settings, which must not be read before a test runs."""


@cache
def generation(seed: int = 42) -> DataGeneration:
    """Return the shipped settings: 2,000 hosts and three years."""
    return load_settings(CONFIG, {"data_generation": {"random_seed": seed}}).data_generation


@cache
def model(seed: int = 42) -> telemetry.HostModel:
    return model_of(generation(seed))


@cache
def values() -> dict[Resource, Float32Array]:
    return telemetry.utilization(model(), generation().start_date, generation().end_date)


@cache
def all_events() -> pl.DataFrame:
    return truth.event_truth(model(), generation().end_date)


def offset(day: dt.date) -> int:
    """Return the index of a day in the window."""
    return (day - generation().start_date).days


def has_variety(*varieties: Variety) -> BoolArray:
    return np.isin(model().block.varieties, [VARIETIES.index(variety) for variety in varieties])


def has_scenario(*scenarios: Scenario) -> BoolArray:
    return has_variety(*(variety for variety in VARIETIES if variety.scenario in scenarios))


def labelled(resource: Resource, kinds: Sequence[EventKind]) -> BoolArray:
    """Return which days the listed events of some kinds cover, shape `(n_hosts, n_days)`."""
    rows = all_events().filter(
        pl.col("resource") == resource.value, pl.col("kind").is_in([kind.value for kind in kinds])
    )
    hosts = (rows["host_id"].str.strip_prefix("srv-").cast(pl.Int64) - 1).to_numpy()
    first, last = ((rows[day] - generation().start_date).dt.total_days().to_numpy() for day in ("start", "end"))
    edges = np.zeros((model().block.numbers.size, N_DAYS + 1), dtype=np.int32)
    np.add.at(edges, (hosts, first), 1)
    np.add.at(edges, (hosts, np.minimum(last + 1, N_DAYS)), -1)
    is_covered: BoolArray = edges.cumsum(axis=1)[:, :-1] > 0
    return is_covered


@cache
def noise_of(resource: Resource) -> Float32Array:
    """Return how far values lie from expected demand, in standard deviations; NaN in gaps, anomalies and at bounds."""
    series = model().series[resource]
    window = (generation().start_date, generation().end_date)
    noise: Float32Array = values()[resource] - telemetry.expected_utilization(model(), resource, *window)
    noise /= calendar_factors(generation(), resource, *window)[series.calendar_group]
    noise /= series.noise_std[:, np.newaxis]
    at_bound = (values()[resource] == 0) | (values()[resource] == 100)
    noise[at_bound | labelled(resource, ANOMALY_KINDS)] = np.nan
    return noise


@cache
def steady() -> BoolArray:
    """Return which hosts have neither bursts nor a growth that saturates."""
    return ~has_scenario(Scenario.BURST, Scenario.CAPACITY_BREACH) & ~has_variety(STEADY_BREACH)


@cache
def mean_load(resource: Resource, region: int, server_type: int | None = None) -> Float64Array:
    """Return the mean of the hosts of a region on each day, without those that breach, shape `(n_days,)`."""
    block = model().block
    chosen = (block.regions == region) & ~has_scenario(Scenario.CAPACITY_BREACH) & ~has_variety(STEADY_BREACH)
    if server_type is not None:
        chosen &= block.server_types == server_type
    mean: Float64Array = np.nanmean(values()[resource][chosen], axis=0, dtype=np.float64)
    return mean


def ordinary_load(load: Float64Array, day: int, is_ordinary: BoolArray) -> float | None:
    """Return the load to expect on a day: a line through the ordinary same weekdays before and after it."""
    before = [index for index in range(day - 7, -1, -7) if is_ordinary[index]]
    after = [index for index in range(day + 7, load.size, 7) if is_ordinary[index]]
    if not before or not after:
        return None
    return float(np.interp(day, [before[0], after[0]], [load[before[0]], load[after[0]]]))
