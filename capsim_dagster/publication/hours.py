"""The hour files of a day of the archive: which are whole, and what is wrong with the others."""

import datetime as dt
import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.hour_files import OPEN_SUFFIX, hour_path
from capsim_dagster.publication.lines import count_lines
from capsim_dagster.simulation.samples import HOURS_PER_DAY


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
    """An hour file of the archive.

    Attributes:
        hour: The hour, 0 to 23.
        path: Where the file lies, or would.
        state: What is there of it.
        bytes: Its size; 0 = no file.
        sha256: Hex digest of its content; empty = no file.
        lines: Lines in it; 0 = it cannot be read.
    """

    hour: int
    path: Path
    state: HourState
    bytes: int = 0
    sha256: str = ""
    lines: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it can be published."""
        return self.state is HourState.WHOLE


def inspect_day(root: Path, day: dt.date) -> Sequence[ArchiveHour]:
    """Return the 24 hours of a day's folder; every file is read to its end.

    Args:
        root: Root of the archive.
        day: The day of the folder, UTC.

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
