"""Pictures of a feed by month: the size of its files, and what became of their lines.

The numbers are from the accounts of files and lines only, never the table itself, so they cost the same whatever its
size.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import duckdb
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from capsim_dagster.pictures import canvas
from capsim_dagster.pictures.bars import IntArray, draw_stack, period_ticks
from capsim_dagster.pictures.canvas import ALARM, GROUP_COLOURS, INK, PALE, RESOURCE_COLOURS, Margins
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.account import rank
from capsim_dagster.refinery.page import words
from capsim_dagster.schemas import FileFault, Resource
from capsim_dagster.schemas.months import month_name, month_span
from capsim_dagster.storage.warehouse import read_table
from capsim_dagster.text import share, shortened

BoolArray = NDArray[np.bool_]

SIZES_PX: Final = (1_120, 400)
"""Width and height of the picture of file sizes [pixels]."""
LINES_PX: Final = (1_120, 560)
"""Likewise, of the picture of lines."""
MOST_MONTHS: Final = 120
"""More months than these are drawn as years."""
MOST_REASONS: Final = len(GROUP_COLOURS)
"""Reasons that have a colour of their own, the most frequent ones; where there are more, the last is of the others."""
NOTHING_YET: Final = "no feed file has been read yet"
"""What the pictures of an empty feed say."""
_MARGINS: Final = Margins(left=84, right=262, top=104, bottom=70, between_rows=40)
_TITLE_PAD: Final = 18
"""Room between a panel and its title, for the marks [points]."""
_MARKS_PX: Final = 9
"""How far the marks of months are above a panel [pixels]."""
_MANY_PERIODS: Final = 60
_MILLION: Final = 10**6
_LARGEST_WRITTEN: Final = 10**7
"""A scale that goes further has no room for its zeros, so it counts millions."""
_MOST_LEVELS: Final = 6
_LONGEST_NAME: Final = 22
_REFUSED: Final[Mapping[str, Any]] = {"marker": "X", "color": ALARM, "markeredgewidth": 0, "linestyle": "none"}
_MISSING: Final[Mapping[str, Any]] = {"marker": "o", "color": INK, "markerfacecolor": "none", "linestyle": "none"}
_FOOTNOTE: Final = (
    "Counts the files whose lines are in the table: not a refused one, but the earlier one that stayed in its place."
)


@dataclass(frozen=True)
class FeedMonths:
    """What the refinery knows of a feed by month, each of shape `(n_months,)`.

    Attributes:
        months: Months as YYYYMM, ascending, those without a file between the first and the last too.
        sizes: Size of the files that are loaded by resource [bytes].
        loaded: Lines in the table.
        rejected: Lines that were rejected by reason.
        refused: Whether a file was refused.
        missing: Whether a file is missing.
    """

    months: Sequence[int]
    sizes: Mapping[str, IntArray]
    loaded: IntArray
    rejected: Mapping[str, IntArray]
    refused: BoolArray
    missing: BoolArray

    @property
    def is_empty(self) -> bool:
        """Whether no file was ever read, loaded or refused."""
        return not (self.refused.any() or self.loaded.any() or any(sizes.any() for sizes in self.sizes.values()))

    @property
    def n_lines(self) -> int:
        """Lines of all files that are loaded."""
        return int(self.loaded.sum()) + sum(int(lines.sum()) for lines in self.rejected.values())


def file_sizes_picture(feed: FeedMonths, note: str) -> bytes:
    """Return the picture of the size of feed files by month, stacked by resource; refused and missing are marked."""
    return _picture(feed, "Size of the feed's files", note, (_draw_sizes,))


def lines_picture(feed: FeedMonths, note: str) -> bytes:
    """Return the picture of lines by month: loaded above, and rejected by reason beneath, on a scale of their own."""
    return _picture(feed, "Lines of the feed", note, (_draw_loaded, _draw_rejected))


def _picture(
    feed: FeedMonths,
    title: str,
    note: str,
    draw: Sequence[Callable[[Axes, FeedMonths], None]],
) -> bytes:
    """Return a sheet with a panel for each way to draw, the months named below the lowest."""
    size_px = SIZES_PX if len(draw) == 1 else LINES_PX
    with canvas.styled():
        figure, axes = canvas.panels(size_px, (len(draw), 1), _MARGINS)
        canvas.head(figure, f"{title}, by {'year' if _are_years(feed) else 'month'}", note)
        for panel, draw_panel in zip(axes, draw, strict=True):
            if feed.is_empty:
                canvas.say_empty(panel, NOTHING_YET)
            else:
                draw_panel(panel, feed)
                _name_periods(panel, feed, are_labelled=panel is axes[-1])
        canvas.foot(figure, _FOOTNOTE)
        return canvas.rendered(figure)


def _draw_sizes(axes: Axes, feed: FeedMonths) -> None:
    """Draw the sizes by resource, in the unit that suits the largest month."""
    loaded = {name: sizes for name, sizes in feed.sizes.items() if sizes.any()}
    colours = _colours(loaded)
    _draw_layers(axes, feed, loaded, colours, otherwise="no file is loaded")
    total = sum(int(sizes.sum()) for sizes in loaded.values())
    if loaded:
        unit, unit_name = words.unit(int(axes.get_ylim()[1]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda size, _place: f"{size / unit:,g}"))
        axes.set_title(f"{unit_name} by resource; {words.size(total)} in all", pad=_TITLE_PAD)
    labels = {name: f"{name}: {words.size(int(sizes.sum()))}" for name, sizes in loaded.items()}
    _explain(axes, labels, colours, _draw_marks(axes, feed))


def _draw_loaded(axes: Axes, feed: FeedMonths) -> None:
    _draw_layers(axes, feed, {"loaded": feed.loaded}, {"loaded": PALE}, otherwise="no line is loaded")
    axes.set_title(f"loaded: {_part(int(feed.loaded.sum()), feed.n_lines)}", pad=_TITLE_PAD)
    _explain(axes, {}, {}, _draw_marks(axes, feed))


def _draw_rejected(axes: Axes, feed: FeedMonths) -> None:
    """Draw the rejected lines by reason; beside the loaded ones nobody would see them."""
    reasons = _folded(feed.rejected)
    total = sum(int(lines.sum()) for lines in reasons.values())
    axes.set_title(f"rejected, by reason: {_part(total, feed.n_lines)}", pad=6)
    colours = dict(zip(reasons, GROUP_COLOURS, strict=False))
    _draw_layers(axes, feed, reasons, colours, otherwise="no line was rejected")
    labels = {name: f"{shortened(name, _LONGEST_NAME)}: {lines.sum():,}" for name, lines in reasons.items()}
    _explain(axes, labels, colours, [])


def _draw_layers(
    axes: Axes, feed: FeedMonths, layers: Mapping[str, IntArray], colours: Mapping[str, str], *, otherwise: str
) -> None:
    """Draw stacked bars by month, or by year where months are too many; without any amount say so."""
    _, starts = _periods(feed)
    stacked = {name: np.add.reduceat(amounts, starts) for name, amounts in layers.items()}
    if not any(amounts.any() for amounts in stacked.values()):
        canvas.say_empty(axes, otherwise)
        return
    draw_stack(axes, stacked, colours)
    axes.yaxis.set_major_locator(MaxNLocator(_MOST_LEVELS, integer=True))
    is_long = axes.get_ylim()[1] > _LARGEST_WRITTEN
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda count, _place: f"{count / _MILLION:,g} M" if is_long else f"{count:,.0f}")
    )


def _name_periods(axes: Axes, feed: FeedMonths, *, are_labelled: bool) -> None:
    """Name the months or years below a panel, as many as have room; a panel above another needs no names."""
    periods, _ = _periods(feed)
    ticks = period_ticks(periods, are_years=_are_years(feed)) if are_labelled else []
    axes.set_xticks([place for place, _ in ticks], [label for _, label in ticks])
    axes.set_xlim(-0.5, len(periods) - 0.5)
    axes.grid(visible=False, axis="x")


def _draw_marks(axes: Axes, feed: FeedMonths) -> list[Line2D]:
    """Mark months with refused and missing files above the panel; return what explains the marks."""
    periods, starts = _periods(feed)
    height_px = axes.get_window_extent().height
    size = 4 if len(periods) > _MANY_PERIODS else 6
    handles = []
    for name, marked, style in (("refused", feed.refused, _REFUSED), ("missing", feed.missing, _MISSING)):
        places = np.flatnonzero(np.logical_or.reduceat(marked, starts))
        if places.size:
            level = np.full(places.size, 1 + _MARKS_PX / height_px)
            above: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
            axes.plot(places, level, **style, **above, markersize=size, gid=name)
            months = f"{marked.sum():,} {'month' if marked.sum() == 1 else 'months'}"
            handles.append(Line2D([], [], **style, markersize=6, label=f"file {name}: {months}"))
    return handles


def _explain(axes: Axes, labels: Mapping[str, str], colours: Mapping[str, str], marks: Sequence[Line2D]) -> None:
    """Explain beside a panel its marks and its layers, these from the top down, as they are stacked."""
    layers = [Patch(color=colours[name], label=label) for name, label in reversed([*labels.items()])]
    if marks or layers:
        axes.legend(handles=[*marks, *layers], loc="upper left", bbox_to_anchor=(1.0, 1.04))


def _colours(sizes: Mapping[str, IntArray]) -> dict[str, str]:
    """Return the colour of each resource; one that nobody knows takes it from the end, where no known one is."""
    known: dict[str, str] = {resource.value: colour for resource, colour in RESOURCE_COLOURS.items()}
    return {**known, **dict(zip(sorted(sizes.keys() - known.keys()), cycle(reversed(GROUP_COLOURS)), strict=False))}


def _are_years(feed: FeedMonths) -> bool:
    return len(feed.months) > MOST_MONTHS


def _periods(feed: FeedMonths) -> tuple[list[int], IntArray]:
    """Return the months as YYYYMM, or the years where months are too many, and the place at which each begins."""
    names = [month // 100 for month in feed.months] if _are_years(feed) else feed.months
    periods, starts = np.unique(np.array(names, dtype=np.int64), return_index=True)
    return periods.tolist(), starts


def _folded(rejected: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Return the most frequent reasons, the first of them first, and the others together; none without a line."""
    ranked = sorted(
        ((reason.replace("_", " "), lines) for reason, lines in rejected.items() if lines.any()),
        key=lambda entry: (-int(entry[1].sum()), entry[0]),
    )
    if len(ranked) <= MOST_REASONS:
        return dict(ranked)
    kept, rest = ranked[: MOST_REASONS - 1], ranked[MOST_REASONS - 1 :]
    return {**dict(kept), f"{len(rest)} other reasons": np.sum([lines for _, lines in rest], axis=0)}


