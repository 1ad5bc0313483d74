"""Where the hours of the archive lie: a file an hour, in a folder a day, all UTC."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOUR_NUMBER: Final = r"(?:[01][0-9]|2[0-3])"
"""How an hour is written in the name of a file or folder."""
OPEN_SUFFIX: Final = ".part"
"""Of the file of an hour that is still being written."""
_AN_HOUR: Final = dt.timedelta(hours=1)


def hour_path(root: Path, day: dt.date, hour: int) -> Path:
    """Return where the file of an hour lies, e.g. archive/20260115/07.jsonl.gz."""
    return root / source_path(day, hour)


def source_path(day: dt.date, hour: int) -> str:
    """Return where the file of an hour lies below the root, e.g. 20260115/07.jsonl.gz."""
    return f"{day:%Y%m%d}/{hour:02d}.jsonl.gz"


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

    @property
    def place(self) -> str:
        """Where it lies below a dataset with a folder an hour, e.g. 2026-01-15/07."""
        return f"{self.day}/{self.hour:02d}"

    def whole_path(self, root: Path) -> Path:
        """Return where the hour's file lies once it is complete."""
        return hour_path(root, self.day, self.hour)

    def open_path(self, root: Path) -> Path:
        """Return where the hour's file lies while it is open."""
        whole = self.whole_path(root)
        return whole.with_name(whole.name + OPEN_SUFFIX)
