"""The rows of the panel, some servers at a time: the simulation of the fleet, seen as one row a server a day.

A column that shows a resource holds the value of the master for the same host and day; absolute ones multiply it with
the host's capacity, and network traffic is split by the inbound share of the host.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from capsim_dagster.panel.contract import arrow_schema, server_id
from capsim_dagster.schemas import CAPACITY_COLUMNS, FULL_UTILIZATION, Resource
from capsim_dagster.seeding import Float32Array, Float64Array
from capsim_dagster.settings import DataGeneration, Flag, Panel, PanelMetric
from capsim_dagster.simulation import telemetry
from capsim_dagster.simulation.parameters import HostBlock, host_numbers
from capsim_dagster.simulation.region_calendar import region_calendar
from capsim_dagster.simulation.samples import inbound_shares
from capsim_dagster.simulation.time_dimension import epoch_days

Int64Array = NDArray[np.int64]

ROWS_AT_ONCE: Final = 1 << 17
"""About how many rows are simulated and written at a time: few enough for the processor's cache."""
_CENTS: Final = 100.0
"""Values are kept to two decimals."""
_US_PER_DAY: Final = 86_400_000_000
_FACTORS: Final = {
    "server_id": pl.String,
    "host_id": pl.String,
    "resource": pl.String,
    "metric": pl.String,
    "factor": pl.Float64,
}
_FLAG_COLUMNS: Final = {Flag.IS_HOLIDAY: "is_bank_holiday", Flag.IS_EOQ_WINDOW: "is_quarter_end_window"}
"""The column of the regional calendar that says it; weekends need no region."""


@dataclass(frozen=True)
class PanelPiece:
    """Some servers over the whole window: their rows of the inventory with application codes, and their values.

    Those of each metric have the shape `(n_hosts, n_days)`; NaN = no value.
    """

    hosts: pl.DataFrame
    block: HostBlock
    values: Mapping[str, Float64Array]


def panel_pieces(
    generation: DataGeneration, panel: Panel, hosts: pl.DataFrame, *, end: dt.date
) -> Iterator[PanelPiece]:
    """Yield the values of all servers up to `end`, inclusive, by host numbers, in pieces of bounded size."""
    for some in hosts.iter_slices(hosts_at_once(generation, end)):
        model = telemetry.host_model(generation, some)
        yield PanelPiece(some, model.block, _values(model, panel, some, end))