def _part(count: int, total: int) -> str:
    """Return a count as a part of all lines; neither something as nothing, nor almost all as all."""
    return f"{count:,} of {total:,} ({share(count / total)})".replace("\xa0", " ") if total else "no line"


def audit_pictures(platform: Platform) -> dict[str, bytes]:
    """Return what the warehouse tells of the feed that was refined, by name of the picture.

    Both are SVG. `monthly_file_sizes` shows the size of the files that are loaded, by resource; `lines_by_month` the
    lines that were loaded, and those that were rejected by reason. Months with refused or missing files are marked.
    Where no file was read yet, they say so. Neither master nor inventory is needed.

    Raises:
        WarehouseError: If the warehouse is missing, locked or of an older schema.
    """
    with platform.reading() as connection:
        files = read_table(connection, "feed_files", order_by="yearmonth, resource")
        found = _feed_months(connection, files, platform.settings.refinery.resources)
    note = " · ".join([f"{files.height:,} files loaded", *_window(found.months)])
    return {
        "monthly_file_sizes": file_sizes_picture(found, note),
        "lines_by_month": lines_picture(found, note),
    }


def _feed_months(
    connection: duckdb.DuckDBPyConnection, files: pl.DataFrame, required: Sequence[Resource]
) -> FeedMonths:
    """Return what the refinery knows of a feed of which each month must have some resources."""
    rejected = _rejected_lines(connection)
    refusals = read_table(connection, "refused_files", order_by="yearmonth, resource")
    is_missing = pl.col("reason") == FileFault.MISSING.value
    refused, absent = refusals.filter(~is_missing)["yearmonth"], refusals.filter(is_missing)["yearmonth"]
    months = month_span([*files["yearmonth"], *refusals["yearmonth"], *rejected["yearmonth"], *_calendar(connection)])
    # Where a file is refused, its whole month may be held back: the others are there, but not in the table.
    lacking = _without_all(files, months, required) - set(refused)
    return FeedMonths(
        months=months,
        sizes={name: _by_month(rows, "bytes", months) for name, rows in _parts(files, "resource").items()},
        loaded=_by_month(files, "loaded", months),
        rejected={name: _by_month(rows, "lines", months) for name, rows in _parts(rejected, "reason").items()},
        refused=np.isin(months, sorted(set(refused))),
        missing=np.isin(months, sorted(lacking | set(absent))),
    )


