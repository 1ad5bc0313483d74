"""Entrance checks: what must exist before a stage starts, said in one line with the remedy."""

import datetime as dt
from collections.abc import Iterable

import duckdb
import polars as pl

from capsim_dagster.audits.parity import months_named
from capsim_dagster.errors import PartitionError, WarehouseError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.simulation.telemetry import fleet_hash
from capsim_dagster.simulation.time_dimension import yearmonth
from capsim_dagster.warehouse import fact, read_table

INVENTORY_HASH = "host_inventory.settings_hash"
"""Fact in the warehouse: which settings made the inventory."""
CALENDAR_HASH = "time_dimension.settings_hash"
"""Fact in the warehouse: which settings made the calendar."""


def require_hosts(platform: Platform, connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return the inventory with application codes, in the order of host numbers, made with these settings.

    Raises:
        WarehouseError: If it is empty or was made with other settings.
    """
    hosts = read_table(connection, "hosts", order_by="length(host_id), host_id")
    if hosts.is_empty():
        raise WarehouseError("the inventory is empty", remedy="materialize host_inventory first: capsim run")
    if fact(connection, INVENTORY_HASH) != fleet_hash(platform.generation):
        raise WarehouseError(
            f"the inventory ({hosts.height:,} hosts) was made with other settings than "
            f"{platform.generation.num_servers:,} hosts, seed {platform.generation.random_seed}",
            remedy="materialize host_inventory again (capsim run), or name another --data-dir",
        )
    apps = read_table(connection, "business_hierarchy", order_by="host_id").select("host_id", "app_code")
    return hosts.join(apps, on="host_id", how="left", maintain_order="left")


def require_calendar(platform: Platform, connection: duckdb.DuckDBPyConnection) -> list[dt.date]:
    """Return the days of the calendar, ascending, made with these settings.

    Raises:
        WarehouseError: If it is empty or was made with other settings.
    """
    days = calendar_days(connection)
    if not days:
        raise WarehouseError("the calendar is empty", remedy="materialize time_dimension first: capsim run")
    if fact(connection, CALENDAR_HASH) != fleet_hash(platform.generation):
        raise WarehouseError(
            f"the calendar ({days[0]} to {days[-1]}) was made with other settings",
            remedy="materialize time_dimension again (capsim run), or name another --data-dir",
        )
    return days


def require_months(days: list[dt.date], months: Iterable[int]) -> None:
    """Make sure that the calendar holds these months.

    Raises:
        PartitionError: If it does not hold one of them.
    """
    outside = set(months) - {yearmonth(day) for day in days}
    if outside:
        raise PartitionError(
            f"{months_named(outside)} lies outside the calendar, which holds {days[0]} to {days[-1]}",
            remedy="run the monthly_refresh job for that month: it extends calendar and master first",
        )


def calendar_days(connection: duckdb.DuckDBPyConnection) -> list[dt.date]:
    """Return the days of the calendar, ascending."""
    return [day for (day,) in connection.execute("SELECT date FROM time_periods ORDER BY date").fetchall()]
