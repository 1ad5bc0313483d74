"""How a feed file is written: columns and their order, date format, delimiter, quotes, encoding, line ends.

A dialect turns rows of the master into text and text into bytes; nothing is ever wrong with what it writes. Which
dialect a file gets is in `variants`, what can be wrong with it in `damage` and `defects`.
"""

import codecs
import datetime as dt
import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Final, Literal

import numpy as np
import polars as pl

from capsim_dagster.legacy_feed.contract import written_columns
from capsim_dagster.schemas import DialectTrait, Resource
from capsim_dagster.schemas.feed import FEED
from capsim_dagster.settings import LegacyFeed
from capsim_dagster.simulation.time_dimension import date_of

DATE, HOST, VALUE, CAPACITY = (column.name for column in FEED)
LINE_END: Final = b"\n"
"""End of line of a text that is not yet encoded."""

_ROWS_PER_WRITE: Final = 16_384
"""Half a megabyte at a time: the default of 1,024 rows costs three times the system time."""
_ISO: Final = "%Y-%m-%d"
"""The format in which days are written without a detour."""
_SAMPLE_DAY: Final = dt.date(2003, 2, 1)
"""Year, month and day all differ, so that formats do."""
_COMPRESSION: Final = 6
"""Level of gzip: what the tool itself takes unless told."""


@dataclass(frozen=True)
class LabelledColumn:
    """One column of a feed file.

    Attributes:
        label: What the header calls it.
        field: Column of the master that it holds; empty = a constant.
        constant: What it holds in every line if it is none of the master's.
    """

    label: str
    field: str = ""
    constant: str = ""


@dataclass(frozen=True)
class Dialect:
    """How one feed file is written.

    Attributes:
        date_format: strftime format of the day.
        gap: Spelling of no value.
        encoding: Encoding of the text; both but plain UTF-8 begin with a byte order mark.
        traits: In what it differs from the plain feed.
    """

    columns: tuple[LabelledColumn, ...]
    date_format: str
    delimiter: str
    decimal: str
    gap: str
    is_quoted: bool = False
    encoding: Literal["utf-8", "utf-8-sig", "utf-16"] = "utf-8"
    line_end: Literal["\n", "\r\n", "\r"] = "\n"
    trailing_blank_lines: int = 0
    is_compressed: bool = False
    traits: tuple[DialectTrait, ...] = ()

    @property
    def header(self) -> str:
        """The header, without an end of line."""
        return self.delimiter.join(self._label(column.label) for column in self.columns)

    def fields(self, texts: Mapping[str, str]) -> list[str]:
        """Return the fields of a line as they stand in the file; `texts` are by column of the master."""
        plain = [texts[column.field] if column.field else column.constant for column in self.columns]
        return [quoted(text) for text in plain] if self.is_quoted else plain

    def line(self, texts: Mapping[str, str]) -> str:
        """Return a line, without an end of line; `texts` as in `fields`."""
        return self.delimiter.join(self.fields(texts))

    def write_rows(self, frame: pl.DataFrame, stream: IO[bytes]) -> None:
        """Write rows of the master as lines of UTF-8 text, each with a line feed, before any encoding."""
        names = [str(index) for index in range(len(self.columns))]
        values = [self._values(column, frame) for column in self.columns]
        frame.select(value.alias(name) for name, value in zip(names, values, strict=True)).write_csv(
            stream,
            include_header=False,
            batch_size=_ROWS_PER_WRITE,
            separator=self.delimiter,
            decimal_comma=self.decimal == ",",
            null_value=self.gap,
            quote_style="always" if self.is_quoted else "never",
        )

    def encode(self, text: bytes) -> bytes:
        """Return the bytes of a file from its whole text in UTF-8 with line feeds."""
        text += LINE_END * self.trailing_blank_lines
        if self.line_end != "\n":
            text = text.replace(LINE_END, self.line_end.encode())
        if self.encoding == "utf-16":
            # Damaged text may hold half a surrogate pair, which is no text in either encoding and must pass.
            halves = text.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")
            text = codecs.BOM_UTF16_LE + halves
        elif self.encoding == "utf-8-sig":
            text = codecs.BOM_UTF8 + text
        return compressed(text) if self.is_compressed else text

    def day_text(self, day: dt.date) -> str:
        """Return a day as this dialect writes it."""
        return day_text(day, self.date_format)

    def texts(self, frame: pl.DataFrame) -> list[dict[str, str]]:
        """Return rows of the master as texts by column, as `write_rows` writes them before it quotes."""
        value = pl.col(VALUE).cast(pl.String)
        value = value if self.decimal == "." else value.str.replace(".", self.decimal, literal=True)
        rows = frame.select(
            DATE,
            pl.col(HOST).cast(pl.String),
            value.fill_null(self.gap),
            pl.col(CAPACITY).cast(pl.Int64).cast(pl.String),
        ).iter_rows()
        return [
            {DATE: day_text(day, self.date_format), HOST: host, VALUE: value, CAPACITY: capacity}
            for day, host, value, capacity in rows
        ]

    def _label(self, label: str) -> str:
        is_needed = self.is_quoted or self.delimiter in label or '"' in label
        return quoted(label) if is_needed else label

    def _values(self, column: LabelledColumn, frame: pl.DataFrame) -> pl.Expr:
        """Return what a column holds; capacities are whole numbers: 64, not 64.0, as the source systems print them."""
        if column.field == CAPACITY:
            return pl.col(CAPACITY).cast(pl.Int64)
        if column.field == DATE and self.date_format != _ISO:
            return pl.lit(_day_texts(frame.get_column(DATE), self.date_format))
        return pl.col(column.field) if column.field else pl.lit(column.constant)


