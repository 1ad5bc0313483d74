"""Daily P95 utilization: each series' parameters, and the series for any hosts, resource and days.

A series is the sum of the components in `components`, clipped to the resource's bounds and rounded to two decimals.
Calendar effects, correlation between resources, anomalies and gaps have their place in `SeriesParameters` and in
`expected_utilization`, which is the noise-free expectation that the truth will record.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.schemas import VARIETIES, Resource
from capsim_dagster.seeding import Float32Array, Float64Array, HostStreams, streams
from capsim_dagster.settings import DataGeneration, settings_hash
from capsim_dagster.simulation import components
from capsim_dagster.simulation.scenarios import BEHAVIOURS, ZERO, Range

MODEL_VERSION: Final = "1"
"""Raised whenever the same settings give other values."""
_EPOCH: Final = dt.date(1970, 1, 1)
_PARAMETER_DECIMALS: Final = 6
"""Rounding of drawn parameters: far below the two decimals kept, far above a last-bit difference."""
_CROSSING_SIGMAS: Final = 3.5
"""One day in 4,300 exceeds it: about one host in a hundred within the few weeks in which it could matter."""
_SIDE_RISE: Final[Range] = (0.45, 0.7)
"""How far the resources that are not limiting rise, as a share of their way to the threshold."""
_NEVER: Final = np.float32(1.0)
"""Breach day of hosts without a breach; their rise is 0, so any positive number will do."""


@dataclass(frozen=True)
class HostBlock:
    """Some hosts, as the simulation needs them.

    Attributes:
        numbers: Host numbers, 1 and up, shape `(n_hosts,)`.
        varieties: Index of each host's variety in `schemas.VARIETIES`, shape `(n_hosts,)`.
    """

    numbers: NDArray[np.int64]
    varieties: NDArray[np.int64]


@dataclass(frozen=True)
class SeriesParameters:
    """Drawn parameters of one resource's series, each array of shape `(n_hosts,)`, with the streams of its noise.

    Attributes:
        level: Utilization on the first day [%].
        drift: Growth [% points a year].
        annual_amplitude: Half the swing of the annual season [% points].
        annual_phase: Where in the year the peak lies, as a share of the year, 0 to 1.
        weekly_amplitude: Scale of the weekly profile [% points].
        noise_std: Standard deviation of the daily noise [% points].
        noise_envelope: How much more noise there is at the annual peak, 0 to 1.
        burst_rate: Chance that a burst starts on a day, 0 to 1.
        burst_height: Typical height of a burst [% points].
        breach_rise: Growth until the breach day [% points]; 0 = no breach.
        breach_day: Days from the window's start until the threshold is reached.
        is_limiting: Whether this resource is the one that reaches the threshold.
        noise: Streams of the daily noise.
        burst_starts: Streams that decide when bursts start.
        burst_shapes: Streams that decide length and height of bursts.
        bounds: Lowest and highest value [%].
        start: First day of the window.
    """

    level: Float32Array
    drift: Float32Array
    annual_amplitude: Float32Array
    annual_phase: Float64Array
    weekly_amplitude: Float32Array
    noise_std: Float32Array
    noise_envelope: Float32Array
    burst_rate: Float32Array
    burst_height: Float32Array
    breach_rise: Float32Array
    breach_day: Float32Array
    is_limiting: NDArray[np.bool_]
    noise: HostStreams
    burst_starts: HostStreams
    burst_shapes: HostStreams
    bounds: tuple[float, float]
    start: dt.date


def fleet_hash(generation: DataGeneration) -> str:
    """Return the hash of every setting, and the model version, that decides the fleet's values."""
    return settings_hash(generation, f"model {MODEL_VERSION}")


def host_block(hosts: pl.DataFrame) -> HostBlock:
    """Return hosts of the inventory as the simulation needs them.

    Args:
        hosts: Columns `host_id`, `scenario`, `variant`.
    """
    index = {(variety.scenario.value, variety.variant.value): i for i, variety in enumerate(VARIETIES)}
    varieties = [index[pair] for pair in hosts.select("scenario", "variant").iter_rows()]
    numbers = hosts.get_column("host_id").str.strip_prefix("srv-").cast(pl.Int64)
    return HostBlock(numbers=numbers.to_numpy(), varieties=np.array(varieties, dtype=np.int64))


