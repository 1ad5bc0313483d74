"""The pictures beside the assets, drawn when somebody looks at one: a run would draw for nobody in most cases.

What was drawn is kept beside the run history until what it shows has changed.
"""

import base64
import hashlib
import re
import shutil
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from capsim_dagster.audits.report import CheckTrend
from capsim_dagster.errors import CapsimError
from capsim_dagster.pictures import canvas, of_disk
from capsim_dagster.pictures.checks import check_trends_picture
from capsim_dagster.pictures.composition import inventory_pictures
from capsim_dagster.pictures.feed import audit_pictures
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.storage import atomic_path, identity

Trends = Callable[[], Sequence[CheckTrend]]
"""Reads how checks went over time, from the history of whatever orchestrator there is."""

OF_ASSETS: Final[Mapping[str, Callable[[Platform], Mapping[str, bytes]]]] = {
    "host_inventory": lambda platform: inventory_pictures(of_disk.inventory(platform)),
    "master_parquet": of_disk.master_pictures,
    "ground_truth": of_disk.truth_pictures,
    "refinery_audit": audit_pictures,
}
"""What draws the pictures of an asset, by name of the picture."""
_TRENDS: Final = "check_trends"
_WITH_TRENDS: Final = "refinery_audit"
_ONE_AT_A_TIME: Final = threading.Lock()
"""The style of matplotlib is one for the whole process."""
_PNG_SIGNATURE: Final = b"\x89PNG"
_PNG_SIZE_AT: Final = 16
"""Offset of width and height, both big-endian, in the first chunk [bytes]."""
_SVG_SIZE: Final = re.compile(rb'(?<=\s)width="[^"]*" height="[^"]*" (?=viewBox=)')
"""The size on the first tag; matplotlib writes the same as its view box."""


def picture_beside(platform: Platform, asset: str, name: str, trends: Trends) -> bytes | None:
    """Return a picture of an asset as an SVG without a size of its own, drawn anew if what it shows has changed.

    None = there is no such picture. Where it cannot be drawn, as while a run holds the warehouse, it says why.
    """
    if asset not in OF_ASSETS:
        return None
    shown = platform.layout.dagster_home / "pictures" / asset
    folder = shown / _state(platform)
    with _ONE_AT_A_TIME:
        if not folder.is_dir():
            try:
                drawn = drawn_beside(platform, asset, trends)
            except CapsimError as error:
                return without_size(_apology(error))
            shutil.rmtree(shown, ignore_errors=True)
            for each, image in drawn.items():
                with atomic_path(folder / f"{each}.svg") as temporary:
                    temporary.write_bytes(without_size(image))
        path = folder / f"{name}.svg"
        return path.read_bytes() if name.isidentifier() and path.is_file() else None


def drawn_beside(platform: Platform, asset: str, trends: Trends | None = None) -> dict[str, bytes]:
    """Return the pictures of an asset, by name.

    Raises:
        CapsimError: If what they show is missing or cannot be read.
    """
    drawn = dict(OF_ASSETS[asset](platform))
    if asset == _WITH_TRENDS and trends is not None:
        drawn[_TRENDS] = check_trends_picture(trends(), "the last runs")
    return drawn


def without_size(image: bytes) -> bytes:
    """Return a picture, SVG or PNG, as an SVG as wide as there is room: a size would cut it off in a narrow window."""
    if not image.startswith(_PNG_SIGNATURE):
        return _SVG_SIZE.sub(rb"", image, count=1)
    width, height = struct.unpack_from(">II", image, _PNG_SIZE_AT)
    source = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    frame = f'<image width="{width}" height="{height}" href="{source}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{frame}</svg>'.encode()


def _state(platform: Platform) -> str:
    """Return a digest of the identity of all files that pictures are drawn from."""
    layout = platform.layout
    history = layout.dagster_home / "storage" / "history" / "runs"
    databases = {layout.warehouse: (".wal",), history / "index.db": ("-wal",)}
    files = [layout.master, *(Path(f"{path}{end}") for path, logs in databases.items() for end in ("", *logs))]
    return hashlib.sha256(
        repr([platform.generation, *map(identity, [*files, *sorted(layout.truth.glob("*"))])]).encode()
    ).hexdigest()[:16]


def _apology(error: CapsimError) -> bytes:
    """Return a picture that says why there is none."""
    with canvas.styled():
        figure, (axes,) = canvas.panels((canvas.WIDTH_PX, 160), (1, 1), canvas.Margins())
        canvas.head(figure, "This picture cannot be drawn now", error.remedy)
        canvas.say_empty(axes, error.found)
        return canvas.rendered(figure)
