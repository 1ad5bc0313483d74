"""Entrance checks: what must exist before a stage starts, said in one line with the remedy."""

import csv
import datetime as dt
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from capsim_dagster.audits.parity import months_named
from capsim_dagster.errors import FeedError, PartitionError, WarehouseError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.feed import ORIGIN_FACT, OWN_FEED
from capsim_dagster.schemas.months import yearmonth
from capsim_dagster.settings import leaves_of, read_record
from capsim_dagster.simulation.telemetry import fleet_hash
from capsim_dagster.storage import sha256
from capsim_dagster.storage.warehouse import fact, read_table, set_fact, transaction

INVENTORY_HASH = "host_inventory.settings_hash"
"""Fact in the warehouse: which settings made the inventory."""
CALENDAR_HASH = "time_dimension.settings_hash"
"""Fact in the warehouse: which settings made the calendar."""

_INVENTORY_DELIMITERS: Final = (",", ";", "\t")
"""Tried after those of the feed: an inventory rarely comes from the tool that measures."""
_LONGEST_INVENTORY: Final = 128 << 20
"""A million hosts with a dozen columns."""
_LOOKED_AT: Final = 24
"""Files that are compared to know a feed in another folder: six months of four resources."""


def require_hosts(platform: Platform, connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return the inventory with application codes, in the order of host numbers, made with these settings.

    Raises:
        WarehouseError: If it is empty or was made with other settings.
    """
    hosts = read_table(connection, "hosts", order_by="length(host_id), host_id")
    if hosts.is_empty():
        raise WarehouseError("the inventory is empty", remedy="materialize host_inventory first: capsim run")
    if fact(connection, INVENTORY_HASH) != fleet_hash(platform.generation):
        fleet = f"{platform.generation.num_servers:,} hosts, seed {platform.generation.random_seed}"
        raise WarehouseError(
            f"the inventory ({hosts.height:,} hosts) was made with other settings than {fleet}{_replaced_by(platform)}",
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
            f"the calendar ({days[0]} to {days[-1]}) was made with other settings" + _replaced_by(platform),
            remedy="materialize time_dimension again (capsim run), or name another --data-dir",
        )
    return days


def _replaced_by(platform: Platform) -> str:
    """Return that the directory was given to another fleet since this work began; empty = it was not."""
    record = read_record(platform.layout.root)
    if record is None:
        return ""
    own = leaves_of(platform.settings)
    if all(own.get(key) == value for key, value in record.settings.items() if key[0] == "data_generation"):
        return ""
    hosts, seed = (record.settings.get(("data_generation", name)) for name in ("num_servers", "random_seed"))
    return (
        f"; the directory now records {hosts} hosts, seed {seed}: another capsim run has replaced the fleet meanwhile, "
        "or is doing so now"
    )


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


def feed_origin(platform: Platform) -> str:
    """Return what the warehouse calls the feed to be refined: the same folder, however the path to it was typed."""
    return OWN_FEED if platform.refines_own_feed else os.path.normpath(platform.refined.root)


def require_one_feed(platform: Platform, connection: duckdb.DuckDBPyConnection) -> None:
    """Make sure that the table holds no rows of another feed, and record which feed it holds from now on.

    Raises:
        WarehouseError: If it does.
    """
    origin, found = feed_origin(platform), fact(connection, ORIGIN_FACT)
    if found == origin:
        return
    is_loaded = connection.execute("SELECT count(*) FROM feed_files").fetchall()[0][0] > 0
    if is_loaded and not _is_moved(platform, connection, found):
        raise WarehouseError(
            f"processed_data in {platform.layout.warehouse} holds the feed of {found}, not of {origin}",
            remedy="name another --data-dir for this feed: one table holds one feed",
        )
    with transaction(connection):
        if not is_loaded:
            # What was refused of a feed that never gave a row tells nothing about this one.
            connection.execute("DELETE FROM refused_files")
        set_fact(connection, ORIGIN_FACT, origin)


def _is_moved(platform: Platform, connection: duckdb.DuckDBPyConnection, found: str | None) -> bool:
    """Return whether the feed is the one that was loaded, in another folder: its latest files are the same there."""
    if found in (OWN_FEED, None) or platform.refines_own_feed:
        return False
    loaded: list[tuple[str, str]] = connection.execute(
        "SELECT path, sha256 FROM feed_files ORDER BY yearmonth DESC, path LIMIT ?", [_LOOKED_AT]
    ).fetchall()
    there = [(platform.refined.root / path, digest) for path, digest in loaded]
    same = [path.is_file() and sha256(path) == digest for path, digest in there]
    # A month may have been corrected since, or been rotated away.
    present = sum(path.is_file() for path, _ in there)
    return same.count(True) * 2 > present


def known_hosts(inventory: Path, labels: Sequence[str], delimiters: Sequence[str]) -> frozenset[str]:
    """Read the hosts of an inventory file: a CSV with a host column; what else stands in it is not looked at.

    The delimiters given are tried before comma, semicolon and tab.

    Raises:
        FeedError: If there is no such file, no host column, or no host.
    """
    wanted, most = {label.strip().casefold() for label in labels}, 0
    try:
        lines = _inventory_text(inventory).splitlines()
        for delimiter in dict.fromkeys([*delimiters, *_INVENTORY_DELIMITERS]):
            rows = csv.reader(lines, delimiter=delimiter)
            header = [label.strip().casefold() for label in next(rows, [])]
            most = max(most, len(header))
            column = next((index for index, label in enumerate(header) if label in wanted), None)
            if column is not None:
                hosts = frozenset(row[column].strip() for row in rows if len(row) > column) - {""}
                if not hosts:
                    raise FeedError(f"the inventory {inventory} holds no host", remedy="fetch it again")
                return hosts
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FeedError(
            f"the inventory {inventory} cannot be read: {error}", remedy="name a CSV file in UTF-8"
        ) from None
    raise FeedError(
        # What they are called is not said: who may start a run would read the first line of any file.
        f"the inventory {inventory} has no column {' or '.join(labels)}, of {most} in its first line",
        remedy="name its host column in legacy_feed.host_columns",
    )


def _inventory_text(inventory: Path) -> str:
    """Return the text of an inventory file, no longer than any inventory; a device or a pipe would never end."""
    status = inventory.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LONGEST_INVENTORY:
        kind = f"of {status.st_size:,} bytes" if stat.S_ISREG(status.st_mode) else "no regular file"
        raise FeedError(
            f"the inventory {inventory} is {kind}; expected a CSV file of at most {_LONGEST_INVENTORY >> 20} MiB",
            remedy="name the CSV file with the hosts",
        )
    return inventory.read_text(encoding="utf-8-sig")


def calendar_days(connection: duckdb.DuckDBPyConnection) -> list[dt.date]:
    """Return the days of the calendar, ascending."""
    return [day for (day,) in connection.execute("SELECT date FROM time_periods ORDER BY date").fetchall()]
