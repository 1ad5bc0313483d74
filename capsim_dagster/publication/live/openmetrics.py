"""`/metrics`: the current interval as OpenMetrics or Prometheus text, and how the server itself fares.

The samples are rendered when they are first asked for, once an interval and format. They carry no timestamp of their
own: a server that scrapes stamps them with its time, and simulated time is a metric.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from capsim_dagster.publication.live.interval import PLACES, Interval
from capsim_dagster.publication.tier3.columns import TRAFFIC, UTILIZATIONS

_DIRECTIONS: Final = dict(zip(TRAFFIC, ("in", "out"), strict=True))
_BYTES_PER_MEGABIT: Final = 125_000.0
_END: Final = b"# EOF\n"


@dataclass(frozen=True)
class ServerFacts:
    """How the server fares.

    Attributes:
        interval_s: Length of an interval [s].
        sample_s: Begin of the current interval [s since 1970].
        speed: Simulated seconds in a second.
        lag: Intervals that have begun and were not emitted yet.
        silent_s: Time since the current interval came [s].
        hosts: Hosts of the fleet.
        clients: Clients of the streams.
        dropped: Clients that were dropped.
        archived: Intervals that this process wrote to the archive.
    """

    interval_s: int
    sample_s: float
    speed: float
    lag: int
    silent_s: float
    hosts: int
    clients: int
    dropped: int
    archived: int

    def collect(self) -> Iterator[Metric]:
        """Yield them as metrics."""
        gauges = [
            ("capsim_live_interval_seconds", "Time between two samples of a host.", self.interval_s),
            ("capsim_live_sample_timestamp_seconds", "Simulated time of the samples.", self.sample_s),
            ("capsim_live_speed_ratio", "Simulated seconds in a second.", self.speed),
            ("capsim_live_lag_intervals", "Intervals that are due and not emitted yet.", self.lag),
            ("capsim_live_silence_seconds", "Time since the last interval came.", self.silent_s),
            ("capsim_live_hosts", "Hosts of the fleet, reporting or not.", self.hosts),
            ("capsim_live_clients", "Clients of the streams.", self.clients),
        ]
        for name, text, value in gauges:
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily("capsim_live_dropped_clients", "Clients that lagged too far.", value=self.dropped)
        yield CounterMetricFamily("capsim_live_archived_intervals", "Intervals written.", value=self.archived)


class FleetMetrics:
    """The samples of an interval as metrics; a gap has none."""

    def __init__(self, interval: Interval) -> None:
        """Take an interval.

        Args:
            interval: The interval.
        """
        self._frame = interval.frame

    def collect(self) -> Iterator[Metric]:
        """Yield them, a family a unit."""
        utilization = GaugeMetricFamily(
            "capsim_host_utilization_percent",
            "Utilization of a host's capacity.",
            labels=["host_id", *PLACES, "resource"],
            unit="percent",
        )
        for resource in UTILIZATIONS:
            self._fill(utilization, resource, resource)
        yield utilization
        traffic = GaugeMetricFamily(
            "capsim_host_network_bytes_per_second",
            "Network traffic of a host.",
            labels=["host_id", *PLACES, "direction"],
            unit="bytes_per_second",
        )
        for column, direction in _DIRECTIONS.items():
            self._fill(traffic, column, direction, _BYTES_PER_MEGABIT)
        yield traffic

    def _fill(self, family: GaugeMetricFamily, column: str, label: str, factor: float = 1.0) -> None:
        known = self._frame.select("host_id", *PLACES, pl.col(column) * factor).drop_nulls(column)
        for *labels, value in known.iter_rows():
            family.add_metric([*labels, label], value)


class Renderer:
    """Renders metrics; for any number of threads."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._lock = threading.Lock()
        self._number: int | None = None
        self._texts: dict[str, bytes] = {}

    def render(self, accept: str, interval: Interval, facts: ServerFacts) -> tuple[bytes, str]:
        """Return metrics in a format that the caller accepts, and its content type.

        Args:
            accept: Header `Accept`.
            interval: The current interval.
            facts: How the server fares.
        """
        encode, content_type = choose_encoder(accept)
        with self._lock:
            if self._number != interval.number:
                self._number, self._texts = interval.number, {}
            if content_type not in self._texts:
                text = encode(_registry(FleetMetrics(interval)))
                self._texts[content_type] = text.removesuffix(_END)
            samples = self._texts[content_type]
        return samples + encode(_registry(facts)), content_type


class _Registered:
    """A collector that is not asked what it holds before it is asked for it."""

    def __init__(self, source: FleetMetrics | ServerFacts) -> None:
        self._source = source

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._source.collect()


def _registry(source: FleetMetrics | ServerFacts) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Registered(source))
    return registry
