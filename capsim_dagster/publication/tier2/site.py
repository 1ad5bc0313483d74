"""Where the hourly dataset comes from and goes to, by the settings, and what an hour is."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from capsim_dagster.publication.archive import hour_path
from capsim_dagster.publication.export import DailySite
from capsim_dagster.publication.site import site_of
from capsim_dagster.publication.tier2.columns import DATASET
from capsim_dagster.settings import Settings
from capsim_dagster.simulation.samples import HOURS_PER_DAY

_AN_HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True, order=True)
class DayHour:
    """An hour of the archive.

    Attributes:
        day: Day of its folder, UTC.
        hour: The hour, 0 to 23.
    """

    day: dt.date
    hour: int

    def __str__(self) -> str:
        """Return it as a person writes it, e.g. 2026-01-15 07:00."""
        return f"{self.day} {self.hour:02d}:00"

    @property
    def start(self) -> dt.datetime:
        """When it begins, UTC."""
        return dt.datetime.combine(self.day, dt.time(self.hour), tzinfo=dt.UTC)

    def is_over(self, now: dt.datetime) -> bool:
        """Whether it has ended by a time, which has a zone."""
        return now >= self.start + _AN_HOUR


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
        return hour_path(self.archive_root, hour.day, hour.hour)


def hourly_site_of(settings: Settings) -> HourlySite:
    """Return where hours of the archive lie, and where they are published on disk."""
    daily = site_of(settings)
    output = daily.output_root.with_name(DATASET)
    return HourlySite(daily.archive_root, output, daily.archive, daily.provenance, daily.clock)
