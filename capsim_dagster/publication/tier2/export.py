"""Publishing an hour of the archive: its aggregates, and then its manifest, or a refusal that leaves nothing behind.

An hour is what lies in its file, whatever the timestamps inside say; the same hour file makes the same bytes. Whether a
host or a line is missing that only other hours know of, shows when the day is published (`publication.export`) and the
two are compared (`agree`). Which hours are to be published is told here too.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from capsim_dagster.errors import PublicationError, listed
from capsim_dagster.publication.export import DailySite, site_of
from capsim_dagster.publication.folder import forget_manifest, read_published, sole_writer, write_manifest
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.hours import ArchiveHour, HourState, read_hour
from capsim_dagster.publication.lines import RejectedLine, parse_lines
from capsim_dagster.publication.manifest import DATA_NAME, PRODUCER, SourceFile
from capsim_dagster.publication.tally import SECONDS_PER_HOUR, DayTally
from capsim_dagster.publication.tier2.aggregate import aggregate_hour
from capsim_dagster.publication.tier2.columns import COLUMNS, DATASET, SCHEMA
from capsim_dagster.publication.tier2.describe import AggregatedHour, HourManifest, describe_hour, footer_of
from capsim_dagster.settings import Settings
from capsim_dagster.simulation.samples import HOURS_PER_DAY
from capsim_dagster.storage import atomic_path, local_disk, sha256
from capsim_dagster.storage.files import parquet_writer


def hours_of(day: dt.date) -> list[DayHour]:
    """Return the hours of a day."""
    return [DayHour(day, hour) for hour in range(HOURS_PER_DAY)]


@dataclass(frozen=True)
class HourlySite(DailySite):
    """Where hours come from and go to: as days, with a folder HH in the day's."""

    def hour_folder(self, hour: DayHour) -> Path:
        """Return where an hour is published on disk."""
        return self.folder(hour.day) / f"{hour.hour:02d}"

    def source(self, hour: DayHour) -> Path:
        """Return where the file of an hour lies in the archive, or would."""
        return hour.whole_path(self.archive_root)


def hourly_site_of(settings: Settings) -> HourlySite:
    """Return where hours of the archive lie, and where they are published on disk."""
    daily = site_of(settings)
    output = daily.output_root.with_name(DATASET)
    return HourlySite(daily.archive_root, output, daily.archive, daily.provenance, daily.clock)


_AGAIN: Final = "write that hour of the archive again, and then publish it"
_DICTIONARY_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class ExportedHour:
    """A published hour.

    Attributes:
        hour: The hour.
        folder: Where it lies, or would after a dry run.
        manifest: What its manifest says.
        is_unchanged: Whether just this was there before, so that no file was touched.
    """

    hour: DayHour
    folder: Path
    manifest: HourManifest
    is_unchanged: bool


def export_hour(site: HourlySite, day: dt.date, hour: int, *, now: dt.datetime, dry_run: bool = False) -> ExportedHour:
    """Publish an hour of the archive on disk: its rows, and then its manifest.

    Args:
        site: Where it comes from and goes to.
        day: Day of the archive's folder, UTC.
        hour: The hour, 0 to 23.
        now: The time, with its zone.
        dry_run: Whether to go through everything but the writing.

    Raises:
        PublicationError: If the hour may not be published, or another process is at it; nothing was written.
        StorageError: If the disk refuses.
    """
    _require_hour(site, day, hour, now.astimezone(dt.UTC))
    asked = DayHour(day, hour)
    folder = site.hour_folder(asked)
    if dry_run:
        return _made(site, asked)[0]
    with local_disk(folder, "written"), sole_writer(folder):
        exported, content = _made(site, asked)
        if not exported.is_unchanged:
            with atomic_path(folder / DATA_NAME) as temporary:
                temporary.write_bytes(content)
                forget_manifest(folder)
            write_manifest(folder, exported.manifest)
        return exported


def _made(site: HourlySite, hour: DayHour) -> tuple[ExportedHour, bytes]:
    """Return what is to be published, compared with what is, and the file with the rows."""
    aggregated = _aggregated(site, hour)
    content = _parquet(aggregated.rows, footer_of(hour, site.provenance))
    manifest = describe_hour(aggregated, content, site.provenance, site.clock())
    folder = site.hour_folder(hour)
    before = read_published(folder, HourManifest)
    is_unchanged = before is not None and before.content == manifest.content
    return ExportedHour(hour, folder, before if before and is_unchanged else manifest, is_unchanged), content