def draw_parameters(generation: DataGeneration, resource: Resource, block: HostBlock) -> SeriesParameters:
    """Draw the parameters of one resource's series; each parameter of each host has its own stream."""
    draw = _Draws(generation.random_seed, resource, block)
    metric = generation.metrics[resource]
    level = _rounded(draw.between("level") * metric.level_factor)
    is_limiting = limiting_resource(generation.random_seed, block) == list(Resource).index(resource)
    way = np.maximum(np.float32(generation.breach_threshold) - level, 0)
    rise_share = np.where(is_limiting, 1.0, draw.uniform_between("side_rise", _SIDE_RISE))
    has_breach = breach_days(generation, block) > 0
    return SeriesParameters(
        level=level,
        drift=_rounded(draw.between("drift") * metric.level_factor),
        annual_amplitude=_rounded(draw.between("annual_amplitude") * metric.level_factor),
        annual_phase=np.round(draw.uniform_between("annual_phase", (0, 1)), _PARAMETER_DECIMALS),
        weekly_amplitude=_rounded(draw.between("weekly_amplitude")),
        noise_std=_rounded(draw.between("noise_std") * metric.noise_factor),
        noise_envelope=_rounded(draw.between("noise_envelope")),
        burst_rate=_rounded(draw.between("burst_rate")),
        burst_height=_rounded(draw.between("burst_height")),
        breach_rise=np.where(has_breach, _rounded(rise_share * way), np.float32(0)),
        breach_day=np.where(has_breach, breach_days(generation, block), _NEVER).astype(np.float32),
        is_limiting=is_limiting & has_breach,
        noise=draw.streams("noise"),
        burst_starts=draw.streams("burst_starts"),
        burst_shapes=draw.streams("burst_shapes"),
        bounds=(metric.min_clip, metric.max_clip),
        start=generation.start_date,
    )


def breach_days(generation: DataGeneration, block: HostBlock) -> NDArray[np.int64]:
    """Return on which day after the window's start each host reaches the threshold; 0 = never on purpose.

    The day depends on the horizon, never on the window's end.
    """
    bounds = _ranges([behaviour.breach_share or ZERO for behaviour in BEHAVIOURS.values()], block)
    share = streams(generation.random_seed, "telemetry", "breach_date", hosts=block.numbers).uniform()
    drawn: Float64Array = bounds[0] + (bounds[1] - bounds[0]) * share
    return np.rint(drawn * generation.scenario_horizon_days).astype(np.int64)


def limiting_resource(seed: int, block: HostBlock) -> NDArray[np.int64]:
    """Return which resource limits each host, as an index into `Resource`, shape `(n_hosts,)`."""
    share = streams(seed, "telemetry", "limiting_resource", hosts=block.numbers).uniform()
    return (share * len(Resource)).astype(np.int64)


def crossing_spread_days(series: SeriesParameters) -> Float64Array:
    """Return by how many days noise and week may shift the crossing of the threshold, shape `(n_hosts,)`.

    The growth of a breach is steepest on its date, at 2.5 times its mean slope; what noise of 3.5 standard deviations
    and the weekly profile add is reached that many days early. Hosts without a breach get infinity.
    """
    with np.errstate(divide="ignore"):
        slope = components.BREACH_DATE_SLOPE * series.breach_rise.astype(np.float64) / series.breach_day
        swing = _CROSSING_SIGMAS * series.noise_std + max(components.WEEKLY_PROFILE) * series.weekly_amplitude
        spread: Float64Array = swing.astype(np.float64) / slope
    return spread


def expected_utilization(series: SeriesParameters, first: dt.date, last: dt.date) -> Float32Array:
    """Return the noise-free expectation before clipping [%], shape `(n_hosts, n_days)`.

    Args:
        series: Parameters of one resource's series.
        first: First day, inclusive, on or after the window's start.
        last: Last day, inclusive.
    """
    epoch_days = _epoch_days(first, last)
    season = components.annual_season(series.annual_phase, epoch_days)
    return _trend_and_season(series, season, epoch_days)


