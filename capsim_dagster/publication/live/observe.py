"""What the archive tells of the live fleet: its latest interval, and whether an hour is open."""

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path

from capsim_dagster.publication.hour_files import OPEN_SUFFIX
from capsim_dagster.publication.live.open_hour import whole_members
from capsim_dagster.storage import local_disk


@dataclass(frozen=True)
class LatestInterval:
    """The interval that was archived last.

    Attributes:
        path: Its hour file.
        ts: Start of the interval, UTC.
        hosts: Hosts in it, gaps included.
        intervals: Intervals in the file.
        is_open: Whether the hour is still open.
    """

    path: Path
    ts: dt.datetime
    hosts: int
    intervals: int
    is_open: bool


def latest_interval(root: Path) -> LatestInterval | None:
    """Return the latest interval of an archive; None = it has none.

    What a writer has not finished is left out.

    Args:
        root: Root of the archive.

    Raises:
        StorageError: If a file cannot be read.
    """
    with local_disk(root, "read"):
        for path in sorted(root.glob("????????/??.jsonl.gz*"), key=_place, reverse=True):
            texts = [text for _end, text in whole_members(path.read_bytes())]
            if texts and texts[-1]:
                lines = texts[-1].splitlines()
                ts = dt.datetime.fromisoformat(json.loads(lines[-1])["ts"])
                return LatestInterval(path, ts, len(lines), len(texts), path.suffix == OPEN_SUFFIX)
    return None


def _place(path: Path) -> tuple[str, str]:
    return path.parent.name, path.name
