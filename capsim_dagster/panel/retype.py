"""From the types that files come with to those of the contract, one array at a time.

A value is changed only where its meaning is beyond doubt; any other becomes null here and is counted as refused, which
fails the panel. Which column is which is in `normalise`.
"""

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.panel.findings import Tally

DAY_US: Final = 86_400_000_000
"""Microseconds of a day."""
REFUSED: Final = "refused"
"""Name under which values are counted that cannot be repaired."""
_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_SECONDS_A_DAY: Final = 86_400
_TIMESTAMP: Final = pa.timestamp("us")
_NUMPY: Final = {pa.int32(): "i4", pa.int64(): "i8", pa.float64(): "f8"}
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()
_FIRST_DAY: Final = dt.date.min.toordinal() - _EPOCH
_LAST_DAY: Final = dt.date.max.toordinal() - _EPOCH
"""Days that a calendar knows, counted from 1970."""
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Retyping:
    """How one column is retyped.

    Attributes:
        column: Its name.
        null_values: Texts that mean no value, folded.
        repairs: Counts what was changed.
        refused: Counts what cannot be.
    """

    column: str
    null_values: frozenset[str]
    repairs: Tally
    refused: Tally

    def repaired(self, name: str, count: int, examples: Sequence[str] = ()) -> None:
        """Count what was changed."""
        self.repairs.add(name, self.column, count, examples)

    def refuse(self, count: int, examples: Sequence[str]) -> None:
        """Count what cannot be."""
        self.refused.add(REFUSED, self.column, count, examples)


Retype = Callable[[pa.Array, pa.DataType, Retyping], pa.Array]
"""Returns an array of the contract's type; takes the array, the type in the file and where to count."""


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type holds texts, plain or as a dictionary."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def text(array: pa.Array, found: pa.DataType, how: Retyping) -> pa.Array:
    """Return texts as a dictionary of strings, as examining them needs."""
    if not pa.types.is_string(found):
        how.repaired("texts_are_strings", len(array), [f"{found} -> string"])
    return encoded(array)


def encoded(array: pa.Array) -> pa.Array:
    """Return texts of any type as a dictionary of strings.

    Raises:
        ArrowInvalid: If they are not UTF-8, which Parquet does not look at.
    """
    plain = array if pa.types.is_dictionary(array.type) else pc.cast(array, pa.string()).dictionary_encode()
    texts = plain if plain.type.value_type == pa.string() else plain.cast(pa.dictionary(pa.int32(), pa.string()))
    texts.dictionary.cast(pa.binary()).cast(pa.string())
    return texts


def numbers(array: pa.Array, instead: float = 0) -> NDArray[Any]:
    """Return numbers, with another one where there is none, as a view wherever there is no such place.

    Arrow's own conversion, and its scalars, import pandas where that is installed, which is 0.4 CPU seconds.
    """
    filled = pc.fill_null(array, instead) if array.null_count else array
    kind = np.dtype(_NUMPY[filled.type])
    if not len(filled):
        return np.empty(0, kind)
    return np.frombuffer(filled.buffers()[1], kind, len(filled), filled.offset * kind.itemsize)


def timestamp(array: pa.Array, found: pa.DataType, how: Retyping) -> pa.Array:
    """Return days as midnights in microseconds without a zone; those with a zone by its wall clock."""
    if is_text(found):
        return _by_value(array, pa.timestamp("us"), how, {"timestamps_are_retyped": _midnight})
    if found != _TIMESTAMP:
        how.repaired("timestamps_are_retyped", len(array) - array.null_count, [f"{found} -> timestamp[us]"])
    local = pc.local_timestamp(array) if pa.types.is_timestamp(found) and found.tz else array
    counts = _integers(local)
    a_day = _units_a_day(local.type)
    # Dividing by one number is vectorised; divmod and the remainder are not, and take fourteen times as long.
    days = counts // a_day
    off = (days * a_day != counts) | (days < _FIRST_DAY) | (days > _LAST_DAY)
    if found == _TIMESTAMP and not off.any():
        return array
    off &= _is_there(array)
    examples = local.filter(pa.array(off)).slice(0, MAX_EXAMPLES).cast(pa.string()).to_pylist()
    how.refuse(int(off.sum()), [f"{example} is no midnight" for example in examples])
    return pa.array(np.where(off, 0, days) * DAY_US, _TIMESTAMP, mask=off | ~_is_there(array))


