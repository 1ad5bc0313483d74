"""Which hours are to be published: whole files of the archive that no manifest was made of, or another one."""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from capsim_dagster.publication.folder import read_published
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.manifest import SourceFile
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.site import HourlySite, hours_of
from capsim_dagster.storage import local_disk, sha256


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
