"""The audit of single months of capsim's own feed, file by file, against the master that they were made of."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from capsim_dagster.audits import parity
from capsim_dagster.audits.fingerprints import FeedFormat, Fingerprint, PieceKey, feed_fingerprints, scratch
from capsim_dagster.audits.parity import of_a_month
from capsim_dagster.audits.report import Reports, by_claim
from capsim_dagster.errors import CapsimError, FeedError
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.legacy_feed.dialects import Dialect, plain_dialect
from capsim_dagster.legacy_feed.inspect import require_header
from capsim_dagster.pipeline.dirt import defect_lists, undamaged_content
from capsim_dagster.pipeline.entrance import require_hosts
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.remote import own_master
from capsim_dagster.pipeline.stages import files_at_once
from capsim_dagster.refinery.load import content_of, rows_of_file
from capsim_dagster.refinery.parsed import Parsed
from capsim_dagster.refinery.read import ReadFile, read_feed_file
from capsim_dagster.refinery.rules import FileRefused, HostTable, ReadRules
from capsim_dagster.refinery.source import FeedSource
from capsim_dagster.schemas import Resource


class FeedMonths:
    """Audits the feed files of single months against the master."""

    def __init__(self, platform: Platform) -> None:
        """Fingerprint the master, which every month is compared with.

        Raises:
            MasterError: If it is missing, torn or made with other settings.
        """
        own_master(platform)
        platform.parsed.clear()
        self._platform = platform
        self._source = undamaged_content(platform)
        self._hosts = _hosts_of(platform)

    def audit(self, month: int, resources: Iterable[Resource]) -> Mapping[Resource, Reports]:
        """Audit the files of a month."""
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
            reports[resource] = by_claim(of_a_month(content).with_problems(unreadable.get(resource, [])))
        return reports

    def _on_disk(
        self, month: int, resources: Sequence[Resource]
    ) -> tuple[dict[PieceKey, Fingerprint], dict[Resource, list[str]]]:
        """Return fingerprints of the readable files, and by resource what cannot be read.

        A file that is as it was written with defects counts for what it was made of: its list says what is wrong with
        it, and what the refinery makes of it shows whether the list is true.
        """
        listed = {piece.resource for piece in defect_lists(self._platform, [month])}
        written = {(month, resource.value) for resource in resources if resource in listed}
        found = {key: self._source[key] for key in written if key in self._source}
        others = [resource for resource in resources if (month, resource.value) not in found]
        there, unreadable = self._with_header(month, others)
        files: dict[FeedFormat, dict[PieceKey, Path]] = {}
        with ThreadPoolExecutor(files_at_once(self._platform)) as workers:
            contents = workers.map(self._plain_content, there.keys(), there.values())
            for (piece, path), content in zip(there.items(), contents, strict=True):
                key = month, piece.resource.value
                if content:
                    found[key] = content
                else:
                    files.setdefault(_format_of(self._platform, piece.resource), {})[key] = path
        for form, alike in files.items():
            keys = {path: key for key, path in alike.items()}
            read, rejected = feed_fingerprints(keys, form)
            found |= {keys[path]: fingerprint for path, fingerprint in read.items()}
            for path, lines in rejected.items():
                unreadable[Resource(keys[path][1])] = [f"{path.name}: {line}" for line in lines]
        return found, unreadable

    def _with_header(
        self, month: int, resources: Iterable[Resource]
    ) -> tuple[dict[FeedPiece, Path], dict[Resource, list[str]]]:
        """Return the files that are there, and by resource why one cannot be read."""
        there: dict[FeedPiece, Path] = {}
        unreadable: dict[Resource, list[str]] = {}
        for resource in resources:
            piece = FeedPiece(month, resource)
            for path in self._platform.contract.found(piece)[:1]:
                try:
                    require_header(self._platform.contract, piece, path)
                    there[piece] = path
                except FeedError as error:
                    unreadable[resource] = [error.found]
        return there, unreadable

    def _plain_content(self, piece: FeedPiece, path: Path) -> Fingerprint | None:
        """Read a file as the refinery will, and keep it for that; None = it is not written as capsim writes it.

        Such a one is read once more, by a reader that knows no other spelling and says what is wrong with which line.
        """
        settings = self._platform.settings
        if self._hosts is None:
            return None
        try:
            source = FeedSource(path, max_text_mb=settings.refinery.max_text_mb)
            read = read_feed_file(source, piece, self._hosts)
        except FileRefused:
            return None
        if read.rejected.height or not _is_plain(read, plain_dialect(settings.legacy_feed, piece.resource)):
            return None
        content = content_of(scratch(), rows_of_file(read, self._hosts))
        if piece.resource in settings.refinery.resources:
            rules = self._hosts.rules.digest(piece.resource)
            self._platform.parsed.keep(Parsed(read, content), rules, self._platform.layout.root)
        return content


def _hosts_of(platform: Platform) -> HostTable | None:
    """Return the hosts that the refinery will know; None = there is no inventory, and it will say so."""
    try:
        with platform.reading() as connection:
            known = require_hosts(platform, connection)["host_id"]
    except CapsimError:
        return None
    return HostTable(ReadRules(platform.settings.legacy_feed, platform.settings.refinery, frozenset(known)))


def _is_plain(read: ReadFile, plain: Dialect) -> bool:
    """Return whether a file, all of whose lines are sound, is spelled as capsim spells: the refinery knows others."""
    found = read.dialect
    if plain.is_quoted or found.traits or found.encoding != plain.encoding:
        return False
    spelling = found.header.delimiter, found.decimal, found.date_format
    return spelling == (plain.delimiter, plain.decimal, plain.date_format) and read.gaps <= {plain.gap}


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