def utilization(series: SeriesParameters, first: dt.date, last: dt.date) -> Float32Array:
    """Return daily P95 utilization with two decimals [%], shape `(n_hosts, n_days)`.

    Each value is the float32 nearest to its two decimals, so text and table agree with it exactly.

    Args:
        series: Parameters of one resource's series.
        first: First day, inclusive, on or after the window's start.
        last: Last day, inclusive.
    """
    epoch_days = _epoch_days(first, last)
    season = components.annual_season(series.annual_phase, epoch_days)
    total = _trend_and_season(series, season, epoch_days)
    total += _noise(series, season, epoch_days)
    _add_bursts(total, series, epoch_days)
    np.clip(total, np.float32(series.bounds[0]), np.float32(series.bounds[1]), out=total)
    total *= np.float32(100)
    return (np.rint(total, out=total) + np.float32(0)) / np.float32(100)


def _trend_and_season(series: SeriesParameters, season: Float32Array, epoch_days: NDArray[np.int64]) -> Float32Array:
    elapsed = epoch_days - (series.start - _EPOCH).days
    total = components.drift(series.drift, elapsed)
    total += series.level[:, np.newaxis]
    total += series.annual_amplitude[:, np.newaxis] * season
    total += components.weekly_season(series.weekly_amplitude, epoch_days)
    (breaching,) = np.nonzero(series.breach_rise)
    if breaching.size:
        total[breaching] += components.breach_growth(
            series.breach_rise[breaching], series.breach_day[breaching], elapsed
        )
    return total


def _noise(series: SeriesParameters, season: Float32Array, epoch_days: NDArray[np.int64]) -> Float32Array:
    """Return daily noise, stronger at the annual peak where the series has an envelope."""
    normal = series.noise.normals(int(epoch_days[0]), int(epoch_days[-1]) + 1)
    envelope = np.float32(1) + series.noise_envelope[:, np.newaxis] * season
    return normal * (series.noise_std[:, np.newaxis] * envelope)


def _add_bursts(total: Float32Array, series: SeriesParameters, epoch_days: NDArray[np.int64]) -> None:
    """Add bursts to the hosts that have them, in place."""
    (bursting,) = np.nonzero(series.burst_rate)
    if bursting.size:
        total[bursting] += components.bursts(
            series.burst_rate[bursting],
            series.burst_height[bursting],
            starts=HostStreams(series.burst_starts.keys[bursting]),
            shapes=HostStreams(series.burst_shapes.keys[bursting]),
            first=int(epoch_days[0]),
            last=int(epoch_days[-1]) + 1,
        )


class _Draws:
    """Draws of series parameters for the hosts of a block, each from the stream of its name."""

    def __init__(self, seed: int, resource: Resource, block: HostBlock) -> None:
        self._seed = seed
        self._resource = resource
        self._block = block

    def streams(self, name: str) -> HostStreams:
        return streams(self._seed, "telemetry", self._resource.value, name, hosts=self._block.numbers)

    def uniform_between(self, name: str, bounds: Range) -> Float64Array:
        return bounds[0] + (bounds[1] - bounds[0]) * self.streams(name).uniform()

    def between(self, name: str) -> Float64Array:
        """Draw a parameter from its range in each host's `Behaviour`."""
        bounds = _ranges([getattr(behaviour, name) for behaviour in BEHAVIOURS.values()], self._block)
        drawn: Float64Array = bounds[0] + (bounds[1] - bounds[0]) * self.streams(name).uniform()
        return drawn


def _ranges(by_variety: list[Range], block: HostBlock) -> Float64Array:
    """Return the low and high bounds of each host's range, shape `(2, n_hosts)`."""
    bounds: Float64Array = np.array(by_variety, dtype=np.float64)
    taken: Float64Array = np.take(bounds.T, block.varieties, axis=1)
    return taken


def _rounded(values: Float64Array) -> Float32Array:
    return np.round(values, _PARAMETER_DECIMALS).astype(np.float32)


def _epoch_days(first: dt.date, last: dt.date) -> NDArray[np.int64]:
    return np.arange((first - _EPOCH).days, (last - _EPOCH).days + 1, dtype=np.int64)