def plain_dialect(settings: LegacyFeed, resource: Resource) -> Dialect:
    """Return how capsim writes a resource's files unless another dialect is asked for.

    It takes the first of each list of candidates, and a decimal point where it may. Fields are in quotes where a day
    or a value would hold the delimiter.
    """
    written = written_columns(settings, resource)
    delimiter, date_format = settings.delimiters[0], settings.date_formats[0]
    decimal = "." if "." in settings.decimal_signs else ","
    return Dialect(
        columns=tuple(LabelledColumn(labelled.name, of.name) for labelled, of in zip(written, FEED, strict=False)),
        date_format=date_format,
        delimiter=delimiter,
        decimal=decimal,
        gap=_gap(settings),
        is_quoted=delimiter in day_text(_SAMPLE_DAY, date_format) + decimal,
    )


def quoted(text: str) -> str:
    """Return a field in quotes.

    >>> quoted('19" rack')
    '"19"" rack"'
    """
    return '"' + text.replace('"', '""') + '"'


@lru_cache(maxsize=4096)
def day_text(day: dt.date, date_format: str) -> str:
    """Return a day, at midnight UTC, in a strftime format.

    >>> day_text(dt.date(2024, 2, 3), "%m/%d/%Y")
    '02/03/2024'
    """
    return dt.datetime.combine(day, dt.time(), dt.UTC).strftime(date_format)


def needs_no_quotes(date_format: str, delimiter: str) -> bool:
    """Return whether days in a format can stand between delimiters as they are."""
    text = day_text(_SAMPLE_DAY, date_format)
    return delimiter not in text and '"' not in text


def is_same_format(one: str, other: str) -> bool:
    """Return whether two formats write days alike."""
    return day_text(_SAMPLE_DAY, one) == day_text(_SAMPLE_DAY, other)


def compressed(content: bytes) -> bytes:
    """Return a gzip file without name and time, so that the same content gives the same bytes."""
    target = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=target, mtime=0) as stream:
        stream.write(content)
    return target.getvalue()


def _gap(settings: LegacyFeed) -> str:
    """Return how capsim spells "no value": with nothing, where the contract lets it."""
    spellings = settings.null_values
    return "" if "" in spellings or not spellings else spellings[0]


def _day_texts(days: pl.Series, date_format: str) -> pl.Series:
    """Return days as texts; only the few distinct ones are formatted."""
    numbers = days.to_physical().to_numpy()
    distinct, places = np.unique(numbers, return_inverse=True)
    texts = pl.Series([day_text(date_of(number), date_format) for number in distinct], dtype=pl.String)
    return texts.gather(places)
