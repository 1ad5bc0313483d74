"""The calendar that holds in every region: one row a day, and the arithmetic of days and months.

What differs by region, such as bank holidays and business days, is in `region_calendar`.
"""

import datetime as dt
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

SATURDAY: Final = 5
"""Weekday number, Monday = 0."""
_EPOCH: Final = dt.date(1970, 1, 1)
_EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday."""
_DAYS_PER_WEEK: Final = 7
_SATURDAY_ISO: Final = 6
_QUARTER_MONTHS: Final = 3


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
    """Return one row a day from `start` to `end`, both inclusive; columns of `schemas.fleet.TIME_PERIODS`."""
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
