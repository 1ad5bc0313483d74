"""A feed file as rows and rejected lines: every data line is exactly one of the two."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import numpy as np
import polars as pl

from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.refinery.columns import Lines, line_ends, parse_columns, scan_lines, tidy_columns
from capsim_dagster.refinery.dialect import (
    Dialect,
    Header,
    choose_date_format,
    choose_decimal,
    cut_fields,
    parse_date,
    read_header,
    traits_of,
)
from capsim_dagster.refinery.judge import Fault, Judge, Row, count_repeated, duplicate_lines
from capsim_dagster.refinery.rules import FileRefused, HostTable, ReadRules
from capsim_dagster.refinery.source import Block, FeedSource
from capsim_dagster.schemas import DialectTrait, FileFault, LineFault
from capsim_dagster.schemas.months import month_name

MAX_RAW: Final = 4_096
"""Characters of a rejected line that are kept."""
MAX_REJECTED_TEXT: Final = 64 << 20
"""Characters of all rejected lines of a file that are kept."""
MAX_BLANK_LINES: Final = 100_000
"""Blank lines that may turn out to be the end of the file."""
_SAMPLE_LINES: Final = 100
"""Lines that the dialect is found out from, spread over the first block."""
_ROWS: Final = {"line": pl.Int64, "day": pl.Int8, "host": pl.Int32, "util": pl.Float64, "capacity": pl.Float64}
_REJECTED: Final = {"line": pl.Int64, "reason": pl.String, "column_name": pl.String, "raw": pl.String}


@dataclass(frozen=True)
class ReadFile:
    """The content of a feed file: `lines = rows + rejected`.

    Attributes:
        lines: Physical data lines: after the header, without trailing blank ones.
        rows: Sound lines: `line`, `day` of the month, `host` (its number in the table), `util` [%], `capacity`.
        rejected: The other lines: `line`, `reason`, `column_name`, `raw`.
        gaps: How plain lines spell that there is no value.
    """

    source: FeedSource
    piece: FeedPiece
    dialect: Dialect
    lines: int
    rows: pl.DataFrame
    rejected: pl.DataFrame
    gaps: frozenset[str]


@dataclass
class _Harvest:
    """What has been read of a file so far."""

    judge: Judge
    rows: list[pl.DataFrame] = field(default_factory=list)
    judged: list[tuple[int, int, int, float | None, float | None]] = field(default_factory=list)
    rejected: list[tuple[int, str, str | None, str]] = field(default_factory=list)
    rejected_text: int = 0
    blank_lines: int = 0
    is_in_order: bool = True
    traits: set[DialectTrait] = field(default_factory=set)
    gaps: set[str] = field(default_factory=set)
    last_line: int = 0

    def add_tidy(self, block: Block, rows: pl.DataFrame, has_gaps: bool) -> None:
        """Take the rows of a block each line of which is sound; a gap there is empty."""
        self.rows.append(rows.insert_column(0, pl.int_range(rows.height, eager=True).alias("line") + block.first_line))
        self.last_line = block.first_line + rows.height - 1
        self.gaps |= {""} if has_gaps else set()

    def add(self, lines: Lines) -> None:
        """Sort the lines of a block into rows and rejected ones."""
        plain = np.flatnonzero(lines.is_plain)
        rows, is_sound, gaps = parse_columns(lines.plain_text, plain.size, self.judge)
        self.gaps |= gaps
        numbers = pl.Series("line", lines.numbers[plain])
        self.rows.append(rows.insert_column(0, numbers).filter(pl.Series(is_sound)))
        self.last_line = lines.block.first_line + lines.ends.size - 1
        # One at a time: a list of all of them is as large as a block of lines without content.
        for index in map(int, np.concatenate([np.flatnonzero(~lines.is_plain), plain[~is_sound]])):
            is_whole = lines.block.is_terminated or index < lines.ends.size - 1
            self._judge(lines.block.first_line + index, lines.raw(index), is_whole=is_whole)
        if lines.has_quotes:
            self.traits.add(DialectTrait.QUOTED)
        if self.judged:
            self.rows.append(pl.DataFrame(self.judged, schema=_ROWS, orient="row"))
            self.judged, self.is_in_order = [], False

    def _judge(self, number: int, raw: bytes, *, is_whole: bool) -> None:
        verdict = self._verdict(raw, is_whole=is_whole)
        if isinstance(verdict, Row):
            host = self.judge.hosts.code(verdict.host)
            self.judged.append((number, verdict.day, host, verdict.util, verdict.capacity))
            if b'"' in raw:
                self.traits.add(DialectTrait.QUOTED)
        else:
            text = shown(raw)
            self.rejected.append((number, verdict.reason.value, verdict.column, text))
            self.rejected_text += len(text)
            self.blank_lines += verdict.reason is LineFault.BLANK_LINE
            self.require_bounds(max(self.blank_lines - MAX_BLANK_LINES, 0))

    def require_bounds(self, blank_lines: int) -> None:
        """Refuse a file of which more is rejected than can be held, or is worth keeping.

        Of blank lines only some count: those at the end of the file are dropped in the end.
        """
        rejected = len(self.rejected) - self.blank_lines + blank_lines
        if rejected > self.judge.rules.refinery.max_rejected_lines or self.rejected_text > MAX_REJECTED_TEXT:
            raise _too_many_rejected(self, Counter(reason for _, reason, *_ in self.rejected))

    def _verdict(self, raw: bytes, *, is_whole: bool) -> Row | Fault:
        if not is_whole and raw.strip():
            if self.judge.rules.refinery.unterminated_last_line == "reject":
                return Fault(LineFault.TRUNCATED_LINE)
            self.traits.add(DialectTrait.NO_FINAL_NEWLINE)
        return self.judge.verdict(raw)

    def drop_trailing_blanks(self) -> None:
        """Take back the blank lines at the end: there is nothing in them and nothing after them."""
        blank = {number for number, reason, *_ in self.rejected if reason == LineFault.BLANK_LINE}
        end = self.last_line
        while self.last_line in blank:
            self.last_line -= 1
        if self.last_line < end:
            self.traits.add(DialectTrait.TRAILING_BLANK_LINES)
            self.blank_lines -= end - self.last_line
            self.rejected = [entry for entry in self.rejected if entry[0] <= self.last_line]

    def all_rows(self) -> pl.DataFrame:
        """Return the sound lines in the order of the file."""
        rows = pl.concat(self.rows)
        return rows if self.is_in_order else rows.sort("line")


def read_feed_file(source: FeedSource, piece: FeedPiece, hosts: HostTable) -> ReadFile:
    """Read a feed file: each data line becomes a row or a rejected line.

    Raises:
        FileRefused: If the file as a whole cannot be used.
    """
    rules = hosts.rules
    blocks = source.blocks()
    header_line, header, first = _header(blocks, piece, rules)
    judge = Judge(hosts, _dialect(source, header, first, piece, rules), piece.month, piece.resource)
    harvest = _Harvest(judge)
    for block in chain([first] if first else [], blocks):
        if tidy := tidy_columns(block, judge):
            harvest.add_tidy(block, *tidy)
        else:
            harvest.add(scan_lines(block, header.delimiter, header.width))
    harvest.drop_trailing_blanks()
    harvest.require_bounds(harvest.blank_lines)
    lines = max(harvest.last_line - header_line, 0)
    _require_its_month(harvest, lines)
    rows = harvest.all_rows()
    repeated = count_repeated(rows)
    if repeated > rules.refinery.max_rejected_lines:
        raise _too_many_rejected(harvest, Counter({"a host and day once more": repeated}))
    twice = duplicate_lines(rows, rules.refinery.conflicting_duplicates) if repeated else {}
    if len(twice) + len(harvest.rejected) > rules.refinery.max_rejected_lines:
        raise _too_many_rejected(harvest, Counter([*twice.values(), *(reason for _, reason, *_ in harvest.rejected)]))
    rejected = pl.concat([_frame(harvest.rejected), _frame(_raw_lines(source, twice))]).sort("line")
    traits = source.traits | judge.dialect.traits | harvest.traits
    dialect = Dialect(header, judge.dialect.decimal, judge.dialect.date_format, source.encoding, frozenset(traits))
    kept = rows.filter(~pl.col("line").is_in(list(twice))) if twice else rows
    return ReadFile(source, piece, dialect, lines, kept, rejected, frozenset(harvest.gaps))


def has_usable_header(source: FeedSource, piece: FeedPiece, rules: ReadRules) -> bool:
    """Return whether a file's header holds the columns of a resource."""
    try:
        _header(source.blocks(), piece, rules)
    except FileRefused:
        return False
    return True


