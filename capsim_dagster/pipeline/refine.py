"""The refinery as a stage: months of a feed, capsim's own or a user's, into `processed_data`."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from capsim_dagster.audits.report import Reports
from capsim_dagster.errors import CapsimError, FeedError, GateError, SettingsError, listed
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.pipeline.checks import TableMonths
from capsim_dagster.pipeline.directory import ensure_record
from capsim_dagster.pipeline.dirt import expected_content
from capsim_dagster.pipeline.entrance import (
    feed_origin,
    known_hosts,
    require_calendar,
    require_hosts,
    require_months,
    require_one_feed,
)
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.remote import own_master, refresh_feed, strays_of
from capsim_dagster.refinery.account import PieceState, RefineryAccount, Source, refinery_account
from capsim_dagster.refinery.accounts import loaded_files, retire_months
from capsim_dagster.refinery.load import Feed, LoadedMonth, load_month
from capsim_dagster.refinery.page.page import audit_summary, rendered
from capsim_dagster.refinery.page.view import Level, PageView
from capsim_dagster.refinery.rules import HostTable, ReadRules
from capsim_dagster.schemas.feed import ORIGIN_FACT, OWN_FEED
from capsim_dagster.schemas.months import month_span
from capsim_dagster.settings import Kind
from capsim_dagster.storage import atomic_path
from capsim_dagster.storage.warehouse import fact


@dataclass(frozen=True)
class RefinedMonth:
    """What became of one month, as YYYYMM, that was asked for.

    Nothing was loaded where it was refused, and keeps its previous rows; there are no reports, by name, where the table
    holds nothing of it.
    """

    month: int
    loaded: LoadedMonth | None
    reports: Reports


@dataclass(frozen=True)
class AuditPage:
    """An audit page that was written: whether to trust the table, in one sentence, its totals, a summary in Markdown.

    It has problems if something needs attention: nothing loaded, a contradiction, a refused or missing file, one that
    changed or went since it was loaded, a month beyond the limit of rejected lines.
    """

    path: Path
    verdict: str
    has_problems: bool
    counts: Mapping[str, int]
    summary: str


def processed_data(platform: Platform, months: Sequence[int], *, run: str) -> Iterator[LoadedMonth]:
    """Load and yield months of the feed into `processed_data`, one transaction each.

    A month that cannot be loaded keeps its previous rows and does not stop the others; what was wrong is raised when
    all have been tried.

    Raises:
        SettingsError: If an inventory file is named for capsim's own feed, which has its inventory in the warehouse.
        WarehouseError: If the table holds another feed, or inventory or calendar are missing or of other settings.
        MasterError: If the master is missing, torn or made with other settings.
        PartitionError: If the calendar does not hold a month.
        FeedError: If the folder or the inventory of a foreign feed is missing, or files of a month cannot be used.
        GateError: If a claim about a month does not hold.
        StorageError: If the master lies in the bucket alone and cannot be fetched.
    """
    for month in _load_months(platform, months, run, {}, is_audited=False):
        if month.loaded is not None:
            yield month.loaded


def refined_months(
    platform: Platform, months: Sequence[int], *, run: str, barred: Mapping[int, GateError]
) -> Iterator[RefinedMonth]:
    """Load months as `processed_data` does, and audit and yield each, those too that are refused.

    Months that are barred are not loaded; why is raised with what else was wrong.

    Raises:
        CapsimError: As `processed_data`.
    """
    return _load_months(platform, months, run, barred, is_audited=True)


def foreign_hosts(platform: Platform) -> frozenset[str] | None:
    """Return the hosts that may occur in a feed that capsim did not write; None = any, or the feed is its own.

    Raises:
        SettingsError: If an inventory file is named for capsim's own feed.
        FeedError: If the folder of the feed or its inventory cannot be read.
    """
    inventory = platform.settings.refinery.inventory
    if platform.refines_own_feed:
        if inventory is not None:
            raise SettingsError(
                f"refinery.inventory: found {inventory}, but capsim's own feed has its inventory in the warehouse",
                remedy="name the feed that the file belongs to (--feed DIR, refinery.feed_dir), or leave it out",
            )
        return None
    _require_folder(platform)
    contract = platform.settings.legacy_feed
    return None if inventory is None else known_hosts(inventory, contract.host_columns, contract.delimiters)


def feed_months(platform: Platform) -> list[int]:
    """Return the months of a feed, from the first that has a file to the last, as YYYYMM; without those rotated away.

    Raises:
        FeedError: If the folder is missing, or holds no file of the layout.
        WarehouseError: If there is a warehouse that cannot be read.
    """
    _require_folder(platform)
    contract = platform.refined
    pieces = contract.pieces()
    if not pieces:
        strays = strays_of(platform)
        example = contract.relative(contract.path(FeedPiece(202401, next(iter(contract.settings.resources)))))
        raise FeedError(
            f"none of the {strays.total:,} files under {contract.root} is in the layout, e.g. {example}"
            + (f"; found {listed(strays.names)}" if strays.total else ""),
            remedy="set legacy_feed.layout and legacy_feed.resources.*.file_prefix",
        )
    rotated = {*rotated_months(platform)}
    return [month for month in month_span(piece.month for piece in pieces) if month not in rotated]


def rotated_months(platform: Platform) -> list[int]:
    """Return the months of a user's feed that were loaded and have no file any more: they stay as they are.

    Raises:
        WarehouseError: If there is a warehouse that cannot be read.
    """
    if platform.refines_own_feed or not platform.layout.warehouse.exists():
        return []
    with platform.reading() as connection:
        if fact(connection, ORIGIN_FACT) != feed_origin(platform):
            return []
    there = {piece.month for piece in platform.refined.pieces()}
    return [month for month in loaded_months(platform) if month not in there]


def loaded_months(platform: Platform) -> list[int]:
    """Return the months that were loaded into the table, as YYYYMM.

    Raises:
        WarehouseError: If the warehouse cannot be read.
    """
    with platform.reading() as connection:
        loaded = connection.execute("SELECT DISTINCT yearmonth FROM feed_files ORDER BY yearmonth").fetchall()
    return [month for (month,) in loaded]


def _require_folder(platform: Platform) -> None:
    """Make sure that the root of the feed is a folder; that of a feed in a bucket is brought up to date."""
    refresh_feed(platform)
    if not platform.refined.root.is_dir():
        own = "write the feed first: capsim run; or " if platform.refines_own_feed else ""
        raise FeedError(
            f"no folder {platform.refined.root}", remedy=f"{own}name the root of a feed: capsim refine --feed DIR"
        )


def _load_months(
    platform: Platform, months: Sequence[int], run: str, barred: Mapping[int, GateError], *, is_audited: bool
) -> Iterator[RefinedMonth]:
    """Load and yield each month; raise what was wrong when all have been tried."""
    failures: list[CapsimError] = []
    hosts = foreign_hosts(platform)
    with platform.writing() as connection:
        # A month is small: one thread costs half the CPU seconds of two, which mostly wait for each other.
        connection.execute("SET threads = 1")
        feed = _open_feed(platform, connection, months, hosts, run)
        audits = TableMonths(platform, connection, feed.source) if is_audited else None
        for month in months:
            loaded = None
            try:
                if month in barred:
                    raise barred[month]
                loaded = load_month(connection, feed, month)
            except (FeedError, GateError) as error:
                failures.append(error)
            is_in_table = loaded is not None or bool(loaded_files(connection, month))
            content = loaded.content if loaded else None
            yield RefinedMonth(month, loaded, audits.audit(month, content) if audits and is_in_table else {})
    if failures:
        raise _all_of(failures)


def _open_feed(
    platform: Platform,
    connection: duckdb.DuckDBPyConnection,
    months: Sequence[int],
    hosts: frozenset[str] | None,
    run: str,
) -> Feed:
    """Return the feed to be refined, with what is known about it beforehand."""
    settings = platform.settings
    if not platform.refines_own_feed:
        require_one_feed(platform, connection)
        ensure_record(platform, Kind.FEED)
        return Feed(platform.refined, HostTable(ReadRules(settings.legacy_feed, settings.refinery, hosts)), run)
    own_master(platform)
    known = require_hosts(platform, connection)["host_id"]
    require_months(require_calendar(platform, connection), months)
    require_one_feed(platform, connection)
    retire_months(connection)
    rules = ReadRules(settings.legacy_feed, settings.refinery, frozenset(known))
    return Feed(platform.contract, HostTable(rules), run, expected_content(platform, months), platform.parsed)


def _all_of(failures: Sequence[CapsimError]) -> CapsimError:
    """Return one error for all months that failed."""
    if len(failures) == 1:
        return failures[0]
    kind = GateError if all(isinstance(failure, GateError) for failure in failures) else FeedError
    remedies = dict.fromkeys(failure.remedy for failure in failures)
    return kind(
        f"{len(failures)} months cannot be loaded: " + "\n  ".join(failure.found for failure in failures),
        remedy="; ".join(remedies),
    )


def write_audit_page(platform: Platform, output: Path | None = None, *, now: dt.datetime | None = None) -> AuditPage:
    """Write the audit page of the warehouse, whole or not at all, by default to its place under the data directory.

    Raises:
        WarehouseError: If the warehouse is missing, locked or of an older schema.
        SettingsError: If the file cannot be written.
    """
    refinery = platform.settings.refinery
    with platform.reading() as connection:
        account = refinery_account(connection, refinery.resources, _feed_root(platform, connection))
    view = PageView(account, refinery.max_rejected_share, now or dt.datetime.now(dt.UTC))
    path = output or platform.layout.audit
    _publish(path, rendered(view, platform.layout.warehouse))
    is_good = view.verdict.level is Level.GOOD
    return AuditPage(path, view.verdict.sentence, not is_good, _counts(account), audit_summary(view))


def _feed_root(platform: Platform, connection: duckdb.DuckDBPyConnection) -> Path | None:
    """Return the root of the feed that the table holds, whatever the settings name; None = it holds none."""
    origin = fact(connection, ORIGIN_FACT)
    return platform.contract.root if origin == OWN_FEED else Path(origin) if origin else None


def _publish(path: Path, page: str) -> None:
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}", remedy="name another --output") from None


def _counts(account: RefineryAccount) -> dict[str, int]:
    totals = account.totals()
    return {
        "files": totals.files,
        "bytes": totals.bytes,
        "lines": totals.lines,
        "loaded": totals.loaded,
        "rejected": totals.rejected,
        "rows": totals.table_rows,
        "refused_files": len(account.refused),
        "absent_files": len(account.in_state(PieceState.REFUSED, PieceState.MISSING, PieceState.HELD_BACK)),
        "disagreements": len(account.disagreements),
        "changed_files": len(account.with_source(Source.CHANGED, Source.LOST)),
    }
