"""A series made by hand, and what a picture of it says."""

import datetime as dt
import struct
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np

from capsim_dagster.plots.course import SeriesView
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


def png_size(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG [pixels]."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height
