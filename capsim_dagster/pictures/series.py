"""Pictures of single series: one at full size with its events in lanes, or many small ones with common scales."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from capsim_dagster.pictures import canvas
from capsim_dagster.pictures.canvas import (
    ALARM,
    EVENT_COLOURS,
    GAP,
    INK,
    MUTED,
    PALE,
    WIDTH_PX,
    DateArray,
    Margins,
    PictureFormat,
    epoch,
    show_days,
)
from capsim_dagster.schemas import FULL_UTILIZATION, GAP_KINDS, EventKind, Resource, Variety
from capsim_dagster.seeding import Float32Array

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
POINT_MARKERS: Final = {EventKind.BURST: "o", EventKind.SPIKE: "^", EventKind.DIP: "v"}
"""Kinds that last days: a marker on the day that differs most from the expectation."""
SPAN_KINDS: Final = (EventKind.LEVEL_SHIFT, EventKind.VARIANCE_CHANGE)
"""Kinds that last weeks: a coloured stretch."""
SMOOTHING_DAYS: Final = 7
"""Length of the mean that is drawn of the expectation of a long window, where a week's swing is a solid band."""
LONG_WINDOW_DAYS: Final = 200
"""Windows longer than this are long."""
FEW_DAYS: Final = 100
"""Windows up to this long show each day as a dot."""
SMALL_TOP: Final = 120.0
"""Top of the common scale of small panels: room for demand above the ceiling [%]."""
_LEAST_TOP: Final = 108.0
"""Top of the scale where nothing is expected above it: room for the label of the threshold [%]."""
_HIGHEST_TOP: Final = 160.0
"""Where demand after saturation is cut off [%]."""
_TICK_STEP: Final = 25
_LABEL_ROOM: Final = 1.5
"""How far a label keeps from the threshold [%]."""
_LATE_SHARE: Final = 0.75
"""Part of the window after which the label of a breach has no room on its right."""
_HUGGING_PCT: Final = 0.5
"""Typical distance to the expectation that is less than the width of a line [%]."""
_SPAN_OPACITY: Final = 0.26
_GAP_OPACITY: Final = 0.38


EventSpans = Mapping[EventKind, Sequence[tuple[int, int]]]
"""First and last day, inclusive, of each event by kind [days since 1970-01-01]."""


@dataclass(frozen=True)
class SeriesView:
    """What a picture shows of one series, by day, ascending, each of shape `(n_days,)`.

    Attributes:
        observed: Daily P95 utilization [%], NaN = no value.
        threshold: Utilization that counts as a breach [%].
        expected: Noise-free expectation [%], not clipped; None = not shown.
        events: From `event_spans`; None = not shown.
        breach_date: When the series reaches the threshold by design; None = not shown, or never.
        about: What else the subtitle says about the host.
    """

    host_id: str
    variety: Variety
    resource: Resource
    days: DateArray
    observed: Float32Array
    threshold: float
    expected: Float32Array | None = None
    events: EventSpans | None = None
    breach_date: dt.date | None = None
    about: str = ""

    def spans_of(self, kind: EventKind) -> Sequence[tuple[int, int]]:
        """Return first and last day of each event of a kind [days since 1970-01-01], none if events are not shown."""
        return (self.events or {}).get(kind, ())

    @property
    def kinds(self) -> list[EventKind]:
        """The kinds of events that are shown."""
        return [kind for kind in EventKind if self.spans_of(kind)]


@dataclass(frozen=True)
class Strokes:
    """How heavy a panel is drawn: widths of lines and size of labels [points], area of a marker [square points].

    `hugging` is the width of an observation that hardly leaves its expectation; `top` of the scale [%] is None where it
    is as high as the expectation.
    """

    observed: float
    hugging: float
    expected: float
    marker: float
    font: float
    top: float | None


