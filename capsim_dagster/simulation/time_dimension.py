"""The calendar that holds in every region: one row a day, and the arithmetic of days and months.

What differs by region, such as bank holidays and business days, is in `region_calendar`.
"""

import calendar
import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

SATURDAY: Final = 5
"""Weekday number, Monday = 0."""
MAX_SPAN_MONTHS: Final = 360
"""Longest stretch of months that is expected to be whole; beyond it, a stray date has named a month."""
_EPOCH: Final = dt.date(1970, 1, 1)
_EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday."""
_DAYS_PER_WEEK: Final = 7
_SATURDAY_ISO: Final = 6
_QUARTER_MONTHS: Final = 3


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


def epoch_days(first: dt.date, last: dt.date) -> NDArray[np.int64]:
    """Return the days from `first` to `last`, both inclusive, as days since 1970-01-01.

    >>> epoch_days(dt.date(1970, 1, 31), dt.date(1970, 2, 1)).tolist()
    [30, 31]
    """
    return np.arange((first - _EPOCH).days, (last - _EPOCH).days + 1, dtype=np.int64)


def weekdays(days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the weekdays of days since 1970-01-01, Monday 0 to Sunday 6, same shape.

    >>> weekdays(np.array([0, 3])).tolist()
    [3, 6]
    """
    return (days + _EPOCH_WEEKDAY) % _DAYS_PER_WEEK


def date_of(epoch_day: int) -> dt.date:
    """Return the date of a day since 1970-01-01.

    >>> date_of(31)
    datetime.date(1970, 2, 1)
    """
    return _EPOCH + dt.timedelta(int(epoch_day))


def time_periods(start: dt.date, end: dt.date) -> "pl.DataFrame":
    """Return one row a day from `start` to `end`, both inclusive; columns of `schemas.TimePeriods`."""
    import polars as pl  # every command needs the arithmetic above, few a frame, which costs half a second to load

    day = pl.col("date")
    return (
        pl.DataFrame({"date": pl.date_range(start, end, "1d", eager=True)})
        .with_columns(
            yearmonth=day.dt.year() * 100 + day.dt.month(),
            year=day.dt.year().cast(pl.Int16),
            month=day.dt.month(),
            day_of_week=day.dt.weekday(),
            quarter=day.dt.quarter(),
        )
        .with_columns(
            is_weekend=pl.col("day_of_week") >= _SATURDAY_ISO,
            is_month_end=day == day.dt.month_end(),
            is_quarter_end_month=pl.col("month") % _QUARTER_MONTHS == 0,
        )
    )