def shown(raw: bytes) -> str:
    """Return a line as text for people: bytes that are no text as `\\xff`, and not without end."""  # noqa: D301
    text = raw[: (MAX_RAW + 1) * 4].decode("utf-8", "backslashreplace")
    return text if len(text) <= MAX_RAW else text[:MAX_RAW] + "…"


def _header(blocks: Iterator[Block], piece: FeedPiece, rules: ReadRules) -> tuple[int, Header, Block | None]:
    """Return the header's line number, the header, and what follows it in the first block."""
    for block in blocks:
        start, number = 0, block.first_line
        while start < len(block.text):
            end = block.text.index(b"\n", start)
            line, start = block.text[start:end], end + 1
            if line.strip():
                header = read_header(line, rules.feed, piece.resource)
                rest = Block(block.text[start:], number + 1, block.is_terminated)
                return number, header, rest if rest.text else None
            number += 1
    raise FileRefused(FileFault.EMPTY, "the file holds blank lines only")


def _dialect(source: FeedSource, header: Header, first: Block | None, piece: FeedPiece, rules: ReadRules) -> Dialect:
    """Find out decimal sign and date format from a sample of lines."""
    sample = list(_sample(first, header)) if first is not None else []
    decimal = choose_decimal([fields[header.value] for fields in sample], rules.feed.decimal_signs)
    dates = [fields[header.date].strip() for fields in sample]
    date_format = choose_date_format(dates, piece.month, rules.feed.date_formats)
    traits = traits_of(header, decimal=decimal, date_format=date_format, feed=rules.feed)
    return Dialect(header, decimal, date_format, source.encoding, frozenset(traits))


