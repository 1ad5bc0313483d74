"""Months: as days, as numbers YYYYMM, and as they are written. Loads nothing, so that every command can name months."""

import calendar
import datetime as dt
from collections.abc import Iterable
from typing import Final

MAX_SPAN_MONTHS: Final = 360
"""Longest span that is filled in: a misread year must not make thousands of months."""


def month_start(day: dt.date) -> dt.date:
    """Return the first day of a day's month."""
    return day.replace(day=1)


def month_end(day: dt.date) -> dt.date:
    """Return the last day of a day's month.

    >>> month_end(dt.date(2024, 2, 3))
    datetime.date(2024, 2, 29)
    """
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def yearmonth(day: dt.date) -> int:
    """Return a day's month as YYYYMM.

    >>> yearmonth(dt.date(2024, 2, 3))
    202402
    """
    return day.year * 100 + day.month


def first_day(month: int) -> dt.date:
    """Return the first day of a month given as YYYYMM.

    >>> first_day(202402)
    datetime.date(2024, 2, 1)
    """
    return dt.date(month // 100, month % 100, 1)


def month_name(month: int) -> str:
    """Return a month given as YYYYMM in ISO notation.

    >>> month_name(202402)
    '2024-02'
    """
    return f"{month // 100:04d}-{month % 100:02d}"


def months_between(start: dt.date, end: dt.date) -> list[dt.date]:
    """Return the first days of the months from `start`'s to `end`'s, both inclusive."""
    first = range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    return [dt.date(index // 12, index % 12 + 1, 1) for index in first]


def month_span(months: Iterable[int]) -> list[int]:
    """Return the months from the first to the last of some, as YYYYMM; of more than `MAX_SPAN_MONTHS` just those given.

    >>> month_span([202402, 202311])
    [202311, 202312, 202401, 202402]
    """
    named = sorted(set(months))
    if not named:
        return []
    span = [yearmonth(day) for day in months_between(first_day(named[0]), first_day(named[-1]))]
    return span if len(span) <= MAX_SPAN_MONTHS else named
