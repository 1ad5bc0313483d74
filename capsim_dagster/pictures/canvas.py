"""The sheet that every picture is drawn on: its style, its colours, its dates, and how it becomes SVG or PNG."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from capsim_dagster.errors import SettingsError
from capsim_dagster.schemas import EventKind, Resource

DOTS_PER_INCH: Final = 100
"""Pixels of a PNG per inch of matplotlib's sheet."""
POINTS_PER_PIXEL: Final = 72 / DOTS_PER_INCH
"""Widths of lines are in points, of which an inch has 72."""
WIDTH_PX: Final = 1_120
"""Width of most pictures: the UI shows one [pixels]."""
INK: Final = "#22303C"
"""Text, axes and what was expected."""
MUTED: Final = "#5B6B7A"
"""Captions and labels of lesser rank."""
PALE: Final = "#86A6C4"
"""What was observed."""
GRID: Final = "#E3E8ED"
"""Lines that lead the eye to the scales."""
GAP: Final = "#8C8C8C"
"""Days without a value."""
ALARM: Final = "#B3261E"
"""The threshold and its crossing; both carry a label and a dash too, so that colour is not needed."""

GROUP_COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#22303C", "#8C8C8C")
"""Of groups whose number the settings decide; it starts again after the last.

Source: Okabe & Ito (2008), "Color Universal Design": told apart with every kind of colour vision.
"""
RESOURCE_COLOURS: Final[Mapping[Resource, str]] = dict(zip(Resource, GROUP_COLOURS, strict=False))
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Shapes that go with the colours, for those who cannot rely on these."""
EVENT_COLOURS: Final[Mapping[EventKind, str]] = {
    EventKind.BURST: "#D55E00",
    EventKind.SPIKE: "#AA3A82",
    EventKind.DIP: "#0072B2",
    EventKind.LEVEL_SHIFT: "#E69F00",
    EventKind.VARIANCE_CHANGE: "#56B4E9",
    EventKind.MISSING: GAP,
    EventKind.OUTAGE: GAP,
    EventKind.AGENT_DOWN: "#4D4D4D",
}
"""Colour of each kind of event; gaps are grey."""

_PNG_COLOURS: Final = 128
_SHAPE: Final = re.compile(rb'(?<=<path d=")[^"]+')
"""Corners of a shape in an SVG; no text of a picture holds this, as `<` is escaped there."""
_BEYOND_HUNDREDTHS: Final = re.compile(rb"(?<=\.\d\d)\d+")
_CURVE: Final = re.compile(rb"[CQ]")
_NO_TURN: Final = re.compile(rb' transform="rotate\(-0 [^"<]*"(?=>)')
"""What every level text says; no text of a picture holds this, as `>` is escaped there."""
_BETWEEN_TAGS: Final = re.compile(rb">\s+<")
_HEAD_LEFT: Final = 0.012
_TITLE_TOP_PX: Final = 8
_SUBTITLE_TOP_PX: Final = 33
_FOOT_PX: Final = 10
_STYLE: Final[Mapping[str, Any]] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#B8C2CC",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titley": 1.0,  # where it stands anyway; to look for what is in its way costs a fifth of a picture
    "figure.dpi": DOTS_PER_INCH,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "savefig.dpi": DOTS_PER_INCH,
    "svg.fonttype": "none",  # text stays text: a tenth of the size, and it can be searched and read aloud
    "svg.hashsalt": "capsim",  # else each run gives its clip paths other names
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.color": MUTED,
    "ytick.labelsize": 9,
}
DateArray = NDArray[np.datetime64]

LEAST_TICKS: Final = 5
"""Ticks that a window of enough days has at least."""
MOST_TICKS: Final = 14
"""Ticks that have room side by side."""
_ROOM_SHARE: Final = 0.008
"""Empty room at both ends, as a share of the window."""


class PictureFormat(StrEnum):
    """What a picture is written as; also the suffix of its file."""

    SVG = "svg"
    PNG = "png"

    @property
    def media_type(self) -> str:
        """The media type, as a data URI names it."""
        return "image/svg+xml" if self is PictureFormat.SVG else "image/png"


def picture_format(path: Path | None) -> PictureFormat:
    """Return the format that the suffix of a file asks for; SVG where no file is named.

    Raises:
        SettingsError: If there is no such format.

    >>> picture_format(Path("bursts.PNG")).value
    'png'
    """
    suffix = path.suffix.lower().removeprefix(".") if path else PictureFormat.SVG.value
    if suffix not in set(PictureFormat):
        raise SettingsError(
            f"{path} ends in {suffix!r}, which is no picture that can be drawn: expected .svg or .png",
            remedy="name a file that ends in .svg (sharp at any size) or .png",
        )
    return PictureFormat(suffix)


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of capsim, whatever style the user's own files or program have set."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]
        yield


@dataclass(frozen=True)
class Margins:
    """Room around and between the panels of a sheet [pixels]."""

    left: int = 52
    right: int = 20
    top: int = 74
    bottom: int = 36
    between_columns: int = 52
    between_rows: int = 46


def panels(
    size_px: tuple[int, int],
    shape: tuple[int, int],
    margins: Margins,
    *,
    height_ratios: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return a sheet with a grid of empty panels, row by row; call it within `styled`.

    Places are worked out here: measuring every text, as automatic layout does, doubles the cost of a picture. The shape
    is in rows and columns.
    """
    (width_px, height_px), (rows, columns) = size_px, shape
    panel_width = (width_px - margins.left - margins.right - margins.between_columns * (columns - 1)) / columns
    panel_height = (height_px - margins.top - margins.bottom - margins.between_rows * (rows - 1)) / rows
    place = {
        "left": margins.left / width_px,
        "right": 1 - margins.right / width_px,
        "top": 1 - margins.top / height_px,
        "bottom": margins.bottom / height_px,
        "wspace": margins.between_columns / panel_width,
        "hspace": margins.between_rows / panel_height,
    }
    figure = Figure(figsize=(width_px / DOTS_PER_INCH, height_px / DOTS_PER_INCH))
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw=place, height_ratios=height_ratios)
    return figure, list(grid.flat)


