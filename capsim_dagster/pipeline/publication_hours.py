"""The stage of the hourly dataset, and how it is compared with the daily one, whichever of the two is made last."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from capsim_dagster.audits.report import Finding, Findings
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.publication.folder import read_local, read_published
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.manifest import Manifest
from capsim_dagster.publication.site import site_of
from capsim_dagster.publication.tier2.agree import agreement
from capsim_dagster.publication.tier2.export import ExportedHour, export_hour
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.pending import pending_hours
from capsim_dagster.publication.tier2.site import hourly_site_of
from capsim_dagster.publication.tier2.verify import hour_folders, verify_hour

_VALUES_AGREE: Final = "hours_are_what_the_samples_of_the_day_come_to"


@dataclass(frozen=True)
class PublishedHour:
    """An hour of the hourly dataset.

    Attributes:
        exported: What was written.
        verification: What was found when it was read again.
        agreement: Whether it agrees with the daily dataset.
    """

    exported: ExportedHour
    verification: Findings
    agreement: Finding


def late_hours(platform: Platform, *, now: dt.datetime) -> list[DayHour]:
    """Return the hours that are whole in the archive and not published, or published from another file.

    Args:
        platform: Settings and paths; `automation.late_hours_days` says how far back is looked.
        now: The time, with its zone.
    """
    today = now.astimezone(dt.UTC).date()
    days = [today - dt.timedelta(days=back) for back in range(platform.settings.automation.late_hours_days)]
    return pending_hours(hourly_site_of(platform.settings), days, now=now)


def tier2_hourly(platform: Platform, hour: DayHour, *, now: dt.datetime) -> PublishedHour:
    """Publish an hour of the archive, and verify it as a consumer would.

    Args:
        platform: Settings and paths.
        hour: The hour.
        now: The time, with its zone.

    Raises:
        PublicationError: If the hour may not be published; nothing was written.
        StorageError: If the disk refuses.
    """
    return verified_hour(platform, export_hour(hourly_site_of(platform.settings), hour.day, hour.hour, now=now))


def verified_hour(platform: Platform, exported: ExportedHour) -> PublishedHour:
    """Verify a published hour as a consumer would, and compare it with the daily dataset."""
    agrees = tiers_agree(
        site_of(platform.settings).folder(exported.hour.day), [exported.folder], claim="agrees_with_tier3"
    )
    return PublishedHour(exported, verify_hour(exported.folder), agrees)


def hours_of_day_agree(platform: Platform, day: dt.date) -> Finding:
    """Return whether those hours of a day that are published agree with its daily dataset."""
    folders = hour_folders(hourly_site_of(platform.settings).folder(day))
    return tiers_agree(site_of(platform.settings).folder(day), folders, claim="agrees_with_tier2")


def tiers_agree(daily_folder: Path, folders: Sequence[Path], *, claim: str) -> Finding:
    """Return whether hours agree with a published day; those that were made of other files are not compared.

    Args:
        daily_folder: Folder of the day in the daily dataset.
        folders: Folders of hours of that day.
        claim: Name of the check.
    """
    day = read_local(daily_folder)
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


def _is_of_same_file(folder: Path, day: Manifest) -> bool:
    manifest = read_published(folder, HourManifest)
    return manifest is not None and manifest.source.hash in {source.hash for source in day.sources}
