import base64
import io
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from capsim_dagster.orchestration.metadata import pictures
from capsim_dagster.pictures.canvas import Margins, PictureFormat, head, panels, rendered, styled

SVG = "{http://www.w3.org/2000/svg}"


def drawn(kind: PictureFormat) -> bytes:
    with styled():
        figure, _ = panels((1200, 300), (1, 1), Margins())
        head(figure, "title", "subtitle")
        return rendered(figure, kind)


def embedded(kind: PictureFormat) -> bytes:
    """Return the SVG that the UI shows, read from markdown as its image is."""
    (shown,) = pictures({"a_picture": drawn(kind)}).values()
    before, _, rest = str(shown.value).partition("![a picture](")
    assert before.strip() == ""
    address, end, after = rest.partition(")")
    assert (end, after) == (")", "")
    head, _, content = address.partition(",")
    assert head.startswith("data:image/svg+xml")
    return base64.b64decode(content) if head.endswith(";base64") else unquote_to_bytes(content)


@pytest.mark.parametrize("kind", PictureFormat)
def test_embedded_picture_has_a_shape_and_no_size(kind: PictureFormat) -> None:
    root = ET.fromstring(embedded(kind))  # noqa: S314 our own

    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width / height == pytest.approx(4)
    assert not {"width", "height"} & set(root.attrib)


def test_embedded_png_is_the_one_that_was_drawn() -> None:
    (image,) = ET.fromstring(embedded(PictureFormat.PNG)).iter(f"{SVG}image")  # noqa: S314 our own
    png = base64.b64decode(image.attrib["href"].partition(",")[2])

    assert png == drawn(PictureFormat.PNG)
    assert Image.open(io.BytesIO(png)).size == (int(image.attrib["width"]), int(image.attrib["height"])) == (1200, 300)