def _sample(block: Block, header: Header) -> Iterator[list[str]]:
    """Yield the fields of lines spread over a block that have as many as the header."""
    text, start = block.text, 0
    step = len(text) // _SAMPLE_LINES
    while start < len(text):
        line = text[start : text.index(b"\n", start)]
        fields = cut_fields(line.decode("utf-8", "replace"), header.delimiter)
        if fields is not None and len(fields) == header.width:
            yield fields
        end = text.find(b"\n", start + step)
        start = end + 1 if end >= 0 else len(text)


def _too_many_rejected(harvest: _Harvest, reasons: Counter[str]) -> FileRefused:
    """Return the refusal of a file with more rejected lines than can be kept, read as far as these were found."""
    if reasons[LineFault.OUTSIDE_MONTH] * 2 > reasons.total():
        return _another_month(harvest, reasons.total())
    said = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
    return FileRefused(
        FileFault.TOO_MANY_REJECTED,
        f"{reasons.total():,} rejected lines by line {harvest.last_line:,} ({said}), and it was read no further: "
        f"refinery.max_rejected_lines is {harvest.judge.rules.refinery.max_rejected_lines:,}, and their text may have "
        f"{MAX_REJECTED_TEXT:,} characters",
    )


def _require_its_month(harvest: _Harvest, lines: int) -> None:
    """Refuse a file without a line, or most of whose lines are of another month."""
    if not lines:
        raise FileRefused(FileFault.EMPTY, "the file has a header and no data line")
    if sum(reason == LineFault.OUTSIDE_MONTH for _, reason, *_ in harvest.rejected) * 2 > lines:
        raise _another_month(harvest, lines)


def _another_month(harvest: _Harvest, lines: int) -> FileRefused:
    outside = [raw for _, reason, _, raw in harvest.rejected if reason == LineFault.OUTSIDE_MONTH]
    # None where each line is too long to be kept up to its date.
    months = Counter(_months(harvest.judge, outside)).most_common(1) or [("other months", len(outside))]
    month, count = months[0]
    return FileRefused(
        FileFault.ANOTHER_MONTH,
        f"{count:,} of {lines:,} lines are of {month} under the name of {month_name(harvest.judge.month)}",
    )


def _months(judge: Judge, lines: Iterable[str]) -> Iterator[str]:
    """Yield the months of lines that say a day outside the file's month."""
    header = judge.dialect.header
    for line in lines:
        fields = cut_fields(line, header.delimiter) or []
        day = parse_date(fields[header.date].strip(), judge.dialect.date_format) if len(fields) > header.date else None
        if day is not None:
            yield f"{day:%Y-%m}"


def _raw_lines(source: FeedSource, faults: Mapping[int, LineFault]) -> list[tuple[int, str, str | None, str]]:
    """Read a file again for the text of some lines."""
    found: list[tuple[int, str, str | None, str]] = []
    if not faults:
        return found
    wanted = np.array(sorted(faults))
    for block in source.blocks():
        ends = line_ends(block.text)
        here = wanted[(wanted >= block.first_line) & (wanted < block.first_line + ends.size)]
        for number in here.tolist():
            index = number - block.first_line
            raw = block.text[int(ends[index - 1]) + 1 if index else 0 : int(ends[index])]
            found.append((number, faults[number].value, None, shown(raw)))
    return found


def _frame(rejected: list[tuple[int, str, str | None, str]]) -> pl.DataFrame:
    return pl.DataFrame(rejected, schema=_REJECTED, orient="row")
