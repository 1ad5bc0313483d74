"""How a feed file is written: its delimiter, columns, decimal sign and date format, found out from its first lines."""

import calendar
import datetime as dt
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from capsim_dagster.errors import listed
from capsim_dagster.refinery.rules import FileRefused
from capsim_dagster.schemas import DialectTrait, FileFault, Resource
from capsim_dagster.settings import LegacyFeed

MAX_HEADER_BYTES: Final = 1 << 16
"""A longer first line is no header."""
_SHOWN_HEADER: Final = 120
_DELIMITER_TRAITS: Final = {";": DialectTrait.SEMICOLON, "\t": DialectTrait.TAB}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class Header:
    """The first line of a file, understood: labels without quotes and padding, and the indices of the columns needed.

    `capacity` is None where the feed has none; `traits` say how it differs from the header that capsim writes.
    """

    labels: tuple[str, ...]
    delimiter: str
    date: int
    host: int
    value: int
    capacity: int | None
    traits: frozenset[DialectTrait]

    @property
    def width(self) -> int:
        """Fields that each line must have."""
        return len(self.labels)

    @property
    def columns(self) -> tuple[int, ...]:
        """Indices of the columns that are read: date, host, value and, where there is one, capacity."""
        needed = (self.date, self.host, self.value)
        return needed if self.capacity is None else (*needed, self.capacity)


@dataclass(frozen=True)
class Dialect:
    """How a whole file is written; days by a strptime format, traits as it differs from the plain feed."""

    header: Header
    decimal: str
    date_format: str
    encoding: str
    traits: frozenset[DialectTrait]

    def as_json(self) -> str:
        """Return the dialect as `feed_files` keeps it."""
        facts = {
            "encoding": self.encoding,
            "delimiter": self.header.delimiter,
            "decimal": self.decimal,
            "dates": self.date_format,
            "traits": sorted(self.traits),
        }
        return json.dumps(facts)


def read_header(line: bytes, feed: LegacyFeed, resource: Resource) -> Header:
    """Find the delimiter that yields the columns of a resource, and where they are, in the first line of text.

    Raises:
        FileRefused: If the line is no text, or no candidate yields the columns, each once.
    """
    text = _text(line)
    reasons = []
    for delimiter in feed.delimiters:
        parts = cut_fields(text, delimiter) or text.split(delimiter)
        labels = tuple(part.strip().strip('"').strip() for part in parts)
        try:
            return _understood(labels, parts, delimiter, feed, resource)
        except LookupError as error:
            reasons.append((len(labels), str(error.args[0])))
    # The delimiter that cuts the line into most parts is the one that was meant.
    reason = max(reasons)[1]
    shown = text if len(text) <= _SHOWN_HEADER else text[:_SHOWN_HEADER] + "…"
    raise FileRefused(FileFault.NO_USABLE_HEADER, f"the header is '{shown}': {reason}")


def traits_of(header: Header, *, decimal: str, date_format: str, feed: LegacyFeed) -> set[DialectTrait]:
    """Return how the content differs from what capsim writes."""
    traits = set(header.traits)
    if header.delimiter != feed.delimiters[0]:
        traits.add(_DELIMITER_TRAITS.get(header.delimiter, DialectTrait.OTHER_DELIMITER))
    # Where a point is no candidate, the comma is how the plain feed is written.
    if decimal == "," and "." in feed.decimal_signs:
        traits.add(DialectTrait.DECIMAL_COMMA)
    if date_format != feed.date_formats[0]:
        traits.add(DialectTrait.DATE_FORMAT)
    return traits


def choose_decimal(values: Sequence[str], candidates: Sequence[str]) -> str:
    """Return the decimal sign that most of some values have; of none, the first candidate.

    >>> choose_decimal(["1,5", "2", "3,25"], [".", ","])
    ','
    """
    return max(candidates, key=lambda sign: sum(sign in value for value in values))


def choose_date_format(dates: Sequence[str], month: int, formats: Sequence[str]) -> str:
    """Return the format by which most of some dates lie in a month, as YYYYMM; if none does, by which most are dates.

    So `01/02/2024` is the second of January in January's file and the first of February in February's. Of equals the
    first of the candidates wins.
    """
    hits = {text: sum(date in days_of_month(month, text) for date in dates) for text in formats}
    best = max(formats, key=lambda text: hits[text])
    if hits[best] * 2 >= len(dates):
        return best
    # A few hits say nothing: 01/02/2024 to 01/31/2024 hold a first of February. Nor do no hits: 1/2/2024 is a day too.
    return max(formats, key=lambda text: _merit(dates, month, text))


