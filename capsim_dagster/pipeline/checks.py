"""The audits of each stage's output as it lies on disk: name of the check -> report.

The stages hold hard invariants before they publish; these look again, later and on their own, at what was published.
The two that users ask for by name, `row_parity` and `behavioral_diversity`, are called so wherever they apply.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from capsim_dagster.audits import fleet as fleet_audits
from capsim_dagster.audits import parity
from capsim_dagster.audits.breaches import TOLERANCE_DAYS, Breach, Series, breaches_on_date
from capsim_dagster.audits.feed import file_names, read_feed
from capsim_dagster.audits.relations import (
    Fingerprint,
    PieceKey,
    fingerprints,
    master_fingerprints,
    rows_of,
    view_master,
    view_table,
)
from capsim_dagster.audits.report import AuditReport
from capsim_dagster.errors import FeedError
from capsim_dagster.legacy_feed.inspect import require_header
from capsim_dagster.master import open_master
from capsim_dagster.pipeline.entrance import calendar_days, require_hosts
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource, Scenario
from capsim_dagster.simulation import telemetry
from capsim_dagster.storage import sha256

Reports = Mapping[str, AuditReport]
"""Reports by the name of the check."""


def host_inventory(platform: Platform) -> Reports:
    """Audit the inventory in the warehouse."""
    with platform.reading() as connection:
        ((hosts, distinct),) = rows_of(connection, "SELECT count(*), count(DISTINCT host_id) FROM hosts")
        varieties = rows_of(connection, "SELECT scenario, variant, count(*) FROM hosts GROUP BY ALL")
    return {
        "behavioral_diversity": fleet_audits.behavioral_diversity(_triples(varieties), where="the inventory"),
        "fleet_has_configured_number_of_hosts": fleet_audits.fleet_size(
            hosts, distinct, platform.generation.num_servers
        ),
    }


def time_dimension(platform: Platform) -> Reports:
    """Audit the calendar in the warehouse."""
    with platform.reading() as connection:
        days = calendar_days(connection)
    generation = platform.generation
    return {
        "calendar_is_contiguous": fleet_audits.contiguous_calendar(
            days, start=generation.start_date, end=generation.end_date
        )
    }


def master_parquet(platform: Platform) -> Reports:
    """Audit the master file against inventory and calendar."""
    master = open_master(platform.layout.master, platform.generation)
    found = master_fingerprints(platform.layout.master)
    with platform.reading() as connection:
        view_master(connection, platform.layout.master)
        grid = parity.expected_grid(connection)
        varieties = fleet_audits.present_varieties(connection, "master_rows")
        breaches = breaches_on_date(
            connection,
            "master_rows",
            _breaches(platform, require_hosts(platform, connection)),
            start=master.footer.start,
            end=master.footer.end,
            threshold=platform.generation.breach_threshold,
        )
    return {
        "row_parity": parity.grid_parity(grid, found),
        "utilization_is_within_bounds": parity.within_bounds(found),
        "behavioral_diversity": fleet_audits.behavioral_diversity(varieties, where="the master"),
        "breach_hosts_reach_threshold_on_date": breaches,
    }


def monthly_csv(platform: Platform, expected_months: Mapping[Resource, Iterable[int]]) -> Mapping[Resource, Reports]:
    """Audit the feed files on disk against the master.

    Args:
        platform: Settings and paths.
        expected_months: Months that each resource's feed must hold, as YYYYMM; files beyond them are audited too.
    """
    source = master_fingerprints(open_master(platform.layout.master, platform.generation).path)
    found, unreadable = _feed_on_disk(platform, set(expected_months))
    root = platform.contract.root
    strange = [path.relative_to(root) for path, piece in platform.contract.files() if piece is None]
    reports = {}
    for resource, months in expected_months.items():
        content = parity.content_parity(
            source,
            found,
            claim=f"the {resource} feed carries every row of the master, unchanged",
            expected_months=months,
            resources=[resource],
        )
        right = sum(1 for piece in platform.contract.pieces() if piece.resource == resource)
        reports[resource] = {
            "row_parity": _with_problems(content, unreadable.get(resource, [])),
            "file_names_follow_convention": file_names(strange, right),
        }
    return reports


def processed_data(platform: Platform, expected_months: Iterable[int]) -> Reports:
    """Audit the table against the feed files it was loaded from and against the master.

    Args:
        platform: Settings and paths.
        expected_months: Months that the table must hold, as YYYYMM.
    """
    source = master_fingerprints(open_master(platform.layout.master, platform.generation).path)
    with platform.reading() as connection:
        view_table(connection)
        found = fingerprints(connection, "table_rows")
        content = parity.content_parity(
            source,
            found,
            claim="the table holds every line of the feed, with the content of the master",
            expected_months=expected_months,
        )
        loaded = rows_of(connection, "SELECT path, sha256, lines, loaded FROM feed_files ORDER BY path")
        return {
            "row_parity": _with_problems(content, _changed_files(platform, loaded)),
            "keys_are_unique": parity.unique_keys(connection, "table_rows", found),
            "hosts_are_known": parity.known_hosts(connection, "table_rows"),
            "behavioral_diversity": fleet_audits.behavioral_diversity(
                fleet_audits.present_varieties(connection, "table_rows"), where="the table"
            ),
        }


def _feed_on_disk(
    platform: Platform, resources: set[Resource]
) -> tuple[dict[PieceKey, Fingerprint], dict[Resource, list[str]]]:
    """Return fingerprints of the readable files, and by resource what cannot be read."""
    files: dict[PieceKey, Path] = {}
    unreadable: dict[Resource, list[str]] = {}
    for piece, path in platform.contract.pieces().items():
        if piece.resource not in resources:
            continue
        try:
            require_header(platform.contract, piece, path)
            files[piece.month, piece.resource.value] = path
        except FeedError as error:
            unreadable.setdefault(piece.resource, []).append(error.found)
    found, lines = read_feed(files)
    for (_, resource), rejected in sorted(lines.items()):
        unreadable.setdefault(Resource(resource), []).extend(rejected)
    return found, unreadable


def _changed_files(platform: Platform, loaded: Sequence[tuple[str, str, int, int]]) -> list[str]:
    """Return the files whose lines are not all loaded, or that are no longer what was loaded."""
    problems = []
    for name, digest, lines, rows in loaded:
        path = platform.contract.root / name
        if rows != lines:
            problems.append(f"{name}: {rows:,} of {lines:,} lines are loaded")
        if not path.is_file():
            problems.append(f"{name} was loaded but is no longer there")
        elif sha256(path) != digest:
            problems.append(f"{name} has changed since it was loaded")
    return problems


def _breaches(platform: Platform, hosts: pl.DataFrame) -> dict[Series, Breach]:
    """Return when each breach host's limiting series must reach the threshold."""
    breaching = hosts.filter(pl.col("scenario") == Scenario.CAPACITY_BREACH)
    breaches: dict[Series, Breach] = {}
    for resource in Resource:
        series = telemetry.draw_parameters(platform.generation, resource, telemetry.host_block(breaching))
        spreads = telemetry.crossing_spread_days(series).tolist()
        days = series.breach_day.tolist()
        for index in series.is_limiting.nonzero()[0].tolist():
            tolerance = max(TOLERANCE_DAYS, math.ceil(spreads[index]))
            breaches[breaching["host_id"][index], resource.value] = Breach(int(days[index]), tolerance)
    return breaches


def _with_problems(report: AuditReport, problems: Sequence[str]) -> AuditReport:
    return AuditReport(report.claim, [*problems, *report.problems], report.counts, report.table, report.note)


def _triples(rows: Iterable[tuple[str, str, int]]) -> list[tuple[str | None, str | None, int]]:
    return [(scenario, variant, hosts) for scenario, variant, hosts in rows]
