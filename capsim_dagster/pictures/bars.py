"""Bars of counts: stacked by month or by year, with the months named along the axis, or side by side in a row each.

A bar is a thick line, two corners instead of a rectangle with a style of its own: 480 bars take 15 kB, not 150.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from capsim_dagster.pictures.canvas import POINTS_PER_PIXEL

IntArray = NDArray[np.int64]

MOST_TICKS: Final = 13
"""Months or years that are named side by side."""
_STEPS_MONTHS: Final = (1, 3, 6, 12, 24, 60, 120)
"""Distances between months that are named."""
_STEPS_YEARS: Final = (1, 2, 5, 10, 20, 50)
_MONTHS_A_YEAR: Final = 12
_MONTH_NAMES: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FULL_SHARE: Final = 0.78
"""Part of its place that a bar fills."""
_WIDEST_PX: Final = 56
"""A bar that stands alone does not fill the panel."""
_HEADROOM: Final = 1.06
"""Top of the scale, in heights of the highest bar."""


def draw_stack(axes: Axes, layers: Mapping[str, IntArray], colours: Mapping[str, str]) -> None:
    """Draw stacked bars, one a place, places counted from 0; each layer is one shape that bears its name.

    Layers are of shape `(n_places,)`, the lowest first; there is at least one.
    """
    n_places = next(iter(layers.values())).size
    width = _bar_points(axes, n_places)
    bottom = np.zeros(n_places, dtype=np.int64)
    for name, amounts in layers.items():
        draw_bars(axes, np.flatnonzero(amounts), (bottom, bottom + amounts), width, colours[name], gid=name)
        bottom = bottom + amounts
    axes.set_ylim(0, max(float(bottom.max()) * _HEADROOM, 1))


def draw_bars(  # noqa: PLR0913 what a bar is
    axes: Axes,
    places: IntArray,
    ends: tuple[IntArray, IntArray],
    width_points: float,
    colour: str,
    *,
    gid: str,
    is_lying: bool = False,
) -> None:
    """Draw bars of one colour as one shape, between the lower and the upper end of each of the places that have one."""
    low, high = ends
    # NaN lifts the pen between two bars.
    along = np.stack([low[places], high[places], np.full(places.size, np.nan)], axis=1).ravel()
    across = np.repeat(places.astype(np.float64), 3)
    x, y = (along, across) if is_lying else (across, along)
    axes.plot(x, y, color=colour, linewidth=width_points, solid_capstyle="butt", marker="", gid=gid)


def period_ticks(periods: Sequence[int], *, are_years: bool = False) -> list[tuple[int, str]]:
    r"""Return the places that are named, and their names; the year is said where it changes.

    Periods are months as YYYYMM or years, ascending; some may be left out.

    >>> period_ticks([202312, 202401, 202402])
    [(0, 'Dec\n2023'), (1, 'Jan\n2024'), (2, 'Feb')]
    """
    ordinals = periods if are_years else [period // 100 * _MONTHS_A_YEAR + period % 100 - 1 for period in periods]
    steps = _STEPS_YEARS if are_years else _STEPS_MONTHS
    step = next((s for s in steps if sum(ordinal % s == 0 for ordinal in ordinals) <= MOST_TICKS), steps[-1])
    round_places = [place for place, ordinal in enumerate(ordinals) if ordinal % step == 0]
    # Of months far apart from each other there may be no round one.
    places = _far_apart(round_places or range(len(periods)), len(periods))
    if are_years:
        return [(place, str(periods[place])) for place in places]
    return _month_labels(periods, places, are_years_only=step >= _MONTHS_A_YEAR)


def _month_labels(months: Sequence[int], places: Sequence[int], *, are_years_only: bool) -> list[tuple[int, str]]:
    labels, year = [], None
    for place in places:
        name, here = _MONTH_NAMES[months[place] % 100 - 1], months[place] // 100
        full = str(here) if are_years_only else f"{name}\n{here}"
        labels.append((place, name if here == year else full))
        year = here
    return labels


def _far_apart(places: Sequence[int], n_places: int) -> list[int]:
    """Leave out places that are too close to the one before: where months are missing, a year may follow at once."""
    kept: list[int] = []
    for place in places:
        if not kept or (place - kept[-1]) * (MOST_TICKS + 1) >= n_places:
            kept.append(place)
    return kept


def _bar_points(axes: Axes, n_places: int) -> float:
    """Return how thick a bar is [points]."""
    width_px = min(axes.get_window_extent().width / n_places * _FULL_SHARE, _WIDEST_PX)
    return float(width_px) * POINTS_PER_PIXEL
