"""One series in one panel: observation, expectation, threshold, breach and events.

How panels are put together into a picture is in `series`.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from numpy.typing import NDArray

from capsim_dagster.pictures.canvas import ALARM, EVENT_COLOURS, GAP, INK, PALE
from capsim_dagster.pictures.day_axis import DateArray, epoch
from capsim_dagster.schemas import FULL_UTILIZATION, GAP_KINDS, EventKind, Resource, Variety
from capsim_dagster.seeding import Float32Array

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
    """What a picture shows of one series.

    Attributes:
        host_id: The host.
        variety: How it behaves.
        resource: The resource.
        days: The days, ascending, shape `(n_days,)`.
        observed: Daily P95 utilization [%], NaN = no value, shape `(n_days,)`.
        threshold: Utilization that counts as a breach [%].
        expected: Noise-free expectation [%], not clipped, shape `(n_days,)`; None = not shown.
        events: First and last day of each event by kind, from `event_spans`; None = not shown.
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
    """How heavy a panel is drawn.

    Attributes:
        observed: Width of the line [points].
        hugging: Likewise, of an observation that hardly leaves its expectation.
        expected: Likewise.
        marker: Area of a marker [square points].
        font: Size of labels [points].
        top: Top of the scale [%]; None = as high as the expectation.
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
    """Return the events of one series by kind.

    Args:
        events: Columns `kind`, `start` and `end` of `schemas.fleet.TRUTH_EVENTS`.

    >>> first, last = dt.date(1970, 1, 2), dt.date(1970, 1, 3)
    >>> event_spans(pl.DataFrame({"kind": ["dip"], "start": [first], "end": [last]}))[EventKind.DIP]
    [(1, 2)]
    """
    spans: dict[EventKind, list[tuple[int, int]]] = {}
    for kind, start, end in events.select("kind", pl.col("start", "end").to_physical()).iter_rows():
        spans.setdefault(EventKind(kind), []).append((start, end))
    return spans


def draw_course(axes: Axes, view: SeriesView, strokes: Strokes, *, is_labelled: bool = True) -> None:
    """Draw observation, expectation, threshold, breach date and events of one series.

    Args:
        axes: An empty panel.
        view: The series.
        strokes: How heavy.
        is_labelled: Whether the levels are named; only the leftmost panels need to.
    """
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
