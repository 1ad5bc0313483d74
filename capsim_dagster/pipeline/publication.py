"""The stages of publication as plain functions from settings to files under the data directory, and their audits.

Each day is made, looked at as it lies on disk, and only then goes to the bucket. Hours and days are compared, whichever
of the two is made last. The findings of the verifier are shown in the UI a few to a check.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Generic

import polars as pl

from capsim_dagster.audits.report import Finding, Findings, Reports, Severity, by_claim
from capsim_dagster.errors import MasterError, PublicationError
from capsim_dagster.pipeline.directory import ensure_record
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.remote import own_master
from capsim_dagster.publication.archive import HOSTS_AT_ONCE, SampledFleet, write_hour
from capsim_dagster.publication.dataset.export import Exported, site_of
from capsim_dagster.publication.dataset.folder import read_published
from capsim_dagster.publication.dataset.manifest import AnyManifest
from capsim_dagster.publication.dataset.upload import Uploaded, destination_of, upload
from capsim_dagster.publication.hour_files import ArchiveHour, DayHour, inspect_day, look_whole
from capsim_dagster.publication.tier2 import verify as tier2
from capsim_dagster.publication.tier2.agree import agreement
from capsim_dagster.publication.tier2.export import export_hour, pending_hours
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.verify import hour_folders, verify_hour
from capsim_dagster.publication.tier3 import verify as tier3
from capsim_dagster.publication.tier3.export import export_day
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.publication.tier3.parity import master_p95
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster.settings import Kind
from capsim_dagster.simulation import telemetry
from capsim_dagster.simulation.fleet import fleet_of
from capsim_dagster.simulation.samples import HOURS_PER_DAY

Advance = Callable[[int], None]
"""Called with the number of lines just written."""
_VALUES_AGREE: Final = "hours_are_what_the_samples_of_the_day_come_to"
Claims = Mapping[str, Sequence[str]]
"""The claims of a verifier by the check that shows them."""

_COUNTED: Final = (
    "data_are_readable",
    "columns_are_those_of_the_dataset",
    "footer_agrees_with_the_manifest",
    "counts_are_those_of_the_manifest",
    "columns_are_described_as_they_are",
)
DAILY_CLAIMS: Final[Claims] = {
    "manifest_is_sound": (
        "manifest_follows_its_schema",
        "manifest_is_as_it_was_written",
        "manifest_is_of_this_dataset",
        "manifest_agrees_with_itself",
    ),
    "bytes_are_those_of_the_manifest": ("files_are_there", "data_has_its_size", "data_has_its_sha256"),
    "rows_are_those_of_the_manifest": (
        *_COUNTED,
        "hours_are_those_of_the_manifest",
        "each_host_has_every_interval",
        "the_day_is_complete",
    ),
    "rows_are_samples": tier3.ROW_CLAIMS,
    "null_ratios_are_within_bounds": ("null_ratios_are_within_bounds",),
    "p95_is_that_of_the_master": ("p95_is_that_of_the_master",),
}
"""Of `tier3_daily`."""
HOURLY_CLAIMS: Final[Claims] = {
    "manifest_is_sound": DAILY_CLAIMS["manifest_is_sound"],
    "bytes_are_those_of_the_manifest": DAILY_CLAIMS["bytes_are_those_of_the_manifest"],
    "rows_are_those_of_the_manifest": _COUNTED,
    "rows_are_aggregates": tier2.ROW_CLAIMS,
}
"""Of `tier2_hourly`."""


@dataclass(frozen=True)
class ArchivedDay:
    """A day of the archive with its 24 files."""

    day: dt.date
    files: Sequence[ArchiveHour]

    @property
    def lines(self) -> int:
        """Lines of the day."""
        return sum(file.lines for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes of the day."""
        return sum(file.bytes for file in self.files)

    @property
    def sha256(self) -> str:
        """Hex digest over the digests of all files."""
        return hashlib.sha256("".join(file.sha256 for file in self.files).encode()).hexdigest()


def hourly_archive(
    platform: Platform, day: dt.date, *, today: dt.date, advance: Advance = lambda _lines: None
) -> ArchivedDay:
    """Write the archive of a day that is over, in UTC; hours that hold the same already are not touched.

    Raises:
        PublicationError: If the day lies before the window, or is not over yet.
    """
    require_day(platform, day, today=today)
    ensure_record(platform, Kind.SIMULATED)
    fleet = SampledFleet(
        platform.generation,
        platform.settings.archive,
        platform.settings.panel.inbound_share,
        fleet_of(platform.generation),
        day,
    )
    files = []
    for hour in range(HOURS_PER_DAY):
        files.append(write_hour(fleet, platform.layout.archive, hour))
        advance(files[-1].lines)
    return ArchivedDay(day, files)


