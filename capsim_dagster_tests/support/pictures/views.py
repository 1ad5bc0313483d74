"""A series made by hand, and what a picture of it says."""

import datetime as dt
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from capsim_dagster.pictures.series import SeriesView
from capsim_dagster.schemas import EventKind, Resource, Scenario, Variant, Variety

SVG = "{http://www.w3.org/2000/svg}"
FIRST_DAY = dt.date(2023, 1, 1)
FIRST = (FIRST_DAY - dt.date(1970, 1, 1)).days


def view(
    n_days: int = 120, events: Mapping[EventKind, list[tuple[int, int]]] | None = None, **facts: object
) -> SeriesView:
    """Return a rising series; events are given as first and last day of the window, counted from 0."""
    days = np.arange(np.datetime64(FIRST_DAY), np.datetime64(FIRST_DAY) + np.timedelta64(n_days))
    expected = np.linspace(20, 60, n_days, dtype=np.float32)
    spans = {k: [(FIRST + a, FIRST + b) for a, b in found] for k, found in (events or {}).items()}
    given: dict[str, Any] = {
        "host_id": "srv-000042",
        "variety": Variety(Scenario.BURST, Variant.EXTREME),
        "resource": Resource.NETWORK,
        "days": days,
        "observed": expected + np.float32(1),
        "threshold": 95.0,
        "expected": expected,
        "events": spans,
    }
    return SeriesView(**{**given, **facts})


def texts(svg: bytes) -> list[str]:
    """Return the texts of an SVG."""
    return [" ".join("".join(node.itertext()).split()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314


def ids(svg: bytes) -> set[str]:
    """Return the ids of the elements of an SVG."""
    return {node.get("id", "") for node in ElementTree.fromstring(svg).iter()}  # noqa: S314


def strokes(svg: bytes, name: str) -> list[list[tuple[float, float]]]:
    """Return the lines of the shape that bears an id, each with its corners in points from the top left."""
    shape = next(node for node in ElementTree.fromstring(svg).iter() if node.get("id") == name)  # noqa: S314
    path = shape.find(f"{SVG}path")
    if path is None:
        return []
    lines = [[float(word) for word in line.replace("L", " ").split()] for line in path.attrib["d"].split("M")[1:]]
    return [list(zip(line[::2], line[1::2], strict=True)) for line in lines]


def marks(svg: bytes, name: str) -> int:
    """Return how many markers the shape that bears an id has."""
    shape = next(node for node in ElementTree.fromstring(svg).iter() if node.get("id") == name)  # noqa: S314
    return sum(1 for _ in shape.iter(f"{SVG}use"))


def crowded(svg: bytes) -> list[str]:
    """Return the texts of an SVG that run into another one or leave the sheet, with what they run into."""
    root = ElementTree.fromstring(svg)  # noqa: S314
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    boxes = [_box(node) for node in root.iter(f"{SVG}text")]
    outside = [box.text for box in boxes if box.left < 0 or box.right > width or box.top < 0 or box.bottom > height]
    return outside + [f"{a.text} | {b.text}" for a, b in combinations(boxes, 2) if a.overlaps(b)]


@dataclass(frozen=True)
class _Box:
    """Where a text stands [points]."""

    text: str
    left: float
    right: float
    top: float
    bottom: float

    def overlaps(self, other: "_Box") -> bool:
        is_beside = self.right <= other.left or other.right <= self.left
        return not (is_beside or self.bottom <= other.top or other.bottom <= self.top)


def _box(node: ElementTree.Element) -> _Box:
    """Measure a level text in the font that stands first."""
    style = dict(part.split(": ", 1) for part in node.attrib["style"].split("; "))
    size = float(style["font-size"].removesuffix("px"))
    text = "".join(node.itertext())
    font = FontProperties(family="DejaVu Sans", size=size, weight=style.get("font-weight", "normal"))
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    # The lines of a text of several lines are moved there, one by one, from their left end.
    moved = node.get("transform", "").removeprefix("translate(").removesuffix(")").split()
    x, y = map(float, moved or (node.attrib["x"], node.attrib["y"]))
    left = x - width * {"start": 0, "middle": 0.5, "end": 1}[style.get("text-anchor", "start")]
    return _Box(text, left, left + width, y - 0.75 * size, y + 0.2 * size)


def svg_size(svg: bytes) -> tuple[int, int]:
    """Return width and height of an SVG at 100 dots per inch [pixels]."""
    facts = ElementTree.fromstring(svg)  # noqa: S314
    width, height = (float(facts.get(side, "").removesuffix("pt")) for side in ("width", "height"))
    return round(width * 100 / 72), round(height * 100 / 72)


def png_size(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG [pixels]."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height
