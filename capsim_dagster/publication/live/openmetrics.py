"""`/metrics`: the current interval as OpenMetrics or Prometheus text, and how the server itself fares.

The samples are rendered when they are first asked for, once an interval and format. They carry no timestamp of their
own: a server that scrapes stamps them with its time, and simulated time is a metric.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from capsim_dagster.publication.live.interval import PLACES, Interval
from capsim_dagster.publication.tier3.columns import TRAFFIC, UTILIZATIONS

_DIRECTIONS: Final = dict(zip(TRAFFIC, ("in", "out"), strict=True))
_BYTES_PER_MEGABIT: Final = 125_000.0
_END: Final = b"# EOF\n"


def _fleet_metrics(interval: Interval) -> Iterator[Metric]:
    """Yield the samples of an interval, a family a unit; a gap has none."""
    utilization = GaugeMetricFamily(
        "capsim_host_utilization_percent",
        "Utilization of a host's capacity.",
        labels=["host_id", *PLACES, "resource"],
        unit="percent",
    )
    for resource in UTILIZATIONS:
        _fill(utilization, interval, resource, resource)
    yield utilization
    traffic = GaugeMetricFamily(
        "capsim_host_network_bytes_per_second",
        "Network traffic of a host.",
        labels=["host_id", *PLACES, "direction"],
        unit="bytes_per_second",
    )
    for column, direction in _DIRECTIONS.items():
        _fill(traffic, interval, column, direction, _BYTES_PER_MEGABIT)
    yield traffic


def _fill(family: GaugeMetricFamily, interval: Interval, column: str, label: str, factor: float = 1.0) -> None:
    known = interval.frame.select("host_id", *PLACES, pl.col(column) * factor).drop_nulls(column)
    for *labels, value in known.iter_rows():
        family.add_metric([*labels, label], value)


class Renderer:
    """Renders metrics; for any number of threads."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._lock = threading.Lock()
        self._number: int | None = None
        self._texts: dict[str, bytes] = {}

    def render(self, accept: str, interval: Interval, facts: Iterable[Metric]) -> tuple[bytes, str]:
        """Return metrics in a format that a header `Accept` admits, and their content type."""
        encode, content_type = choose_encoder(accept)
        with self._lock:
            if self._number != interval.number:
                self._number, self._texts = interval.number, {}
            if content_type not in self._texts:
                text = encode(_registry(_fleet_metrics(interval)))
                self._texts[content_type] = text.removesuffix(_END)
            samples = self._texts[content_type]
        return samples + encode(_registry(facts)), content_type


class _Registered:
    """A collector that is not asked what it holds before it is asked for it."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _registry(metrics: Iterable[Metric]) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Registered(metrics))
    return registry