def archived_day(platform: Platform, day: dt.date) -> ArchivedDay | None:
    """Return a day of the archive as it lies on disk; None = it is not whole.

    Raises:
        PublicationError: If a file is there and cannot be read.
    """
    if not look_whole(platform.layout.archive, day):
        return None
    found = inspect_day(platform.layout.archive, day)
    return ArchivedDay(day, found) if all(each.is_whole for each in found) else None


def require_day(platform: Platform, day: dt.date, *, today: dt.date) -> None:
    """Make sure that a day is over, and not before the window.

    Raises:
        PublicationError: If it is not.
    """
    start = platform.generation.start_date
    if day < start:
        raise PublicationError(
            f"{day} lies before the window, which begins on {start}",
            remedy="name a later day, or set data_generation.start_date (another fleet, in a --data-dir of its own)",
        )
    if day >= today:
        raise PublicationError(
            f"{day} is not over: today is {today} (UTC)", remedy="name a day before today, or wait until it is over"
        )


def archive_parity(platform: Platform, archived: ArchivedDay) -> Finding:
    """Return whether the hour files of a day are whole on disk as written, with one line for each host and interval."""
    a_file = platform.generation.num_servers * platform.settings.archive.samples_per_hour
    found = inspect_day(platform.layout.archive, archived.day)
    problems = [f"{hour.path.name} is {hour.state}" for hour in found if not hour.is_whole]
    problems += [
        f"{hour.path.name} holds {hour.lines:,} lines, not {a_file:,}"
        for hour in found
        if hour.is_whole and hour.lines != a_file
    ]
    problems += [
        f"{hour.path.name} is not as it was written"
        for hour, file in zip(found, archived.files, strict=True)
        if hour.is_whole and hour.sha256 != file.sha256
    ]
    return Finding(
        "row_parity",
        examples=problems,
        counts={
            "hours": sum(hour.is_whole for hour in found),
            "lines": sum(hour.lines for hour in found),
            "expected_lines": a_file * HOURS_PER_DAY,
        },
    )


@dataclass(frozen=True)
class ExpectedP95:
    """The P95 [%] that the samples of a day must have, by host and resource, null = a gap, and where it is from."""

    frame: pl.DataFrame
    source: str


def expected_p95(platform: Platform, day: dt.date) -> ExpectedP95:
    """Return the P95 of a day by the master, or where that does not reach the day, as the master will have it.

    Raises:
        MasterError: If the master is torn or made with other settings.
    """
    if platform.layout.master.is_file():
        own_master(platform)
        frame = master_p95(platform.layout.master, day)
        if frame is not None:
            return ExpectedP95(frame, "master_parquet")
    hosts = fleet_of(platform.generation)
    pieces = []
    for some in hosts.iter_slices(HOSTS_AT_ONCE):
        values = telemetry.utilization(telemetry.host_model(platform.generation, some), day, day)
        columns = {r.value: pl.Series(column[:, 0]).fill_nan(None) for r, column in values.items()}
        pieces.append(some.select("host_id").with_columns(**columns))
    return ExpectedP95(pl.concat(pieces), "the simulation: master_parquet does not reach this day")


@dataclass(frozen=True)
class Published(Generic[AnyManifest]):
    """A dataset that was published, and what was found when it was read again.

    Attributes:
        agreement: Whether the other tier agrees with it.
        source: With what its P95 was compared; empty = it has none.
        uploaded: What became of it in the bucket; None = there is no bucket, or it did not pass.
    """

    exported: Exported[AnyManifest]
    verification: Findings
    agreement: Finding
    source: str = ""
    uploaded: Uploaded[AnyManifest] | None = None


def _uploaded(platform: Platform, made: Published[AnyManifest]) -> Published[AnyManifest]:
    """Put what passed into the bucket, if there is one."""
    settings, form = platform.settings, type(made.exported.manifest)
    if not (made.verification.passed and settings.uses_s3):
        return made
    prefix = settings.publication.prefix_of(form.DATASET)
    return replace(made, uploaded=upload(made.exported.folder, form, destination_of(settings), prefix))


def tier3_daily(platform: Platform, day: dt.date, *, today: dt.date) -> Published[DayManifest]:
    """Publish a day of the archive, verify it as a consumer would, and put it into the bucket if there is one.

    Raises:
        PublicationError: If the day may not be published, or its P95 is not the master's; nothing was written then.
        MasterError: If the master is torn or made with other settings.
        StorageError: If disk or bucket refuse; what lies on disk stays.
    """
    expected = expected_p95(platform, day)
    exported = export_day(site_of(platform.settings, DayManifest), day, today=today, p95=expected.frame)
    return _uploaded(platform, verified_day(platform, exported, expected))


