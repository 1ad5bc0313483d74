"""The picture of how checks went over time: one row a check, one mark an evaluation, the newest on the right.

What a check is, and which orchestrator runs it, is not known here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capsim_dagster.audits.report import CheckTrend, Evaluation, Verdict
from capsim_dagster.pictures import canvas
from capsim_dagster.pictures.canvas import ALARM, INK, MUTED, POINTS_PER_PIXEL, RESOURCE_COLOURS, WIDTH_PX, Margins
from capsim_dagster.refinery.page.words import in_utc
from capsim_dagster.schemas import Resource
from capsim_dagster.text import shortened

MOST_EVALUATIONS: Final = 30
"""Evaluations of a check that are shown, the newest ones."""
NEVER: Final = "never evaluated"
"""What a check without evaluations says."""
_ROW_PX: Final = 20
_SLOT_PX: Final = 14
"""Room of one mark [pixels]."""
_MARGINS: Final = Margins(left=518, right=182, top=96, bottom=14)
_LEGEND_TOP_PX: Final = 50
_LONGEST_LABEL: Final = 70
"""Characters of a label that have room beside the marks."""
_GAP_TO_BLOCK: Final = 0.5
"""Gap between two blocks, which stand for passed evaluations, as a share of a block."""
_BLOCK_POINTS: Final = _SLOT_PX * POINTS_PER_PIXEL / (1 + _GAP_TO_BLOCK)
_STROKE_POINTS: Final = 1.8
_STRIPE: Final = "#F4F6F8"


_COLOURS: Final[Mapping[Verdict, str]] = {
    Verdict.PASSED: RESOURCE_COLOURS[Resource.DISK],
    Verdict.WARNED: RESOURCE_COLOURS[Resource.MEMORY],
    Verdict.FAILED: ALARM,
}
_WORD_COLOURS: Final[Mapping[Verdict, str]] = {Verdict.PASSED: MUTED, Verdict.WARNED: INK, Verdict.FAILED: ALARM}
"""Colours of the words, dark enough to be read."""
_STROKES_PX: Final[Mapping[Verdict, Sequence[tuple[float, float]]]] = {
    Verdict.WARNED: [(-5, 4), (0, -5), (5, 4), (-5, 4), (0, -5), (np.nan, np.nan)],
    Verdict.FAILED: [(-5, -5), (5, 5), (np.nan, np.nan), (-5, 5), (5, -5), (np.nan, np.nan)],
}
"""Corners of a triangle and of a cross around the middle of a mark; NaN lifts the pen [pixels]."""


def _newest(trend: CheckTrend) -> Sequence[Evaluation]:
    """Return the evaluations that are shown, the newest last."""
    return sorted(trend.evaluations, key=lambda one: in_utc(one.when))[-MOST_EVALUATIONS:]


def check_trends_picture(trends: Sequence[CheckTrend], note: str) -> bytes:
    """Return the picture of the last evaluations of checks, 1,120 pixels wide and 20 high a check."""
    height_px = max(len(trends), 1) * _ROW_PX + _MARGINS.top + _MARGINS.bottom
    with canvas.styled():
        figure, (axes,) = canvas.panels((WIDTH_PX, height_px), (1, 1), _MARGINS)
        canvas.head(figure, f"Checks: the last {MOST_EVALUATIONS} evaluations of each", _summary(trends, note))
        if trends:
            _draw_rows(axes, trends)
            _explain(figure)
        else:
            canvas.say_empty(axes, "there is no check")
        return canvas.rendered(figure)


def _summary(trends: Sequence[CheckTrend], note: str) -> str:
    """Return how many checks stand how at their newest evaluation."""
    counts = Counter(_newest(trend)[-1].verdict if trend.evaluations else None for trend in trends)
    named = [(f"{verdict.value}", counts[verdict]) for verdict in reversed(Verdict)] + [(NEVER, counts[None])]
    stand = ", ".join(f"{count:,} {name}" for name, count in named if count)
    return " · ".join(part for part in (f"now {stand}" if stand else "", note) if part)


def _draw_rows(axes: Axes, trends: Sequence[CheckTrend]) -> None:
    """Draw the marks of all checks, with the name of each on the left and its newest evaluation on the right."""
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlim(0, MOST_EVALUATIONS)
    axes.set_ylim(len(trends) - 0.5, -0.5)
    axes.set_xticks([])
    axes.hlines(
        range(0, len(trends), 2), 0, MOST_EVALUATIONS, color=_STRIPE, linewidth=_ROW_PX * POINTS_PER_PIXEL, zorder=0
    )
    _draw_passed(axes, trends)
    _draw_strokes(axes, trends, Verdict.WARNED)
    _draw_strokes(axes, trends, Verdict.FAILED)
    _name_rows(axes, trends)


def _name_rows(axes: Axes, trends: Sequence[CheckTrend]) -> None:
    labels = [shortened(f"{trend.asset}: {trend.check}", _LONGEST_LABEL) for trend in trends]
    axes.set_yticks(range(len(trends)), labels)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.annotate("newest, UTC", (MOST_EVALUATIONS, -0.5), (6, 3), textcoords="offset points", color=MUTED)
    for row, trend in enumerate(trends):
        newest = _newest(trend)[-1] if trend.evaluations else None
        text = f"{in_utc(newest.when):%Y-%m-%d %H:%M} {newest.verdict}" if newest else NEVER
        colour = _WORD_COLOURS[newest.verdict] if newest else MUTED
        axes.text(MOST_EVALUATIONS + 0.5, row, text, va="center_baseline", color=colour)


def _draw_passed(axes: Axes, trends: Sequence[CheckTrend]) -> None:
    """Draw each run of passed evaluations as one dashed line, a dash an evaluation: most of all marks are such."""
    runs: list[tuple[int, int, int]] = []
    for row, place in _marks(trends, Verdict.PASSED):
        if runs and (runs[-1][0], runs[-1][2]) == (row, place - 1):
            runs[-1] = row, runs[-1][1], place
        else:
            runs.append((row, place, place))
    half = 1 / (1 + _GAP_TO_BLOCK) / 2
    axes.plot(
        [end for _, first, last in runs for end in (first + 0.5 - half, last + 0.5 + half, np.nan)],
        [end for row, _, _ in runs for end in (row, row, np.nan)],
        color=_COLOURS[Verdict.PASSED],
        linewidth=_BLOCK_POINTS,
        linestyle=(0, (1, _GAP_TO_BLOCK)),
        dash_capstyle="butt",
        gid=Verdict.PASSED.value,
    )


def _draw_strokes(axes: Axes, trends: Sequence[CheckTrend], verdict: Verdict) -> None:
    """Draw the marks of a verdict by strokes, all of them one shape."""
    marks = np.array(list(_marks(trends, verdict)), dtype=np.float64).reshape(-1, 1, 2)
    strokes = np.array(_STROKES_PX[verdict]) / (_SLOT_PX, _ROW_PX)
    corners = marks[:, :, ::-1] + (0.5, 0) + strokes
    x, y = corners.reshape(-1, 2).T
    axes.plot(x, y, color=_COLOURS[verdict], linewidth=_STROKE_POINTS, solid_joinstyle="miter", gid=verdict.value)


def _marks(trends: Sequence[CheckTrend], verdict: Verdict) -> Iterator[tuple[int, int]]:
    """Yield row and place of each evaluation that ended so; the newest has the last place."""
    for row, trend in enumerate(trends):
        first = MOST_EVALUATIONS - len(_newest(trend))
        for place, evaluation in enumerate(_newest(trend), start=first):
            if evaluation.verdict is verdict:
                yield row, place


def _explain(figure: Figure) -> None:
    """Explain the marks above the rows."""
    looks: dict[Verdict, dict[str, Any]] = {
        Verdict.PASSED: {"marker": "s", "markersize": _BLOCK_POINTS, "markeredgewidth": 0},
        Verdict.WARNED: {"marker": "^", "markersize": 7, "markeredgewidth": _STROKE_POINTS, "markerfacecolor": "none"},
        Verdict.FAILED: {"marker": "x", "markersize": 7, "markeredgewidth": _STROKE_POINTS},
    }
    handles = [
        Line2D([], [], color=_COLOURS[verdict], linestyle="none", label=verdict.value, **look)
        for verdict, look in looks.items()
    ]
    canvas.explain(figure, handles, _LEGEND_TOP_PX)
