"""Plain lines: which lines of a block they are, and days, hosts and numbers of all of them at once, as columns.

A line is plain if cutting it at each delimiter gives the fields that a CSV reader would give: the right number of
fields, sound text, tidy quotes. Every other line is judged alone (`judge`), which costs a hundred times as much and is
exact; so are plain lines that are not sound.
"""

import codecs
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.errors import GateError
from capsim_dagster.refinery.dialect import days_of_month
from capsim_dagster.refinery.judge import Judge
from capsim_dagster.refinery.source import Block

BoolArray = NDArray[np.bool_]
_NAMES: Final = ("date", "host", "value", "capacity")
Int64Array = NDArray[np.int64]
_LINE_FEED: Final = ord("\n")
_QUOTE: Final = ord('"')
_UNUSUAL: Final = (b'"', b"\r", b"\0", b" ", b"\t", b"\v", b"\f")
"""What no field of a tidy block holds."""
_ASCII_END: Final = 128


def parse_columns(text: bytes, n_lines: int, judge: Judge) -> tuple[pl.DataFrame, BoolArray, set[str]]:
    """Parse plain lines, without quotes; hosts that are new to the judge's table are added there.

    Returns:
        Columns `day`, `host` (a number), `util`, `capacity`, one row a line; which lines are sound, shape
        `(n_lines,)`: what stands in the other rows means nothing; and how gaps are spelled.

    Raises:
        GateError: If the columns have other rows than the text has lines.
    """
    fields = _fields(text, judge)
    if fields.height != n_lines:
        raise GateError(
            f"{n_lines:,} lines were read as {fields.height:,} rows", remedy="please report this file: it is a defect"
        )
    # One query: each eager step would cost 0.3 ms, which is a second over three years of files.
    rows = (
        fields.lazy()
        .with_columns(judge.hosts.encode(fields["host"]).alias("host"))
        .with_columns(**_parsed(judge))
        .with_columns(is_sound=_soundness(judge))
        .select("day", "host", "util", "capacity", "is_sound", "value")
        .collect()
    )
    is_sound = rows["is_sound"].to_numpy().copy()
    # Gaps are few: only where there is no number is it asked whether the text spells "no value".
    silent = np.flatnonzero(rows["util"].is_null().to_numpy())
    texts = rows["value"].gather(silent)
    is_sound[silent] &= texts.is_in(["", *judge.rules.feed.null_values]).to_numpy()
    return rows.select("day", "host", "util", "capacity"), is_sound, {*texts.unique()}


def tidy_columns(block: Block, judge: Judge) -> tuple[pl.DataFrame, bool] | None:
    """Return the rows of a block each line of which is sound, and whether some have no value; None = not so, or unsure.

    As most blocks are: they are read at half the cost of looking at each line. polars reads the same texts as numbers
    here as `parse_columns` does, but for one with blanks before it. Columns are `day`, `host`, `util`, `capacity`.
    """
    text, header, n_lines = block.text, judge.dialect.header, block.text.count(b"\n")
    unusual = [byte for byte in _UNUSUAL if byte != header.delimiter.encode()]
    is_plain = block.is_terminated and judge.dialect.decimal == "." and text.isascii()
    if not is_plain or any(byte in text for byte in unusual):
        return None
    if text.count(header.delimiter.encode()) != n_lines * (header.width - 1):
        return None
    kinds: list[pl.DataType] = [_days(judge.month, judge.dialect.date_format), judge.hosts.kind]
    of_column = dict(zip(header.columns, [*kinds, pl.Float64(), pl.Float64()], strict=False))
    schema = {f"column_{index}": of_column.get(index, pl.String()) for index in range(header.width)}
    try:
        fields = _cut(text, judge, schema)
    except pl.exceptions.PolarsError:
        return None
    has_capacity = header.capacity is not None
    rows = fields.select(
        pl.col("date").to_physical().cast(pl.Int8).alias("day") + 1,
        pl.col("host").to_physical().cast(pl.Int32),
        pl.col("value").alias("util"),
        pl.col("capacity") if has_capacity else pl.lit(None, pl.Float64).alias("capacity"),
    )
    if rows.height != n_lines or not rows.select(_soundness(judge).all()).item():
        return None
    return rows, rows.get_column("util").has_nulls()


def _parsed(judge: Judge) -> dict[str, pl.Expr]:
    """Return day, utilization and capacity as numbers; null where a text says none."""
    dialect = judge.dialect
    days = _days(judge.month, dialect.date_format)
    capacity = pl.lit(None, pl.Float64) if dialect.header.capacity is None else _number("capacity", dialect.decimal)
    return {
        "day": pl.col("date").cast(days, strict=False).to_physical().cast(pl.Int8) + 1,
        "util": _number("value", dialect.decimal),
        "capacity": capacity,
    }


def _soundness(judge: Judge) -> pl.Expr:
    """Return whether a line is sound, if no number in the place of the utilization is a gap."""
    low, high = judge.rules.feed.resources[judge.resource].range
    is_sound = (
        pl.col("day").is_not_null()
        & pl.col("host").is_not_null()
        & pl.col("util").is_between(low, high).fill_null(value=True)
    )
    if judge.dialect.header.capacity is not None:
        is_sound &= (pl.col("capacity").is_finite() & (pl.col("capacity") >= 0)).fill_null(value=False)
    nulls = list(_null_numbers(judge))
    if nulls:
        is_sound &= ~pl.any_horizontal(pl.col("util", "capacity").is_in(nulls).fill_null(value=False))
    return is_sound


def _null_numbers(judge: Judge) -> Iterator[float]:
    """Yield the numbers that are spellings of no value, as -1 may be: their lines are judged by the text."""
    for text in judge.rules.null_values:
        with suppress(ValueError):
            yield float(text.replace(judge.dialect.decimal, "."))


def _fields(text: bytes, judge: Judge) -> pl.DataFrame:
    """Return the fields that are read, as text."""
    return _cut(text, judge, {f"column_{index}": pl.String() for index in range(judge.dialect.header.width)})


def _cut(text: bytes, judge: Judge, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the fields that are read, as what the schema of all columns has them."""
    header = judge.dialect.header
    names = {f"column_{index}": name for index, name in zip(header.columns, _NAMES, strict=False)}
    if not text:
        return pl.DataFrame(schema={name: schema[label] for label, name in names.items()})
    return pl.read_csv(
        # One byte order mark at the start of the text would be dropped; it belongs to the first field.
        codecs.BOM_UTF8 + text if text.startswith(codecs.BOM_UTF8) else text,
        has_header=False,
        schema=schema,
        columns=list(names),
        separator=header.delimiter,
        quote_char=None,
        empty_string_is_null=False,
    ).rename(names)


def _number(column: str, decimal: str) -> pl.Expr:
    """Return a text as a number; null where it is none."""
    text = pl.col(column)
    if decimal == ",":
        has_point = text.str.contains(".", literal=True)
        text = pl.when(~has_point).then(text.str.replace(",", ".", literal=True))
    return text.cast(pl.Float64, strict=False)


@lru_cache(maxsize=256)
def _days(month: int, date_format: str) -> pl.Enum:
    """Return the days of a month as they are written, as an enumeration: casting to it looks each text up."""
    return pl.Enum(list(days_of_month(month, date_format)))


@dataclass(frozen=True)
class Lines:
    """The lines of a block.

    Attributes:
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
    """Find the lines of a block, each of so many fields, and which of them are plain.

    A delimiter that is not ASCII leaves no line plain.
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
    """Return the lines whose quotes, at least one, are not pairs around whole fields without a delimiter inside."""
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
