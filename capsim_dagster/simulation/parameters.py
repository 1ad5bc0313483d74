"""What is drawn once for each series: level, growth, season, noise, breach; and the hosts it is drawn for.

Each parameter of each host has a stream of its own, so no other host, resource or parameter can move it. The ranges
are in `scenarios`, the factors of metric and organization in the settings.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.schemas import VARIETIES, Resource
from capsim_dagster.seeding import Float32Array, Float64Array, HostStreams, streams
from capsim_dagster.settings import DataGeneration, LoadShift, Weighted
from capsim_dagster.simulation.components import BREACH_DATE_SLOPE, DAYS_PER_YEAR
from capsim_dagster.simulation.scenarios import BEHAVIOURS, LIMITING_NOISE, SIDE_RISE, TYPICAL_MEAN, ZERO, Range

Int64Array = NDArray[np.int64]

PARAMETER_DECIMALS: Final = 6
"""Rounding of drawn parameters: far below the two decimals kept, far above a last-bit difference."""
NEVER: Final = np.float32(1.0)
"""Breach day of hosts without a breach; their rise is 0, so any positive number will do."""
_CROSSING_SIGMAS: Final = 3.5
"""One day in 4,300 exceeds it: about one host in a hundred within the few weeks in which it could matter."""
_BREACH_START: Final = 0.75
"""Highest level from which a breach starts, as a share of the threshold: there must be a way to go."""
_NOISE_TO_LEVEL: Final = 0.25
"""Most noise a series may have, as a share of its level: a quiet host must not spend its days at 0."""


@dataclass(frozen=True)
class HostBlock:
    """Some hosts, as the simulation needs them; each array of shape `(n_hosts,)`.

    Attributes:
        numbers: Host numbers, 1 and up.
        varieties: Index of each host's variety in `schemas.VARIETIES`.
        departments: Index of each host's department in the settings; regions and so on likewise.
        apps: Number of each host's application, from its code.
    """

    numbers: Int64Array
    varieties: Int64Array
    departments: Int64Array
    regions: Int64Array
    criticalities: Int64Array
    server_types: Int64Array
    apps: Int64Array


@dataclass(frozen=True)
class SeriesParameters:
    """Drawn parameters of one resource's series; each array of shape `(n_hosts,)` unless stated.

    Attributes:
        level: Utilization on the first day, on a working day without an occasion [%].
        drift: Growth [% points a year].
        annual_amplitude: Half the swing of the annual season [% points].
        annual_peak: Where in the year it is highest, as a share of the year, 0 to 1.
        noise_std: Standard deviation of the daily noise [% points].
        noise_profile: Weights of the independent shocks that make the noise [% points], shape `(n_hosts, n_resources)`.
        burst_rate: Bursts of the host a day, 0 to 0.125.
        burst_height: Typical height of a burst [% points].
        breach_rise: Growth until the breach day [% points]; 0 = no breach.
        breach_day: Days from the window's start until the threshold is reached.
        is_limiting: Whether this resource is the one that reaches the threshold.
        calendar_group: Row of the host in `calendar_effects.calendar_factors`.
        bounds: Lowest and highest value [%].
        start: First day of the window.
    """

    level: Float32Array
    drift: Float32Array
    annual_amplitude: Float32Array
    annual_peak: Float64Array
    noise_std: Float32Array
    noise_profile: Float32Array
    burst_rate: Float32Array
    burst_height: Float32Array
    breach_rise: Float32Array
    breach_day: Float32Array
    is_limiting: NDArray[np.bool_]
    calendar_group: Int64Array
    bounds: tuple[float, float]
    start: dt.date


def host_block(generation: DataGeneration, hosts: pl.DataFrame) -> HostBlock:
    """Return hosts of the inventory as the simulation needs them.

    `hosts`: columns of `schemas.fleet.HOSTS`, with `app_code` of `schemas.fleet.BUSINESS_HIERARCHY`.
    """
    varieties = {(variety.scenario.value, variety.variant.value): i for i, variety in enumerate(VARIETIES)}
    pairs = hosts.select("scenario", "variant").iter_rows()
    metadata = generation.metadata
    return HostBlock(
        numbers=host_numbers(hosts),
        varieties=np.array([varieties[pair] for pair in pairs], dtype=np.int64),
        departments=_indices(hosts.get_column("department"), metadata.departments),
        regions=_indices(hosts.get_column("region"), metadata.regions),
        criticalities=_indices(hosts.get_column("criticality"), metadata.criticality_levels),
        server_types=_indices(hosts.get_column("server_type"), metadata.server_types),
        apps=np.array([_app_number(code) for code in hosts.get_column("app_code")], dtype=np.int64),
    )


def host_numbers(hosts: pl.DataFrame) -> Int64Array:
    """Return the numbers of hosts, 1 and up, shape `(n_hosts,)`."""
    numbers: Int64Array = hosts.get_column("host_id").str.strip_prefix("srv-").cast(pl.Int64).to_numpy()
    return numbers


def draw_parameters(
    generation: DataGeneration, resource: Resource, block: HostBlock, *, own_name: str = ""
) -> SeriesParameters:
    """Draw the parameters of one resource's series.

    `own_name`: name of a series beside the resource's own, which has draws and shocks of its own and never breaches.
    """
    draw = _Draws(generation, resource, block, own_name or resource.value)
    metric = generation.metrics[resource]
    breach_day = breach_days(generation, block)
    has_breach = breach_day > 0
    is_limiting = has_breach & (limiting_resource(generation.random_seed, block) == list(Resource).index(resource))
    is_limiting &= not own_name
    mix = _unmixed(resource, block) if own_name else _cholesky_rows(generation, resource, block)
    level = _rounded(draw.between("level") * draw.scale * draw.shift("level_factor"))
    level = np.where(has_breach, np.minimum(level, np.float32(_BREACH_START * generation.breach_threshold)), level)
    noise_std = _noise_std(draw, level, is_limiting)
    way = np.maximum(np.float32(generation.breach_threshold) - level, 0)
    rise = np.where(is_limiting, 1, draw.uniform(SIDE_RISE, "side_rise"))
    season = metric.seasonality_amplitude * level + draw.between("annual_amplitude") * draw.scale
    growth = draw.between("drift") * draw.scale + metric.growth_per_year + metric.growth_std * draw.normal("growth")
    return SeriesParameters(
        level=level,
        drift=_rounded(np.where(is_limiting, 0, growth * draw.shift("growth_factor"))),
        annual_amplitude=_rounded(np.where(is_limiting, 0, season * draw.shift("season_factor"))),
        annual_peak=_annual_peak(generation, block),
        noise_std=noise_std,
        noise_profile=_rounded(mix * noise_std[:, np.newaxis]),
        burst_rate=_rounded(draw.of_host("burst_rate")),
        burst_height=_rounded(draw.between("burst_height") * draw.scale),
        breach_rise=_rounded(np.where(has_breach, rise * way, 0)),
        breach_day=np.where(has_breach, breach_day, NEVER).astype(np.float32),
        is_limiting=is_limiting,
        calendar_group=_calendar_group(generation, block, is_limiting),
        bounds=(metric.min_clip, metric.max_clip),
        start=generation.start_date,
    )


def breach_days(generation: DataGeneration, block: HostBlock) -> Int64Array:
    """Return on which day after the window's start each host reaches the threshold; 0 = never on purpose.

    The day depends on the horizon, never on the window's end.
    """
    bounds = _ranges([behaviour.breach_share or ZERO for behaviour in BEHAVIOURS.values()], block)
    share = streams(generation.random_seed, "telemetry", "breach_date", hosts=block.numbers).uniform()
    drawn: Float64Array = bounds[0] + (bounds[1] - bounds[0]) * share
    return np.rint(drawn * generation.scenario_horizon_days).astype(np.int64)


def limiting_resource(seed: int, block: HostBlock) -> Int64Array:
    """Return which resource limits each host if it breaches, as an index into `Resource`, shape `(n_hosts,)`."""
    share = streams(seed, "telemetry", "limiting_resource", hosts=block.numbers).uniform()
    return (share * len(Resource)).astype(np.int64)


def crossing_spread_days(series: SeriesParameters) -> Float64Array:
    """Return by how many days noise may shift the crossing of the threshold, shape `(n_hosts,)`.

    The growth of a breach is steepest on its date; what noise of 3.5 standard deviations adds is reached that many
    days early. Hosts without a breach get infinity.
    """
    with np.errstate(divide="ignore"):
        slope = BREACH_DATE_SLOPE * series.breach_rise.astype(np.float64) / series.breach_day
        spread: Float64Array = _CROSSING_SIGMAS * series.noise_std.astype(np.float64) / slope
    return spread


class _Draws:
    """Draws of series parameters for the hosts of a block, each from the stream of its name."""

    def __init__(self, generation: DataGeneration, resource: Resource, block: HostBlock, name: str) -> None:
        self._generation = generation
        self._name = name
        self._block = block
        self.base_std = generation.metrics[resource].base_std
        self.scale = generation.metrics[resource].base_mean / TYPICAL_MEAN

    def between(self, name: str) -> Float64Array:
        """Draw a parameter of the series from its range in each host's `Behaviour`."""
        return self._drawn(name, self._streams(name))

    def of_host(self, name: str) -> Float64Array:
        """Draw a parameter that all resources of a host have in common."""
        seed = self._generation.random_seed
        return self._drawn(name, streams(seed, "telemetry", name, hosts=self._block.numbers))

    def uniform(self, bounds: Range, name: str) -> Float64Array:
        return bounds[0] + (bounds[1] - bounds[0]) * self._streams(name).uniform()

    def normal(self, name: str) -> Float64Array:
        return self._streams(name).normals(0, 1)[:, 0].astype(np.float64)

    def shift(self, factor: str) -> Float64Array:
        """Return the product of a factor of each host's department, region and criticality."""
        metadata, block = self._generation.metadata, self._block
        return (
            _factors(metadata.departments, factor)[block.departments]
            * _factors(metadata.regions, factor)[block.regions]
            * _factors(metadata.criticality_levels, factor)[block.criticalities]
        )

    def _streams(self, name: str) -> HostStreams:
        seed = self._generation.random_seed
        return streams(seed, "telemetry", self._name, name, hosts=self._block.numbers)

    def _drawn(self, name: str, source: HostStreams) -> Float64Array:
        bounds = _ranges([getattr(behaviour, name) for behaviour in BEHAVIOURS.values()], self._block)
        drawn: Float64Array = bounds[0] + (bounds[1] - bounds[0]) * source.uniform()
        return drawn


