"""The stages of the main job up to the feed, each a plain function from settings to files and tables, with its gates.

Each returns what a person wants to see beside it. Audits of what is then on disk are in `checks`.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue
from typing import Final

import polars as pl

from capsim_dagster.audits import fleet as fleet_audits
from capsim_dagster.audits.claims import told
from capsim_dagster.audits.report import Finding
from capsim_dagster.errors import GateError
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.legacy_feed.export import export_piece, retire_strays
from capsim_dagster.legacy_feed.inspect import InspectedFile
from capsim_dagster.pipeline.directory import ensure_record
from capsim_dagster.pipeline.entrance import (
    CALENDAR_HASH,
    INVENTORY_HASH,
    calendar_days,
    require_calendar,
    require_hosts,
    require_months,
)
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.remote import Remote, own_master
from capsim_dagster.schemas import Resource
from capsim_dagster.schemas.months import first_day, month_end, yearmonth
from capsim_dagster.settings import Kind
from capsim_dagster.simulated.grid import Advance
from capsim_dagster.simulated.master import MasterFile, write_master
from capsim_dagster.simulated.truth import StoredTruth, TruthFiles, write_truth
from capsim_dagster.simulation import fleet, region_calendar, telemetry, time_dimension
from capsim_dagster.storage import StoredFile
from capsim_dagster.storage.warehouse import fact, replace_tables

_CORES: Final = 2
"""Files of a month that are written, or read, at once: more would only take turns."""
_MOST_HOSTS_AT_ONCE: Final = 10_000
"""In a larger fleet a file is so large that it is taken alone: two of 20,000 hosts cost 300 MiB."""


@dataclass(frozen=True)
class Inventory:
    """The inventory that was written, one row a host, and its hosts by variety."""

    hosts: pl.DataFrame
    varieties: Finding


@dataclass(frozen=True)
class Calendar:
    """The calendar that was written: first and last day, their number, and bank holidays over all regions."""

    start: dt.date
    end: dt.date
    days: int
    bank_holidays: int


def host_inventory(platform: Platform) -> Inventory:
    """Write the tables `hosts` and `business_hierarchy`.

    Raises:
        GateError: If one of the ten varieties is missing; the old tables stay.
    """
    generation = platform.generation
    ensure_record(platform, Kind.SIMULATED)
    hosts = fleet.host_inventory(generation)
    counts = hosts.group_by("scenario", "variant").len().iter_rows()
    varieties = fleet_audits.behavioral_diversity(counts)
    _hold("host_inventory", varieties)
    with platform.writing() as connection:
        replace_tables(
            connection,
            {"hosts": hosts, "business_hierarchy": fleet.business_hierarchy(generation)},
            facts={INVENTORY_HASH: telemetry.fleet_hash(generation)},
        )
    return Inventory(hosts=hosts, varieties=varieties)


def time_calendar(platform: Platform, *, through: int | None = None) -> Calendar:
    """Write the tables `time_periods`, `region_calendar` and `bank_holidays`.

    The calendar holds the configured window, the month asked for, as YYYYMM, and every month that it already held with
    the same settings: it never shrinks while the fleet lives on.

    Raises:
        GateError: If the calendar has a gap; the old tables stay.
    """
    generation = platform.generation
    with platform.writing() as connection:
        is_same = fact(connection, CALENDAR_HASH) == telemetry.fleet_hash(generation)
        ends = [generation.end_date, *(calendar_days(connection)[-1:] if is_same else [])]
        if through is not None:
            ends.append(month_end(first_day(through)))
        end = max(ends)
        days = time_dimension.time_periods(generation.start_date, end)
        regions = generation.metadata.regions
        holidays = region_calendar.bank_holidays(regions, generation.start_date, end)
        by_region = region_calendar.region_calendar(regions, generation.calendar, generation.start_date, end)
        whole = fleet_audits.contiguous_calendar(days["date"].to_list(), start=generation.start_date, end=end)
        _hold("time_dimension", whole)
        replace_tables(
            connection,
            {"time_periods": days, "region_calendar": by_region, "bank_holidays": holidays},
            facts={CALENDAR_HASH: telemetry.fleet_hash(generation)},
        )
    return Calendar(generation.start_date, end, days.height, holidays.height)


def master_parquet(platform: Platform, *, advance: Advance = lambda _rows: None) -> StoredFile:
    """Simulate the inventory's hosts over the calendar's days and write the master file.

    Raises:
        WarehouseError: If inventory or calendar are missing or made with other settings.
        GateError: If the file does not hold hosts x resources x days rows; the old file stays.
        StorageError: If the bucket, where there is one, cannot be reached or written.
    """
    remote = Remote(platform)
    remote.check()
    with platform.reading() as connection:
        hosts = require_hosts(platform, connection)
        days = require_calendar(platform, connection)
    stored = write_master(platform.generation, hosts, platform.layout.master, end=days[-1], advance=advance)
    remote.publish(stored.path)
    return stored


def ground_truth(platform: Platform, *, advance: Advance = lambda _rows: None) -> StoredTruth:
    """Write what the simulator knows of the master that is there: expectation, events and series.

    Raises:
        WarehouseError: If the inventory is missing or made with other settings.
        MasterError: If the master is missing, torn or made with other settings.
        GateError: If a file does not hold every row; the old files stay.
        StorageError: If the master lies in the bucket alone and cannot be fetched.
    """
    with platform.reading() as connection:
        hosts = require_hosts(platform, connection)
    end = own_master(platform).footer.end
    return write_truth(platform.generation, hosts, TruthFiles(platform.layout.truth), end=end, advance=advance)


def master_rows(platform: Platform) -> int:
    """Return how many rows the master will have: hosts x resources x days."""
    with platform.reading() as connection:
        days = require_calendar(platform, connection)
    return platform.generation.num_servers * len(Resource) * len(days)


def calendar_months(platform: Platform) -> list[int]:
    """Return the months of the calendar as YYYYMM."""
    with platform.reading() as connection:
        return sorted({yearmonth(day) for day in require_calendar(platform, connection)})


def monthly_csv(
    platform: Platform, months: Sequence[int], resources: Sequence[Resource] = tuple(Resource)
) -> Iterator[InspectedFile]:
    """Write and yield the feed files of some months and resources, month by month.

    Files of months that the calendar no longer holds are removed first.

    Raises:
        MasterError: If the master is missing, torn or made with other settings.
        PartitionError: If the calendar or the master does not hold a month.
        GateError: If a file does not hold every row; the old file stays.
        StorageError: If the bucket, where there is one, cannot be reached or written.
    """
    with platform.reading() as connection:
        days = require_calendar(platform, connection)
    require_months(days, months)
    remote = Remote(platform)
    contract, defects = platform.contract, platform.layout.defects
    # One a thread: an open file is read by one at a time.
    masters = Queue[MasterFile]()
    for _ in range(files_at_once(platform)):
        masters.put(own_master(platform))
    held = masters.queue[0].footer.months
    retire_strays(contract, held, defects)
    remote.retire_feed(held)

    def exported(piece: FeedPiece) -> InspectedFile:
        master = masters.get()
        try:
            return export_piece(master, contract, piece, defects)
        finally:
            masters.put(master)

    with ThreadPoolExecutor(files_at_once(platform)) as workers:
        for month in months:
            for written in workers.map(exported, [FeedPiece(month, resource) for resource in resources]):
                remote.publish_piece(written.piece)
                yield written


def files_at_once(platform: Platform) -> int:
    """Return how many files of a month are held at once."""
    return _CORES if platform.generation.num_servers <= _MOST_HOSTS_AT_ONCE else 1


def _hold(asset: str, finding: Finding) -> None:
    """Stop before publishing if a claim does not hold."""
    if not finding.passed:
        raise GateError(told(asset, finding), remedy="nothing was published; the previous version is untouched")
