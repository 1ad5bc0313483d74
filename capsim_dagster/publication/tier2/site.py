"""Where the hourly dataset comes from and goes to, by the settings, and what an hour is."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from capsim_dagster.publication.export import DailySite
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.site import site_of
from capsim_dagster.publication.tier2.columns import DATASET
from capsim_dagster.settings import Settings
from capsim_dagster.simulation.samples import HOURS_PER_DAY


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
