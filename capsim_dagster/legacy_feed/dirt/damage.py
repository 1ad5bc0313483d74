"""What each line fault does to the text of one line, in whatever dialect the file is written.

A damaged line shows its own fault and none that `LineFault` names before it, so an exact refinery reports just that.
Which lines are damaged is in `draws`; where added lines go is in `dirty_lines`.
"""

import calendar
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, TypeVar

import polars as pl

from capsim_dagster.legacy_feed.dialects import CAPACITY, DATE, HOST, VALUE, Dialect, day_text, quoted
from capsim_dagster.legacy_feed.dirt.draws import split_number
from capsim_dagster.schemas import LineFault
from capsim_dagster.settings import INJECTED_LINE_FAULTS, FeedColumns, LegacyFeed

Option = TypeVar("Option")

ADDED: Final = frozenset(
    {
        LineFault.BLANK_LINE,
        LineFault.REPEATED_HEADER,
        LineFault.EXACT_DUPLICATE,
        LineFault.CONFLICTING_DUPLICATE,
    }
)
"""Faults of a line that is added; the line that was drawn stays as it is."""
HALF_A_PAIR: Final = "\ud800"
"""Half a surrogate pair: no text in UTF-8 nor in UTF-16."""

_BEYOND_ANY_FLEET: Final = 10**12
"""Added to a host number: no fleet is that large."""
_NO_DAY: Final = "32"
_NO_DAY_OF_FEBRUARY: Final = "30"
_WITHIN: Final = 5
"""Characters of a host id before a quote that stands within it."""
_MONTHS: Final = 12
_HALF_PAST_ONE: Final = dt.timedelta(hours=13, minutes=30)
_CENT: Final = 2
"""Decimals of a utilization."""


class SoundLine(NamedTuple):
    """A line before anything is done to it.

    Attributes:
        texts: Its fields by column of the master, as the file's dialect writes them, without quotes.
        original: The line as the plain feed writes it.
    """

    day: dt.date
    texts: Mapping[str, str]
    original: str


@dataclass(frozen=True)
class LineDamage:
    """Damage to the lines of one file.

    Attributes:
        dialect: How the file is written.
        plain: How the plain feed is written.
        columns: Range and labels of its resource.
    """

    dialect: Dialect
    plain: Dialect
    columns: FeedColumns
    settings: LegacyFeed

    def sound_lines(self, frame: pl.DataFrame) -> list[SoundLine]:
        """Return rows of the master as lines."""
        texts = self.dialect.texts(frame)
        originals = map(self.plain.line, texts if self.dialect == self.plain else self.plain.texts(frame))
        return [SoundLine(*line) for line in zip(frame.get_column(DATE), texts, originals, strict=True)]

    def possible(self) -> list[LineFault]:
        """Return the faults that these settings can express, in the order of `LineFault`."""
        return [kind for kind in INJECTED_LINE_FAULTS if self._is_possible(kind)]

    def text(self, kind: LineFault, line: SoundLine, number: float) -> str:
        """Return the text of a damaged or an added line, without an end of line.

        `number`: decides between the forms of a fault, in `[0, 1)`.
        """
        if kind in _SPELLED:
            return self.replaced(line, _SPELLED[kind][0], _one_of(self._spellings[kind], number))
        return _TEXTS[kind](self, line, number)

    def replaced(self, line: SoundLine, field: str, text: str) -> str:
        """Return a line with another text in one field."""
        return self.dialect.line({**line.texts, field: text})

    def with_field(self, line: SoundLine, field: str, change: Callable[[str], str]) -> str:
        """Return a line with one field changed as it stands in the file, quotes included."""
        fields = self.dialect.fields(line.texts)
        index = [column.field for column in self.dialect.columns].index(field)
        fields[index] = change(fields[index])
        return self.dialect.delimiter.join(fields)

    def decimal(self, value: float) -> str:
        """Return a number as the file writes it."""
        return repr(value).replace(".", self.dialect.decimal)

    def _is_possible(self, kind: LineFault) -> bool:
        if kind in {LineFault.MISSING_CAPACITY, LineFault.UNPARSABLE_CAPACITY} and not self.columns.capacity_column:
            return False
        return kind not in _SPELLED or bool(self._spellings[kind])

    @cached_property
    def _spellings(self) -> Mapping[LineFault, Sequence[str]]:
        """Return the spellings to choose from, without those that mean "no value" in this feed."""
        nothing = {text.strip().casefold() for text in self.settings.null_values}
        return {
            kind: [text for text in spellings(self) if text.casefold() not in nothing]
            for kind, (_, spellings) in _SPELLED.items()
        }


def shifted(day: dt.date, months: int) -> dt.date:
    """Return the same day so many months later, or the last day of a month that is too short for it.

    >>> shifted(dt.date(2024, 3, 31), -1)
    datetime.date(2024, 2, 29)
    """
    index = day.year * _MONTHS + day.month - 1 + months
    year, month = index // _MONTHS, index % _MONTHS + 1
    return dt.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _invalid_encoding(damage: LineDamage, line: SoundLine, number: float) -> str:
    return damage.replaced(line, HOST, line.texts[HOST] + _one_of([HALF_A_PAIR, "\0"], number))