@lru_cache(maxsize=256)
def days_of_month(month: int, date_format: str) -> dict[str, int]:
    """Return how each day of a month is written: text -> day of the month."""
    year, number = divmod(month, 100)
    days = range(1, calendar.monthrange(year, number)[1] + 1)
    return {dt.date(year, number, day).strftime(date_format): day for day in days}


def parse_date(text: str, date_format: str) -> dt.date | None:
    """Return the day that a text says, or None if it says none or has a time other than midnight.

    >>> parse_date("29.02.2024", "%d.%m.%Y"), parse_date("29.02.2023", "%d.%m.%Y")
    (datetime.date(2024, 2, 29), None)
    """
    try:
        moment = dt.datetime.strptime(text, date_format) if text.isascii() else None  # noqa: DTZ007 days have no zone
    except ValueError:
        return None
    return moment.date() if moment is not None and moment.time() == dt.time() else None


def cut_fields(text: str, delimiter: str) -> list[str] | None:
    """Cut a line at its delimiters, but not within quotes; None = a quote is not closed, or stands within a field.

    >>> cut_fields('a;"b;""c";d', ";")
    ['a', 'b;"c', 'd']
    >>> cut_fields('a;"b;c', ";") is None
    True
    """
    if '"' not in text:
        return text.split(delimiter)
    fields, position, pattern = [], 0, _quoted(delimiter)
    while True:
        quoted = pattern.match(text, position)
        if quoted:
            fields.append(quoted[1].replace('""', '"'))
            end = quoted.end()
        else:
            end = text.find(delimiter, position)
            end = len(text) if end < 0 else end
            if '"' in text[position:end]:
                return None
            fields.append(text[position:end])
        if end == len(text):
            return fields
        if text[end] != delimiter:
            return None
        position = end + 1


@lru_cache(maxsize=8)
def _quoted(delimiter: str) -> re.Pattern[str]:
    """Return the pattern of a field in quotes; a tab that is the delimiter is no padding around it."""
    padding = rf"(?:(?!{re.escape(delimiter)})\s)*"
    return re.compile(rf'{padding}"((?:[^"]|"")*)"{padding}')


def _merit(dates: Iterable[str], month: int, date_format: str) -> tuple[bool, int, int]:
    """Return whether most of some dates lie in a month, how many are dates, and how many lie there."""
    days = [parse_date(date, date_format) for date in dates]
    parsed = [day for day in days if day is not None]
    inside = sum(day.year * 100 + day.month == month for day in parsed)
    return inside * 2 >= len(days), len(parsed), inside


def _text(line: bytes) -> str:
    """Return the header as text."""
    text = line[:MAX_HEADER_BYTES].decode("utf-8", "replace").rstrip("\r")
    if len(line) > MAX_HEADER_BYTES or _CONTROL.search(text) or text.count("�") * 10 > len(text):
        raise FileRefused(FileFault.NOT_CSV, f"it starts with {line[:16]!r}, which is no line of text")
    if "\r" in text.strip():
        # It would swallow the data lines that are ended so, and nobody would miss them.
        raise FileRefused(FileFault.NO_USABLE_HEADER, "some lines end with a carriage return, others with a line feed")
    return text


def _understood(
    labels: tuple[str, ...], parts: Sequence[str], delimiter: str, feed: LegacyFeed, resource: Resource
) -> Header:
    """Return the header, if its labels hold all that is needed; else a LookupError says in words what they lack."""
    columns = feed.resources[resource]
    wanted = [feed.date_columns, feed.host_columns, (columns.value_column,)]
    wanted += [(columns.capacity_column,)] if columns.capacity_column is not None else []
    folded = [label.casefold() for label in labels]
    indices = [_index(folded, names) for names in wanted]
    traits = set()
    if list(labels) != list(parts) or any(
        labels[index] not in names for index, names in zip(indices, wanted, strict=True)
    ):
        traits.add(DialectTrait.HEADER_CASE)
    if any(folded[index] != names[0].strip().casefold() for index, names in zip(indices, wanted, strict=True)):
        traits.add(DialectTrait.HEADER_ALIAS)
    if indices != sorted(indices):
        traits.add(DialectTrait.COLUMN_ORDER)
    if len(labels) > len(indices):
        traits.add(DialectTrait.EXTRA_COLUMNS)
    date, host, value, *capacity = indices
    return Header(labels, delimiter, date, host, value, capacity[0] if capacity else None, frozenset(traits))


def _index(labels: Sequence[str], names: Sequence[str]) -> int:
    """Return where the first of some names stands, once."""
    for name in names:
        found = labels.count(name.strip().casefold())
        if found == 1:
            return labels.index(name.strip().casefold())
        if found > 1:
            raise LookupError(f"column {name} stands {found} times")
    raise LookupError(f"no column {' or '.join(names)} among {listed(labels)}")