def _aggregated(site: HourlySite, hour: DayHour) -> AggregatedHour:
    found, text = read_hour(site.archive_root, hour.day, hour.hour)
    _require_whole(found, hour)
    parsed = parse_lines(text, hour.hour, site.rule)
    tally = DayTally(hour.day)
    _require_lines(found, parsed.refused(tally.repeats(parsed.rows, hour.hour)))
    tally.add(parsed.rows, hour.hour)
    _require_samples(found, tally, SECONDS_PER_HOUR // site.rule.interval_s)
    rows = aggregate_hour(parsed.rows, hour.start)
    return AggregatedHour(hour, found, tally.astray, site.rule.interval_s, rows)


def _parquet(rows: pa.Table, footer: str) -> bytes:
    """Return the file with the rows: one row group."""
    sink = pa.BufferOutputStream()
    plain = [column.name for column in COLUMNS if not column.repeats]
    with parquet_writer(sink, SCHEMA, compression="zstd", plain=plain, dictionary_bytes=_DICTIONARY_BYTES) as writer:
        writer.add_key_value_metadata({PRODUCER: footer})
        writer.write_table(rows, row_group_size=rows.num_rows)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _require_hour(site: HourlySite, day: dt.date, hour: int, now: dt.datetime) -> None:
    start = site.provenance.start
    if not 0 <= hour < HOURS_PER_DAY:
        raise PublicationError(f"{hour} is no hour of a day", remedy="name an hour from 0 to 23")
    if day > now.date():
        raise PublicationError(
            f"{day} has not come yet: today is {now.date()} (UTC)", remedy="name an hour that is over"
        )
    if start is not None and day < start:
        raise PublicationError(
            f"{day} lies before the fleet's window, which starts on {start}", remedy=f"name {start} or a later day"
        )
    if not DayHour(day, hour).is_over(now):
        raise PublicationError(
            f"hour {DayHour(day, hour)} is not over: it is {now:%H:%M} (UTC)",
            remedy=f"wait until {hour + 1:02d}:00 UTC, or name an hour that is over",
        )


def _require_whole(found: ArchiveHour, hour: DayHour) -> None:
    if found.is_whole:
        return
    remedies = {
        HourState.MISSING: f"wait for the file if the hour is late, it is then picked up; or make the archive of"
        f" the day, once it is over (capsim archive --date {hour.day})",
        HourState.OPEN: "wait until its writer completes it; it is then picked up",
    }
    raise PublicationError(
        f"the archive has no whole hour {hour}: {found.path} is {found.state}",
        remedy=remedies.get(found.state, _AGAIN),
    )


def _require_lines(found: ArchiveHour, rejected: Sequence[RejectedLine]) -> None:
    if rejected:
        examples = listed(f"line {line.line} ({line.reason})" for line in rejected)
        raise PublicationError(
            f"{len(rejected):,} of {found.lines:,} lines of {found.path} are no samples: {examples}", remedy=_AGAIN
        )


def _require_samples(found: ArchiveHour, tally: DayTally, samples: int) -> None:
    lacking = tally.hosts_lacking(found.hour, samples)
    if lacking:
        raise PublicationError(
            f"{len(lacking):,} of {tally.hosts:,} hosts have not {samples:,} samples in {found.path}:"
            f" {listed(lacking)}",
            remedy=_AGAIN,
        )


def pending_hours(site: HourlySite, days: Iterable[dt.date], *, now: dt.datetime) -> list[DayHour]:
    """Return the hours that are over and have a file, and are not published, or of another content of that file.

    The content decides, by its digest: neither a file's time nor its size tells a correction for certain. Files are not
    unpacked, so whether an hour can be published shows when it is.

    Args:
        site: Where they come from and go to.
        days: Days of the archive's folders, UTC; those before the window have no hours.
        now: The time, with its zone.

    Raises:
        StorageError: If the archive cannot be looked at.
    """
    start = site.provenance.start or dt.date.min
    hours = [hour for day in sorted(set(days)) if day >= start for hour in hours_of(day)]
    return [hour for hour in hours if hour.is_over(now) and _is_pending(site, hour)]


def _is_pending(site: HourlySite, hour: DayHour) -> bool:
    path = site.source(hour)
    if not _size(path):
        return False
    manifest = read_published(site.hour_folder(hour), HourManifest)
    if manifest is None or DayHour(manifest.day, manifest.hour) != hour:
        return True
    return not _is_made_of(path, manifest.source)


def _size(path: Path) -> int:
    """Return the size of a file; 0 = there is none."""
    with local_disk(path, "read"):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0


def _is_made_of(path: Path, source: SourceFile) -> bool:
    """Whether a file is the one of a manifest; one that cannot be read is not, and publishing it tells why."""
    try:
        return path.stat().st_size == source.bytes and f"sha256:{sha256(path)}" == source.hash
    except OSError:
        return False
