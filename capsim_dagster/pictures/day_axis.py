"""Dates along an axis, for windows of days to decades.

Days are counted since 1970-01-01, which is how matplotlib counts dates, so nothing is converted on the way.
"""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from numpy.typing import NDArray

DateArray = NDArray[np.datetime64]

LEAST_TICKS: Final = 5
"""Ticks that a window of enough days has at least."""
MOST_TICKS: Final = 14
"""Ticks that have room side by side."""
_ROOM_SHARE: Final = 0.008
"""Empty room at both ends, as a share of the window."""


def epoch(days: DateArray) -> NDArray[np.int64]:
    """Return days since 1970-01-01.

    >>> epoch(np.array(["1970-02-01"], dtype="datetime64[D]")).tolist()
    [31]
    """
    return days.astype("datetime64[D]").astype(np.int64)


def show_days(axes: Axes, days: DateArray, *, are_labelled: bool) -> None:
    """Set the horizontal scale of a panel to some days, with a grid line at each tick.

    Args:
        axes: The panel.
        days: The days, ascending; none leave the panel without a scale.
        are_labelled: Whether the ticks are named; only the lowest panels need to.
    """
    if not days.size:
        axes.set_xticks([])
        return
    x = epoch(days)
    room = max(0.5, x.size * _ROOM_SHARE)
    axes.set_xlim(x[0] - room, x[-1] + room)
    if x.size == 1:
        # Of a single day the locator would name the hour.
        axes.set_xticks(x, [str(days[0].astype("datetime64[D]"))] if are_labelled else [""])
        return
    # Days are the finest that there is: of a window of three days it must not ask for hours.
    locator = AutoDateLocator(minticks=min(LEAST_TICKS, x.size), maxticks=MOST_TICKS)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=are_labelled))  # type: ignore[no-untyped-call]
    axes.tick_params(axis="x", labelbottom=are_labelled)