def hosts_at_once(generation: DataGeneration, end: dt.date) -> int:
    """Return how many hosts a piece, and so a row group, holds."""
    return max(1, ROWS_AT_ONCE // ((end - generation.start_date).days + 1))


def shown_factors(generation: DataGeneration, panel: Panel, hosts: pl.DataFrame) -> pl.DataFrame:
    """Return by what each host's utilization [%] is multiplied in each metric that shows a resource.

    Returns:
        Columns `server_id`, `host_id`, `resource`, `metric`, `factor`.
    """
    numbers = host_numbers(hosts)
    inbound = inbound_shares(generation.random_seed, panel.inbound_share, numbers)
    servers = [server_id(panel, number) for number in numbers.tolist()]
    frames = [
        pl.DataFrame(
            {
                "server_id": servers,
                "host_id": hosts.get_column("host_id"),
                "resource": [metric.resource.value] * hosts.height,
                "metric": [name] * hosts.height,
                "factor": _factors(metric, hosts, inbound),
            }
        )
        for name, metric in panel.metrics.items()
        if metric.own is None
    ]
    return pl.concat([pl.DataFrame(schema=_FACTORS), *frames])


class PanelBatches:
    """Turns pieces into record batches of the panel's contract."""

    def __init__(self, generation: DataGeneration, panel: Panel, *, end: dt.date) -> None:
        """Prepare the days of the window, whose last is `end`."""
        self.schema = arrow_schema(panel, encode_names=True)
        self._panel = panel
        self._days = epoch_days(generation.start_date, end)
        self._kept = pa.array([], pa.timestamp("us"))
        self._flags = _flags(generation, panel, end)

    def batch(self, piece: PanelPiece) -> pa.RecordBatch:
        """Return the rows of a piece, sorted by server and day."""
        n_hosts, n_days = piece.hosts.height, self._days.size
        servers = pl.Series([server_id(self._panel, number) for number in piece.block.numbers.tolist()])
        columns = [
            _repeated(servers, n_days),
            self._timestamps(n_hosts),
            *(_repeated(piece.hosts.get_column(name), n_days) for name in ("business_unit", "region", "criticality")),
            *(pa.array(values.ravel(), from_pandas=True) for values in piece.values.values()),
            *(pa.array(by_region[piece.block.regions].ravel()) for by_region in self._flags),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _timestamps(self, n_hosts: int) -> pa.Array:
        """Return the days of so many servers; kept, as all pieces but the last have equally many."""
        if len(self._kept) != n_hosts * self._days.size:
            self._kept = pa.array(np.tile(self._days * _US_PER_DAY, n_hosts)).cast(pa.timestamp("us"))
        return self._kept


def _values(model: telemetry.HostModel, panel: Panel, hosts: pl.DataFrame, end: dt.date) -> dict[str, Float64Array]:
    """Return the values of each metric of some hosts over the whole window."""
    start, metrics = model.generation.start_date, panel.metrics
    shown = [r for r in Resource if any(m.resource is r and m.own is None for m in metrics.values())]
    of_resource = telemetry.utilization(model, start, end, shown) if shown else {}
    inbound = inbound_shares(model.generation.random_seed, panel.inbound_share, model.block.numbers)
    found = {}
    for name, metric in metrics.items():
        utilization = of_resource[metric.resource] if metric.own is None else _own(model, name, metric, end)
        found[name] = _in_unit(utilization, _factors(metric, hosts, inbound))
    return found


def _own(model: telemetry.HostModel, name: str, metric: PanelMetric, end: dt.date) -> Float32Array:
    assert metric.own is not None  # noqa: S101 asked by the caller
    own = telemetry.own_series_model(model, name, metric.resource, metric.own)
    return telemetry.utilization(own, model.generation.start_date, end, [metric.resource])[metric.resource]


def _factors(metric: PanelMetric, hosts: pl.DataFrame, inbound: Float64Array) -> Float64Array:
    """Return by what each host's utilization [%] is multiplied, shape `(n_hosts,)`."""
    part = {"in": inbound, "out": 1 - inbound, None: np.ones(hosts.height)}[metric.direction]
    if metric.unit == "percent":
        return part
    capacity = hosts.get_column(CAPACITY_COLUMNS[metric.resource]).to_numpy()
    factors: Float64Array = part * capacity / FULL_UTILIZATION
    return factors


def _in_unit(utilization: Float32Array, factors: Float64Array) -> Float64Array:
    """Return values with two decimals, each the double nearest to them.

    Utilization is a float32 with two decimals: the double with the same two decimals is what text would be read as.
    """
    cents: Float64Array = np.rint(utilization.astype(np.float64) * _CENTS)
    if (factors != 1).any():
        cents *= factors[:, np.newaxis]
        np.rint(cents, out=cents)
    cents /= _CENTS
    return cents


def _repeated(names: pl.Series, times: int) -> pa.DictionaryArray:
    """Return each text as often as there are days, as a dictionary without repetitions."""
    distinct, index = np.unique(names.to_numpy(), return_inverse=True)
    codes = np.repeat(index.astype(np.int32), times)
    return pa.DictionaryArray.from_arrays(codes, pa.array(distinct.tolist(), pa.string()))


def _flags(generation: DataGeneration, panel: Panel, end: dt.date) -> list[NDArray[np.bool_]]:
    """Return each flag by region and day, each of shape `(n_regions, n_days)`, in the order of the settings."""
    regions = generation.metadata.regions
    days = region_calendar(regions, generation.calendar, generation.start_date, end).with_columns(
        is_weekend=pl.col("date").dt.weekday() > 5
    )
    by_name = {name: frame for (name,), frame in days.partition_by("region", as_dict=True).items()}
    return [
        np.stack(
            [by_name[region.name].get_column(_FLAG_COLUMNS.get(flag, flag.value)).to_numpy() for region in regions]
        )
        for flag in panel.flags
    ]
