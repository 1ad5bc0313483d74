"""`tier3_daily`: a day of the archive as one Parquet file and its manifest, or a refusal that leaves nothing behind.

A day is what lies in its folder of the archive, whatever the timestamps inside say. The same hour files make the same
bytes.
"""

import datetime as dt
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from capsim_dagster.errors import PublicationError, SettingsError, listed
from capsim_dagster.publication.columns import SCHEMA
from capsim_dagster.publication.describe import DATASET, Provenance, WrittenDay, describe
from capsim_dagster.publication.folder import forget_manifest, read_local, sole_writer, write_manifest
from capsim_dagster.publication.hours import ArchiveHour, HourState, inspect_day, look_whole, read_hour
from capsim_dagster.publication.lines import LineRule, RejectedLine, parse_lines
from capsim_dagster.publication.manifest import DATA_NAME, MANIFEST_NAME, PRODUCER, Manifest
from capsim_dagster.publication.parity import p95_problems
from capsim_dagster.publication.tally import DayTally
from capsim_dagster.settings import Archive, Settings, settings_hash
from capsim_dagster.simulation.samples import HOURS_PER_DAY
from capsim_dagster.simulation.telemetry import fleet_hash
from capsim_dagster.storage import DataLayout, Store, atomic_path, bucket_of, local_disk, sha256
from capsim_dagster.storage.files import parquet_writer

_SECONDS_PER_MINUTE: Final = 60
_PUBLISH_REST: Final = "or publish what is whole with --allow-incomplete"


def now_utc() -> dt.datetime:
    """Return the time."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class DailySite:
    """Where days come from and go to.

    Attributes:
        archive_root: Root of the archive.
        output_root: Folder of the daily dataset; each day has a folder YYYY-MM-DD in it.
        archive: How often hosts report.
        provenance: What decides the values.
        clock: Tells the time, UTC, for the manifest.
    """

    archive_root: Path
    output_root: Path
    archive: Archive
    provenance: Provenance
    clock: Callable[[], dt.datetime] = now_utc

    def folder(self, day: dt.date) -> Path:
        """Return where a day is published on disk."""
        return self.output_root / day.isoformat()

    @property
    def rule(self) -> LineRule:
        """What the samples of the archive have in common."""
        start = self.provenance.start
        origin = dt.datetime.combine(start, dt.time(), tzinfo=dt.UTC) if start else None
        return LineRule(
            self.archive.interval_minutes * _SECONDS_PER_MINUTE, int(origin.timestamp()) if origin else None
        )


@dataclass(frozen=True)
class Exported:
    """A published day.

    Attributes:
        folder: Where it lies, or would after a dry run.
        manifest: What its manifest says.
        is_unchanged: Whether just this was there before, so that no file was touched.
    """

    folder: Path
    manifest: Manifest
    is_unchanged: bool


@dataclass
class _Reading:
    """A day while its hours are read.

    Attributes:
        site: Where it comes from.
        day: The day.
        tally: Counts of the rows so far.
        hours: The hours so far.
        rejected: Lines that became no rows, by hour.
    """

    site: DailySite
    day: dt.date
    tally: DayTally
    hours: list[ArchiveHour] = field(default_factory=list)
    rejected: dict[int, list[RejectedLine]] = field(default_factory=dict)

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows of each whole hour.

        Raises:
            PublicationError: If a file is there and cannot be read.
        """
        for hour in range(HOURS_PER_DAY):
            found, text = read_hour(self.site.archive_root, self.day, hour)
            self.hours.append(found)
            if found.is_whole:
                yield self._rows(found, text)

    def _rows(self, found: ArchiveHour, text: bytes) -> pa.Table:
        parsed = parse_lines(text, found.hour, self.site.rule)
        repeated = self.tally.repeats(parsed.rows, found.hour)
        rows = parsed.rows.filter(pa.array(~repeated)) if repeated.any() else parsed.rows
        self.rejected[found.hour] = parsed.refused(repeated)
        self.tally.add(rows, found.hour)
        return rows


