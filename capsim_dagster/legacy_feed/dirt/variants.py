"""Which dialect a feed file is drawn: each trait as a change of the plain dialect, where the settings allow it."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.dialects import Dialect, LabelledColumn, is_same_format, needs_no_quotes, plain_dialect
from capsim_dagster.legacy_feed.dirt.draws import file_number, pick, split_number
from capsim_dagster.schemas import DialectTrait
from capsim_dagster.settings import LegacyFeed

Variant = Callable[[Dialect, LegacyFeed, float], Dialect | None]
"""Changes the plain dialect by a number in `[0, 1)`; None = these settings cannot express it."""

EXTRA_COLUMNS: Final = (("site", "fra-2"), ("agent", "v7"), ("unit", "percent"))
"""Labels and contents that a monitoring tool may add; constant, so they never tell two lines apart."""
_MAX_BLANK_LINES: Final = 3
_DECIMAL_COMMA_DELIMITER: Final = ";"


def draw_dialect(contract: FeedContract, piece: FeedPiece, *, is_truncated: bool) -> Dialect:
    """Return how a file is written: mostly plain, else with one of the traits that are set.

    `is_truncated`: whether the last line is cut off; blank lines after it would hide that.
    """
    settings, defects = contract.settings, contract.settings.defects
    plain = plain_dialect(settings, piece.resource)
    if file_number(defects.seed, piece, "has dialect") >= defects.dialect_share:
        return plain
    excluded = {DialectTrait.TRAILING_BLANK_LINES} if is_truncated else set()
    possible = {
        trait: changed
        for trait, changed in possible_dialects(settings, plain, file_number(defects.seed, piece, "dialect variant"))
        if trait not in excluded
    }
    weights = {trait: defects.dialects.get(trait, 0.0) for trait in possible}
    trait = pick(weights, file_number(defects.seed, piece, "dialect"))
    return plain if trait is None else possible[trait]


def possible_dialects(settings: LegacyFeed, plain: Dialect, number: float) -> Iterator[tuple[DialectTrait, Dialect]]:
    """Yield the dialects that the settings can express, by the trait that makes them.

    `number`: decides between the forms of a trait, in `[0, 1)`.
    """
    for trait, variant in VARIANTS.items():
        changed = variant(plain, settings, number)
        if changed is not None:
            yield trait, replace(changed, traits=(trait, *changed.traits))


def _with_delimiter(delimiter: str) -> Variant:
    def change(plain: Dialect, settings: LegacyFeed, _number: float) -> Dialect | None:
        is_new = delimiter in settings.delimiters and delimiter != plain.delimiter
        is_free = needs_no_quotes(plain.date_format, delimiter) and delimiter != plain.decimal
        return replace(plain, delimiter=delimiter) if is_new and is_free else None

    return change


def _decimal_comma(plain: Dialect, settings: LegacyFeed, number: float) -> Dialect | None:
    """Write a decimal comma, with a semicolon between the fields where a comma stood there."""
    if "," not in settings.decimal_signs or plain.decimal == ",":
        return None
    if plain.delimiter != ",":
        return replace(plain, decimal=",")
    changed = _with_delimiter(_DECIMAL_COMMA_DELIMITER)(plain, settings, number)
    return changed and replace(changed, decimal=",", traits=(DialectTrait.SEMICOLON,))


def _quoted(plain: Dialect, _settings: LegacyFeed, _number: float) -> Dialect | None:
    return None if plain.is_quoted else replace(plain, is_quoted=True)


def _header_case(plain: Dialect, _settings: LegacyFeed, number: float) -> Dialect:
    """Write labels in capitals, or with spaces around them, which every label can have."""
    capitals = tuple(replace(column, label=column.label.swapcase()) for column in plain.columns)
    padded = tuple(replace(column, label=f" {column.label} ") for column in plain.columns)
    # Some letters have no other case, and some do not come back from it.
    is_same_word = [new.label.casefold() for new in capitals] == [old.label.casefold() for old in plain.columns]
    choice, _ = split_number(number, 2)
    return replace(plain, columns=capitals if choice == 0 and is_same_word and capitals != plain.columns else padded)


def _column_order(plain: Dialect, _settings: LegacyFeed, number: float) -> Dialect:
    orders = list(itertools.permutations(plain.columns))[1:]
    return replace(plain, columns=orders[split_number(number, len(orders))[0]])


def _extra_columns(plain: Dialect, settings: LegacyFeed, number: float) -> Dialect:
    """Add one or two columns at any place, under labels that mean nothing to the contract."""
    known = {label.strip().casefold() for label in known_labels(settings)}
    columns = list(plain.columns)
    count, number = split_number(number, 2)
    first, number = split_number(number, len(EXTRA_COLUMNS))
    for index in range(count + 1):
        label, constant = EXTRA_COLUMNS[(first + index) % len(EXTRA_COLUMNS)]
        while label in known:
            label += "_"
        place, number = split_number(number, len(columns) + 1)
        columns.insert(place, LabelledColumn(label, constant=constant))
    return replace(plain, columns=tuple(columns))


def _date_format(plain: Dialect, settings: LegacyFeed, number: float) -> Dialect | None:
    formats = [
        text
        for text in settings.date_formats[1:]
        if needs_no_quotes(text, plain.delimiter) and not is_same_format(text, plain.date_format)
    ]
    return replace(plain, date_format=formats[split_number(number, len(formats))[0]]) if formats else None


def _trailing_blank_lines(plain: Dialect, _settings: LegacyFeed, number: float) -> Dialect:
    return replace(plain, trailing_blank_lines=split_number(number, _MAX_BLANK_LINES)[0] + 1)


VARIANTS: Final[Mapping[DialectTrait, Variant]] = {
    DialectTrait.BOM: lambda plain, _settings, _number: replace(plain, encoding="utf-8-sig"),
    DialectTrait.UTF_16: lambda plain, _settings, _number: replace(plain, encoding="utf-16"),
    DialectTrait.GZIP: lambda plain, _settings, _number: replace(plain, is_compressed=True),
    DialectTrait.CRLF: lambda plain, _settings, _number: replace(plain, line_end="\r\n"),
    DialectTrait.CR: lambda plain, _settings, _number: replace(plain, line_end="\r"),
    DialectTrait.SEMICOLON: _with_delimiter(";"),
    DialectTrait.TAB: _with_delimiter("\t"),
    DialectTrait.DECIMAL_COMMA: _decimal_comma,
    DialectTrait.QUOTED: _quoted,
    DialectTrait.HEADER_CASE: _header_case,
    DialectTrait.COLUMN_ORDER: _column_order,
    DialectTrait.EXTRA_COLUMNS: _extra_columns,
    DialectTrait.DATE_FORMAT: _date_format,
    DialectTrait.TRAILING_BLANK_LINES: _trailing_blank_lines,
}
"""How each trait is made; those that only the user's own labels and tools can bring are not here."""


def known_labels(settings: LegacyFeed) -> list[str]:
    """Return every label that means something to the contract, of any resource."""
    labels = [*settings.date_columns, *settings.host_columns]
    for columns in settings.resources.values():
        labels += [columns.value_column, *([columns.capacity_column] if columns.capacity_column else [])]
    return labels
