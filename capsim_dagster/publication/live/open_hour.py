"""The hour of the archive that is being written: whole gzip members, each on disk before anyone is shown it.

An hour that was whole before is left alone. The file of the next hour is begun before that of the last one gets its
final name, so there is an open hour at any instant by which a restart knows where to go on.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.live.interval import Interval, Simulator
from capsim_dagster.storage import local_disk
from capsim_dagster.storage.files import sync

_GZIP: Final = 31
"""What zlib calls the format of gzip."""


class OpenArchive:
    """Appends intervals to the archive, in order.

    Attributes:
        appended: Intervals written so far.
    """

    def __init__(self, root: Path, simulator: Simulator, hour: DayHour | None = None) -> None:
        """Open no file yet.

        Args:
            root: Root of the archive.
            simulator: Makes the intervals, and knows when they are.
            hour: The hour that is open and has been mended; None = none is.
        """
        self.appended = 0
        self._kept = 0
        self._root, self._simulator, self._hour = root, simulator, hour

    def append(self, interval: Interval) -> None:
        """Write an interval to its hour, durably; a file of the hour before gets its final name.

        Raises:
            StorageError: If the disk refuses.
        """
        hour, before = self._simulator.timeline.hour_of(interval.number), self._hour
        if hour != before:
            self._kept = self._kept_of(hour)
        with local_disk(hour.open_path(self._root), "written"):
            is_there = self._simulator.timeline.place_in_hour(interval.number) < self._kept
            if not is_there and not hour.whole_path(self._root).exists():
                _append(hour.open_path(self._root), interval.member)
                self.appended += 1
            self._hour = hour
            if before is not None and before != hour:
                close_hour(self._root, before)

    def _kept_of(self, hour: DayHour) -> int:
        """Return how many intervals of an hour that comes now are there: a run that was ahead may have left them."""
        is_open = hour.open_path(self._root).exists()
        return mend(self._root, self._simulator, hour) if is_open else 0

    def finish(self, hour: DayHour, kept: int) -> None:
        """Write what an hour that is over lacks, and give its file its final name.

        Args:
            hour: The hour.
            kept: Intervals of it that its file holds already.

        Raises:
            StorageError: If the disk refuses.
        """
        timeline = self._simulator.timeline
        first = timeline.first_of(hour)
        with local_disk(hour.open_path(self._root), "written"):
            for number in range(first + kept, first + timeline.per_hour):
                _append(hour.open_path(self._root), self._simulator.interval(number).member)
                self.appended += 1
            close_hour(self._root, hour)


def close_hour(root: Path, hour: DayHour) -> None:
    """Give the open file of an hour its final name; one beside a whole hour goes."""
    opened, whole = hour.open_path(root), hour.whole_path(root)
    with suppress(FileNotFoundError):
        if whole.exists():
            opened.unlink()
        else:
            opened.rename(whole)
        sync(whole.parent)


def mend(root: Path, simulator: Simulator, hour: DayHour) -> int:
    """Cut what a kill or a crash left at the end of an open hour; return how many intervals it holds.

    Args:
        root: Root of the archive.
        simulator: Makes the intervals that it must hold.
        hour: The hour.

    Raises:
        PublicationError: If it holds other samples than this fleet's.
        StorageError: If the disk refuses.
    """
    path, first = hour.open_path(root), simulator.timeline.first_of(hour)
    kept, size = 0, 0
    with local_disk(path, "mended"):
        for end, lines in whole_members(path.read_bytes()):
            is_over = kept == simulator.timeline.per_hour
            if is_over or lines != simulator.interval(first + kept).lines:
                raise _other_samples(path, kept)
            kept, size = kept + 1, end
        with path.open("r+b") as stream:
            stream.truncate(size)
            os.fsync(stream.fileno())
    return kept


def whole_members(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where each whole gzip member ends, and its text, up to the first that is not whole."""
    begin = 0
    while begin < len(content):
        unpacker = zlib.decompressobj(_GZIP)
        try:
            text = unpacker.decompress(content[begin:])
        except zlib.error:
            return
        if not unpacker.eof:
            return
        begin = len(content) - len(unpacker.unused_data)
        yield begin, text


def _append(path: Path, member: bytes) -> None:
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.write(member)
        stream.flush()
        os.fsync(stream.fileno())
    if is_new:
        sync(path.parent)
        sync(path.parent.parent)


def _other_samples(path: Path, kept: int) -> PublicationError:
    return PublicationError(
        f"{path} holds other samples than this fleet's, from its interval {kept + 1:,} on: it was begun with other"
        " settings",
        remedy="give the settings that it was begun with, or another --data-dir; or remove the file",
    )
