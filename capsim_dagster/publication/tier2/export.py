"""Publishing an hour of the archive: its aggregates, and then its manifest, or a refusal that leaves nothing behind.

An hour is what lies in its file, whatever the timestamps inside say; the same hour file makes the same bytes. Whether a
host or a line is missing that only other hours know of, shows when the day is published (`tier3.export`) and the
two are compared (`agree`). Which hours are to be published is told here too.
"""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from capsim_dagster.errors import PublicationError, listed
from capsim_dagster.publication.dataset.export import Exported, Site, publish, write_rows
from capsim_dagster.publication.dataset.folder import read_published
from capsim_dagster.publication.dataset.manifest import DATA_NAME, SourceFile, data_file
from capsim_dagster.publication.hour_files import ArchiveHour, DayHour, HourState
from capsim_dagster.publication.lines import Reading
from capsim_dagster.publication.tier2.aggregate import aggregate_hour
from capsim_dagster.publication.tier2.columns import COLUMNS, RESOURCES, SCHEMA
from capsim_dagster.publication.tier2.manifest import HourManifest, described
from capsim_dagster.simulation.samples import HOURS_PER_DAY
from capsim_dagster.storage import local_disk, sha256

_AGAIN: Final = "write that hour of the archive again, and then publish it"
_PLAIN: Final = [column.name for column in COLUMNS if not column.repeats]
_DICTIONARY_BYTES: Final = 1 << 20


def hours_of(day: dt.date) -> list[DayHour]:
    """Return the hours of a day."""
    return [DayHour(day, hour) for hour in range(HOURS_PER_DAY)]


def export_hour(site: Site, hour: DayHour, *, now: dt.datetime, dry_run: bool = False) -> Exported[HourManifest]:
    """Publish an hour of the archive on disk that is over by now: its rows, and then its manifest.

    Raises:
        PublicationError: If the hour may not be published, or another process is at it; nothing was written.
        StorageError: If the disk refuses.
    """
    _require_hour(site, hour, now.astimezone(dt.UTC))

    def make(path: Path | None) -> HourManifest:
        if path is None:
            with TemporaryDirectory(prefix="capsim-") as folder:
                return make(Path(folder) / DATA_NAME)
        reading = Reading(site, hour.day)
        samples = reading.read(hour.hour)
        if samples is None:
            raise _not_whole(reading.hours[0], hour)
        _require_lines(reading, reading.hours[0])
        _require_samples(reading, reading.hours[0])
        rows = aggregate_hour(samples, hour.start)
        footer = HourManifest.footer_of(site.provenance, day=str(hour.day), hour=hour.hour)
        write_rows(path, SCHEMA, [rows], footer, plain=_PLAIN, dictionary_bytes=_DICTIONARY_BYTES)
        return _described(reading, hour.hour, rows, path)

    return publish(site.output_root / hour.place, HourManifest, make, dry_run=dry_run)


def _described(reading: Reading, hour: int, rows: pa.Table, written: Path) -> HourManifest:
    """Return the sealed manifest of an hour, every line of which is a sample."""
    site, samples = reading.site, pc.sum(rows["samples"]).as_py()
    return HourManifest.made(
        site.provenance,
        site.clock(),
        day=reading.day,
        hour=hour,
        rows=rows.num_rows,
        hosts=rows.num_rows // len(RESOURCES),
        interval_s=site.rule.interval_s,
        samples=samples,
        gaps=reading.tally.rows * len(RESOURCES) - samples,
        astray=reading.tally.astray,
        resources=(data_file(described(rows), rows.num_rows, written),),
        sources=reading.sources,
    )


def _require_hour(site: Site, hour: DayHour, now: dt.datetime) -> None:
    if not 0 <= hour.hour < HOURS_PER_DAY:
        raise PublicationError(f"{hour.hour} is no hour of a day", remedy="name an hour from 0 to 23")
    site.require_day(hour.day, now.date(), remedy="name an hour that is over")
    if not hour.is_over(now):
        raise PublicationError(
            f"hour {hour} is not over: it is {now:%H:%M} (UTC)",
            remedy=f"wait until {hour.hour + 1:02d}:00 UTC, or name an hour that is over",
        )


def _not_whole(found: ArchiveHour, hour: DayHour) -> PublicationError:
    remedies = {
        HourState.MISSING: f"wait for the file if the hour is late, it is then picked up; or make the archive of"
        f" the day, once it is over (capsim archive --date {hour.day})",
        HourState.OPEN: "wait until its writer completes it; it is then picked up",
    }
    return PublicationError(
        f"the archive has no whole hour {hour}: {found.path} is {found.state}",
        remedy=remedies.get(found.state, _AGAIN),
    )


def _require_lines(reading: Reading, found: ArchiveHour) -> None:
    rejected = reading.rejected[found.hour]
    if rejected:
        examples = listed(f"line {line.line} ({line.reason})" for line in rejected)
        raise PublicationError(
            f"{len(rejected):,} of {found.lines:,} lines of {found.path} are no samples: {examples}", remedy=_AGAIN
        )


def _require_samples(reading: Reading, found: ArchiveHour) -> None:
    samples, hosts = reading.samples_per_hour, reading.tally.hosts
    lacking = reading.tally.hosts_lacking(found.hour, samples)
    if lacking:
        raise PublicationError(
            f"{len(lacking):,} of {hosts:,} hosts have not {samples:,} samples in {found.path}: {listed(lacking)}",
            remedy=_AGAIN,
        )


def pending_hours(site: Site, days: Iterable[dt.date], *, now: dt.datetime) -> list[DayHour]:
    """Return the hours that are over and have a file, and are not published, or of another content of that file.

    The content decides, by its digest: neither a file's time nor its size tells a correction for certain. Files are not
    unpacked, so whether an hour can be published shows when it is.

    Raises:
        StorageError: If the archive cannot be looked at.
    """
    start = site.provenance.start or dt.date.min
    hours = [hour for day in sorted(set(days)) if day >= start for hour in hours_of(day)]
    return [hour for hour in hours if hour.is_over(now) and _is_pending(site, hour)]


def _is_pending(site: Site, hour: DayHour) -> bool:
    path = hour.whole_path(site.archive_root)
    if not _size(path):
        return False
    manifest = read_published(site.output_root / hour.place, HourManifest)
    if manifest is None or manifest.day_hour != hour:
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
