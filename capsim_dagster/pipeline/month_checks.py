"""The audits of one month of feed and table, as they lie on disk: name of the check -> report.

They look at what was published, after it was, so that each month has a verdict of its own; the audits over all months
are in `checks`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import duckdb

from capsim_dagster.audits import parity
from capsim_dagster.audits.feed import foreign_month, read_feed
from capsim_dagster.audits.fingerprints import FeedFormat, Fingerprint, PieceKey, table_month_fingerprints
from capsim_dagster.audits.report import Finding, Reports, by_claim
from capsim_dagster.errors import FeedError
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.legacy_feed.dialects import plain_dialect
from capsim_dagster.legacy_feed.inspect import require_header
from capsim_dagster.pipeline.dirt import defect_lists, undamaged_content
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.remote import own_master
from capsim_dagster.refinery.reconciliation import reconciliation
from capsim_dagster.schemas import Resource


class FeedMonths:
    """Audits the feed files of single months against the master."""

    def __init__(self, platform: Platform) -> None:
        """Fingerprint the master, which every month is compared with.

        Raises:
            MasterError: If it is missing, torn or made with other settings.
        """
        own_master(platform)
        self._platform = platform
        self._source = undamaged_content(platform)

    def audit(self, month: int, resources: Iterable[Resource]) -> Mapping[Resource, Reports]:
        """Audit the files of a month.

        Args:
            month: The month as YYYYMM.
            resources: Which resources.
        """
        chosen = list(resources)
        source = {key: content for key, content in self._source.items() if key[0] == month}
        found, unreadable = self._on_disk(month, chosen)
        reports: dict[Resource, Reports] = {}
        for resource in chosen:
            content = parity.content_parity(
                source,
                found,
                expected_months=[month],
                resources=[resource],
            )
            reports[resource] = by_claim(_of_a_month(content).with_problems(unreadable.get(resource, [])))
        return reports

    def _on_disk(
        self, month: int, resources: Iterable[Resource]
    ) -> tuple[dict[PieceKey, Fingerprint], dict[Resource, list[str]]]:
        """Return fingerprints of the readable files, and by resource what cannot be read.

        A file that is as it was written with defects counts for what it was made of: its list says what is wrong with
        it, and what the refinery makes of it shows whether the list is true.
        """
        contract = self._platform.contract
        listed = {piece.resource for piece in defect_lists(self._platform, [month])}
        found: dict[PieceKey, Fingerprint] = {}
        unreadable: dict[Resource, list[str]] = {}
        files: dict[FeedFormat, dict[PieceKey, Path]] = {}
        for resource in resources:
            piece, key = FeedPiece(month, resource), (month, resource.value)
            if resource in listed and key in self._source:
                found[key] = self._source[key]
                continue
            for path in contract.found(piece)[:1]:
                try:
                    require_header(contract, piece, path)
                    files.setdefault(_format_of(self._platform, resource), {})[key] = path
                except FeedError as error:
                    unreadable[resource] = [error.found]
        for form, alike in files.items():
            read, lines = read_feed(alike, form)
            found |= read
            unreadable |= {Resource(name): rejected for (_, name), rejected in lines.items()}
        return found, unreadable


class TableMonths:
    """Audits single months of `processed_data` against its files and, for capsim's own feed, against the master."""

    def __init__(
        self, platform: Platform, connection: duckdb.DuckDBPyConnection, expected: Mapping[PieceKey, Fingerprint] | None
    ) -> None:
        """Read what each month must hold.

        Args:
            platform: Settings and paths.
            connection: Connection to the warehouse, which the audits use.
            expected: What the refinery must make of each month and resource; None = it is somebody else's feed.
        """
        self._platform, self._connection, self._expected = platform, connection, expected
        self._grid = parity.expected_grid(connection)

    def audit(self, month: int) -> Reports:
        """Audit a month of the table.

        Args:
            month: The month as YYYYMM.
        """
        connection = self._connection
        found = table_month_fingerprints(connection, month)
        of_any = by_claim(
            reconciliation(connection, found, self._platform.refined.root, month),
            parity.unique_keys(connection, "table_month_rows", found, self._grid),
        )
        return of_any | (foreign_month(found) if self._expected is None else self._against_simulation(month, found))

    def _against_simulation(self, month: int, found: Mapping[PieceKey, Fingerprint]) -> Reports:
        """Audit a month of capsim's own feed against master and inventory."""
        content = parity.content_parity(
            {key: content for key, content in (self._expected or {}).items() if key[0] == month},
            found,
            expected_months=[month],
            resources=self._platform.settings.refinery.resources,
        )
        return by_claim(_of_a_month(content), parity.known_hosts(self._connection, "table_month_rows"))


def _of_a_month(report: Finding) -> Finding:
    """Return a report without the numbers of months, which say nothing of one."""
    return replace(report, counts={name: count for name, count in report.counts.items() if "months" not in name})


def _format_of(platform: Platform, resource: Resource) -> FeedFormat:
    """Return how capsim writes the lines of a resource."""
    dialect = plain_dialect(platform.settings.legacy_feed, resource)
    return FeedFormat(
        delimiter=dialect.delimiter,
        decimal=dialect.decimal,
        date_format=dialect.date_format,
        gap=dialect.gap,
        is_quoted=dialect.is_quoted,
        has_capacity=platform.settings.legacy_feed.resources[resource].capacity_column is not None,
    )
