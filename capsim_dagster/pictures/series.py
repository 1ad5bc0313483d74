"""Pictures of single series: one at full size with its events in lanes, or many small ones with common scales.

What a panel shows is in `course`.
"""

from collections.abc import Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from capsim_dagster.pictures import canvas
from capsim_dagster.pictures.canvas import EVENT_COLOURS, GAP, INK, MUTED, PALE, Margins, PictureFormat
from capsim_dagster.pictures.course import (
    LARGE,
    POINT_MARKERS,
    SMALL,
    SMOOTHING_DAYS,
    SPAN_KINDS,
    SeriesView,
    draw_course,
    has_breach_inside,
    is_smoothed,
    stretches,
)
from capsim_dagster.pictures.day_axis import show_days
from capsim_dagster.schemas import GAP_KINDS, EventKind

WIDTH_PX: Final = 1_120
"""Width of a picture: as wide as the dialog in which the UI shows one [pixels]."""
COLUMNS: Final = 2
"""Columns of small panels: the common and the rare variant of a scenario side by side."""
_LARGE_HEIGHT_PX: Final = 580
_PANEL_PX: Final = 174
_LARGE_MARGINS: Final = Margins(left=146, right=24, top=94, bottom=44, between_rows=16)
_SMALL_MARGINS: Final = Margins(left=40, right=16, top=112, bottom=44, between_columns=30, between_rows=30)
_LEGEND_TOP_PX: Final = 52
_LANE_PX: Final = 18
"""Height of the lane of one kind of event [pixels]."""
_LEAST_BAR_PX: Final = 2
"""Narrowest bar of an event that can still be seen [pixels]."""


def series_picture(view: SeriesView, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """Return the picture of one series, 1,120 x 580 pixels: its course above, its events in lanes below.

    Args:
        view: The series, with expectation and events.
        kind: SVG or PNG.
    """
    lanes_px = _LANE_PX * max(len(view.kinds), 2)
    course_px = _LARGE_HEIGHT_PX - _LARGE_MARGINS.top - _LARGE_MARGINS.bottom - lanes_px
    with canvas.styled():
        figure, (course, lanes) = canvas.panels(
            (WIDTH_PX, _LARGE_HEIGHT_PX), (2, 1), _LARGE_MARGINS, height_ratios=(course_px, lanes_px)
        )
        canvas.head(figure, f"{view.host_id} · {view.variety} · {view.resource}", _subtitle(view))
        draw_course(course, view, LARGE)
        _draw_lanes(lanes, view)
        show_days(course, view.days, are_labelled=False)
        show_days(lanes, view.days, are_labelled=True)
        _explain(figure, [view])
        return canvas.rendered(figure, kind)


def varieties_picture(
    views: Sequence[SeriesView], title: str, subtitle: str, kind: PictureFormat = PictureFormat.PNG
) -> bytes:
    """Return small multiples, two columns of panels on common scales, 1,120 pixels wide.

    Args:
        views: The series, one a panel, of the same days.
        title: Title of the whole.
        subtitle: What is shown, and its unit.
        kind: SVG or PNG.
    """
    n_rows = -(-len(views) // COLUMNS)
    height_px = _SMALL_MARGINS.top + _SMALL_MARGINS.bottom + _PANEL_PX * n_rows - _SMALL_MARGINS.between_rows
    with canvas.styled():
        figure, axes = canvas.panels((WIDTH_PX, height_px), (n_rows, COLUMNS), _SMALL_MARGINS)
        canvas.head(figure, title, subtitle)
        for index, (panel, view) in enumerate(zip(axes, views, strict=False)):
            _title_panel(panel, view)
            draw_course(panel, view, SMALL, is_labelled=index % COLUMNS == 0)
            show_days(panel, view.days, are_labelled=index + COLUMNS >= len(views))
        for panel in axes[len(views) :]:
            panel.set_axis_off()
        _explain(figure, views)
        return canvas.rendered(figure, kind)


def _subtitle(view: SeriesView) -> str:
    window = f"{view.days[0]} to {view.days[-1]}" if view.days.size else "no days"
    parts = ["daily P95 utilization, % of capacity", window, view.about, _later_breach(view)]
    return " · ".join(part for part in parts if part)


def _title_panel(axes: Axes, view: SeriesView) -> None:
    axes.set_title(f"{view.variety}", pad=4)
    host = " · ".join(part for part in (view.host_id, view.resource, _later_breach(view)) if part)
    axes.set_title(host, loc="right", fontsize=9, color=MUTED, fontweight="normal", pad=4)


def _later_breach(view: SeriesView) -> str:
    """Return in words a breach that the panel cannot show, else nothing."""
    if view.breach_date is None or has_breach_inside(view):
        return ""
    return f"breach {view.breach_date} (not shown)"


def _draw_lanes(axes: Axes, view: SeriesView) -> None:
    """Draw one lane a kind of event, each event a bar of its duration, wide enough to be seen."""
    axes.spines["left"].set_visible(False)
    lanes = list(reversed(view.kinds))
    if not lanes:
        canvas.say_empty(axes, "no events in this window")
        return
    least_days = view.days.size * _LEAST_BAR_PX / (WIDTH_PX - _LARGE_MARGINS.left - _LARGE_MARGINS.right)
    axes.hlines(range(len(lanes)), 0, 1, transform=axes.get_yaxis_transform(), color="#EEF1F4", linewidth=7, zorder=0)
    for lane, kind in enumerate(lanes):
        bars = [(start, max(length, least_days)) for start, length in stretches(view, kind)]
        axes.broken_barh(bars, (lane - 0.38, 0.76), facecolor=EVENT_COLOURS[kind], linewidth=0, gid=f"lane-{kind}")
    axes.set_ylim(-0.6, len(lanes) - 0.4)
    axes.set_yticks(range(len(lanes)), [f"{len(view.spans_of(kind))} {_words(kind)}" for kind in lanes])
    axes.tick_params(axis="y", length=0)


def _explain(figure: Figure, views: Sequence[SeriesView]) -> None:
    """Explain above the panels the lines, markers and shades that are there."""
    entries = [*_line_entries(views), *_event_entries({kind for view in views for kind in view.kinds})]
    height_px = figure.get_figheight() * canvas.DOTS_PER_INCH
    figure.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(0.004, 1 - _LEGEND_TOP_PX / height_px),
        ncols=len(entries),
        columnspacing=1.6,
    )


def _line_entries(views: Sequence[SeriesView]) -> list[Any]:
    lines = {"observed": PALE}
    if any(view.expected is not None for view in views):
        mean = f", mean of {SMOOTHING_DAYS} days" if any(map(is_smoothed, views)) else ""
        lines[f"expected{mean}"] = INK
    return [Line2D([], [], color=colour, linewidth=2.5, label=label) for label, colour in lines.items()]


def _event_entries(kinds: set[EventKind]) -> list[Any]:
    markers = {kind: marker for kind, marker in POINT_MARKERS.items() if kind in kinds}
    shades = {_words(kind): EVENT_COLOURS[kind] for kind in SPAN_KINDS if kind in kinds}
    if kinds.intersection(GAP_KINDS):
        shades["no value"] = GAP
    return [
        *(
            Line2D([], [], color=EVENT_COLOURS[kind], marker=marker, linestyle="none", markersize=6, label=_words(kind))
            for kind, marker in markers.items()
        ),
        *(Patch(color=colour, alpha=0.42, linewidth=0, label=label) for label, colour in shades.items()),
    ]


def _words(kind: EventKind) -> str:
    return kind.value.replace("_", " ")
