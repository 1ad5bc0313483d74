"""Dates along an axis: where the ticks are and what they say, for windows of days to decades.

Days are counted since 1970-01-01, which is how matplotlib counts dates, so nothing is converted on the way. Its own
date locator costs more than the lines it explains.
"""

import datetime as dt
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.plots import canvas
from capsim_dagster.simulation.time_dimension import date_of, months_between

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DateArray = NDArray[np.datetime64]

MOST_TICKS: Final = 16
"""Ticks that have room side by side."""
_MONTH_STEPS: Final = (1, 3, 6, 12, 24, 60, 120, 240)
"""Months between ticks, from a window of a year to one of centuries."""
_MONTHS_PER_YEAR: Final = 12
_LEAST_MONTHS: Final = 3
"""Shorter windows have a tick a week or a day."""
_DAYS_PER_WEEK: Final = 7
_SHORT_DAYS: Final = 14
"""Windows up to this long have a tick a day."""
_ROOM_SHARE: Final = 0.008
"""Empty room at both ends, as a share of the window."""


def epoch(days: DateArray) -> NDArray[np.int64]:
    """Return days since 1970-01-01.

    >>> epoch(np.array(["1970-02-01"], dtype="datetime64[D]")).tolist()
    [31]
    """
    return days.astype("datetime64[D]").astype(np.int64)


def day_ticks(first: dt.date, last: dt.date) -> dict[int, str]:
    r"""Return the days that get a tick [days since 1970-01-01] and their labels; the year stands where it changes.

    Args:
        first: First day of the window.
        last: Last day, inclusive.

    >>> list(day_ticks(dt.date(2023, 1, 1), dt.date(2024, 12, 31)).values())[:5]
    ['Jan\n2023', 'Apr', 'Jul', 'Oct', 'Jan\n2024']
    """
    labels, year = {}, 0
    for day, name in _ticks(first, last):
        labels[(day - dt.date(1970, 1, 1)).days] = name if day.year == year else f"{name}\n{day.year}".lstrip()
        year = day.year
    return labels


def show_days(axes: "Axes", days: DateArray, *, are_labelled: bool) -> None:
    """Set the horizontal scale of a panel to some days, with a grid line at each tick.

    Args:
        axes: The panel.
        days: The days, ascending; none leave the panel without a scale.
        are_labelled: Whether the ticks are named; only the lowest panels need to.
    """
    axes.set_xticks([])
    if not days.size:
        return
    x = epoch(days)
    ticks = day_ticks(date_of(int(x[0])), date_of(int(x[-1])))
    room = max(0.5, x.size * _ROOM_SHARE)
    canvas.rule(axes, up=list(ticks))
    if are_labelled:
        axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlim(x[0] - room, x[-1] + room)


def _ticks(first: dt.date, last: dt.date) -> list[tuple[dt.date, str]]:
    months = [month for month in months_between(first, last) if month >= first]
    if len(months) < _LEAST_MONTHS:
        return _week_ticks(first, last)
    step = next((step for step in _MONTH_STEPS if len(months) <= step * MOST_TICKS), _MONTH_STEPS[-1])
    chosen = [month for month in months if (month.year * 12 + month.month - 1) % step == 0]
    return [(month, "" if step >= _MONTHS_PER_YEAR else f"{month:%b}") for month in chosen]


def _week_ticks(first: dt.date, last: dt.date) -> list[tuple[dt.date, str]]:
    n_days = (last - first).days + 1
    step = 1 if n_days <= _SHORT_DAYS else _DAYS_PER_WEEK
    days = [first + dt.timedelta(offset) for offset in range(0, n_days, step)]
    return [(day, f"{day.day} {day:%b}") for day in days]
