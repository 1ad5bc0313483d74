"""What of each asset lies in a data directory, found cheaply: sizes and listings, and a few numbers of the warehouse.

Nothing is waited for and no value is read: whether the content is right is for the audits to say.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from capsim_dagster.legacy_feed.contract import FeedContract
from capsim_dagster.schemas.feed import ORIGIN_FACT, OWN_FEED
from capsim_dagster.settings import Retention, Settings
from capsim_dagster.storage.layout import DataLayout

_HEADERS_BYTES: Final = 3 * 4_096
"""What a DuckDB file holds before its blocks."""
_IN_USE: Final = "Could not set lock on file"
_HOURS: Final = 24
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_ARCHIVED_DAY: Final = re.compile(r"\d{8}")
_HOUR: Final = re.compile(r"\d{2}")
_MANIFEST: Final = "manifest.json"
_TABLES: Final = ("host_inventory", "time_dimension", "processed_data")
_NOT_MEASURED: Final = ("refinery_audit", "server_metrics", "validated_server_metrics")
_COUNTS: Final = f"""
SELECT (SELECT count(*) FROM hosts), (SELECT count(*) FROM time_periods), (SELECT count(*) FROM processed_data),
    (SELECT value FROM warehouse_info WHERE name = '{ORIGIN_FACT}')"""
_OTHER_TABLES: Final = """
SELECT NULL FROM business_hierarchy, region_calendar, bank_holidays, rejected_lines, refused_files LIMIT 0"""
_PROMISED: Final = "SELECT yearmonth, sum(loaded)::BIGINT FROM feed_files GROUP BY yearmonth ORDER BY yearmonth"
_HELD: Final = "SELECT (year(ds) * 100 + month(ds))::INTEGER AS month, count(*) FROM processed_data GROUP BY month"


@dataclass(frozen=True)
class WarehouseFacts:
    """What the warehouse tells without being read through.

    Attributes:
        problem: Why it cannot be used; empty = it can, or it is not there.
        is_in_use: Whether another process writes to it: nothing else is known then.
        hosts: Hosts of the inventory.
        days: Days of the calendar.
        months: Rows of `processed_data` by month as YYYYMM, of the months that a file was loaded for.
        origin: The feed that it holds; None = none.
    """

    is_there: bool = False
    problem: str = ""
    is_in_use: bool = False
    hosts: int = 0
    days: int = 0
    months: Mapping[int, int] = field(default_factory=dict)
    origin: str | None = None

    @property
    def foreign_feed(self) -> str | None:
        """The root of the feed that it holds, where that is not capsim's own."""
        return None if self.origin in (None, OWN_FEED) else self.origin


@dataclass(frozen=True)
class OnDisk:
    """What lies in a data directory.

    Attributes:
        warehouse: What the warehouse tells.
        files: Bytes by asset, of those that are files of their own and there.
        feed: Bytes by asset and month, of the files of capsim's own feed.
        dated: Days or hours by asset, ascending, as Dagster names them.
        elsewhere: Assets that go to a bucket: that they are not here says nothing.
        kept_from: First day that is kept, by asset, of those that are not kept for ever.
    """

    warehouse: WarehouseFacts = field(default_factory=WarehouseFacts)
    files: Mapping[str, int] = field(default_factory=dict)
    feed: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    dated: Mapping[str, list[str]] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()
    kept_from: Mapping[str, str] = field(default_factory=dict)

    def is_unknown(self, asset: str) -> bool:
        """Whether the disk says nothing of an asset."""
        return asset in self.elsewhere or (self.is_in_warehouse(asset) and self.warehouse.is_in_use)

    def is_in_warehouse(self, asset: str) -> bool:
        """Whether an asset is a table, measured in rows, and not in bytes."""
        return asset in _TABLES

    def is_measured(self, asset: str) -> bool:
        """Whether the size of an asset is to be what was recorded; of others several may be there, or they vary."""
        return asset not in _NOT_MEASURED

    def size_of(self, asset: str, month: int | None = None) -> int | None:
        """Return rows or bytes of an asset, or of a month of it; None = it is not there."""
        if asset == "processed_data":
            return self.warehouse.months.get(month or 0)
        if self.is_in_warehouse(asset):
            return (self.warehouse.hosts if asset == "host_inventory" else self.warehouse.days) or None
        return self.files.get(asset) if month is None else self.feed.get(asset, {}).get(month)


