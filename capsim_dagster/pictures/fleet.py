"""Pictures of a whole fleet: its week, what the end of a quarter does to its load, and the load of its regions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from capsim_dagster.pictures import canvas, profiles
from capsim_dagster.pictures.canvas import (
    GROUP_COLOURS,
    MARKERS,
    MUTED,
    RESOURCE_COLOURS,
    WIDTH_PX,
    Margins,
    epoch,
    show_days,
)
from capsim_dagster.pictures.profiles import BUSINESS_DAYS_AFTER, BUSINESS_DAYS_BEFORE
from capsim_dagster.refinery.account import rank
from capsim_dagster.schemas import FULL_UTILIZATION, Resource
from capsim_dagster.seeding import Float64Array
from capsim_dagster.simulated.footer import DataFooter
from capsim_dagster.text import shortened

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
MOST_POINTS: Final = 2_600
"""Points of all lines together: weeks of three years, four regions and four resources, in 45 kB."""
_LONGER_PERIODS: Final = {"week": "1w", "month": "1mo"}
"""What is drawn in place of days that are too many, as polars calls it."""
_PANEL_PX: Final = 148
_REGIONS_MARGINS: Final = Margins(left=60, right=150, top=84, bottom=44, between_rows=34)
_REGIONS_LEAST_RANGE_PCT: Final = 8.0
"""Smallest range of a scale: noise of a percent is not to look like an effect [%]."""
_REGIONS_HEADROOM: Final = 0.1
"""Room above and below the lines, as a share of their range."""
_MOST_LEVELS: Final = 5
_MARKS_A_LINE: Final = 3
_LONGEST_NAME: Final = 16


def weekly_profile_picture(panels: Mapping[str, pl.DataFrame], note: str) -> bytes:
    """Return the picture of profiles from `profiles.weekly_profile`, one panel a way to group the fleet."""
    return _picture(
        "Weekly profile: mean load by weekday, relative to the working days of the week",
        note,
        panels,
        _draw_week,
        footnote=f"Of weeks with five ordinary working days: {ORDINARY}.",
    )


def quarter_end_picture(panels: Mapping[str, pl.DataFrame], note: str, *, window_days: int) -> bytes:
    """Return the picture of effects from `profiles.quarter_end_effect`, whose window is shaded [business days]."""
    return _picture(
        "Quarter-end effect: mean load on business days, relative to ordinary ones around",
        note,
        panels,
        lambda axes, effect: _draw_quarter_end(axes, effect, window_days),
        footnote=f"Compared with the ordinary days among them: {ORDINARY}. Weekdays are evened out; window shaded.",
    )


def _picture(
    title: str,
    note: str,
    panels: Mapping[str, pl.DataFrame],
    draw: Callable[[Axes, pl.DataFrame], None],
    *,
    footnote: str,
) -> bytes:
    with canvas.styled():
        figure, axes = canvas.panels(SIZE_PX, (1, len(panels)), _MARGINS)
        canvas.head(figure, title, note)
        for panel, (name, numbers) in zip(axes, panels.items(), strict=True):
            panel.set_title(name, pad=8)
            draw(panel, numbers)
        canvas.foot(figure, footnote)
        return canvas.rendered(figure)


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
    parts = numbers.partition_by("group", as_dict=True)
    return sorted(((str(key[0]), rows) for key, rows in parts.items()), key=lambda part: rank(part[0]))


def _set_percent_scale(axes: Axes, changes: pl.Series) -> None:
    """Set the vertical scale to changes in percent, with a line at no change."""
    values = changes.to_numpy()
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    room = max((high - low) * _HEADROOM, (_LEAST_RANGE_PCT - (high - low)) / 2)
    axes.set_ylim(low - room, high + room)
    axes.yaxis.set_major_locator(MaxNLocator(_MOST_TICKS, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:+.0f} %"))
    axes.axhline(0, color=MUTED, linewidth=1, zorder=1)


@dataclass(frozen=True)
class RegionMeans:
    """Mean utilization of each region.

    Attributes:
        period: What each mean is of: `day`, `week` or `month`; of weeks and months only whole ones.
        means: `resource`, `region`, `date` (first of a period), `mean` [%], NaN where no host reported; ordered so.
    """

    period: str
    means: pl.DataFrame


def region_means(loads: pl.DataFrame) -> RegionMeans:
    """Return the mean utilization of each region by day, or by whole week or month where days are too many to draw.

    The loads are those of `profiles.Loads.frame`.
    """
    n_lines = loads.select("resource", "region").n_unique()
    found = RegionMeans("day", _means(loads, "1d"))
    for period, every in _LONGER_PERIODS.items():
        if found.means.height <= max(MOST_POINTS, n_lines):
            break
        means = _means(loads, every)
        if means.is_empty():
            break
        found = RegionMeans(period, means)
    return found


def regions_picture(found: RegionMeans, note: str) -> bytes:
    """Return the picture of the mean utilization of regions, one panel a resource and one line a region."""
    height_px = (
        _REGIONS_MARGINS.top + _REGIONS_MARGINS.bottom + _PANEL_PX * len(Resource) - _REGIONS_MARGINS.between_rows
    )
    starts = found.means["date"].unique().sort().to_numpy()
    # Every day between: how far the scale goes beyond its ends is a share of them.
    days = np.arange(starts[0], starts[-1] + 1)
    with canvas.styled():
        figure, axes = canvas.panels((WIDTH_PX, height_px), (len(Resource), 1), _REGIONS_MARGINS)
        canvas.head(figure, f"Utilization by region: mean of each {found.period}", note)
        for panel, resource in zip(axes, Resource, strict=True):
            panel.set_title(f"{resource.value}, % of capacity", pad=4)
            _draw_regions(panel, found.means.filter(pl.col("resource") == resource.value))
            show_days(panel, days, are_labelled=panel is axes[-1])
            panel.tick_params(bottom=panel is axes[-1], left=False)
            canvas.draw_grid(panel)
        axes[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.1), handlelength=1.8)
        return canvas.rendered(figure)


def _means(loads: pl.DataFrame, every: str) -> pl.DataFrame:
    """Return the means by period, whole ones only: a week that the window cuts off would show its weekdays."""
    start = pl.col("date").dt.truncate(every)
    is_whole = (start >= pl.col("date").min()) & (start.dt.offset_by(every).dt.offset_by("-1d") <= pl.col("date").max())
    return (
        loads.filter(is_whole)
        .group_by("resource", "region", date=start)
        .agg(mean=pl.col("load").sum() / pl.col("hosts").sum())
        .sort("resource", "region", "date")
    )


def _draw_regions(axes: Axes, means: pl.DataFrame) -> None:
    """Draw one line a region, with a few markers that lie apart from those of the other lines."""
    lines = means.partition_by("region", as_dict=True, maintain_order=True)
    for index, ((region,), rows) in enumerate(lines.items()):
        step = max(rows.height // _MARKS_A_LINE, 1)
        axes.plot(
            epoch(rows["date"].to_numpy()),
            rows["mean"].to_numpy(),
            color=GROUP_COLOURS[index % len(GROUP_COLOURS)],
            # One marker further on each turn of the colours, else the ninth line would be the first again.
            marker=MARKERS[(index + index // len(GROUP_COLOURS)) % len(MARKERS)],
            markevery=((index * step // len(lines)) % step, step),
            markersize=4.5,
            linewidth=1.2,
            label=shortened(str(region), _LONGEST_NAME),
            gid=f"{means['resource'][0]}: {region}",
        )
    _set_regions_scale(axes, means["mean"].to_numpy())


def _set_regions_scale(axes: Axes, means: Float64Array) -> None:
    """Set a scale that shows differences between regions, in percent of capacity; it need not start at 0."""
    reported = means[np.isfinite(means)]
    if not reported.size:
        canvas.say_empty(axes, "no host reported a value")
        return
    low, high = float(reported.min()), float(reported.max())
    room = max((high - low) * _REGIONS_HEADROOM, (_REGIONS_LEAST_RANGE_PCT - (high - low)) / 2)
    axes.set_ylim(max(low - room, 0), min(high + room, FULL_UTILIZATION))
    axes.yaxis.set_major_locator(MaxNLocator(_MOST_LEVELS, integer=True))


def load_pictures(loads: pl.DataFrame, calendar: pl.DataFrame, footer: DataFooter, *, n_hosts: int) -> dict[str, bytes]:
    """Return the pictures of the week, of quarter end and of the regions, by name.

    Args:
        loads: From `profiles.Loads.frame`.
        calendar: Columns of `schemas.fleet.REGION_CALENDAR`.
        footer: The footer of the master that the loads are from.
        n_hosts: How many of its hosts they are of.
    """
    of_cpu = loads.filter(pl.col("resource") == Resource.CPU.value)
    known = calendar.filter(pl.col("date") <= footer.end)
    who = f"the first {n_hosts:,} of {footer.hosts:,} hosts" if n_hosts < footer.hosts else f"all {n_hosts:,} hosts"
    note = f"daily P95 utilization, mean of {who} · {footer.start} to {footer.end}"
    weekly = {
        "by resource": profiles.weekly_profile(loads.rename({"resource": "group"}), known),
        "cpu, by server type": profiles.weekly_profile(of_cpu.rename({"server_type": "group"}), known),
    }
    quarterly = {
        "by resource": profiles.quarter_end_effect(loads.rename({"resource": "group"}), known),
        "cpu, by region": profiles.quarter_end_effect(of_cpu.with_columns(group="region"), known),
    }
    return {
        "weekly_profile": weekly_profile_picture(weekly, note),
        "quarter_end_effect": quarter_end_picture(
            quarterly,
            f"{note} · quarter ends: {profiles.quarter_ends(known)}",
            window_days=profiles.window_days(known),
        ),
        "utilization_by_region": regions_picture(region_means(loads), note),
    }
