"""The verdict on one line, exact and slow: either the row that it says, or the first fault that it has.

This is what the refinery means by a sound line. `columns` parses many at once and must never accept what is refused
here, nor read it differently; a test compares the two on any text. Of sound lines that say the same host and day twice,
`duplicate_lines` tells which are not loaded.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.refinery.dialect import Dialect, cut_fields, days_of_month, parse_date
from capsim_dagster.refinery.rules import HostTable, ReadRules
from capsim_dagster.schemas import LineFault, Resource

Policy = Literal["reject", "first", "last"]
"""Which is loaded of lines that say the same host and day twice."""
_Said = tuple[float | None, float | None]
"""What a line says of its host and day: utilization and capacity."""
_DAYS: Final = 32
"""Slots a host: days of the month are 1 to 31."""
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[+-]?(?:nan|inf|infinity)")


@dataclass(frozen=True)
class Row:
    """What a sound line says: day of the month, host without padding, utilization [%], None = gap, and capacity."""

    day: int
    host: str
    util: float | None
    capacity: float | None


@dataclass(frozen=True)
class Fault:
    """Why a line is not sound: the first fault, in the order of `LineFault`, and the column, None = the whole line."""

    reason: LineFault
    column: str | None = None


class _AtFault(Exception):  # noqa: N818 control flow within one line
    def __init__(self, reason: LineFault, column: int | None = None) -> None:
        self.reason, self.column = reason, column


@dataclass(frozen=True)
class Judge:
    """Judges the lines of one file, of a month as YYYYMM."""

    hosts: HostTable
    dialect: Dialect
    month: int
    resource: Resource

    @property
    def rules(self) -> ReadRules:
        """What the feed is read by."""
        return self.hosts.rules

    def verdict(self, raw: bytes) -> Row | Fault:
        """Return what a line without its end says, or why it is not sound."""
        header = self.dialect.header
        try:
            fields = self._fields(raw)
            return Row(
                day=self._day(fields[header.date]),
                host=self._host(fields[header.host]),
                util=self._util(fields[header.value]),
                capacity=None if header.capacity is None else self._capacity(fields[header.capacity]),
            )
        except _AtFault as fault:
            return Fault(fault.reason, None if fault.column is None else header.labels[fault.column])

    def _fields(self, raw: bytes) -> list[str]:
        """Cut a line into as many fields as the header has."""
        header = self.dialect.header
        if not raw.strip():
            raise _AtFault(LineFault.BLANK_LINE)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise _AtFault(LineFault.INVALID_ENCODING) from None
        if "\0" in text:
            raise _AtFault(LineFault.INVALID_ENCODING)
        fields = cut_fields(text, header.delimiter)
        if fields is None:
            raise _AtFault(LineFault.UNCLOSED_QUOTE)
        if [field.strip().casefold() for field in fields] == self._folded_labels:
            raise _AtFault(LineFault.REPEATED_HEADER)
        if len(fields) != header.width:
            raise _AtFault(LineFault.FIELD_COUNT)
        return fields

    def _day(self, field: str) -> int:
        text, column = field.strip(), self.dialect.header.date
        if text.casefold() in self.rules.null_values:
            raise _AtFault(LineFault.MISSING_DATE, column)
        day = days_of_month(self.month, self.dialect.date_format).get(text)
        if day is not None:
            return day
        date = parse_date(text, self.dialect.date_format)
        if date is None:
            raise _AtFault(LineFault.UNPARSABLE_DATE, column)
        if date.year * 100 + date.month != self.month:
            raise _AtFault(LineFault.OUTSIDE_MONTH, column)
        return date.day

    def _host(self, field: str) -> str:
        text = field.strip()
        fault = self.hosts.fault(text)
        if fault:
            raise _AtFault(fault, self.dialect.header.host)
        return text

    def _util(self, field: str) -> float | None:
        text, column = field.strip(), self.dialect.header.value
        if text.casefold() in self.rules.null_values:
            return None
        value = self._number(text, column, LineFault.UNPARSABLE_VALUE)
        if not math.isfinite(value):
            raise _AtFault(LineFault.NOT_FINITE, column)
        low, high = self.rules.feed.resources[self.resource].range
        if not low <= value <= high:
            raise _AtFault(LineFault.VALUE_OUT_OF_RANGE, column)
        return value

    def _capacity(self, field: str) -> float:
        text, column = field.strip(), self.dialect.header.capacity
        if text.casefold() in self.rules.null_values:
            raise _AtFault(LineFault.MISSING_CAPACITY, column)
        value = self._number(text, column, LineFault.UNPARSABLE_CAPACITY)
        if not (math.isfinite(value) and value >= 0):
            raise _AtFault(LineFault.UNPARSABLE_CAPACITY, column)
        return value

    def _number(self, text: str, column: int | None, otherwise: LineFault) -> float:
        """Return the number that a text says: sign, digits, the file's decimal sign, exponent; nothing else."""
        if self.dialect.decimal == ",":
            text = text.replace(",", ".") if "." not in text else ""
        if _NOT_FINITE.fullmatch(text.casefold()):
            return math.nan
        if not _NUMBER.fullmatch(text):
            raise _AtFault(otherwise, column)
        return float(text)

    @cached_property
    def _folded_labels(self) -> list[str]:
        return [label.casefold() for label in self.dialect.header.labels]


def duplicate_lines(rows: pl.DataFrame, policy: Policy) -> Mapping[int, LineFault]:
    """Return the lines that are not to be loaded because another line says the same host and day.

    Lines that all say the same keep the first of them. Of lines that differ, the policy keeps none, the first or the
    last; a further line that says just what the kept one says is an exact duplicate of it. The rows are sound lines:
    `line`, `day`, `host` (a code), `util`, `capacity`.
    """
    key = _keys(rows)
    count = np.bincount(key, minlength=1)
    if count.max() <= 1:
        return {}
    is_twice = count[key] > 1
    twice = rows.filter(pl.Series(is_twice)).with_columns(key=key[is_twice]).sort("line")
    groups: dict[int, list[tuple[int, _Said]]] = {}
    for group, line, util, capacity in twice.select("key", "line", "util", "capacity").iter_rows():
        groups.setdefault(group, []).append((line, (util, capacity)))
    faults: dict[int, LineFault] = {}
    for group_lines in groups.values():
        faults |= _faults(group_lines, policy)
    return faults


def count_repeated(rows: pl.DataFrame) -> int:
    """Return how many lines say a host and day that an earlier one said: at least so many are not loaded."""
    return rows.height - int(np.count_nonzero(np.bincount(_keys(rows))))


def _keys(rows: pl.DataFrame) -> NDArray[np.int64]:
    """Return a number that tells host and day."""
    host: NDArray[np.int64] = rows["host"].to_numpy().astype(np.int64)
    keys: NDArray[np.int64] = host * _DAYS + rows["day"].to_numpy().astype(np.int64)
    return keys


def _faults(group: list[tuple[int, _Said]], policy: Policy) -> dict[int, LineFault]:
    """Return the faults of the lines of one host and day, in the order of the file."""
    is_conflict = len({said for _, said in group}) > 1
    if is_conflict and policy == "reject":
        return {line: LineFault.CONFLICTING_DUPLICATE for line, _ in group}
    kept = len(group) - 1 if is_conflict and policy == "last" else 0
    return {
        line: LineFault.EXACT_DUPLICATE if said == group[kept][1] else LineFault.CONFLICTING_DUPLICATE
        for index, (line, said) in enumerate(group)
        if index != kept
    }