def look_at_disk(settings: Settings, today: dt.date) -> OnDisk:
    """Return what lies in the data directory of some settings; what is kept depends on the day, in UTC."""
    layout, storage = DataLayout(settings.data_dir.absolute()), settings.storage
    paths = {
        "master_parquet": [layout.master],
        "ground_truth": sorted(layout.truth.glob("*.parquet")),
        "refinery_audit": [layout.audit],
        "server_metrics": sorted(layout.root.glob(f"{storage.raw_prefix}/raw_server_metrics_*.parquet")),
        "validated_server_metrics": sorted(layout.root.glob(f"{storage.staged_prefix}/*.parquet")),
    }
    sizes = {asset: [path.stat().st_size for path in found if path.is_file()] for asset, found in paths.items()}
    return OnDisk(
        warehouse=_warehouse(layout.warehouse),
        files={asset: sum(each) for asset, each in sizes.items() if each},
        feed=_feed(FeedContract(layout.legacy, settings.legacy_feed)),
        dated={
            "hourly_archive": list(_archived(layout.archive)),
            "tier3_daily": list(_published_days(layout.output / "tier3_daily")),
            "tier2_hourly": list(_published_hours(layout.output / "tier2_hourly")),
        },
        elsewhere=frozenset(paths) - {"refinery_audit"} if settings.uses_s3 else frozenset(),
        kept_from=_kept_from(settings.publication.retention, today),
    )


def _kept_from(retention: Retention, today: dt.date) -> dict[str, str]:
    days = {
        "hourly_archive": retention.archive_days,
        "tier3_daily": retention.tier3_days,
        "tier2_hourly": retention.tier2_days,
    }
    kept = {asset: count for asset, count in days.items() if count is not None}
    return {asset: (today - dt.timedelta(days=count - 1)).isoformat() for asset, count in kept.items()}


def _warehouse(path: Path) -> WarehouseFacts:
    if not path.exists():
        return WarehouseFacts()
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return _counted(connection, path)
    except (duckdb.Error, OSError) as error:
        said = str(error).splitlines()[0]
        is_in_use = _IN_USE in said
        return WarehouseFacts(is_there=True, is_in_use=is_in_use, problem="" if is_in_use else said)


def _counted(connection: duckdb.DuckDBPyConnection, path: Path) -> WarehouseFacts:
    _, _, block_bytes, blocks, *_ = connection.execute("PRAGMA database_size").fetchall()[0]
    lacking = blocks * block_bytes + _HEADERS_BYTES - path.stat().st_size
    if lacking > 0:
        return WarehouseFacts(is_there=True, problem=f"it is truncated: {lacking:,} bytes of it are missing")
    connection.execute(_OTHER_TABLES)
    hosts, days, rows, origin = connection.execute(_COUNTS).fetchall()[0]
    months = dict(connection.execute(_PROMISED).fetchall())
    if sum(months.values()) != rows:
        # To count by month reads the column: only where the sums disagree.
        held = dict(connection.execute(_HELD).fetchall())
        months = {month: held.get(month, 0) for month in months}
    return WarehouseFacts(is_there=True, hosts=hosts, days=days, months=months, origin=origin)


def _feed(contract: FeedContract) -> dict[str, dict[int, int]]:
    """Return the sizes of the files of capsim's own feed, by asset and month."""
    found: dict[str, dict[int, int]] = {}
    if contract.root.is_dir():
        for piece, path in contract.pieces().items():
            found.setdefault(f"monthly_csv/{piece.resource}", {})[piece.month] = path.stat().st_size
    return found


def _archived(root: Path) -> Iterator[str]:
    """Yield the days of which all hours are there."""
    for day in _folders(root, _ARCHIVED_DAY):
        if sum(path.name.endswith(".jsonl.gz") for path in day.iterdir()) == _HOURS:
            yield dt.datetime.strptime(day.name, "%Y%m%d").replace(tzinfo=dt.UTC).date().isoformat()


def _published_days(root: Path) -> Iterator[str]:
    return (day.name for day in _folders(root, _DAY) if (day / _MANIFEST).is_file())


def _published_hours(root: Path) -> Iterator[str]:
    for day in _folders(root, _DAY):
        yield from (f"{day.name}-{hour.name}:00" for hour in _folders(day, _HOUR) if (hour / _MANIFEST).is_file())


def _folders(root: Path, name: re.Pattern[str]) -> list[Path]:
    """Return the folders of a folder with such a name, in order; of one that is not there none."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if name.fullmatch(path.name) and path.is_dir())