def export_day(
    site: DailySite,
    day: dt.date,
    *,
    today: dt.date,
    allow_incomplete: bool = False,
    dry_run: bool = False,
    p95: pl.DataFrame | None = None,
) -> Exported:
    """Publish a day of the archive on disk: its rows, and then its manifest.

    Args:
        site: Where it comes from and goes to.
        day: Day of the archive's folder, UTC.
        today: The day it is, UTC.
        allow_incomplete: Whether to publish what is whole of a day that is not, today's too; the manifest then says
            what is missing, and lines that are no samples are counted as rejected.
        dry_run: Whether to go through everything but the writing.
        p95: The P95 of each host that a complete day must have, or it is refused: see `parity.p95_problems`; None =
            that is not looked at, nor is it in a dry run.

    Raises:
        PublicationError: If the day may not be published; nothing was written.
        StorageError: If the disk refuses.
    """
    _require_day(site, day, today, allow_incomplete=allow_incomplete)
    if not look_whole(site.archive_root, day):
        _require_hours(inspect_day(site.archive_root, day), day, allow_incomplete=allow_incomplete)
    reading = _Reading(site, day, DayTally(day))
    folder = site.folder(day)
    if dry_run:
        return _rehearsed(reading, folder, allow_incomplete=allow_incomplete)
    with local_disk(folder, "written"), sole_writer(folder):
        return _published(reading, folder, p95, allow_incomplete=allow_incomplete)


def _rehearsed(reading: _Reading, folder: Path, *, allow_incomplete: bool) -> Exported:
    for _table in reading.tables():
        pass
    manifest = _described(reading, None, allow_incomplete=allow_incomplete)
    before = read_local(folder)
    _require_not_less(before, manifest, folder)
    return Exported(folder, manifest, _is_same(before, manifest, but_file=True))


class _UnchangedError(Exception):
    """Leaves the temporary file behind: just its content is there already."""


def _published(reading: _Reading, folder: Path, p95: pl.DataFrame | None, *, allow_incomplete: bool) -> Exported:
    before = read_local(folder)
    try:
        with atomic_path(folder / DATA_NAME) as temporary:
            _write_rows(temporary, reading)
            manifest = _described(reading, temporary, allow_incomplete=allow_incomplete)
            if p95 is not None and manifest.complete:
                _require_parity(temporary, p95, reading.day)
            if before is not None and _is_same(before, manifest):
                raise _UnchangedError
            _require_not_less(before, manifest, folder)
            forget_manifest(folder)
    except _UnchangedError:
        assert before is not None  # noqa: S101 it was compared
        return Exported(folder, before, is_unchanged=True)
    write_manifest(folder, manifest)
    return Exported(folder, manifest, is_unchanged=False)


def _write_rows(path: Path, reading: _Reading) -> None:
    """Write the rows, a row group an hour."""
    provenance = reading.site.provenance
    facts = {"dataset": DATASET, "day": str(reading.day), "seed": provenance.seed}
    facts |= {"producer": PRODUCER, "version": provenance.version, "settings_hash": provenance.settings_hash}
    with parquet_writer(path, SCHEMA, compression="zstd") as writer:
        writer.add_key_value_metadata({PRODUCER: json.dumps(facts, sort_keys=True)})
        for table in reading.tables():
            if table.num_rows:
                writer.write_table(table.cast(SCHEMA), row_group_size=table.num_rows)


def _described(reading: _Reading, path: Path | None, *, allow_incomplete: bool) -> Manifest:
    """Return the manifest of what was read; without a path, of a file that was not written.

    Raises:
        PublicationError: If hours are not whole, lines no samples, or samples missing, and that is not allowed.
    """
    _require_hours(reading.hours, reading.day, allow_incomplete=allow_incomplete)
    interval_s = reading.site.rule.interval_s
    written = WrittenDay(
        day=reading.day,
        hours=reading.hours,
        rejected={hour: len(lines) for hour, lines in reading.rejected.items()},
        tally=reading.tally,
        interval_s=interval_s,
        bytes=path.stat().st_size if path else 0,
        sha256=sha256(path) if path else "0" * 64,
    )
    if not allow_incomplete or not reading.tally.rows:
        _require_lines(reading)
        _require_samples(reading, written)
    return describe(written, reading.site.provenance, reading.site.clock())


def _is_same(before: Manifest | None, manifest: Manifest, *, but_file: bool = False) -> bool:
    """Whether a manifest was there that says the same, of a file that was not written all but its size and digest."""
    if before is None or not but_file:
        return before is not None and before.content == manifest.content
    data = before.data.model_copy(update={"bytes": manifest.data.bytes, "hash": manifest.data.hash})
    return before.model_copy(update={"resources": (data,)}).content == manifest.content


