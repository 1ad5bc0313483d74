"""`tier3_daily`: a day of the archive as one Parquet file and its manifest, or a refusal that leaves nothing behind.

A day is what lies in its folder of the archive, whatever the timestamps inside say. The same hour files make the same
bytes.
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from capsim_dagster.errors import PublicationError, listed
from capsim_dagster.publication.dataset.export import Exported, Site, publish, write_rows
from capsim_dagster.publication.dataset.manifest import data_file
from capsim_dagster.publication.hour_files import ArchiveHour, HourState, inspect_day, look_whole
from capsim_dagster.publication.lines import Reading
from capsim_dagster.publication.tier3.columns import SCHEMA
from capsim_dagster.publication.tier3.manifest import AbsentHour, DayManifest, Hours
from capsim_dagster.publication.tier3.parity import p95_problems
from capsim_dagster.simulation.samples import HOURS_PER_DAY

_PUBLISH_REST: Final = "or publish what is whole with --allow-incomplete"


def export_day(
    site: Site,
    day: dt.date,
    *,
    today: dt.date,
    allow_incomplete: bool = False,
    dry_run: bool = False,
    p95: pl.DataFrame | None = None,
) -> Exported[DayManifest]:
    """Publish a day of the archive's folder on disk: its rows, and then its manifest; days are UTC.

    `allow_incomplete` publishes what is whole of a day that is not, today's too: the manifest then says what is
    missing, and lines that are no samples are counted as rejected. A complete day must have the P95 of each host that
    `p95` holds, or it is refused: see `parity.p95_problems`; None = that is not looked at, nor is it in a dry run.

    Raises:
        PublicationError: If the day may not be published; nothing was written.
        StorageError: If the disk refuses.
    """
    site.require_day(day, today, remedy="name a day before today")
    if day == today and not allow_incomplete:
        raise PublicationError(
            f"{day} is today (UTC), and not over", remedy=f"wait until midnight UTC, {_PUBLISH_REST}"
        )
    if not look_whole(site.archive_root, day):
        _require_hours(inspect_day(site.archive_root, day), day, allow_incomplete=allow_incomplete)
    folder = site.folder(day)

    def make(path: Path | None) -> DayManifest:
        reading = Reading(site, day)
        tables = (rows for hour in range(HOURS_PER_DAY) if (rows := reading.read(hour)) is not None)
        write_rows(path, SCHEMA, tables, DayManifest.footer_of(site.provenance, day=str(day)))
        _require_hours(reading.hours, day, allow_incomplete=allow_incomplete)
        if not allow_incomplete or not reading.tally.rows:
            _require_lines(reading)
            _require_samples(reading)
        manifest = _described(reading, path)
        if path is not None and p95 is not None and manifest.complete:
            _require_parity(path, p95, day)
        return manifest

    def require_not_less(before: DayManifest | None, manifest: DayManifest) -> None:
        if before is not None and before.complete and not manifest.complete:
            raise PublicationError(
                f"{folder} holds the complete day, and what is whole of it now is less",
                remedy="keep it, or remove that folder first if the complete day is not to be trusted",
            )

    return publish(folder, DayManifest, make, require=require_not_less, dry_run=dry_run)


def _described(reading: Reading, written: Path | None) -> DayManifest:
    """Return the sealed manifest of a day, all hours of which were read; without a file its rows were not written."""
    tally, site, partial = reading.tally, reading.site, reading.partial
    missing = [hour for hour in reading.hours if not hour.is_whole]
    rejected = sum(len(lines) for lines in reading.rejected.values())
    return DayManifest.made(
        site.provenance,
        site.clock(),
        day=reading.day,
        complete=not (missing or partial or rejected) and tally.rows > 0,
        hours=Hours(
            present=tuple(hour.hour for hour in reading.hours if hour.is_whole),
            partial=tuple(partial),
            missing=tuple(AbsentHour(hour=hour.hour, state=hour.state) for hour in missing),
        ),
        rows=tally.rows,
        rejected=rejected,
        hosts=tally.hosts,
        interval_s=site.rule.interval_s,
        first_ts=tally.first_ts,
        last_ts=tally.last_ts,
        astray=tally.astray,
        resources=(data_file(DayManifest.described(tally.nulls, tally.rows), tally.rows, written),),
        sources=reading.sources,
    )


def _require_hours(hours: Sequence[ArchiveHour], day: dt.date, *, allow_incomplete: bool) -> None:
    short = [hour for hour in hours if not hour.is_whole]
    if not short or (allow_incomplete and len(short) < len(hours)):
        return
    if all(hour.state is HourState.MISSING for hour in hours):
        raise PublicationError(
            f"the archive has no hour of {day}: nothing lies in {hours[0].path.parent}",
            remedy="make the day's archive first (capsim archive --date), or name a day that it has",
        )
    found = listed(f"{hour.path.name} {hour.state}" for hour in short)
    raise PublicationError(
        f"{len(short):,} of {len(hours):,} hours of {day} are not whole: {found}",
        remedy=f"write those hours of the archive again, {_PUBLISH_REST}",
    )


def _require_lines(reading: Reading) -> None:
    paths = {hour.hour: hour.path for hour in reading.hours}
    bad = [(paths[hour], line) for hour, lines in sorted(reading.rejected.items()) for line in lines]
    if bad:
        examples = listed(f"{path.name} line {line.line} ({line.reason})" for path, line in bad)
        raise PublicationError(
            f"{len(bad):,} lines of {reading.day} are no samples: {examples}; in {bad[0][0].parent}",
            remedy=f"write those hours of the archive again, {_PUBLISH_REST}: such lines are then left out and counted",
        )


def _require_samples(reading: Reading) -> None:
    partial, samples = reading.partial, reading.samples_per_hour
    if partial:
        hosts = reading.tally.hosts_lacking(partial[0], samples)
        raise PublicationError(
            f"{len(partial):,} hours of {reading.day} have not {samples:,} samples of each of"
            f" {reading.tally.hosts:,} hosts: hours {listed(partial)}; in hour {partial[0]} those of {listed(hosts)}",
            remedy=f"write those hours of the archive again, {_PUBLISH_REST}",
        )


def _require_parity(path: Path, p95: pl.DataFrame, day: dt.date) -> None:
    problems = p95_problems(path, p95)
    if problems:
        raise PublicationError(
            f"the P95 of {len(problems):,} series of {day} is not that of the master: {listed(problems)}",
            remedy="make the day's archive anew with these settings (capsim archive --date); nothing was published",
        )