def head(figure: Figure, title: str, subtitle: str) -> None:
    """Write title and subtitle at the top left of a sheet."""
    height_px = figure.get_figheight() * DOTS_PER_INCH
    figure.text(_HEAD_LEFT, 1 - _TITLE_TOP_PX / height_px, title, fontsize=13, fontweight="bold", va="top")
    figure.text(_HEAD_LEFT, 1 - _SUBTITLE_TOP_PX / height_px, subtitle, fontsize=9.5, color=MUTED, va="top")


def foot(figure: Figure, text: str) -> None:
    """Write a footnote at the bottom left of a sheet."""
    figure.text(_HEAD_LEFT, _FOOT_PX / (figure.get_figheight() * DOTS_PER_INCH), text, color=MUTED)


def explain(figure: Figure, handles: Sequence[Artist], top_px: int) -> None:
    """Explain side by side what is drawn, so far below the top of a sheet."""
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.004, 1 - top_px / (figure.get_figheight() * DOTS_PER_INCH)),
        ncols=len(handles),
        columnspacing=1.6,
    )


def draw_grid(axes: Axes) -> None:
    """Draw the grid lines of a panel whose scales are set, as one shape: lines of their own take 300 bytes each."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    x = [place for tick in axes.get_xticks() if left <= tick <= right for place in (tick, tick, float("nan"))]
    y = [place for tick in axes.get_yticks() if low <= tick <= high for place in (tick, tick, float("nan"))]
    upright, level = [low, high, low] * (len(x) // 3), [left, right, left] * (len(y) // 3)
    axes.grid(visible=False)
    axes.plot([*x, *level], [*upright, *y], color=GRID, linewidth=0.6, marker="", zorder=0.5)
    axes.set(xlim=(left, right), ylim=(low, high))


def say_empty(axes: Axes, reason: str) -> None:
    """Say in the middle of a panel why it shows nothing."""
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, reason, ha="center", va="center", color=MUTED, transform=axes.transAxes)


def rendered(figure: Figure, kind: PictureFormat = PictureFormat.SVG) -> bytes:
    """Return a sheet as the bytes of a file, the same each time; call it within `styled`."""
    stream = io.BytesIO()
    if kind is PictureFormat.SVG:
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        return _compact(stream.getvalue())
    _write_png(figure, stream)
    return stream.getvalue()


def _compact(svg: bytes) -> bytes:
    """Return an SVG that looks the same in three quarters of the bytes: the event log keeps one of each run."""
    return _BETWEEN_TAGS.sub(b"><", _NO_TURN.sub(b"", _SHAPE.sub(_compact_shape, svg)))


def _compact_shape(shape: re.Match[bytes]) -> bytes:
    """Cut corners to hundredths of a point, which nobody sees; leave out the letter that a straight line may lack."""
    corners = _BEYOND_HUNDREDTHS.sub(b"", shape[0])
    return corners if _CURVE.search(corners) else corners.replace(b" \nL ", b" ")


def _write_png(figure: Figure, stream: io.BytesIO) -> None:
    """Write a PNG of 128 colours: a quarter of the bytes of the full palette, and no eye sees the difference."""
    pixels = io.BytesIO()
    figure.savefig(pixels, format="raw")
    full = Image.frombytes("RGBA", figure.canvas.get_width_height(), pixels.getvalue()).convert("RGB")
    few = full.quantize(_PNG_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(stream, "png")


def epoch(days: DateArray) -> NDArray[np.int64]:
    """Return days since 1970-01-01.

    >>> epoch(np.array(["1970-02-01"], dtype="datetime64[D]")).tolist()
    [31]
    """
    return days.astype("datetime64[D]").astype(np.int64)


def show_days(axes: Axes, days: DateArray, *, are_labelled: bool) -> None:
    """Set the horizontal scale of a panel to some days, ascending, with a grid line at each tick.

    No days leave the panel without a scale; only the lowest panels need names at their ticks.
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
