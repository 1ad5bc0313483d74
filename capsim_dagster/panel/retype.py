"""From the types that files come with to those of the contract: one expression a kind of column.

A value is changed only where its meaning is beyond doubt; any other becomes null here and is counted as refused, which
fails the panel. Which column is which is in `plan`.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from capsim_dagster.panel.contract import Kind

REFUSED: Final = "refused"
"""Name under which values are counted that cannot be repaired."""
_DAY_US: Final = 86_400_000_000
_UNITS_A_DAY: Final = {"D": 1, "ms": 86_400_000, "us": _DAY_US, "ns": 1_000 * _DAY_US}
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()
_FIRST_DAY: Final = dt.date.min.toordinal() - _EPOCH
_LAST_DAY: Final = dt.date.max.toordinal() - _EPOCH
"""Days that a calendar knows, counted from 1970."""
_ISO_MIDNIGHT: Final = (
    r"^([0-9]{4}-?[0-9]{2}-?[0-9]{2})(?:[T ]00(?::?00(?::?00(?:[.,]0+)?)?)?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$"
)
"""A day of an ISO text, with nothing behind it but midnight by its own clock."""
_ALWAYS: Final = pl.repeat(True, pl.len())


@dataclass(frozen=True)
class Case:
    """Rows whose value is changed, or cannot be.

    Attributes:
        name: What is done; REFUSED = nothing safe can be.
        rows: Whether a row is one of them.
        example: What is said of all of them, or of a value as the file has it and what became of it.
    """

    name: str
    rows: pl.Expr
    example: str | Callable[[Any, Any], str]


@dataclass(frozen=True)
class Retyped:
    """A column as the contract has it.

    Attributes:
        value: Its values.
        cases: What that takes.
    """

    value: pl.Expr
    cases: Sequence[Case] = ()


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type holds texts, plain or as a dictionary."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def is_usable(found: pa.DataType, kind: Kind | None) -> bool:
    """Return whether something safe is known about a type for a kind of column; of one that is none, whatever it is."""
    is_number = pa.types.is_integer(found) or pa.types.is_floating(found)
    known = {
        Kind.TEXT: is_text(found),
        Kind.TIMESTAMP: pa.types.is_timestamp(found) or pa.types.is_date(found) or is_text(found),
        Kind.METRIC: is_number or pa.types.is_decimal(found) or is_text(found),
        Kind.FLAG: pa.types.is_boolean(found) or is_number,
    }
    return kind is None or bool(known[kind])


def importable(array: pa.Array, kind: Kind | None) -> pa.Array:
    """Return the values of a column as polars takes them without loss: names as dictionaries, days without a zone.

    Raises:
        ArrowInvalid: If texts are not UTF-8, which Parquet does not look at, or the zone is unknown.
    """
    if kind is None:
        array.validate(full=True)
        return array
    if is_text(array.type):
        names = array if pa.types.is_dictionary(array.type) else array.cast(pa.string()).dictionary_encode()
        names.dictionary.validate(full=True)
        return names if kind is Kind.TEXT else names.cast(pa.string())
    if pa.types.is_timestamp(array.type) and array.type.tz:
        return pc.local_timestamp(array)
    # Dividing a decimal's digits rounds twice: 0.57 would become another double than 0.57 is.
    return array.cast(pa.string()) if pa.types.is_decimal(array.type) else array


def retyped(kind: Kind, raw: pl.Expr, value: pl.Expr, found: pa.DataType, null_values: frozenset[str]) -> Retyped:
    """Return how a column becomes one of the contract.

    Args:
        kind: What it holds.
        raw: Its values as the file has them.
        value: What they become, for the cases.
        found: Its type in the file.
        null_values: Texts in metrics that mean no value, in lower case.
    """
    refused = Case(REFUSED, raw.is_not_null() & value.is_null(), lambda before, _: repr(before))
    match kind:
        case Kind.TEXT:
            renamed = Case("texts_are_strings", _ALWAYS, f"{found} -> string")
            return Retyped(raw, [] if pa.types.is_string(found) else [renamed])
        case Kind.TIMESTAMP if is_text(found):
            return Retyped(_day_of_text(raw), [Case("timestamps_are_retyped", value.is_not_null(), _changed), refused])
        case Kind.TIMESTAMP:
            return _timestamp(raw, value, found)
        case Kind.METRIC if is_text(found):
            return _metric_of_text(raw, value, null_values)
        case Kind.METRIC:
            doubles = Case("metrics_are_double", raw.is_not_null(), f"{found} -> double")
            nan = Case("nan_is_missing", raw.is_not_null() & value.is_null(), "NaN -> null")
            number = raw.cast(pl.Float64).fill_nan(None)
            return Retyped(number, [nan] if found == kind.arrow else [doubles, nan])
        case Kind.FLAG:
            return _flag(raw, value, found)


def _changed(before: object, after: object) -> str:
    return f"{before!r} -> {'null' if after is None else after}"


def _day_of_text(raw: pl.Expr) -> pl.Expr:
    """Return the days of ISO texts, null of any other."""
    digits = raw.str.strip_chars().str.extract(_ISO_MIDNIGHT).str.replace_all("-", "")
    day = digits.str.to_date("%Y%m%d", strict=False)
    return pl.when(day.dt.year() > 0).then(day.cast(pl.Datetime("us")))


def _timestamp(raw: pl.Expr, value: pl.Expr, found: pa.DataType) -> Retyped:
    """Return days as midnights in microseconds without a zone."""
    unit = _unit(found)
    counts = raw.to_physical().cast(pl.Int64)
    days = counts // _UNITS_A_DAY[unit]
    is_day = (counts % _UNITS_A_DAY[unit] == 0) & days.is_between(_FIRST_DAY, _LAST_DAY)
    is_right = found == Kind.TIMESTAMP.arrow
    refused = Case(
        REFUSED,
        raw.is_not_null() & value.is_null(),
        lambda before, _: f"{np.int64(before).astype(f'M8[{unit}]')} is no midnight".replace("T", " "),
    )
    moved = Case("timestamps_are_retyped", raw.is_not_null(), f"{found} -> timestamp[us]")
    midnight = raw if is_right else (days * _DAY_US).cast(pl.Datetime("us"))
    return Retyped(pl.when(is_day).then(midnight), [refused] if is_right else [moved, refused])


def _unit(found: pa.DataType) -> str:
    """Return the unit that polars keeps days or moments in: of seconds and of dates in milliseconds it makes those."""
    if pa.types.is_date32(found):
        return "D"
    return "ms" if pa.types.is_date64(found) or found.unit == "s" else str(found.unit)


def _metric_of_text(raw: pl.Expr, value: pl.Expr, null_values: frozenset[str]) -> Retyped:
    """Return the numbers that texts spell; a spelling of no value is missing, and any other is refused.

    Polars reads what Python reads but 1_0, and infinity and NaN, which are no numbers here.
    """
    text = raw.str.strip_chars()
    is_nothing = text.str.to_lowercase().is_in(list(null_values))
    number = text.cast(pl.Float64, strict=False)
    nothing = raw.is_not_null() & value.is_null() & is_nothing
    other = raw.is_not_null() & value.is_null() & ~is_nothing
    return Retyped(
        pl.when(number.is_finite() & ~is_nothing).then(number),
        [
            Case("texts_are_numbers", value.is_not_null(), _changed),
            Case("texts_are_missing_values", nothing, _changed),
            Case(REFUSED, other, lambda before, _: repr(before)),
        ],
    )


def _flag(raw: pl.Expr, value: pl.Expr, found: pa.DataType) -> Retyped:
    """Return booleans, of which 0 and 1 are a spelling."""
    if pa.types.is_boolean(found):
        return Retyped(raw)
    number = raw.cast(pl.Float64)
    return Retyped(
        pl.when(number.is_in([0.0, 1.0])).then(number == 1),
        [
            Case("flags_are_boolean", value.is_not_null(), f"{found} -> bool"),
            Case(REFUSED, raw.is_not_null() & value.is_null(), lambda before, _: f"{before:g} is neither 0 nor 1"),
        ],
    )