def _noise_std(draw: _Draws, level: Float32Array, is_limiting: NDArray[np.bool_]) -> Float32Array:
    ordinary = np.minimum(draw.between("noise") * draw.base_std, _NOISE_TO_LEVEL * level.astype(np.float64))
    return _rounded(np.where(is_limiting, draw.uniform(LIMITING_NOISE, "limiting_noise") * draw.base_std, ordinary))


def _annual_peak(generation: DataGeneration, block: HostBlock) -> Float64Array:
    """Return where in the year each host's season peaks: around the day of its department."""
    peaks = np.array([department.season_peak_day - 1 for department in generation.metadata.departments])
    share = streams(generation.random_seed, "telemetry", "season_jitter", hosts=block.numbers).uniform()
    jitter = generation.calendar.season_jitter_days * (2 * share - 1)
    peak: Float64Array = np.round((peaks[block.departments] + jitter) / DAYS_PER_YEAR % 1.0, PARAMETER_DECIMALS)
    return peak


def _cholesky_rows(generation: DataGeneration, resource: Resource, block: HostBlock) -> Float64Array:
    """Return each host's row of its correlation profile's Cholesky factor, shape `(n_hosts, n_resources)`."""
    row = list(Resource).index(resource)
    rows = np.array([kind.correlation.factor[row] for kind in generation.metadata.server_types])
    taken: Float64Array = rows[block.server_types]
    return taken


