"""Physical lines of a block, and which of them are plain: the right number of fields, sound text, tidy quotes.

Plain lines are parsed as columns, all at once; every other line is judged alone (`judge`), which costs a hundred times
as much and is exact. A line counts as plain only if cutting it at each delimiter gives the fields that a CSV reader
would give. Nothing here looks at what the fields say.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.refinery.source import Block

Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
_LINE_FEED: Final = ord("\n")
_QUOTE: Final = ord('"')
_ASCII_END: Final = 128


@dataclass(frozen=True)
class Lines:
    """The lines of a block.

    Attributes:
        block: The block.
        ends: Position of the line feed of each line, shape `(n_lines,)`.
        is_plain: Whether a line can be cut at its delimiters, shape `(n_lines,)`.
        plain_text: The plain lines, without quotes.
        has_quotes: Whether any plain line had quotes.
    """

    block: Block
    ends: Int64Array
    is_plain: BoolArray
    plain_text: bytes
    has_quotes: bool

    @cached_property
    def starts(self) -> Int64Array:
        """Position of the first byte of each line, shape `(n_lines,)`."""
        return np.concatenate([[0], self.ends[:-1] + 1])

    @property
    def numbers(self) -> Int64Array:
        """Number of each line in its file, shape `(n_lines,)`."""
        return self.block.first_line + np.arange(self.ends.size)

    def raw(self, index: int) -> bytes:
        """Return a line as it stands, without its end."""
        return self.block.text[self.starts[index] : self.ends[index]]


def scan_lines(block: Block, delimiter: str, width: int) -> Lines:
    """Find the lines of a block and which of them are plain.

    Args:
        block: Whole lines.
        delimiter: One character; one that is not ASCII leaves no line plain.
        width: Fields that a line must have.
    """
    text = np.frombuffer(block.text, dtype=np.uint8)
    ends = line_ends(block.text)
    delimiters = np.flatnonzero(text == ord(delimiter)) if delimiter.isascii() else np.empty(0, dtype=np.int64)
    is_plain = _has_delimiters(delimiters, ends, width - 1)
    for byte in (b"\r", b"\0"):
        if byte in block.text:
            is_plain[_lines_at(np.flatnonzero(text == byte[0]), ends)] = False
    if not _is_text(block.text):
        is_plain[_lines_at(np.flatnonzero(text >= _ASCII_END), ends)] = False
    quotes = np.flatnonzero(text == _QUOTE) if b'"' in block.text else np.empty(0, dtype=np.int64)
    if quotes.size:
        is_plain[_untidy_lines(text, quotes, delimiters, ends)] = False
    if not block.is_terminated:
        is_plain[-1] = False
    has_quotes = bool(is_plain[np.searchsorted(ends, quotes)].any())
    return Lines(block, ends, is_plain, _plain_text(block.text, text, ends, is_plain, quotes), has_quotes)


def line_ends(text: bytes) -> Int64Array:
    """Return the positions of the line feeds."""
    return np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == _LINE_FEED)


def _has_delimiters(delimiters: Int64Array, ends: Int64Array, count: int) -> BoolArray:
    """Return which lines have just so many delimiters, one or more."""
    if delimiters.size == ends.size * count:
        # If the i-th group of delimiters lies in the i-th line, for each i, no look-up is needed: the usual case.
        groups = delimiters.reshape(-1, count)
        if (groups[:, -1] < ends).all() and (groups[1:, 0] > ends[:-1]).all():
            return np.ones(ends.size, dtype=bool)
    found: BoolArray = np.diff(np.searchsorted(delimiters, ends), prepend=0) == count
    return found


def _lines_at(positions: Int64Array, ends: Int64Array) -> Int64Array:
    """Return the indices of the lines that hold some positions."""
    return np.unique(np.searchsorted(ends, positions))


def _is_text(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _untidy_lines(text: NDArray[np.uint8], quotes: Int64Array, delimiters: Int64Array, ends: Int64Array) -> Int64Array:
    """Return the lines whose quotes are not pairs around whole fields without a delimiter inside.

    Args:
        text: Bytes of the block.
        quotes: Positions of quotes, ascending, at least one.
        delimiters: Positions of delimiters, ascending.
        ends: Positions of line feeds.
    """
    line = np.searchsorted(ends, quotes)
    is_opening = (np.arange(quotes.size) - np.searchsorted(line, line)) % 2 == 0
    delimiters_before = np.searchsorted(delimiters, quotes)
    is_edge = np.zeros(text.size + 1, dtype=bool)
    is_edge[delimiters] = is_edge[ends] = is_edge[-1] = True
    is_tidy = np.where(
        is_opening,
        is_edge[quotes - 1],
        is_edge[quotes + 1] & (delimiters_before == np.roll(delimiters_before, 1)),
    )
    is_odd = np.bincount(line)[line] % 2 == 1
    return np.unique(line[~is_tidy | is_odd])


def _plain_text(
    block: bytes, text: NDArray[np.uint8], ends: Int64Array, is_plain: BoolArray, quotes: Int64Array
) -> bytes:
    """Return the plain lines without their quotes; the block itself where that is all of it."""
    if is_plain.all() and not quotes.size:
        return block
    is_kept = np.repeat(is_plain, np.diff(ends, prepend=-1))
    is_kept[quotes] = False
    return text[is_kept].tobytes()