def verified_day(
    platform: Platform, exported: Exported[DayManifest], expected: ExpectedP95 | None = None
) -> Published[DayManifest]:
    """Verify a published day as a consumer would, its P95 by the master included, and compare it with its hours.

    What is expected is as `expected_p95` has it, where it is not given, if a master that cannot be used permits.
    """
    settings, day, source = platform.settings, exported.manifest.day, "nothing"
    if expected is None:
        try:
            expected = expected_p95(platform, day)
        except MasterError as error:
            source = f"nothing: {error.found}"
    p95, source = (expected.frame, expected.source) if expected else (None, source)
    found = verify_dataset(exported.folder, max_null_share=settings.publication.max_null_share, p95=p95)
    folders = hour_folders(site_of(settings, HourManifest).folder(day))
    agrees = tiers_agree(exported.folder, folders, claim="agrees_with_tier2")
    return Published(exported, found, agrees, source)


def late_hours(platform: Platform, *, now: dt.datetime) -> list[DayHour]:
    """Return the hours that are whole in the archive and not published, or published from another file.

    `automation.late_hours_days` says how far back is looked; the time has its zone.
    """
    today = now.astimezone(dt.UTC).date()
    days = [today - dt.timedelta(days=back) for back in range(platform.settings.automation.late_hours_days)]
    return pending_hours(site_of(platform.settings, HourManifest), days, now=now)


def tier2_hourly(platform: Platform, hour: DayHour, *, now: dt.datetime) -> Published[HourManifest]:
    """Publish an hour of the archive, verify it as a consumer would, and put it into the bucket if there is one.

    Raises:
        PublicationError: If the hour may not be published; nothing was written then.
        StorageError: If disk or bucket refuse; what lies on disk stays.
    """
    exported = export_hour(site_of(platform.settings, HourManifest), hour, now=now)
    return _uploaded(platform, verified_hour(platform, exported))


def verified_hour(platform: Platform, exported: Exported[HourManifest]) -> Published[HourManifest]:
    """Verify a published hour as a consumer would, and compare it with the daily dataset."""
    daily = site_of(platform.settings, DayManifest).folder(exported.manifest.day)
    agrees = tiers_agree(daily, [exported.folder], claim="agrees_with_tier3")
    return Published(exported, verify_hour(exported.folder), agrees)


def tiers_agree(daily_folder: Path, folders: Sequence[Path], *, claim: str) -> Finding:
    """Return whether hours agree with a published day; those that were made of other files are not compared."""
    day = read_published(daily_folder, DayManifest)
    compared = [folder for folder in folders if day is not None and _is_of_same_file(folder, day)]
    others = len(folders) - len(compared)
    counts = {"hours_compared": len(compared), "hours_not_compared": others}
    if not compared:
        return Finding(claim, counts=counts, note=f"not judged: {_reason(has_day=day is not None, others=others)}")
    judged = [each for each in agreement(daily_folder, compared) if each.claim == _VALUES_AGREE]
    problems = [example for finding in judged if not finding.passed for example in finding.examples]
    note = f"{others} hours were made of other files than the day, and are not compared" if others else ""
    return Finding(claim, examples=problems, counts=counts, note=note)


def _reason(*, has_day: bool, others: int) -> str:
    if not has_day:
        return "the day is not published in tier 3"
    return "no hour is made of the same file as the day" if others else "no hour of the day is published in tier 2"


def _is_of_same_file(folder: Path, day: DayManifest) -> bool:
    manifest = read_published(folder, HourManifest)
    return manifest is not None and manifest.source.hash in {source.hash for source in day.sources}


def reports_of(found: Findings, claims: Claims) -> Reports:
    """Return what a verification found as a finding a check; a claim that could not be judged does not hold."""
    judged = by_claim(*found.findings)
    return by_claim(*(_together(check, {name: judged.get(name) for name in names}) for check, names in claims.items()))


def _together(check: str, judged: Mapping[str, Finding | None]) -> Finding:
    problems: list[str] = []
    notes: list[str] = []
    for name, finding in judged.items():
        if finding is None:
            problems.append(f"{name}: not judged, see the other checks")
        elif finding.fails(strict=False):
            problems += [f"{name}: {example}" for example in finding.examples or [finding.message]]
        elif not finding.passed or (finding.severity is Severity.INFO and finding.message):
            notes.append(f"{name}: {finding.message}")
    return Finding(
        check,
        examples=problems,
        counts={
            "claims": len(judged),
            "claims_that_hold": sum(finding is not None and finding.passed for finding in judged.values()),
            "found_against_them": sum(finding.total for finding in judged.values() if finding is not None),
        },
        note="; ".join(notes),
    )