def metric(array: pa.Array, found: pa.DataType, how: Retyping) -> pa.Array:
    """Return numbers as doubles, with what means no value as missing."""
    if is_text(found):
        read = {"texts_are_missing_values": _nothing(how.null_values), "texts_are_numbers": _number}
        return _by_value(array, pa.float64(), how, read)
    doubles = array
    if found != pa.float64():
        # Arrow divides a decimal's digits, which rounds twice: 0.57 would become another double than 0.57 is.
        exact = array.cast(pa.string()) if pa.types.is_decimal(found) else array
        doubles = pc.cast(exact, pa.float64(), safe=False)
        how.repaired("metrics_are_double", len(array) - array.null_count, [f"{found} -> double"])
    # A sum is a number wherever each of its parts is, and is had without an array of answers.
    if math.isnan(pc.sum(doubles).as_py() or 0.0):
        nan = pc.fill_null(pc.is_nan(doubles), fill_value=False)
        count = nan.true_count
        how.repaired("nan_is_missing", count, ["NaN -> null"])
        doubles = pc.if_else(nan, pa.scalar(None, pa.float64()), doubles)
    return doubles


def flag(array: pa.Array, found: pa.DataType, how: Retyping) -> pa.Array:
    """Return booleans, of which 0 and 1 are a spelling."""
    if pa.types.is_boolean(found):
        return array
    values = numbers(pc.cast(array, pa.float64(), safe=False))
    off = ~np.isin(values, (0.0, 1.0))
    how.refuse(int(off.sum()), [f"{value:g} is neither 0 nor 1" for value in values[off][:MAX_EXAMPLES]])
    how.repaired("flags_are_boolean", int((~off & _is_there(array)).sum()), [f"{found} -> bool"])
    return pa.array(values == 1, pa.bool_(), mask=off | ~_is_there(array))


def is_timestamp(kind: pa.DataType) -> bool:
    """Return whether days can be read from a type."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind) or is_text(kind))


def is_metric(kind: pa.DataType) -> bool:
    """Return whether numbers can be read from a type."""
    return _is_number(kind) or is_text(kind)


def is_flag(kind: pa.DataType) -> bool:
    """Return whether yes and no can be read from a type."""
    return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


_Reading = Callable[[str], object]
"""From a stripped text to its value; None = it is a value that is missing; ValueError = it cannot be read so."""


def _by_value(array: pa.Array, kind: pa.DataType, how: Retyping, readings: Mapping[str, _Reading]) -> pa.Array:
    """Return texts as values of a type, each different text read once by the first reading that can."""
    texts = encoded(array)
    indices = numbers(texts.indices, -1)
    counts = np.bincount(indices + 1, minlength=len(texts.dictionary) + 1)[1:]
    values: list[object] = []
    for spelled, count in zip(texts.dictionary.to_pylist(), counts.tolist(), strict=True):
        name, value = _read(spelled, readings)
        values.append(value)
        if name == REFUSED:
            how.refuse(count, [repr(spelled)])
        else:
            how.repaired(name, count, [f"{spelled!r} -> {'null' if value is None else value}"])
    return pa.array(values, kind).take(texts.indices)


def _read(spelled: str, readings: Mapping[str, _Reading]) -> tuple[str, object]:
    """Return the name of the reading that knows a text, and the value."""
    for name, read in readings.items():
        try:
            return name, read(spelled.strip())
        except ValueError:
            continue
    return REFUSED, None


def _midnight(spelled: str) -> dt.datetime:
    """Return the day of an ISO text, by its own clock.

    Raises:
        ValueError: If it is none, or not at midnight.
    """
    moment = dt.datetime.fromisoformat(spelled).replace(tzinfo=None)
    if moment.time() != dt.time():
        raise ValueError(f"{spelled} is no midnight")
    return moment


def _nothing(null_values: frozenset[str]) -> _Reading:
    """Return a reading of texts that mean no value."""

    def read(spelled: str) -> None:
        if spelled.casefold() not in null_values:
            raise ValueError(f"{spelled} means no missing value")

    return read


def _number(spelled: str) -> float:
    """Return the number that a text spells.

    Raises:
        ValueError: If it is none: Python's own reading would take 1_0 and infinity too.
    """
    if not _NUMBER.fullmatch(spelled) or math.isinf(value := float(spelled)):
        raise ValueError(f"{spelled} is no number")
    return value


def _integers(array: pa.Array) -> NDArray[np.int64]:
    """Return days or moments as counts of their unit, 0 where there is none."""
    width = pa.int32() if array.type == pa.date32() else pa.int64()
    return np.asarray(numbers(array.view(width)), np.int64)


def _units_a_day(kind: pa.DataType) -> int:
    if pa.types.is_date(kind):
        return 1 if kind == pa.date32() else _SECONDS_A_DAY * _PER_SECOND["ms"]
    return _SECONDS_A_DAY * _PER_SECOND[kind.unit]


def _is_there(array: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
