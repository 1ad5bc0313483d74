"""A feed file with the defects that the settings ask for, and the list of them: what is wrong with it, line by line.

A file is damaged as a whole, or else drawn a dialect, line faults and a cut-off last line. Everything hangs on the
settings, the file's month and resource and the master's rows, so a file is the same whenever and with whatever else
it is written. Where it is written is in `export`.
"""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from capsim_dagster.legacy_feed.contract import COMPRESSED_SUFFIX, FeedContract, FeedPiece
from capsim_dagster.legacy_feed.dialects import LINE_END, Dialect, compressed, plain_dialect
from capsim_dagster.legacy_feed.dirt.damage import LineDamage
from capsim_dagster.legacy_feed.dirt.dirty_lines import SoundText, damage_lines
from capsim_dagster.legacy_feed.dirt.draws import file_number, pick, split_number
from capsim_dagster.legacy_feed.dirt.variants import draw_dialect, known_labels
from capsim_dagster.legacy_feed.inspect import require_one_line_per_row
from capsim_dagster.schemas import FileFault, Resource
from capsim_dagster.schemas.feed import INJECTED_DEFECTS
from capsim_dagster.schemas.frames import frame_schema
from capsim_dagster.seeding import streams
from capsim_dagster.settings import INJECTED_FILE_FAULTS
from capsim_dagster.simulated.master import MasterFile

_Row = tuple[int | None, str, str | None]
"""Line, kind and original of one entry of the list."""
_ZIP_SIGNATURE: Final = b"PK\x03\x04"
"""A spreadsheet under the name of a CSV file is the usual case."""
_BINARY_WORDS: Final = 512
"""Length of a binary file in words of 8 bytes: two pages."""
_SHORTEST_CUT: Final = 0.2
"""Least share of a gzip file that is left, and that is missing: cut off in the middle."""


@dataclass(frozen=True)
class DirtyFile:
    """What is written in place of a clean file.

    Attributes:
        content: Its bytes; None = there is no file.
        lines: Physical data lines, without header and trailing blank lines; 0 = nothing in it can be read as lines.
        defects: What was done; columns of `schemas.feed.INJECTED_DEFECTS`.
    """

    path: Path
    content: bytes | None
    lines: int
    defects: pl.DataFrame
    file_fault: FileFault | None = None


@dataclass(frozen=True)
class _Source:
    """The piece that a file fault is made of."""

    master: MasterFile
    contract: FeedContract
    piece: FeedPiece

    def of(self, piece: FeedPiece) -> "_Source":
        """Return another piece of the same feed."""
        return _Source(self.master, self.contract, piece)

    def number(self, subject: str) -> float:
        """Return the number of this piece for one decision about it."""
        return file_number(self.contract.settings.defects.seed, self.piece, subject)

    def file_fault(self) -> FileFault | None:
        """Return what is wrong with this piece as a whole; fallbacks are not yet taken."""
        defects = self.contract.settings.defects
        if self.number("has file fault") >= defects.file_share:
            return None
        weights = {kind: defects.file_faults.get(kind, 0.0) for kind in INJECTED_FILE_FAULTS}
        return pick(weights, self.number("file fault"))

    def plain(self) -> Dialect:
        """Return how the plain feed writes this piece."""
        return plain_dialect(self.contract.settings, self.piece.resource)


@dataclass(frozen=True)
class _Damaged:
    """A file that is damaged as a whole."""

    fault: FileFault
    content: bytes | None
    lines: int = 0
    is_compressed: bool = False


_EMPTY: Final = _Damaged(FileFault.EMPTY, b"")


def dirty_file(master: MasterFile, contract: FeedContract, piece: FeedPiece) -> DirtyFile:
    """Return a feed file with the defects that the settings ask for.

    `piece`: which month and resource; the master holds the month.

    Raises:
        GateError: If the file has not one line for each row of the master before it is damaged.
    """
    source = _Source(master, contract, piece)
    fault = source.file_fault()
    if fault is None:
        return _with_dirty_lines(source)
    damaged = _FILE_FAULTS[fault](source)
    path = contract.candidates(piece)[damaged.is_compressed]
    listed = _listed(contract.relative(path), [(None, damaged.fault.value, None)])
    return DirtyFile(path, damaged.content, damaged.lines, listed, damaged.fault)


def _with_dirty_lines(source: _Source) -> DirtyFile:
    """Return a file with its dialect, line faults and a cut-off last line."""
    contract, piece = source.contract, source.piece
    settings, defects = contract.settings, contract.settings.defects
    is_truncated = source.number("is truncated") < defects.truncated_share
    dialect = draw_dialect(contract, piece, is_truncated=is_truncated)
    damage = LineDamage(dialect, source.plain(), settings.resources[piece.resource], settings)
    cut = source.number("cut") if is_truncated else None
    damaged = damage_lines(_sound(source, dialect), damage, piece.resource, cut=cut)
    content = dialect.encode(dialect.header.encode() + LINE_END + damaged.text)
    path = contract.candidates(piece)[dialect.is_compressed]
    rows: list[_Row] = [(None, trait.value, None) for trait in dialect.traits]
    rows += [(defect.line, defect.kind.value, defect.original) for defect in damaged.defects]
    return DirtyFile(path, content, damaged.lines, _listed(contract.relative(path), rows))