def _unmixed(resource: Resource, block: HostBlock) -> Float64Array:
    """Return the weights of a series that only its own shocks move, shape `(n_hosts, n_resources)`."""
    row: Float64Array = np.eye(len(Resource))[list(Resource).index(resource)]
    return np.tile(row, (block.numbers.size, 1))


def _calendar_group(generation: DataGeneration, block: HostBlock, is_limiting: NDArray[np.bool_]) -> Int64Array:
    """Return each host's calendar group; what fills up steadily rests on no day, so it is in the last one."""
    n_types = len(generation.metadata.server_types)
    untouched = len(generation.metadata.regions) * n_types
    return np.where(is_limiting, untouched, block.regions * n_types + block.server_types).astype(np.int64)


def _factors(choices: Sequence[LoadShift], factor: str) -> Float64Array:
    return np.array([getattr(choice, factor) for choice in choices], dtype=np.float64)


def _indices(names: pl.Series, choices: Sequence[Weighted]) -> Int64Array:
    index = {choice.name: i for i, choice in enumerate(choices)}
    return np.array([index[name] for name in names], dtype=np.int64)


def _app_number(code: str) -> int:
    """Return a number of 56 bits that stands for an application code, whatever other applications there are."""
    return int.from_bytes(hashlib.blake2b(code.encode(), digest_size=7).digest(), "little")


def _ranges(by_variety: list[Range], block: HostBlock) -> Float64Array:
    """Return the low and high bounds of each host's range, shape `(2, n_hosts)`."""
    bounds: Float64Array = np.array(by_variety, dtype=np.float64)
    taken: Float64Array = np.take(bounds.T, block.varieties, axis=1)
    return taken


def _rounded(values: Float64Array) -> Float32Array:
    return np.round(values, PARAMETER_DECIMALS).astype(np.float32)
