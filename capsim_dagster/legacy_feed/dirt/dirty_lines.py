"""One feed file with some of its lines damaged, lines added and the last one cut off, and the account of it.

The sound text is written as a whole; damaged lines are then put into it, so the cost is that of a clean file and of
the damaged lines alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from capsim_dagster.legacy_feed.dialects import LINE_END
from capsim_dagster.legacy_feed.dirt.damage import ADDED, LineDamage
from capsim_dagster.legacy_feed.dirt.draws import IntArray, damaged_lines, split_number
from capsim_dagster.schemas import LineFault, Resource
from capsim_dagster.settings import Defects

_FARTHEST: Final = 40
"""Rows between a line and an added one that goes further down: past the month of its host."""
_FIRST_LINE: Final = 2
"""Line number of the first row, below the header."""
_ADDED, _CHANGED = 0, 1
"""Order of edits at one row: a line that is added before it comes first."""


class LineDefect(NamedTuple):
    """One entry of the account.

    Attributes:
        line: Line of the damaged file, the first is 1.
        original: The line before, in the plain feed; None = an added line.
    """

    line: int
    kind: LineFault
    original: str | None


@dataclass(frozen=True)
class SoundText:
    """The lines of a file before any damage, in UTF-8 with line feeds, without the header.

    Attributes:
        frame: The rows of the master.
        text: Their lines in the dialect of the file.
        ends: Where the line feeds are, shape `(n_lines,)`.
    """

    frame: pl.DataFrame
    text: bytes
    ends: IntArray


@dataclass(frozen=True)
class DamagedText:
    """The text of a file without its header, in UTF-8 with line feeds."""

    text: bytes
    lines: int
    defects: Sequence[LineDefect]


class _Added(NamedTuple):
    """A line that is added before a row; the row after the last one is the end of the file."""

    row: int
    kind: LineFault
    text: str


@dataclass
class _Edits:
    """What is done to a sound text, by row; a row may have a fault, kept with the line before, while its text stays."""

    texts: dict[int, str] = field(default_factory=dict)
    faults: dict[int, tuple[LineFault, str]] = field(default_factory=dict)
    added: list[_Added] = field(default_factory=list)


def damage_lines(sound: SoundText, damage: LineDamage, resource: Resource, *, cut: float | None) -> DamagedText:
    """Return the text of a file with the damage that its settings ask for.

    `cut`: where the last line is cut off, as a share of its length, in `[0, 1)`; None = it is not.
    """
    # A line that is cut off shows that alone, and nothing may come after it.
    frame = sound.frame if cut is None else sound.frame.head(-1)
    edits = _edits(frame, damage, resource, damage.settings.defects)
    if cut is not None:
        _cut_off(edits, sound.frame, damage, cut)
    text = b"".join(_spliced(sound, edits))
    return DamagedText(
        text=text if cut is None else text.removesuffix(LINE_END),
        lines=sound.frame.height + len(edits.added),
        defects=_account(edits),
    )


def _edits(frame: pl.DataFrame, damage: LineDamage, resource: Resource, defects: Defects) -> _Edits:
    """Return the faults that are drawn line by line."""
    drawn = damaged_lines(defects, resource, frame, damage.possible())
    lines = damage.sound_lines(frame[[each.row for each in drawn]])
    edits = _Edits()
    for (row, kind, variant, place), line in zip(drawn, lines, strict=True):
        text = damage.text(kind, line, variant)
        if kind in ADDED:
            edits.added.append(_Added(_row_after(kind, row, place, end=frame.height), kind, text))
        else:
            edits.texts[row] = text
        if kind not in ADDED or kind is LineFault.CONFLICTING_DUPLICATE:
            edits.faults[row] = kind, line.original
    edits.added.sort(key=lambda added: added.row)
    return edits


def _row_after(kind: LineFault, row: int, number: float, *, end: int) -> int:
    """Return the row before which a line is added: that which was drawn, the next one, or one further down.

    Lines after a blank one hold data, as it would be a trailing one otherwise; a copy follows its original, as the
    first of equal lines is the one that counts.
    """
    if kind is LineFault.BLANK_LINE:
        return row
    step, number = split_number(number, 3)
    rows_down = (0, 1, 2 + int(number * _FARTHEST))[step]
    return min(row + max(rows_down, int(kind is LineFault.EXACT_DUPLICATE)), end)


def _cut_off(edits: _Edits, frame: pl.DataFrame, damage: LineDamage, share: float) -> None:
    """Leave at least one character of the last line, and take at least one."""
    line = damage.sound_lines(frame.tail(1))[0]
    text = damage.dialect.line(line.texts)
    edits.texts[frame.height - 1] = text[: 1 + int(share * (len(text) - 1))]
    edits.faults[frame.height - 1] = LineFault.TRUNCATED_LINE, line.original


def _spliced(sound: SoundText, edits: _Edits) -> Iterator[bytes | memoryview]:
    """Yield the pieces of the damaged text."""
    steps = [(added.row, _ADDED, f"{added.text}\n") for added in edits.added]
    steps += [(row, _CHANGED, text) for row, text in edits.texts.items()]
    steps.sort(key=lambda step: step[:2])
    rows = np.array([row for row, _, _ in steps], dtype=np.int64)
    # Row 0 starts where no line feed is before it; there is no row at the end of the text, where lines may be added.
    starts = np.where(rows > 0, sound.ends[rows - 1] + 1, 0).tolist()
    ends = sound.ends[np.minimum(rows, sound.ends.size - 1)].tolist()
    view, done = memoryview(sound.text), 0
    for (_, order, text), start, end in zip(steps, starts, ends, strict=True):
        yield view[done:start]
        yield text.encode("utf-8", "surrogatepass")
        done = end if order == _CHANGED else start
    yield view[done:]


def _account(edits: _Edits) -> list[LineDefect]:
    """Return the faults with the lines at which they end up, in order."""
    added = [LineDefect(line.row + _FIRST_LINE + index, line.kind, None) for index, line in enumerate(edits.added)]
    rows = np.fromiter(edits.faults, dtype=np.int64, count=len(edits.faults))
    lines = rows + _FIRST_LINE + np.searchsorted([line.row for line in edits.added], rows, side="right")
    faults = [LineDefect(line, *fault) for line, fault in zip(lines.tolist(), edits.faults.values(), strict=True)]
    return sorted(added + faults, key=lambda defect: defect.line)
