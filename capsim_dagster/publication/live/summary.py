"""What the live page shows: an interval by region and resource, the hosts that run hot, each host, and its history."""

import json
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from capsim_dagster.publication.live.interval import PLACES, Interval
from capsim_dagster.publication.live.timeline import TIME_FORMAT
from capsim_dagster.publication.tier3.columns import NUMBERS, UTILIZATIONS

MAX_LISTED: Final = 100
"""Hot series that are listed, the hottest first; all are counted."""
_DECIMALS: Final = 2


def summary_of(interval: Interval, hot_percent: float) -> dict[str, Any]:
    """Return the summary of an interval, for JSON.

    Args:
        interval: The interval.
        hot_percent: Utilization from which a host is listed [%], above 0 to 100.
    """
    long = interval.frame.select("host_id", "region", *UTILIZATIONS).unpivot(
        on=list(UTILIZATIONS), index=["host_id", "region"], variable_name="resource", value_name="value"
    )
    hot = long.filter(pl.col("value") >= hot_percent).sort(
        ["value", "host_id", "resource"], descending=[True, False, False]
    )
    reporting = long.drop_nulls("value").get_column("host_id").n_unique()
    return {
        "seq": interval.number,
        "ts": f"{interval.begin:{TIME_FORMAT}}",
        "hosts": interval.frame.height,
        "reporting": reporting,
        "hot_percent": hot_percent,
        "hot_hosts": hot.get_column("host_id").n_unique(),
        "hot_series": hot.height,
        "hot": hot.head(MAX_LISTED).to_dicts(),
        "regions": _by_region(interval.frame, long),
    }


def columns_of(interval: Interval) -> dict[str, Any]:
    """Return an interval for JSON: what is said of each host and its samples, a list a column."""
    head = {"seq": interval.number, "ts": f"{interval.begin:{TIME_FORMAT}}"}
    return head | interval.frame.select("host_id", *PLACES, *NUMBERS).to_dict(as_series=False)


def history_of(host_id: str, intervals: Sequence[Interval]) -> dict[str, Any] | None:
    """Return a host in some intervals for JSON: what is said of it, and a list a sample; None = there is no such host.

    Args:
        host_id: The host.
        intervals: The intervals, one at least.
    """
    said = intervals[-1].frame.filter(pl.col("host_id") == host_id).select("host_id", *PLACES)
    if said.is_empty():
        return None
    lines = [json.loads(each.line_of(host_id)) for each in intervals]
    samples = {name: [line[name] for line in lines] for name in NUMBERS}
    return said.row(0, named=True) | {"ts": [f"{each.begin:{TIME_FORMAT}}" for each in intervals]} | samples


def _by_region(frame: pl.DataFrame, long: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each region with its hosts, and mean and highest utilization of each resource; None = no host reports."""
    hosts = frame.group_by("region").len("hosts").sort("region")
    cells = long.group_by("region", "resource").agg(
        pl.col("value").mean().round(_DECIMALS).alias("mean"),
        pl.col("value").max().alias("max"),
        pl.col("value").count().alias("reporting"),
    )
    found = {(cell["region"], cell["resource"]): cell for cell in cells.to_dicts()}
    names = ("mean", "max", "reporting")
    return [
        {
            "region": region,
            "hosts": count,
            "resources": {r: {name: found[region, r][name] for name in names} for r in UTILIZATIONS},
        }
        for region, count in hosts.iter_rows()
    ]
