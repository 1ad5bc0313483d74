"""The picture of what a fleet is made of: hosts and shares, one panel a way to divide it."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from capsim_dagster.pictures import canvas
from capsim_dagster.pictures.bars import draw_bars
from capsim_dagster.pictures.canvas import INK, WIDTH_PX, Margins
from capsim_dagster.schemas import VARIETIES
from capsim_dagster.text import shortened

Parts = Sequence[tuple[str, int]]
"""Names and hosts of the parts of a fleet, in the order in which they are shown."""
_DIVIDED_BY: Final = ("department", "server_type", "region", "criticality", "classification")
"""Columns of the inventory that the fleet is divided by, in the order of the panels."""

COLUMNS: Final = 3
"""Panels side by side."""
MOST_PARTS: Final = 14
"""Parts that one panel names; the rest are counted together."""
_MARGINS: Final = Margins(left=212, right=8, top=88, bottom=18, between_columns=126, between_rows=44)
_LONGEST_NAMES: Final = (24, 16, 16)
"""Characters of a name that have room beside a panel, by column."""
_ROW_PX: Final = 22
_BAR_POINTS: Final = 10
_CHARACTER_PX: Final = 7.6
"""Room of a digit, which a number needs beside its bar [pixels]."""
_COLOUR: Final = "#0072B2"
_LEAST_SHARE: Final = 0.001
"""Shares below this are not told apart."""


def composition_picture(panels: Mapping[str, Parts], note: str) -> bytes:
    """Return the picture of a fleet, a panel a way to divide it into parts that together are all of it."""
    shown = {title: _folded(parts) for title, parts in panels.items()}
    sizes = [max(len(parts), 1) for parts in shown.values()]
    rows = [max(sizes[first : first + COLUMNS]) for first in range(0, len(sizes), COLUMNS)]
    height_px = sum(rows) * _ROW_PX + _MARGINS.top + _MARGINS.bottom + _MARGINS.between_rows * (len(rows) - 1)
    with canvas.styled():
        figure, axes = canvas.panels((WIDTH_PX, height_px), (len(rows), COLUMNS), _MARGINS, height_ratios=rows)
        canvas.head(figure, "Fleet composition: hosts, and their share of the fleet", note)
        for panel in axes[len(shown) :]:
            panel.set_axis_off()
        for index, (panel, (title, parts)) in enumerate(zip(axes, shown.items(), strict=False)):
            panel.set_title(title, pad=6)
            panel.set_gid(title)
            _draw_parts(panel, parts, rows[index // COLUMNS], _LONGEST_NAMES[index % COLUMNS])
        return canvas.rendered(figure)


def _folded(parts: Parts) -> Parts:
    """Return at most `MOST_PARTS` parts, the last of which holds those that have no room."""
    if len(parts) <= MOST_PARTS:
        return parts
    rest = parts[MOST_PARTS - 1 :]
    return [*parts[: MOST_PARTS - 1], (f"{len(rest)} others", sum(hosts for _, hosts in rest))]


def _draw_parts(axes: Axes, parts: Parts, n_rows: int, longest_name: int) -> None:
    """Draw one bar a part, from the top down, each with its hosts and share behind it."""
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    if not parts:
        canvas.say_empty(axes, "no hosts")
        return
    hosts = np.array([count for _, count in parts], dtype=np.int64)
    places = np.arange(hosts.size)
    draw_bars(axes, places, (0 * hosts, hosts), _BAR_POINTS, _COLOUR, gid=f"bars {axes.get_gid()}", is_lying=True)
    total = max(int(hosts.sum()), 1)
    numbers = [number_and_share(int(count), total) for count in hosts]
    room_px = (max(map(len, numbers)) + 1) * _CHARACTER_PX
    axes.set_xlim(0, max(int(hosts.max()), 1) / (1 - room_px / _panel_px()))
    for place, (count, number) in enumerate(zip(hosts, numbers, strict=True)):
        axes.annotate(number, (int(count), place), (4, 0), textcoords="offset points", va="center_baseline", color=INK)
    axes.set_ylim(n_rows - 0.5, -0.5)
    axes.spines["left"].set_bounds(-0.5, len(parts) - 0.5)
    axes.set_xticks([])
    axes.set_yticks(places, [shortened(name, longest_name) for name, _ in parts])
    axes.tick_params(axis="y", length=0, labelcolor=INK)


def _panel_px() -> float:
    """Return the width of a panel [pixels]."""
    return (WIDTH_PX - _MARGINS.left - _MARGINS.right - _MARGINS.between_columns * (COLUMNS - 1)) / COLUMNS


def number_and_share(count: int, total: int) -> str:
    """Return a number with its share; something is never shown as nothing.

    >>> number_and_share(560, 2000), number_and_share(1, 200_000), number_and_share(0, 9)
    ('560 · 28.0 %', '1 · < 0.1 %', '0 · 0.0 %')
    """
    part = count / total
    share = "< 0.1" if 0 < part < _LEAST_SHARE else f"{part * 100:.1f}"
    return f"{count:,} · {share} %"


def inventory_pictures(hosts: pl.DataFrame) -> dict[str, bytes]:
    """Return what an inventory shows of the fleet, by name of the picture.

    `fleet_composition` is an SVG: hosts and shares by variety, department, server type, region, criticality and
    classification. The columns are those of `schemas.fleet.HOSTS`.
    """
    panels = {
        "by variety": _varieties(hosts),
        **{f"by {column.replace('_', ' ')}": _parts(hosts, column) for column in _DIVIDED_BY},
    }
    note = f"{hosts.height:,} hosts in the inventory"
    return {"fleet_composition": composition_picture(panels, note)}


def _varieties(hosts: pl.DataFrame) -> Parts:
    """Return the hosts of each of the ten varieties, those without a host too."""
    counts = {
        (scenario, variant): n for scenario, variant, n in hosts.group_by("scenario", "variant").len().iter_rows()
    }
    return [(str(variety), counts.get((variety.scenario, variety.variant), 0)) for variety in VARIETIES]


def _parts(hosts: pl.DataFrame, column: str) -> Parts:
    """Return the hosts of each value of a column, the most frequent first."""
    counts = hosts.group_by(pl.col(column).cast(pl.String)).len().sort(-pl.col("len").cast(pl.Int64), column)
    return [(name, int(count)) for name, count in counts.iter_rows()]
