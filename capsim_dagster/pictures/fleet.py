"""Pictures of a whole fleet: the profile of its week, and what the end of a quarter does to its load."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from capsim_dagster.pictures import canvas
from capsim_dagster.pictures.canvas import GROUP_COLOURS, MARKERS, MUTED, RESOURCE_COLOURS, Margins, PictureFormat
from capsim_dagster.pictures.profiles import BUSINESS_DAYS_AFTER, BUSINESS_DAYS_BEFORE
from capsim_dagster.schemas import Resource

SIZE_PX: Final = (1_200, 460)
"""Width and height of a picture [pixels]."""
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
"""Names of the weekdays 1 to 7."""
ORDINARY: Final = "no bank holiday nor a day beside one, not in the quarter-end or month-end window"
"""What makes a day ordinary, in words."""
_MARGINS: Final = Margins(left=60, right=130, top=92, bottom=76, between_columns=190)
_COLOURS: Final = {resource.value: colour for resource, colour in RESOURCE_COLOURS.items()}
_WEEKEND: Final = (5.5, 7.4)
_SHADE: Final = "#F1F3F5"
_HEADROOM: Final = 0.12
"""Room above and below the lines, as a share of their range."""
_LEAST_RANGE_PCT: Final = 10.0
"""Smallest range of the scale: noise of a percent is not to look like an effect [%]."""
_MOST_TICKS: Final = 9
_DAY_TICKS: Final = (-15, -10, -5, -1, 5, 10)
"""Business days that are named; 1 would run into -1."""


def weekly_profile_picture(
    panels: Mapping[str, pl.DataFrame], note: str, kind: PictureFormat = PictureFormat.SVG
) -> bytes:
    """Return the picture of weekly profiles, one panel a way to group the fleet.

    Args:
        panels: Profiles from `profiles.weekly_profile` by title of the panel.
        note: Which hosts and days they are of.
        kind: SVG or PNG.
    """
    return _picture(
        "Weekly profile: mean load by weekday, relative to the working days of the week",
        note,
        panels,
        _draw_week,
        footnote=f"Of weeks with five ordinary working days: {ORDINARY}.",
        kind=kind,
    )


def quarter_end_picture(
    panels: Mapping[str, pl.DataFrame], note: str, *, window_days: int, kind: PictureFormat = PictureFormat.SVG
) -> bytes:
    """Return the picture of the effect of quarter end, one panel a way to group the fleet.

    Args:
        panels: Effects from `profiles.quarter_end_effect` by title of the panel.
        note: Which hosts and days they are of.
        window_days: Business days of the quarter-end window, which is shaded.
        kind: SVG or PNG.
    """
    return _picture(
        "Quarter-end effect: mean load on business days, relative to ordinary ones around",
        note,
        panels,
        lambda axes, effect: _draw_quarter_end(axes, effect, window_days),
        footnote=f"Compared with the ordinary days among them: {ORDINARY}. Weekdays are evened out; window shaded.",
        kind=kind,
    )


def _picture(
    title: str,
    note: str,
    panels: Mapping[str, pl.DataFrame],
    draw: Callable[[Axes, pl.DataFrame], None],
    *,
    footnote: str,
    kind: PictureFormat,
) -> bytes:
    with canvas.styled():
        figure, axes = canvas.panels(SIZE_PX, (1, len(panels)), _MARGINS)
        canvas.head(figure, title, note)
        for panel, (name, numbers) in zip(axes, panels.items(), strict=True):
            panel.set_title(name, pad=8)
            draw(panel, numbers)
        canvas.foot(figure, footnote)
        return canvas.rendered(figure, kind)


def _draw_week(axes: Axes, profile: pl.DataFrame) -> None:
    if profile.is_empty():
        canvas.say_empty(axes, "this window holds no week\nof five ordinary working days")
        return
    axes.axvspan(*_WEEKEND, color=_SHADE, linewidth=0, zorder=0)
    _draw_lines(axes, profile, "weekday")
    axes.set_xticks(range(1, len(WEEKDAYS) + 1), WEEKDAYS)
    axes.set_xlim(0.6, _WEEKEND[1])


def _draw_quarter_end(axes: Axes, effect: pl.DataFrame, window_days: int) -> None:
    if effect.is_empty():
        canvas.say_empty(axes, "no quarter ends in this window\nwith ordinary business days around it")
        return
    # Without a day 0 the scale would have a hole: days of the new quarter move up by one.
    places = effect.with_columns(place=pl.col("business_day") - pl.col("business_day").sign().clip(lower_bound=0))
    axes.axvspan(-window_days - 0.5, -0.5, color=_SHADE, linewidth=0, zorder=0)
    axes.axvline(-0.5, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
    _draw_lines(axes, places, "place")
    axes.set_xticks([day - (day > 0) for day in _DAY_TICKS], [f"{day:+d}" for day in _DAY_TICKS])
    axes.set_xlim(-BUSINESS_DAYS_BEFORE - 0.6, BUSINESS_DAYS_AFTER - 0.4)
    axes.set_xlabel("business day before (-) or after (+) quarter end")


def _draw_lines(axes: Axes, numbers: pl.DataFrame, across: str) -> None:
    """Draw one line a group, with a marker a day, and name the groups beside the panel."""
    for index, (group, rows) in enumerate(_groups(numbers)):
        axes.plot(
            rows[across].to_numpy(),
            (rows["ratio"].to_numpy() - 1) * 100,
            color=_COLOURS.get(group, GROUP_COLOURS[index % len(GROUP_COLOURS)]),
            marker=MARKERS[index % len(MARKERS)],
            markersize=4.5,
            linewidth=1.6,
            label=group,
            gid=group,
        )
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), handlelength=1.6)
    _set_percent_scale(axes, (numbers["ratio"] - 1) * 100)


def _groups(numbers: pl.DataFrame) -> Sequence[tuple[str, pl.DataFrame]]:
    """Return the rows of each group: resources in their own order, other groups by name."""
    order = {resource.value: place for place, resource in enumerate(Resource)}
    parts = numbers.partition_by("group", as_dict=True)
    return sorted(
        ((str(key[0]), rows) for key, rows in parts.items()), key=lambda part: (order.get(part[0], 0), part[0])
    )


def _set_percent_scale(axes: Axes, changes: pl.Series) -> None:
    """Set the vertical scale to changes in percent, with a line at no change."""
    values = changes.to_numpy()
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    room = max((high - low) * _HEADROOM, (_LEAST_RANGE_PCT - (high - low)) / 2)
    axes.set_ylim(low - room, high + room)
    axes.yaxis.set_major_locator(MaxNLocator(_MOST_TICKS, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:+.0f} %"))
    axes.axhline(0, color=MUTED, linewidth=1, zorder=1)