LARGE: Final = Strokes(observed=0.9, hugging=4, expected=1.3, marker=20, font=9, top=None)
"""A panel as wide as the picture."""
SMALL: Final = Strokes(observed=0.7, hugging=3, expected=1.0, marker=14, font=8, top=SMALL_TOP)
"""One of many panels."""


def event_spans(events: pl.DataFrame) -> EventSpans:
    """Return the events of one series, of `schemas.fleet.TRUTH_EVENTS`, by kind.

    >>> first, last = dt.date(1970, 1, 2), dt.date(1970, 1, 3)
    >>> event_spans(pl.DataFrame({"kind": ["dip"], "start": [first], "end": [last]}))[EventKind.DIP]
    [(1, 2)]
    """
    spans: dict[EventKind, list[tuple[int, int]]] = {}
    for kind, start, end in events.select("kind", pl.col("start", "end").to_physical()).iter_rows():
        spans.setdefault(EventKind(kind), []).append((start, end))
    return spans


def draw_course(axes: Axes, view: SeriesView, strokes: Strokes, *, is_labelled: bool = True) -> None:
    """Draw observation, expectation, threshold, breach date and events of one series; levels may stay without names."""
    x = epoch(view.days)
    _set_scale(axes, view, strokes.top, is_labelled=is_labelled)
    _shade_stretches(axes, view)
    width = strokes.hugging if _hugs_expectation(view) else strokes.observed
    # A line shows no day that stands alone between gaps; in a long window such a day is less than a pixel anyway.
    marker = "." if view.days.size <= FEW_DAYS else ""
    axes.plot(x, view.observed, color=PALE, linewidth=width, marker=marker, markersize=3, zorder=2, gid="observed")
    if view.expected is not None:
        axes.plot(x, _line(view, view.expected), color=INK, linewidth=strokes.expected, zorder=3, gid="expected")
        _mark_points(axes, view, view.expected, size=strokes.marker)
    _draw_threshold(axes, view, font_size=strokes.font)


def is_smoothed(view: SeriesView) -> bool:
    """Return whether the mean of a week is drawn of the expectation, not each day."""
    return view.days.size > LONG_WINDOW_DAYS


def has_breach_inside(view: SeriesView) -> bool:
    """Return whether the breach lies within the days that are shown."""
    if view.breach_date is None or not view.days.size:
        return False
    return bool(view.days[0] <= np.datetime64(view.breach_date) <= view.days[-1])


def stretches(view: SeriesView, kind: EventKind) -> list[tuple[float, float]]:
    """Return where each event of a kind begins, at the midnight before it, and its length [days]."""
    return [(start - 0.5, end - start + 1.0) for start, end in view.spans_of(kind)]


def smoothed(values: Float32Array) -> NDArray[np.float64]:
    """Return the centred mean over a week, over fewer days at the ends; shape as given.

    >>> smoothed(np.array([7, 0, 0, 0, 0, 0, 7], dtype=np.float32)).tolist()
    [1.75, 1.4, 1.1666666666666667, 2.0, 1.1666666666666667, 1.4, 1.75]
    """
    half = SMOOTHING_DAYS // 2
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    places = np.arange(values.size)
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, values.size)
    mean: NDArray[np.float64] = (total[high] - total[low]) / (high - low)
    return mean


def _line(view: SeriesView, expected: Float32Array) -> NDArray[np.float64]:
    return smoothed(expected) if is_smoothed(view) else expected.astype(np.float64)


def _hugs_expectation(view: SeriesView) -> bool:
    """Return whether the line of the observation would be hidden by the one of its expectation."""
    if view.expected is None or not np.isfinite(view.observed).any():
        return False
    return bool(np.nanmedian(np.abs(view.observed - _line(view, view.expected))) < _HUGGING_PCT)


