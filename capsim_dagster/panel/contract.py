"""The contract of the panel: its columns and their types, and the names of its files."""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from capsim_dagster.schemas import Column, Type, arrow
from capsim_dagster.schemas.column import percentage
from capsim_dagster.schemas.fleet import HOSTS
from capsim_dagster.schemas.resources import CAPACITY_UNITS
from capsim_dagster.settings import Flag, Panel, PanelMetric

KEY: Final = ("server_id", "timestamp")
"""Columns that identify a row, and by which the file is sorted."""
FOOTER_KEY: Final = "capsim_panel"
"""Key of the Parquet metadata that says, as JSON, which servers and days a panel of capsim's must hold."""
_TEXTS: Final = tuple(column for column in HOSTS if column.name in ("business_unit", "region", "criticality"))
_FLAGS: Final = {
    Flag.IS_WEEKEND: "Saturday or Sunday.",
    Flag.IS_HOLIDAY: "Bank holiday in the server's region.",
    Flag.IS_EOQ_WINDOW: "One of the last business days of a quarter, in the calendar of the server's region.",
}
_NAME: Final = re.compile(r"(?P<kind>raw|validated)_server_metrics_(?P<start>\d{8})_to_(?P<end>\d{8})\.parquet")
_DAY: Final = "%Y%m%d"


@dataclass(frozen=True)
class PanelName:
    """What the name of a panel's file says: whether it is a staged copy, its first and its last day."""

    is_validated: bool
    start: dt.date
    end: dt.date

    def __str__(self) -> str:
        """Return the name, e.g. raw_server_metrics_20220101_to_20251231.parquet."""
        return f"{self.stem}.parquet"

    @property
    def stem(self) -> str:
        """The name without its ending."""
        kind = "validated" if self.is_validated else "raw"
        return f"{kind}_server_metrics_{self.start.strftime(_DAY)}_to_{self.end.strftime(_DAY)}"


def panel_name(name: str) -> PanelName | None:
    """Return what the name of a file says, None if it is no panel's.

    >>> str(panel_name("raw_server_metrics_20220101_to_20251231.parquet").end)
    '2025-12-31'
    >>> panel_name("sample.parquet") is None
    True
    """
    match = _NAME.fullmatch(name)
    try:
        days = [dt.datetime.strptime(match[day], _DAY).date() for day in ("start", "end")] if match else []  # noqa: DTZ007
    except ValueError:
        return None
    if match is None or days[0] > days[1]:
        return None
    return PanelName(match["kind"] == "validated", *days)


def columns(panel: Panel) -> list[Column]:
    """Return the columns of a panel, in order; values may be missing of metrics alone."""
    return [
        Column("server_id", Type.TEXT, f"Server: {panel.server_prefix} and the number of the host."),
        Column("timestamp", Type.TIMESTAMP, "The day, at midnight."),
        *_TEXTS,
        *(metric_column(name, metric) for name, metric in panel.metrics.items()),
        *(Column(flag.value, Type.FLAG, _FLAGS[flag]) for flag in panel.flags),
    ]


def metric_column(name: str, metric: PanelMetric) -> Column:
    """Return the column of a metric."""
    part = {"in": "inbound ", "out": "outbound ", None: ""}[metric.direction]
    series = "A series of its own, of" if metric.own else "Daily P95 of"
    text = f"{series} {part}{metric.resource} load; null = no value."
    if metric.unit == "percent":
        return percentage(name, text)
    return Column(name, Type.DOUBLE, text, CAPACITY_UNITS[metric.resource], nullable=True, minimum=0, repeats=False)


def arrow_schema(panel: Panel, *, encode_names: bool = False) -> pa.Schema:
    """Return the columns as the file has them; `encode_names` as in `schemas.arrow`."""
    return arrow.arrow_schema(columns(panel), encode_names=encode_names)


def plain_columns(panel: Panel) -> list[str]:
    """Return the columns whose values hardly ever repeat: those in units of many capacities."""
    return [column.name for column in columns(panel) if not column.repeats]


def server_id(panel: Panel, number: int) -> str:
    """Return the id of the server with a host number, e.g. SRV-0001."""
    return f"{panel.server_prefix}{number:0{panel.server_digits}d}"