def _sound(source: _Source, dialect: Dialect) -> SoundText:
    """Return the lines of a piece in a dialect."""
    frame = pl.concat(source.master.month(source.piece.month, source.piece.resource))
    stream = io.BytesIO()
    dialect.write_rows(frame, stream)
    text = stream.getvalue()
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == LINE_END[0])
    require_one_line_per_row(source.piece, lines=ends.size, rows=frame.height)
    return SoundText(frame, text, ends)


def _clean(source: _Source) -> tuple[bytes, SoundText]:
    """Return header and lines of the clean file."""
    plain = source.plain()
    return plain.header.encode() + LINE_END, _sound(source, plain)


def _listed(path: str, rows: Iterable[_Row]) -> pl.DataFrame:
    return pl.DataFrame([(path, *row) for row in rows], schema=frame_schema(INJECTED_DEFECTS), orient="row")


def _unreadable_gzip(source: _Source) -> _Damaged:
    """Cut the compressed clean file off in the middle."""
    header, sound = _clean(source)
    whole = compressed(header + sound.text)
    share = _SHORTEST_CUT + (1 - 2 * _SHORTEST_CUT) * source.number("gzip cut")
    return _Damaged(FileFault.UNREADABLE_GZIP, whole[: int(share * len(whole))], is_compressed=True)


def _not_csv(source: _Source) -> _Damaged:
    """Write what begins like a spreadsheet and is noise."""
    seed, piece = source.contract.settings.defects.seed, source.piece
    noise = streams(seed, "defects", piece.resource, "noise", hosts=np.array([piece.month])).words(0, _BINARY_WORDS)
    return _Damaged(FileFault.NOT_CSV, _ZIP_SIGNATURE + noise.astype("<u8").tobytes())


def _no_usable_header(source: _Source) -> _Damaged:
    """Write the clean lines under labels that mean nothing to the contract."""
    settings = source.contract.settings
    word = "column"
    while any(label.strip().casefold().startswith(word) for label in known_labels(settings)):
        word = f"x_{word}"
    columns = tuple(replace(column, label=f"{word}_{index}") for index, column in enumerate(source.plain().columns))
    dialect = replace(source.plain(), columns=columns)
    sound = _sound(source, dialect)
    content = dialect.header.encode() + LINE_END + sound.text
    return _Damaged(FileFault.NO_USABLE_HEADER, content, sound.frame.height)


def _duplicate_file(source: _Source) -> _Damaged:
    """Write the file of another resource of the month, with its defects; one that is not damaged as a whole."""
    month = source.piece.month
    others = [source.of(FeedPiece(month, resource)) for resource in Resource if resource is not source.piece.resource]
    whole = [other for other in others if other.file_fault() is None]
    if not whole:
        return _EMPTY
    other = _with_dirty_lines(whole[split_number(source.number("duplicate"), len(whole))[0]])
    is_compressed = other.path.name.endswith(COMPRESSED_SUFFIX)
    return _Damaged(FileFault.DUPLICATE_FILE, other.content, other.lines, is_compressed)


def _another_month(source: _Source) -> _Damaged:
    """Write the lines of the month before, or after the first one, but for the last: the whole would be a duplicate.

    The month before comes first as a longer window does not change it.
    """
    months = source.master.footer.months
    index = months.index(source.piece.month)
    neighbours = [*months[max(index - 1, 0) : index], *months[index + 1 : index + 2]]
    if not neighbours:
        return _EMPTY
    header, sound = _clean(source.of(FeedPiece(neighbours[0], source.piece.resource)))
    without_last = sound.text[: sound.ends[-2] + 1]
    return _Damaged(FileFault.ANOTHER_MONTH, header + without_last, sound.frame.height - 1)


_FILE_FAULTS: Final[Mapping[FileFault, Callable[[_Source], _Damaged]]] = {
    FileFault.MISSING: lambda _source: _Damaged(FileFault.MISSING, None),
    FileFault.EMPTY: lambda _source: _EMPTY,
    FileFault.UNREADABLE_GZIP: _unreadable_gzip,
    FileFault.NOT_CSV: _not_csv,
    FileFault.NO_USABLE_HEADER: _no_usable_header,
    FileFault.DUPLICATE_FILE: _duplicate_file,
    FileFault.ANOTHER_MONTH: _another_month,
}
"""How each file fault is made; the rest cannot be made in a file."""
