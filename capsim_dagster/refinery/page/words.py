"""Numbers, months, times and dialects as the audit page writes them, and what each fault and dialect means there.

The one place for these sentences; names come from `schemas`, remedies for whole files from the rules of the refinery.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from capsim_dagster.refinery.rules import REMEDIES
from capsim_dagster.schemas import DialectTrait, FileFault, LineFault

_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")
_STEP: Final = 1_000
_TRAITS: Final = "traits"
"""Where the dialect of a file lists how it differs from the plain feed."""


def size(count: int) -> str:
    """Return a number of bytes in the unit that suits it.

    >>> size(512), size(472_000_000)
    ('512 bytes', '472.0 MB')
    """
    divisor, name = unit(count)
    return f"{count:,} {name}" if divisor == 1 else f"{count / divisor:,.1f} {name}"


def unit(largest: int) -> tuple[int, str]:
    """Return the unit that suits numbers of bytes up to one, and its name."""
    power = min((len(str(largest)) - 1) // 3, len(_UNITS) - 1)
    return _STEP**power, _UNITS[power]


def utc(moment: dt.datetime) -> str:
    """Return a time to the minute; a naive one is in UTC.

    >>> utc(dt.datetime(2026, 1, 2, 3, 4, 5))
    '2026-01-02 03:04 UTC'
    """
    return f"{in_utc(moment):%Y-%m-%d %H:%M} UTC"


def in_utc(moment: dt.datetime) -> dt.datetime:
    """Return a time in UTC; a naive one is."""
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def words(name: str) -> str:
    """Return a name of code as words.

    >>> words("value_out_of_range")
    'value out of range'
    """
    return name.replace("_", " ")


def dialect_traits(dialect: str) -> tuple[str, ...]:
    """Return how a file differs from the plain feed.

    >>> dialect_traits('{"encoding": "utf-8", "traits": ["bom", "gzip"]}'), dialect_traits("?")
    (('bom', 'gzip'), ())
    """
    traits = _parsed(dialect).get(_TRAITS, ())
    return tuple(str(trait) for trait in traits) if isinstance(traits, list) else ()


def dialect_words(dialect: str) -> str:
    """Return the dialect of a file in a few words.

    >>> dialect_words('{"encoding": "utf-8", "delimiter": ";", "traits": ["semicolon", "header_case"]}')
    "semicolon, header case (encoding 'utf-8', delimiter ';')"
    >>> dialect_words('{"encoding": "utf-8", "traits": []}'), dialect_words("?")
    ('plain', '?')
    """
    facts = _parsed(dialect)
    if not facts:
        return dialect
    traits = ", ".join(words(trait) for trait in dialect_traits(dialect))
    details = ", ".join(f"{words(str(name))} '{value}'" for name, value in facts.items() if name != _TRAITS)
    return f"{traits} ({details})" if traits and details else traits or "plain"


def _parsed(dialect: str) -> Mapping[str, Any]:
    try:
        facts = json.loads(dialect)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


@dataclass(frozen=True)
class Term:
    """What the fault of a line means, and what to do about it."""

    meaning: str
    remedy: str


LINE_FAULTS: Final[Mapping[LineFault, Term]] = {
    LineFault.TRUNCATED_LINE: Term(
        "The last line of the file has no end: nobody knows what is missing of it.",
        "Have the file sent again. If the tool never ends its last line, set refinery.unterminated_last_line: accept.",
    ),
    LineFault.BLANK_LINE: Term(
        "The line is empty, with data lines after it.",
        "Nothing is lost unless the export should hold a line there; ask why it leaves some out.",
    ),
    LineFault.INVALID_ENCODING: Term(
        "The line has bytes that are no text in the encoding of the file, or a NUL.",
        "Have the file exported as UTF-8; a transfer in text mode damages bytes too.",
    ),
    LineFault.UNCLOSED_QUOTE: Term(
        "A quote is not closed within its line, or stands in the middle of a field.",
        "Have the export double the quotes within fields and keep line breaks out of them.",
    ),
    LineFault.REPEATED_HEADER: Term(
        "The header stands there once more.",
        "Nothing is lost: files were joined with their headers. Drop these when joining.",
    ),
    LineFault.FIELD_COUNT: Term(
        "The line has more or fewer fields than the header.",
        "Look for a delimiter within a field that is not quoted, or a line that was cut.",
    ),
    LineFault.MISSING_DATE: Term("The line names no day.", "Ask for the line with its day."),
    LineFault.UNPARSABLE_DATE: Term(
        "The day is not written in the date format of the file, or has a time of day other than midnight.",
        "Have one format for the whole file; add it to legacy_feed.date_formats if it is not there.",
    ),
    LineFault.OUTSIDE_MONTH: Term(
        "The day belongs to another month than the file.",
        "Check the window of the export, and in which time zone it cuts its days.",
    ),
    LineFault.MISSING_HOST: Term("The line names no host.", "Ask for the line with its host."),
    LineFault.UNKNOWN_HOST: Term(
        "The inventory does not hold the host.",
        "Add it to the inventory, or correct its spelling, and load the month again.",
    ),
    LineFault.UNPARSABLE_VALUE: Term(
        "The utilization is no number, and no spelling of a gap that is set.",
        "If it means that nothing was measured, add it to legacy_feed.null_values; else have the value corrected.",
    ),
    LineFault.NOT_FINITE: Term(
        "The utilization is NaN or infinite.",
        "The tool divided by nothing: have it write an empty field where it measured nothing.",
    ),
    LineFault.VALUE_OUT_OF_RANGE: Term(
        "The utilization lies outside the range that is allowed for its resource.",
        "Check the unit: percent of capacity, not a fraction or an absolute amount.",
    ),
    LineFault.MISSING_CAPACITY: Term(
        "The line names no capacity, though the feed has such a column.",
        "Have it filled in, or set capacity_column: null if the feed need not carry it.",
    ),
    LineFault.UNPARSABLE_CAPACITY: Term(
        "The capacity is no number, or a negative or infinite one.", "Have the capacity corrected at the source."
    ),
    LineFault.EXACT_DUPLICATE: Term(
        "The same host, day, value and capacity as a line that is loaded.",
        "Nothing is lost; ask why the export writes lines twice.",
    ),
    LineFault.CONFLICTING_DUPLICATE: Term(
        "The same host and day as another line, with another value or capacity.",
        "Have the source say which one is right, or set refinery.conflicting_duplicates to first or last.",
    ),
}
"""Why a line is not in the table."""

FILE_FAULTS: Final[Mapping[FileFault, str]] = {
    FileFault.MISSING: "There is no file under this name.",
    FileFault.UNREADABLE: "The system does not let the file be read.",
    FileFault.EMPTY: "The file holds nothing.",
    FileFault.UNREADABLE_GZIP: "The compression is cut off or damaged.",
    FileFault.NOT_CSV: "The content is binary, not lines of text.",
    FileFault.NO_USABLE_HEADER: "No delimiter that is set yields the columns that are needed.",
    FileFault.AMBIGUOUS: "Two files claim the same month and resource.",
    FileFault.DUPLICATE_FILE: "The file is byte for byte another file of the feed.",
    FileFault.ANOTHER_MONTH: "Most of its lines are of another month than its name.",
    FileFault.UNLIKE_MASTER: "capsim wrote the file, and it no longer holds what capsim wrote.",
    FileFault.TOO_MANY_REJECTED: "Its month would lose more lines than refinery.max_rejected_share allows, or the file "
    "more than max_rejected_lines.",
    FileFault.TOO_LARGE: "The file unpacks to more text than refinery.max_text_mb, or as no telemetry does.",
    FileFault.CHANGED: "The file was replaced or written while it was read.",
}
"""Why a whole file was refused; what to do about it is in `refinery.rules`."""

TRAITS: Final[Mapping[DialectTrait, str]] = {
    DialectTrait.BOM: "starts with a byte order mark",
    DialectTrait.UTF_16: "is text in UTF-16",
    DialectTrait.GZIP: "is compressed with gzip",
    DialectTrait.CRLF: "ends its lines as Windows does, CR LF",
    DialectTrait.CR: "ends its lines with CR alone",
    DialectTrait.SEMICOLON: "separates fields by semicolons",
    DialectTrait.TAB: "separates fields by tabs",
    DialectTrait.OTHER_DELIMITER: "separates fields by another delimiter that is set",
    DialectTrait.DECIMAL_COMMA: "writes decimals with a comma",
    DialectTrait.QUOTED: "has quoted fields",
    DialectTrait.HEADER_CASE: "has labels in other case, or padded",
    DialectTrait.HEADER_ALIAS: "names the day or the host by another label that is set",
    DialectTrait.COLUMN_ORDER: "has its columns in another order",
    DialectTrait.EXTRA_COLUMNS: "has columns that nobody asked for; they are left out",
    DialectTrait.DATE_FORMAT: "writes days in another format that is set than the first",
    DialectTrait.TRAILING_BLANK_LINES: "ends in blank lines, which count as no lines",
    DialectTrait.NO_FINAL_NEWLINE: "does not end its last line",
}
"""How a file differs from the plain feed without losing anything: "the file ..."."""


def file_remedy(fault: FileFault) -> str:
    """Return what to do about a refused file, as a sentence.

    >>> file_remedy(FileFault.EMPTY)
    'Fetch the file again.'
    """
    remedy = REMEDIES[fault]
    return f"{remedy[:1].upper()}{remedy[1:]}."
