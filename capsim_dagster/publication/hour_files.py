"""The hours of the archive: a file an hour, in a folder a day, all UTC; where they lie, and what is there of them."""

import datetime as dt
import gzip
import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from capsim_dagster.errors import PublicationError
from capsim_dagster.simulation.samples import HOURS_PER_DAY
from capsim_dagster.storage import local_disk

HOUR_NUMBER: Final = r"(?:[01][0-9]|2[0-3])"
"""How an hour is written in the name of a file or folder."""
OPEN_SUFFIX: Final = ".part"
"""Of the file of an hour that is still being written."""
_HOUR_FILE: Final = re.compile(rf"(?P<hour>{HOUR_NUMBER})\.jsonl\.gz(?P<open>{re.escape(OPEN_SUFFIX)})?")
_DAY: Final = "%Y%m%d"
_AN_HOUR: Final = dt.timedelta(hours=1)


def hour_path(root: Path, day: dt.date, hour: int) -> Path:
    """Return where the file of an hour lies, e.g. archive/20260115/07.jsonl.gz."""
    return root / source_path(day, hour)


def source_path(day: dt.date, hour: int) -> str:
    """Return where the file of an hour lies below the root, e.g. 20260115/07.jsonl.gz."""
    return f"{day:{_DAY}}/{hour:02d}.jsonl.gz"


@dataclass(frozen=True, order=True)
class DayHour:
    """An hour of the archive: the UTC day of its folder, and the hour, 0 to 23."""

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


def is_hour_file(name: str) -> bool:
    """Whether the file of an hour, whole or open, is called so.

    >>> is_hour_file("07.jsonl.gz"), is_hour_file("07.jsonl.gz.part"), is_hour_file("24.jsonl.gz")
    (True, True, False)
    """
    return _HOUR_FILE.fullmatch(name) is not None


def archived_hours(root: Path) -> list[tuple[DayHour, bool]]:
    """Return the hours of an archive that have a file, in order, and whether it is open.

    Raises:
        StorageError: If a folder cannot be read.
    """
    with local_disk(root, "read"):
        paths = [*root.glob("*/*")]
    found = [(path, match) for path in paths if (match := _HOUR_FILE.fullmatch(path.name))]
    hours = [(day_named(path.parent.name, _DAY), int(match["hour"]), bool(match["open"])) for path, match in found]
    return sorted((DayHour(day, hour), is_open) for day, hour, is_open in hours if day)


def day_named(name: str, form: str = _DAY) -> dt.date | None:
    """Return the day that a folder is called by, in the form of `strftime`; None = it has another name.

    >>> day_named("20260115"), day_named("20260132")
    (datetime.date(2026, 1, 15), None)
    """
    try:
        day = dt.datetime.strptime(name, form).replace(tzinfo=dt.UTC).date()
    except ValueError:
        return None
    return day if f"{day:{form}}" == name else None


class HourState(StrEnum):
    """What is there of an hour."""

    WHOLE = "whole"
    MISSING = "missing"
    OPEN = "open"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class ArchiveHour:
    """An hour file of the archive, where it lies or would; without a file it has no bytes and no digest.

    A file that cannot be read has no lines; `is_unchanged` = it held before just what was to be written.
    """

    hour: int
    path: Path
    state: HourState
    bytes: int = 0
    sha256: str = ""
    lines: int = 0
    is_unchanged: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it can be published."""
        return self.state is HourState.WHOLE


def inspect_day(root: Path, day: dt.date) -> Sequence[ArchiveHour]:
    """Return the 24 hours of a day's folder; every file is read to its end.

    Raises:
        PublicationError: If a file is there and cannot be read.
    """
    return [read_hour(root, day, hour)[0] for hour in range(HOURS_PER_DAY)]


def look_whole(root: Path, day: dt.date) -> bool:
    """Whether all 24 hour files are there and hold something; what it is, is not looked at."""
    paths = [hour_path(root, day, hour) for hour in range(HOURS_PER_DAY)]
    return all(path.is_file() and path.stat().st_size for path in paths)


def read_hour(root: Path, day: dt.date, hour: int) -> tuple[ArchiveHour, bytes]:
    """Return an hour and its unpacked lines, which are empty unless it is whole.

    Raises:
        PublicationError: If the file is there and cannot be read.
    """
    path = hour_path(root, day, hour)
    found = ArchiveHour(hour, path, HourState.MISSING)
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        is_open = path.with_name(path.name + OPEN_SUFFIX).exists()
        return (replace(found, state=HourState.OPEN) if is_open else found), b""
    except OSError as error:
        raise PublicationError(
            f"{path} cannot be read: {error.strerror}", remedy="mend the disk or the permissions, and try again"
        ) from None
    found = replace(found, bytes=len(packed), sha256=hashlib.sha256(packed).hexdigest())
    state, text = _unpacked(packed)
    return replace(found, state=state, lines=count_lines(text)), text


def _unpacked(packed: bytes) -> tuple[HourState, bytes]:
    if not packed:
        return HourState.EMPTY, b""
    try:
        text = gzip.decompress(packed)
    except EOFError:
        return HourState.TRUNCATED, b""
    except (OSError, zlib.error):
        return HourState.DAMAGED, b""
    return (HourState.WHOLE if text else HourState.EMPTY), text


def count_lines(text: bytes) -> int:
    r"""Return the number of lines; the last one needs no line end.

    >>> count_lines(b""), count_lines(b"a"), count_lines(b"a\nb\n")
    (0, 1, 2)
    """
    return text.count(b"\n") + bool(text and not text.endswith(b"\n"))
