"""The pictures of a whole fleet, drawn from frames that are at hand: what it is made of, and how its load goes."""

from typing import Final

import polars as pl

from capsim_dagster.pictures import composition, fleet, profiles, regions
from capsim_dagster.pictures.composition import Parts
from capsim_dagster.schemas import VARIETIES, Resource
from capsim_dagster.simulated.footer import DataFooter

_DIVIDED_BY: Final = ("department", "server_type", "region", "criticality", "classification")
"""Columns of the inventory that the fleet is divided by, in the order of the panels."""


def inventory_pictures(hosts: pl.DataFrame) -> dict[str, bytes]:
    """Return what an inventory shows of the fleet, by name of the picture.

    `fleet_composition` is an SVG: hosts and shares by variety, department, server type, region, criticality and
    classification.

    Args:
        hosts: Columns of `schemas.fleet.HOSTS`.
    """
    panels = {
        "by variety": _varieties(hosts),
        **{f"by {column.replace('_', ' ')}": _parts(hosts, column) for column in _DIVIDED_BY},
    }
    note = f"{hosts.height:,} hosts in the inventory"
    return {"fleet_composition": composition.composition_picture(panels, note)}


def load_pictures(loads: pl.DataFrame, calendar: pl.DataFrame, footer: DataFooter, *, n_hosts: int) -> dict[str, bytes]:
    """Return the pictures of the week, of quarter end and of the regions, by name.

    Args:
        loads: Loads by group and day, from `profiles.Loads.frame`.
        calendar: Columns of `schemas.fleet.REGION_CALENDAR`.
        footer: The footer of the master that the loads are from.
        n_hosts: How many of its hosts they are of.
    """
    of_cpu = loads.filter(pl.col("resource") == Resource.CPU.value)
    known = calendar.filter(pl.col("date") <= footer.end)
    who = f"the first {n_hosts:,} of {footer.hosts:,} hosts" if n_hosts < footer.hosts else f"all {n_hosts:,} hosts"
    note = f"daily P95 utilization, mean of {who} · {footer.start} to {footer.end}"
    weekly = {
        "by resource": profiles.weekly_profile(loads.rename({"resource": "group"}), known),
        "cpu, by server type": profiles.weekly_profile(of_cpu.rename({"server_type": "group"}), known),
    }
    quarterly = {
        "by resource": profiles.quarter_end_effect(loads.rename({"resource": "group"}), known),
        "cpu, by region": profiles.quarter_end_effect(of_cpu.with_columns(group="region"), known),
    }
    return {
        "weekly_profile": fleet.weekly_profile_picture(weekly, note),
        "quarter_end_effect": fleet.quarter_end_picture(
            quarterly,
            f"{note} · quarter ends: {profiles.quarter_ends(known)}",
            window_days=profiles.window_days(known),
        ),
        "utilization_by_region": regions.regions_picture(regions.region_means(loads), note),
    }


def _varieties(hosts: pl.DataFrame) -> Parts:
    """Return the hosts of each of the ten varieties, those without a host too."""
    counts = {
        (scenario, variant): n for scenario, variant, n in hosts.group_by("scenario", "variant").len().iter_rows()
    }
    return [(str(variety), counts.get((variety.scenario, variety.variant), 0)) for variety in VARIETIES]


def _parts(hosts: pl.DataFrame, column: str) -> Parts:
    """Return the hosts of each value of a column, the most frequent first."""
    counts = hosts.group_by(pl.col(column).cast(pl.String)).len().sort(-pl.col("len").cast(pl.Int64), column)
    return [(name, int(count)) for name, count in counts.iter_rows()]