def _set_scale(axes: Axes, view: SeriesView, top: float | None, *, is_labelled: bool) -> None:
    highest = 0.0 if view.expected is None else float(_line(view, view.expected).max(initial=0))
    top = top or min(max(_LEAST_TOP, highest * 1.04), _HIGHEST_TOP)
    if highest > FULL_UTILIZATION:
        axes.axhspan(FULL_UTILIZATION, top, color="#E7EBEF", linewidth=0, zorder=0)
    axes.set_ylim(0, top)
    axes.set_yticks(range(0, int(top) + 1, _TICK_STEP))
    axes.tick_params(axis="y", left=is_labelled, labelleft=is_labelled)


def _shade_stretches(axes: Axes, view: SeriesView) -> None:
    """Shade level shifts, changes of variance and gaps over the whole height."""
    for kind in (*SPAN_KINDS, *GAP_KINDS):
        places = stretches(view, kind)
        if places:
            is_gap = kind in GAP_KINDS
            axes.broken_barh(
                places,
                (0, 1),
                transform=axes.get_xaxis_transform(),
                facecolor=GAP if is_gap else EVENT_COLOURS[kind],
                alpha=_GAP_OPACITY if is_gap else _SPAN_OPACITY,
                linewidth=0,
                zorder=1,
                gid=kind.value,
            )


def _mark_points(axes: Axes, view: SeriesView, expected: Float32Array, *, size: float) -> None:
    """Mark each event of a few days on the day on which the series is farthest from its expectation."""
    distance = np.nan_to_num(np.abs(view.observed - expected), nan=-1)
    x = epoch(view.days)
    for kind, marker in POINT_MARKERS.items():
        places = []
        for start, end in view.spans_of(kind):
            low, high = np.searchsorted(x, [start, end + 1])
            if low < high:
                places.append(int(low + distance[low:high].argmax()))
        if places:
            style: dict[str, Any] = {"s": size, "color": EVENT_COLOURS[kind], "linewidths": 0, "zorder": 6}
            axes.scatter(x[places], view.observed[places], marker=marker, gid=kind.value, **style)


def _draw_threshold(axes: Axes, view: SeriesView, *, font_size: float) -> None:
    axes.axhline(view.threshold, color=ALARM, linewidth=1, linestyle=(0, (5, 3)), zorder=4)
    label = axes.annotate(
        f"threshold {view.threshold:g} %",
        (0.004, view.threshold + _LABEL_ROOM),
        xycoords=axes.get_yaxis_transform(),
        color=ALARM,
        fontsize=font_size,
        zorder=7,
    )
    label.set_gid("threshold")
    if has_breach_inside(view):
        _draw_breach(axes, view, font_size=font_size)


def _draw_breach(axes: Axes, view: SeriesView, *, font_size: float) -> None:
    """Mark the breach with a dotted line; its label is below the curve, which has risen by then."""
    place = int(epoch(np.array([view.breach_date], dtype="datetime64[D]"))[0])
    is_late = place > np.quantile(epoch(view.days), _LATE_SHARE)
    axes.axvline(place, color=ALARM, linewidth=1.2, linestyle=(0, (1, 2)), zorder=4, gid="breach")
    axes.annotate(
        f"breach {view.breach_date}",
        (place, 0.05),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-4 if is_late else 4, 0),
        ha="right" if is_late else "left",
        textcoords="offset points",
        color=ALARM,
        fontsize=font_size,
        zorder=7,
    )


def series_picture(view: SeriesView, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """Return the picture of one series, 1,120 x 580 pixels: its course above, its events in lanes below."""
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
        canvas.explain(figure, _entries([view]), _LEGEND_TOP_PX)
        return canvas.rendered(figure, kind)


def varieties_picture(
    views: Sequence[SeriesView], title: str, subtitle: str, kind: PictureFormat = PictureFormat.PNG
) -> bytes:
    """Return small multiples of series of the same days, two columns of panels on common scales, 1,120 pixels wide."""
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
        canvas.explain(figure, _entries(views), _LEGEND_TOP_PX)
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


def _entries(views: Sequence[SeriesView]) -> list[Any]:
    """Return what explains the lines, markers and shades that are there."""
    return [*_line_entries(views), *_event_entries({kind for view in views for kind in view.kinds})]


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