def _rejected_lines(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return columns `yearmonth`, `reason` and `lines`."""
    frame: pl.DataFrame = connection.sql(
        "SELECT yearmonth, reason::VARCHAR AS reason, count(*) AS lines FROM rejected_lines GROUP BY ALL ORDER BY ALL"
    ).pl()
    return frame


def _calendar(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """Return the months of the calendar as YYYYMM; a user's feed has none."""
    months = connection.execute("SELECT DISTINCT yearmonth FROM time_periods ORDER BY yearmonth").fetchall()
    return [month for (month,) in months]


def _without_all(files: pl.DataFrame, months: Iterable[int], required: Sequence[Resource]) -> set[int]:
    """Return the months that lack the file of a resource."""
    loaded = set(files.select("yearmonth", "resource").iter_rows())
    return {month for month in months if any((month, resource.value) not in loaded for resource in required)}


def _parts(rows: pl.DataFrame, column: str) -> dict[str, pl.DataFrame]:
    """Return the rows of each value of a column: resources in their own order, before anything unknown."""
    return {name: rows.filter(pl.col(column) == name) for name in sorted(rows[column].unique(), key=rank)}


def _by_month(rows: pl.DataFrame, column: str, months: Sequence[int]) -> IntArray:
    """Return the sum of a column by month, shape `(n_months,)`."""
    sums = dict(rows.group_by("yearmonth").agg(pl.col(column).sum()).iter_rows())
    return np.array([sums.get(month, 0) for month in months], dtype=np.int64)


def _window(months: Sequence[int]) -> list[str]:
    return [f"{month_name(months[0])} to {month_name(months[-1])}"] if months else []
