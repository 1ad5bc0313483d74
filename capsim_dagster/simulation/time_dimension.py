"""The calendar: one row a day, and the bank holidays of each region.

Bank calendars, not public ones: a region's banks close on the days of its central bank or market.
"""

import calendar
import datetime as dt
from collections.abc import Iterable
from typing import Final

import holidays
import polars as pl

from capsim_dagster.settings import Region

_OBSERVED: Final = "(observed)"
_FRIDAY: Final = 4
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


def months_between(start: dt.date, end: dt.date) -> list[dt.date]:
    """Return the first days of the months from `start`'s to `end`'s, both inclusive."""
    first = range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    return [dt.date(index // 12, index % 12 + 1, 1) for index in first]


def time_periods(start: dt.date, end: dt.date) -> pl.DataFrame:
    """Return one row a day from `start` to `end`, both inclusive; columns of `schemas.TimePeriods`."""
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


def bank_holidays(regions: Iterable[Region], start: dt.date, end: dt.date) -> pl.DataFrame:
    """Return the bank holidays of each region from `start` to `end`; columns of `schemas.BankHolidays`.

    Raises:
        NotImplementedError: If the `holidays` package has no such calendar.
    """
    years = range(start.year, end.year + 1)
    regions = list(regions)
    calendars = {code: _bank_calendar(code, years) for code in {region.bank_calendar for region in regions}}
    rows = [
        (region.name, day, name)
        for region in regions
        for day, name in calendars[region.bank_calendar]
        if start <= day <= end
    ]
    return pl.DataFrame(rows, schema={"region": pl.String, "date": pl.Date, "name": pl.String}, orient="row").sort(
        "region", "date"
    )


def _bank_calendar(code: str, years: range) -> list[tuple[dt.date, str]]:
    """Return the days on which the banks of a calendar are closed, with their names.

    The Federal Reserve observes a Sunday holiday on Monday but stays open on the Friday before a Saturday holiday.
    Source: Federal Reserve Board, "Holidays Observed by the Federal Reserve System".
    """
    # list_supported_financial() would answer too, but it imports every country: 0.9 s.
    if any(code in names for names in holidays.registry.FINANCIAL.values()):
        return sorted(holidays.financial_holidays(code, years=years).items())
    days = sorted(holidays.country_holidays(code, years=years).items())
    if code != "US":
        return days
    return [(day, name) for day, name in days if not (day.weekday() == _FRIDAY and _OBSERVED in name)]
