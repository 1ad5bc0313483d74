"""The stages of publication as plain functions from settings to files under the data directory, and their audits."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from capsim_dagster.errors import PublicationError
from capsim_dagster.panel.generate import fleet_of
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.publication.archive import HourFile, SampledFleet, write_hour
from capsim_dagster.simulation.samples import HOURS_PER_DAY

Advance = Callable[[int], None]
"""Called with the number of lines just written."""


@dataclass(frozen=True)
class ArchivedDay:
    """A day of the archive.

    Attributes:
        day: The day.
        files: Its 24 files.
    """

    day: dt.date
    files: Sequence[HourFile]

    @property
    def lines(self) -> int:
        """Lines of the day."""
        return sum(file.lines for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes of the day."""
        return sum(file.bytes for file in self.files)


def hourly_archive(
    platform: Platform, day: dt.date, *, today: dt.date, advance: Advance = lambda _lines: None
) -> ArchivedDay:
    """Write the archive of a day that is over; hours that hold the same already are not touched.

    Args:
        platform: Settings and paths.
        day: The day.
        today: Today's date, in UTC.
        advance: Called with the lines of each hour.

    Raises:
        PublicationError: If the day lies before the window, or is not over yet.
    """
    require_day(platform, day, today=today)
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