def _unclosed_quote(damage: LineDamage, line: SoundLine, number: float) -> str:
    """Open a quote that nothing closes, or leave out the one that closes, or put one within a field."""
    if split_number(number, 2)[0]:
        return damage.with_field(line, HOST, lambda text: f'{text[:_WITHIN]}"{text[_WITHIN:]}')
    return damage.with_field(line, HOST, lambda text: text[:-1] if damage.dialect.is_quoted else f'"{text}')


def _field_count(damage: LineDamage, line: SoundLine, number: float) -> str:
    fields = damage.dialect.fields(line.texts)
    more = [quoted(text) if damage.dialect.is_quoted else text for text in ("", "0")]
    options = [fields[:-1], fields[1:], *([*fields, text] for text in more)]
    return damage.dialect.delimiter.join(_one_of(options, number))


def _unparsable_date(damage: LineDamage, line: SoundLine, number: float) -> str:
    """Write a word, a 32nd, a 30 February, or the afternoon where the format has hours."""
    date_format = damage.dialect.date_format
    february = dt.date(line.day.year, 2, 1)
    options = ["yesterday", day_text(line.day, date_format.replace("%d", _NO_DAY))]
    options += [day_text(february, date_format.replace("%d", _NO_DAY_OF_FEBRUARY))]
    if "%H" in date_format:
        options.append((dt.datetime.combine(line.day, dt.time(), dt.UTC) + _HALF_PAST_ONE).strftime(date_format))
    return damage.replaced(line, DATE, _one_of(options, number))


def _outside_month(damage: LineDamage, line: SoundLine, number: float) -> str:
    day = shifted(line.day, _one_of([-1, 1, -_MONTHS, _MONTHS], number))
    return damage.replaced(line, DATE, damage.dialect.day_text(day))


def _unknown_host(damage: LineDamage, line: SoundLine, number: float) -> str:
    """Name a host that no fleet can have: a letter after the number, another word, a number beyond all."""
    host = line.texts[HOST]
    prefix, _, digits = host.rpartition("-")
    far = f"{prefix}-{int(digits) + _BEYOND_ANY_FLEET}"
    return damage.replaced(line, HOST, _one_of([f"{host}x", f"host{digits}", far], number))


def _conflicting_duplicate(damage: LineDamage, line: SoundLine, number: float) -> str:
    """Write another value that is allowed, or a gap."""
    low, high = damage.columns.range
    choice, number = split_number(number, 4)
    value = round(low + (high - low) * number, _CENT)
    other = damage.decimal(value if low <= value <= high else low)
    gap, own = damage.dialect.gap, line.texts[VALUE]
    if own == gap:
        return damage.replaced(line, VALUE, other)
    return damage.replaced(line, VALUE, gap if choice == 0 or other == own else other)


def _unparsable_values(_damage: LineDamage) -> list[str]:
    return ["abc", "12.3.4", "1O.5", "#REF!", "12 %"]


def _infinite_values(_damage: LineDamage) -> list[str]:
    return ["NaN", "inf", "-inf"]


def _values_out_of_range(damage: LineDamage) -> list[str]:
    low, high = damage.columns.range
    return [damage.decimal(value) for value in (high + 0.5, high + 50, low - 0.5, low - 5)]


def _unparsable_capacities(_damage: LineDamage) -> list[str]:
    return ["many", "64x", "-64", "inf"]


def _one_of(options: Sequence[Option], number: float) -> Option:
    return options[split_number(number, len(options))[0]]


_SPELLED: Final[Mapping[LineFault, tuple[str, Callable[[LineDamage], list[str]]]]] = {
    LineFault.UNPARSABLE_VALUE: (VALUE, _unparsable_values),
    LineFault.NOT_FINITE: (VALUE, _infinite_values),
    LineFault.VALUE_OUT_OF_RANGE: (VALUE, _values_out_of_range),
    LineFault.UNPARSABLE_CAPACITY: (CAPACITY, _unparsable_capacities),
}
"""Faults that are a matter of spelling one field: which field, and the spellings to choose from."""

_TEXTS: Final[Mapping[LineFault, Callable[[LineDamage, SoundLine, float], str]]] = {
    LineFault.BLANK_LINE: lambda _damage, _line, _number: "",
    LineFault.INVALID_ENCODING: _invalid_encoding,
    LineFault.UNCLOSED_QUOTE: _unclosed_quote,
    LineFault.REPEATED_HEADER: lambda damage, _line, _number: damage.dialect.header,
    LineFault.FIELD_COUNT: _field_count,
    LineFault.MISSING_DATE: lambda damage, line, _number: damage.replaced(line, DATE, ""),
    LineFault.UNPARSABLE_DATE: _unparsable_date,
    LineFault.OUTSIDE_MONTH: _outside_month,
    LineFault.MISSING_HOST: lambda damage, line, _number: damage.replaced(line, HOST, ""),
    LineFault.UNKNOWN_HOST: _unknown_host,
    LineFault.MISSING_CAPACITY: lambda damage, line, _number: damage.replaced(line, CAPACITY, ""),
    LineFault.EXACT_DUPLICATE: lambda damage, line, _number: damage.dialect.line(line.texts),
    LineFault.CONFLICTING_DUPLICATE: _conflicting_duplicate,
}
"""How every other fault is made."""
