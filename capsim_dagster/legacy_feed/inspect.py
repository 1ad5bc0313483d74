"""Physical facts of a feed file, read without parsing its values: size, digest, header, lines.

The lines counted here are what conservation is measured against: `lines = loaded + rejected`, per file.
"""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from capsim_dagster.errors import FeedError, listed
from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece

_CHUNK_BYTES: Final = 1 << 20
_REMEDY: Final = "restore the file, or write it again by materializing monthly_csv for that month"


@dataclass(frozen=True)
class InspectedFile:
    """A feed file that is there, whole and has the header it should have.

    Attributes:
        piece: Which month and resource it holds.
        path: Where it is.
        bytes: Its size.
        sha256: Hex digest of its content.
        lines: Physical data lines, without the header.
    """

    piece: FeedPiece
    path: Path
    bytes: int
    sha256: str
    lines: int


def inspect_file(contract: FeedContract, piece: FeedPiece, path: Path | None = None) -> InspectedFile:
    """Read the physical facts of a piece's file.

    Args:
        contract: Names and headers of the feed.
        piece: Which month and resource.
        path: The file, where it is not yet at its place.

    Raises:
        FeedError: If it is missing, empty, cut off in a line or has another header.
    """
    source = path or contract.path(piece)
    if not source.is_file():
        raise FeedError(f"{piece}: no file {source}{_look_alikes(source)}", remedy=_REMEDY)
    header, lines, digest, ends_whole = _scan(source)
    expected = ",".join(contract.header(piece.resource))
    if not header:
        raise FeedError(f"{piece}: {source} is empty", remedy=_REMEDY)
    if header != expected:
        raise FeedError(f"{piece}: {source} has the header '{header}', expected '{expected}'", remedy=_REMEDY)
    if not ends_whole:
        raise FeedError(
            f"{piece}: {source} is cut off: its last line (line {lines + 2:,}) has no end of line", remedy=_REMEDY
        )
    return InspectedFile(piece=piece, path=source, bytes=source.stat().st_size, sha256=digest, lines=lines)


def _scan(path: Path) -> tuple[str, int, str, bool]:
    """Return header, whole data lines, digest and whether the last line is whole, in one pass."""
    digest = hashlib.sha256()
    ends = 0
    last = b""
    with path.open("rb") as stream:
        header = stream.readline(_CHUNK_BYTES)
        digest.update(header)
        last = header
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            ends += chunk.count(b"\n")
            last = chunk
    return header.decode("utf-8", "replace").rstrip("\r\n"), ends, digest.hexdigest(), last.endswith(b"\n")


def _look_alikes(path: Path) -> str:
    """Return a hint at files in the same folder with a similar name: the usual case is a rename."""
    names = [found.name for found in sorted(path.parent.glob("*")) if not found.name.startswith(".")]
    similar = difflib.get_close_matches(path.name, names, cutoff=0.5)
    return f" (renamed? the folder holds {listed(similar)})" if similar else ""
