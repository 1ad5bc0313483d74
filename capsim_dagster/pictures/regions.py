"""Mean utilization of each region over a window: the numbers, and their picture."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from capsim_dagster.pictures import canvas
from capsim_dagster.pictures.canvas import GROUP_COLOURS, MARKERS, Margins, PictureFormat
from capsim_dagster.pictures.day_axis import epoch, show_days
from capsim_dagster.schemas import FULL_UTILIZATION, Resource
from capsim_dagster.seeding import Float64Array
from capsim_dagster.text import shortened

WIDTH_PX: Final = 1_120
"""Width of a picture [pixels]."""
MOST_POINTS: Final = 2_600
"""Points of all lines together: weeks of three years, four regions and four resources, in 45 kB."""
_LONGER_PERIODS: Final = {"week": "1w", "month": "1mo"}
"""What is drawn in place of days that are too many, as polars calls it."""
_PANEL_PX: Final = 148
_MARGINS: Final = Margins(left=60, right=150, top=84, bottom=44, between_rows=34)
_LEAST_RANGE_PCT: Final = 8.0
"""Smallest range of a scale: noise of a percent is not to look like an effect [%]."""
_HEADROOM: Final = 0.1
"""Room above and below the lines, as a share of their range."""
_MOST_LEVELS: Final = 5
_MARKS_A_LINE: Final = 3
_LONGEST_NAME: Final = 16


@dataclass(frozen=True)
class RegionMeans:
    """Mean utilization of each region.

    Attributes:
        period: What each mean is of: `day`, `week` or `month`; of weeks and months only whole ones.
        means: Columns `resource`, `region`, `date` (first day of the period) and `mean` [%], NaN where no host
            reported; ordered so.
    """

    period: str
    means: pl.DataFrame


def region_means(loads: pl.DataFrame) -> RegionMeans:
    """Return the mean utilization of each region by day, or by whole week or month where days are too many to draw.

    Args:
        loads: Columns `resource`, `region`, `date`, `load` (sum over hosts) [%] and `hosts` (that reported).
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


def regions_picture(found: RegionMeans, note: str, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """Return the picture of the mean utilization of regions, one panel a resource and one line a region.

    Args:
        found: What is shown.
        note: Which hosts and days it is of.
        kind: SVG or PNG.
    """
    height_px = _MARGINS.top + _MARGINS.bottom + _PANEL_PX * len(Resource) - _MARGINS.between_rows
    starts = found.means["date"].unique().sort().to_numpy()
    # Every day between: how far the scale goes beyond its ends is a share of them.
    days = np.arange(starts[0], starts[-1] + 1)
    with canvas.styled():
        figure, axes = canvas.panels((WIDTH_PX, height_px), (len(Resource), 1), _MARGINS)
        canvas.head(figure, f"Utilization by region: mean of each {found.period}", note)
        for panel, resource in zip(axes, Resource, strict=True):
            panel.set_title(f"{resource.value}, % of capacity", pad=4)
            _draw_lines(panel, found.means.filter(pl.col("resource") == resource.value))
            show_days(panel, days, are_labelled=panel is axes[-1])
            panel.tick_params(bottom=panel is axes[-1], left=False)
            canvas.draw_grid(panel)
        axes[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.1), handlelength=1.8)
        return canvas.rendered(figure, kind)


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


def _draw_lines(axes: Axes, means: pl.DataFrame) -> None:
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
    _set_scale(axes, means["mean"].to_numpy())


def _set_scale(axes: Axes, means: Float64Array) -> None:
    """Set a scale that shows differences between regions, in percent of capacity; it need not start at 0."""
    reported = means[np.isfinite(means)]
    if not reported.size:
        canvas.say_empty(axes, "no host reported a value")
        return
    low, high = float(reported.min()), float(reported.max())
    room = max((high - low) * _HEADROOM, (_LEAST_RANGE_PCT - (high - low)) / 2)
    axes.set_ylim(max(low - room, 0), min(high + room, FULL_UTILIZATION))
    axes.yaxis.set_major_locator(MaxNLocator(_MOST_LEVELS, integer=True))
