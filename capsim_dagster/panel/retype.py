"""From the types that files come with to those of the contract: one expression a kind of column.

A value is changed only where its meaning is beyond doubt; any other becomes null here and is counted as refused, which
fails the panel. Which column is which is in `plan`.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.schemas import Type
from capsim_dagster.schemas.arrow import ARROW_TYPES

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
_RAW: Final = "\0as in the file: "
"""Before the name of a column that is not retyped yet."""


@dataclass(frozen=True)
class Repair:
    """What was put right without loss in a column, "" = in whole rows: how often, and at most five examples."""

    name: str
    column: str
    count: int
    examples: Sequence[str] = ()


@dataclass
class Case:
    """What is done to the rows of a column that an expression tells, and how often; REFUSED = nothing safe can be.

    An example is what is said of all of them, or of a value as the file has it and what became of it; at most five are
    kept, each once.
    """

    name: str
    column: str
    rows: pl.Expr
    example: str | Callable[[Any, Any], str]
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, frame: pl.DataFrame, count: int) -> None:
        """Take a frame with so many such rows."""
        self.count += count
        if not count or len(self.examples) == MAX_EXAMPLES:
            return
        if isinstance(example := self.example, str):
            self.examples = [example]
            return
        # As numbers, days beyond the calendar are no error.
        values = frame.filter(self.rows).select(raw_of(self.column).to_physical(), self.column)
        found = [example(*row) for row in values.unique(maintain_order=True).head(2 * MAX_EXAMPLES).rows()]
        fresh = [said for said in found if said not in self.examples]
        self.examples += fresh[: MAX_EXAMPLES - len(self.examples)]

    @property
    def repair(self) -> Repair:
        """The same as it is reported."""
        return Repair(self.name, self.column, self.count, tuple(self.examples))


Retyped = tuple[pl.Expr, Sequence[Case]]
"""The values of a column as the contract has it, and what that takes."""


def raw_of(column: str) -> pl.Expr:
    """Return the values of a column as the file has them."""
    return pl.col(_RAW + column)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type holds texts, plain or as a dictionary."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def is_usable(found: pa.DataType, kind: Type | None) -> bool:
    """Return whether something safe is known about a type for a kind of column; of one that is none, whatever it is."""
    is_number = pa.types.is_integer(found) or pa.types.is_floating(found)
    known = {
        Type.TEXT: is_text(found),
        Type.TIMESTAMP: pa.types.is_timestamp(found) or pa.types.is_date(found) or is_text(found),
        Type.DOUBLE: is_number or pa.types.is_decimal(found) or is_text(found),
        Type.FLAG: pa.types.is_boolean(found) or is_number,
    }
    return kind is None or bool(known[kind])


def importable(array: pa.Array, kind: Type | None) -> pa.Array:
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
        return names if kind is Type.TEXT else names.cast(pa.string())
    if pa.types.is_timestamp(array.type) and array.type.tz:
        return pc.local_timestamp(array)
    # Dividing a decimal's digits rounds twice: 0.57 would become another double than 0.57 is.
    return array.cast(pa.string()) if pa.types.is_decimal(array.type) else array


def retyped(column: str, kind: Type, found: pa.DataType, null_values: frozenset[str]) -> Retyped:
    """Return how a column becomes one of the contract; `null_values` mean no value in metrics, in lower case."""
    if kind is Type.TEXT:
        every_row = Case("texts_are_strings", column, pl.repeat(True, pl.len()), f"{found} -> string")
        return raw_of(column), [] if pa.types.is_string(found) else [every_row]
    if kind is Type.DOUBLE and is_text(found):
        return _metric_of_text(column, null_values)
    if kind is Type.TIMESTAMP and is_text(found):
        return _timestamp_of_text(column)
    retype = {Type.TIMESTAMP: _timestamp, Type.DOUBLE: _metric, Type.FLAG: _flag}[kind]
    return retype(column, found)


def _is_lost(column: str) -> pl.Expr:
    """Return whether a value became none."""
    return raw_of(column).is_not_null() & pl.col(column).is_null()


def _changed(before: object, after: object) -> str:
    return f"{before!r} -> {'null' if after is None else after}"


def _spelled(before: object, _after: object) -> str:
    return repr(before)


def _timestamp_of_text(column: str) -> Retyped:
    """Return the days of ISO texts by their own clock, midnights all."""
    digits = raw_of(column).str.strip_chars().str.extract(_ISO_MIDNIGHT).str.replace_all("-", "")
    day = digits.str.to_date("%Y%m%d", strict=False)
    value = pl.when(day.dt.year() > 0).then(day.cast(pl.Datetime("us")))
    cases = [
        Case("timestamps_are_retyped", column, pl.col(column).is_not_null(), _changed),
        Case(REFUSED, column, _is_lost(column), _spelled),
    ]
    return value, cases


def _timestamp(column: str, found: pa.DataType) -> Retyped:
    """Return days as midnights in microseconds without a zone."""
    raw, is_right = raw_of(column), found == ARROW_TYPES[Type.TIMESTAMP]
    # Of seconds and of dates in milliseconds polars makes milliseconds.
    unit = "D" if pa.types.is_date32(found) else {"us": "us", "ns": "ns"}.get(getattr(found, "unit", "ms"), "ms")
    counts = raw.to_physical().cast(pl.Int64)
    days = counts // _UNITS_A_DAY[unit]
    is_day = (days * _UNITS_A_DAY[unit] == counts) & days.is_between(_FIRST_DAY, _LAST_DAY)

    def no_midnight(count: int, _after: object) -> str:
        return f"{np.int64(count).astype(f'M8[{unit}]')} is no midnight".replace("T", " ")

    moved = Case("timestamps_are_retyped", column, raw.is_not_null(), f"{found} -> timestamp[us]")
    refused = Case(REFUSED, column, _is_lost(column), no_midnight)
    midnight = raw if is_right else (days * _DAY_US).cast(pl.Datetime("us"))
    return pl.when(is_day).then(midnight), [refused] if is_right else [moved, refused]


def _metric_of_text(column: str, null_values: frozenset[str]) -> Retyped:
    """Return the numbers that texts spell; a spelling of no value is missing, and any other is refused.

    Polars reads what Python reads but 1_0, and infinity and NaN, which are no numbers here.
    """
    text = raw_of(column).str.strip_chars()
    is_nothing = text.str.to_lowercase().is_in(list(null_values))
    number = text.cast(pl.Float64, strict=False)
    cases = [
        Case("texts_are_numbers", column, pl.col(column).is_not_null(), _changed),
        Case("texts_are_missing_values", column, _is_lost(column) & is_nothing, _changed),
        Case(REFUSED, column, _is_lost(column) & ~is_nothing, _spelled),
    ]
    return pl.when(number.is_finite() & ~is_nothing).then(number), cases


def _metric(column: str, found: pa.DataType) -> Retyped:
    """Return numbers as doubles, without NaN."""
    raw = raw_of(column)
    doubles = Case("metrics_are_double", column, raw.is_not_null(), f"{found} -> double")
    nan = Case("nan_is_missing", column, _is_lost(column), "NaN -> null")
    return raw.cast(pl.Float64).fill_nan(None), [nan] if found == ARROW_TYPES[Type.DOUBLE] else [doubles, nan]


def _flag(column: str, found: pa.DataType) -> Retyped:
    """Return booleans, of which 0 and 1 are a spelling."""
    if pa.types.is_boolean(found):
        return raw_of(column), []
    number = raw_of(column).cast(pl.Float64)
    cases = [
        Case("flags_are_boolean", column, pl.col(column).is_not_null(), f"{found} -> bool"),
        Case(REFUSED, column, _is_lost(column), lambda before, _: f"{before:g} is neither 0 nor 1"),
    ]
    return pl.when(number.is_in([0.0, 1.0])).then(number == 1), cases
