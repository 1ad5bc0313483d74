import base64
import io
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from capsim_dagster.pictures.canvas import Margins, PictureFormat, head, panels, rendered, styled
from capsim_dagster.pictures.gallery import without_size

SVG = "{http://www.w3.org/2000/svg}"


def drawn(kind: PictureFormat) -> bytes:
    with styled():
        figure, _ = panels((1200, 300), (1, 1), Margins())
        head(figure, "title", "subtitle")
        return rendered(figure, kind)


@pytest.mark.parametrize("kind", PictureFormat)
def test_picture_beside_an_asset_has_a_shape_and_no_size(kind: PictureFormat) -> None:
    root = ET.fromstring(without_size(drawn(kind)))  # noqa: S314 our own

    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width / height == pytest.approx(4)
    assert not {"width", "height"} & set(root.attrib)


def test_png_beside_an_asset_is_the_one_that_was_drawn() -> None:
    (image,) = ET.fromstring(without_size(drawn(PictureFormat.PNG))).iter(f"{SVG}image")  # noqa: S314 our own
    png = base64.b64decode(image.attrib["href"].partition(",")[2])

    assert png == drawn(PictureFormat.PNG)
    assert Image.open(io.BytesIO(png)).size == (int(image.attrib["width"]), int(image.attrib["height"])) == (1200, 300)
