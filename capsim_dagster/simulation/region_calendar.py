"""The business calendar of each region: which days are bank holidays, business days and ends of months and quarters.

Bank calendars, not public ones: a region's banks close on the days of its central bank or market. Windows at the end
of a month count business days of the region, so they need the whole month, never the end of the window. How the
calendar acts on load is in `calendar_effects`.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import holidays
import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.schemas.fleet import BANK_HOLIDAYS
from capsim_dagster.schemas.frames import frame_schema
from capsim_dagster.schemas.months import month_end, month_start
from capsim_dagster.settings import Calendar, Region
from capsim_dagster.simulation.time_dimension import SATURDAY, epoch_days, weekdays

Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

QUARTER_MONTHS: Final = 3
NOT_BUSINESS: Final = -1
"""Business days left, of a day that is none."""
_OBSERVED: Final = "(observed)"
_FRIDAY: Final = 4


@dataclass(frozen=True)
class RegionDays:
    """The days of a stretch in one bank calendar, each array of shape `(n_days,)`.

    Attributes:
        weekday: Monday 0 to Sunday 6.
        month: Calendar month, 1 to 12.
        is_holiday: Banks are closed for a holiday.
        holiday_distance: Days to the nearest holiday on a working day, 0 on it, at most `holiday_shoulder_days` + 1;
            one on a weekend closes nothing, so the days around it are ordinary.
        business_days_left: Business days after this one in its month, 0 on the last one; -1 = no business day.
    """

    weekday: Int64Array
    month: Int64Array
    is_holiday: BoolArray
    holiday_distance: Int64Array
    business_days_left: Int64Array


@lru_cache(maxsize=512)
def region_days(code: str, first: dt.date, last: dt.date, shoulder_days: int) -> RegionDays:
    """Return the days from `first` to `last`, both inclusive, in a bank calendar; kept, as all hosts ask for them.

    `code`: name of the calendar in the `holidays` package.
    `shoulder_days`: how far around a holiday to look, 0 and up.
    """
    days = epoch_days(month_start(first), month_end(last))
    weekday = weekdays(days)
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    closed = _holidays_around(code, first, last, shoulder_days)
    is_holiday = np.isin(days, closed)
    left = _business_days_left((weekday < SATURDAY) & ~is_holiday, month)
    distance = np.full(days.size, shoulder_days + 1, dtype=np.int64)
    for day in closed[weekdays(closed) < SATURDAY].tolist():
        np.minimum(distance, np.abs(days - day), out=distance)
    distance[is_holiday] = 0
    asked = slice((first - month_start(first)).days, (last - month_start(first)).days + 1)
    return RegionDays(
        weekday=weekday[asked],
        month=month[asked] % 12 + 1,
        is_holiday=is_holiday[asked],
        holiday_distance=distance[asked],
        business_days_left=left[asked],
    )


def region_calendar(regions: Iterable[Region], settings: Calendar, start: dt.date, end: dt.date) -> pl.DataFrame:
    """Return a row a region and day from `start` to `end`, both inclusive: columns `schemas.fleet.REGION_CALENDAR`."""
    frames = []
    for region in regions:
        days = region_days(region.bank_calendar, start, end, settings.holiday_shoulder_days)
        left, is_quarter_end = days.business_days_left, days.month % QUARTER_MONTHS == 0
        is_business = left != NOT_BUSINESS
        frames.append(
            pl.DataFrame(
                {
                    "region": [region.name] * left.size,
                    "date": pl.date_range(start, end, "1d", eager=True),
                    "is_business_day": is_business,
                    "is_bank_holiday": days.is_holiday,
                    "is_holiday_shoulder": ~days.is_holiday & (days.holiday_distance <= settings.holiday_shoulder_days),
                    "is_quarter_end_window": is_business & is_quarter_end & (left < settings.eoq_window_days),
                    "is_month_end_window": is_business & (left < settings.month_end_window_days),
                }
            )
        )
    return pl.concat(frames).sort("region", "date")


def bank_holidays(regions: Iterable[Region], start: dt.date, end: dt.date) -> pl.DataFrame:
    """Return the bank holidays of each region from `start` to `end`; columns of `schemas.fleet.BANK_HOLIDAYS`."""
    rows = [
        (region.name, day, name)
        for region in regions
        for year in range(start.year, end.year + 1)
        for day, name in _bank_calendar(region.bank_calendar, year)
        if start <= day <= end
    ]
    return pl.DataFrame(rows, schema=frame_schema(BANK_HOLIDAYS), orient="row").sort("region", "date")


def _business_days_left(is_business: BoolArray, month: Int64Array) -> Int64Array:
    """Return how many business days of the month follow each business day; whole months, in order."""
    done = np.cumsum(is_business)
    last_of_month = np.searchsorted(month, month, side="right") - 1
    return np.where(is_business, done[last_of_month] - done, NOT_BUSINESS)


def _holidays_around(code: str, first: dt.date, last: dt.date, margin_days: int) -> Int64Array:
    """Return the holidays from the month of `first` to that of `last` and some days around them, as epoch days."""
    margin = dt.timedelta(margin_days)
    start, end = month_start(first) - margin, month_end(last) + margin
    days = [day for year in range(start.year, end.year + 1) for day, _ in _bank_calendar(code, year)]
    return np.array([day for day in days if start <= day <= end], dtype="datetime64[D]").astype(np.int64)


@lru_cache(maxsize=4096)
def _bank_calendar(code: str, year: int) -> list[tuple[dt.date, str]]:
    """Return the days of a year on which the banks of a calendar are closed, with their names.

    The Federal Reserve observes a Sunday holiday on Monday but stays open on the Friday before a Saturday holiday.
    Source: Federal Reserve Board, "Holidays Observed by the Federal Reserve System".
    """
    # list_supported_financial() would answer too, but it imports every country: 0.9 s.
    if any(code in names for names in holidays.registry.FINANCIAL.values()):
        days = holidays.financial_holidays(code, years=year).items()
    else:
        days = holidays.country_holidays(code, years=year).items()
    named = sorted((day, name) for day, name in days if day.year == year)
    if code != "US":
        return named
    return [(day, name) for day, name in named if not (day.weekday() == _FRIDAY and _OBSERVED in name)]