def _require_day(site: DailySite, day: dt.date, today: dt.date, *, allow_incomplete: bool) -> None:
    start = site.provenance.start
    if day > today:
        raise PublicationError(f"{day} has not come yet: today is {today} (UTC)", remedy="name a day before today")
    if day == today and not allow_incomplete:
        raise PublicationError(
            f"{day} is today (UTC), and not over",
            remedy=f"wait until midnight UTC, {_PUBLISH_REST}",
        )
    if start is not None and day < start:
        raise PublicationError(
            f"{day} lies before the fleet's window, which starts on {start}", remedy=f"name {start} or a later day"
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


def _require_lines(reading: _Reading) -> None:
    paths = {hour.hour: hour.path for hour in reading.hours}
    bad = [(paths[hour], line) for hour, lines in sorted(reading.rejected.items()) for line in lines]
    if bad:
        examples = listed(f"{path.name} line {line.line} ({line.reason})" for path, line in bad)
        raise PublicationError(
            f"{len(bad):,} lines of {reading.day} are no samples: {examples}; in {bad[0][0].parent}",
            remedy=f"write those hours of the archive again, {_PUBLISH_REST}: such lines are then left out and counted",
        )


def _require_samples(reading: _Reading, written: WrittenDay) -> None:
    if written.partial:
        hour = written.partial[0]
        hosts = reading.tally.hosts_lacking(hour, written.samples_per_hour)
        raise PublicationError(
            f"{len(written.partial):,} hours of {reading.day} have not {written.samples_per_hour:,} samples of each of"
            f" {reading.tally.hosts:,} hosts: hours {listed(written.partial)}; in hour {hour} those of {listed(hosts)}",
            remedy=f"write those hours of the archive again, {_PUBLISH_REST}",
        )


def _require_parity(path: Path, p95: pl.DataFrame, day: dt.date) -> None:
    problems = p95_problems(path, p95)
    if problems:
        raise PublicationError(
            f"the P95 of {len(problems):,} series of {day} is not that of the master: {listed(problems)}",
            remedy="make the day's archive anew with these settings (capsim archive --date); nothing was published",
        )


def _require_not_less(before: Manifest | None, manifest: Manifest, folder: Path) -> None:
    if before is not None and before.complete and not manifest.complete:
        raise PublicationError(
            f"{folder} holds the complete day, and what is whole of it now is less",
            remedy="keep it, or remove that folder first if the complete day is not to be trusted",
        )


def site_of(settings: Settings) -> DailySite:
    """Return where days of the archive lie, and where they are published on disk."""
    generation, layout = settings.data_generation, DataLayout(settings.data_dir.absolute())
    decides = [fleet_hash(generation), settings.archive.model_dump_json(), json.dumps(settings.panel.inbound_share)]
    provenance = Provenance(
        seed=generation.random_seed,
        settings_hash=settings_hash(generation, *decides),
        version=version("capsim"),
        start=generation.start_date,
    )
    return DailySite(layout.archive, layout.output / DATASET, settings.archive, provenance)


def destination_of(settings: Settings) -> Store:
    """Return the bucket for published days: the one of the settings, else the one that credentials are stored for.

    Raises:
        SettingsError: If there is none.
        StorageError: If what is stored cannot be read.
    """
    from capsim_dagster.storage.credentials import stored_credentials

    name = settings.storage.bucket_name
    if name is None and (stored := stored_credentials()) is not None:
        name = stored.bucket
    if name is None:
        raise SettingsError(
            "there is no bucket to publish to: storage.bucket_name is not set, and no credentials are stored",
            remedy="run capsim tier3 configure, or set storage.bucket_name",
        )
    return bucket_of(settings, name)


@contextmanager
def fetched_day(store: Store, prefix: str) -> Iterator[Path]:
    """Yield a temporary folder with those files of a published day that the store has.

    Args:
        store: Where it is published.
        prefix: Folder of the day there.

    Raises:
        StorageError: If the store cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="capsim-") as root:
        folder = Path(root) / Path(prefix).name
        folder.mkdir()
        for name in (MANIFEST_NAME, DATA_NAME):
            key = f"{prefix}/{name}"
            if store.look(key) is not None:
                with store.reading(key) as path:
                    shutil.copyfile(path, folder / name)
        yield folder
