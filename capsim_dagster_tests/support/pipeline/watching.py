"""A watch over the other tool's feed, and ways to change its files that a clock cannot blur."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from capsim_dagster.pipeline import feed_watch
from capsim_dagster.pipeline.feed_watch import Look, Snapshot, feed_name, read_snapshot
from capsim_dagster.pipeline.platform import Platform

MAY, JUNE = 202405, 202406
SHA: Final = "0" * 64


class Watch:
    """A watch over a feed that looks as often as it is told, and remembers what the last look left."""

    def __init__(self, platform: Platform, months: Callable[[int], bool] = lambda _month: True) -> None:
        self.platform = platform
        self.may_ask = months
        self.snapshot = Snapshot(feed=feed_name(platform), since="now")

    def look(self) -> Look:
        found = feed_watch.look(self.platform, self.snapshot, may_ask=self.may_ask)
        stored = read_snapshot(found.snapshot.as_json())
        assert stored == found.snapshot
        self.snapshot = stored
        return found

    def settle(self) -> "Watch":
        """Look until every file that is there was asked for."""
        self.look()
        self.look()
        assert self.look().changed == {}
        return self


def rewrite(path: Path, text: str, *, later_s: int = 1) -> None:
    """Write a file that was there, so much later than it had been written."""
    at = path.stat().st_mtime_ns + later_s * 10**9
    path.write_text(text)
    os.utime(path, ns=(at, at))


def touch(path: Path) -> None:
    at = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(at, at))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
