"""Hours published from archives made by hand for tests."""

import datetime as dt
from pathlib import Path

from capsim_dagster.publication.dataset.export import Exported, Site
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.tier2.export import export_hour
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster_tests.support.publication.days import (
    DAY,
    NOW,
    hour_lines,
    provenance,
    settings_of,
    text_of,
    write_hour,
)

HOUR = 1
"""Host 5 reports nothing in its second half."""
OVER = dt.datetime(2026, 1, 15, 2, 0, tzinfo=dt.UTC)
"""The instant at which it is over."""


def site(root: Path) -> Site:
    """Return a site whose archive and output lie in a folder, and whose clock stands."""
    return Site(root / "archive", root / "hourly", settings_of(), provenance(), clock=lambda: NOW)


def export(
    root: Path, hour: int = HOUR, *, day: dt.date = DAY, now: dt.datetime = NOW, dry_run: bool = False
) -> Exported[HourManifest]:
    return export_hour(site(root), DayHour(day, hour), now=now, dry_run=dry_run)


def write(root: Path, hour: int = HOUR, day: dt.date = DAY) -> Path:
    """Write an hour of the archive as it should be."""
    return write_hour(root, hour, text_of(hour_lines(hour, day=day)), day)


def folder_of(root: Path, hour: int = HOUR, day: dt.date = DAY) -> Path:
    return root / "hourly" / str(day) / f"{hour:02d}"
