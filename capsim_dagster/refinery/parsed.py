"""Feed files that were read a moment ago in this process, so that whoever needs their rows next does not read again.

The audit of a file that was just written reads it; the refinery, a few steps later in the same run, takes the rows from
here if the file still has the digest that it had and would be read by the same rules. They lie in a file without a
name, which is gone with the process whatever ends it. Where there is no room for them the file is read again.
"""

import io
import os
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final, NamedTuple

import polars as pl

from capsim_dagster.audits.fingerprints import Fingerprint
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.refinery.read import ReadFile
from capsim_dagster.refinery.source import FeedSource

_ROWS: Final = ("day", "host", "util", "capacity")


class Parsed(NamedTuple):
    """A file without a rejected line, and the fingerprint of its rows."""

    read: ReadFile
    content: Fingerprint


@dataclass(frozen=True)
class _Kept:
    parsed: Parsed
    offset: int
    size: int


class ParsedFiles:
    """The rows of sound files of a feed with a known inventory, each to be taken once.

    The numbers of hosts are those of a table that began with that inventory.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._file: IO[bytes] | None = None
        self._end = 0
        self._lock = threading.Lock()
        self._kept: dict[tuple[FeedPiece, str, str], _Kept] = {}

    def keep(self, parsed: Parsed, rules: str, folder: Path) -> None:
        """Keep a file that was read by rules of a digest, on the disk of a folder; a full disk keeps nothing."""
        read, stream = parsed.read, io.BytesIO()
        read.rows.select(_ROWS).write_ipc_stream(stream)
        content = stream.getbuffer()
        with suppress(OSError), self._lock:
            self._file = self._file or tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 until cleared
            if os.pwrite(self._file.fileno(), content, self._end) == len(content):
                without = parsed._replace(read=replace(read, rows=read.rows.clear()))
                self._kept[read.piece, read.source.sha256, rules] = _Kept(without, self._end, len(content))
                self._end += len(content)

    def take(self, source: FeedSource, piece: FeedPiece, rules: str) -> Parsed | None:
        """Return a file if it is kept, and keep it no longer; the last one taken gives the disk back."""
        kept = self._kept.pop((piece, source.sha256, rules), None)
        if kept is None or self._file is None:
            return None
        with suppress(OSError):
            content = os.pread(self._file.fileno(), kept.size, kept.offset)
            if len(content) == kept.size:
                rows = pl.read_ipc_stream(io.BytesIO(content))
                if not self._kept:
                    self.clear()
                return kept.parsed._replace(read=replace(kept.parsed.read, source=source, rows=rows))
        return None

    def clear(self) -> None:
        """Keep nothing any more."""
        self._kept.clear()
        self._end = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    __del__ = clear
