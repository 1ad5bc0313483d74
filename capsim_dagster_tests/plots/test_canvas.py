"""What a picture is written as."""

from pathlib import Path

import pytest

from capsim_dagster.errors import SettingsError
from capsim_dagster.plots.canvas import PictureFormat, picture_format


@pytest.mark.parametrize(("path", "expected"), [(None, "svg"), (Path("a.svg"), "svg"), (Path("a.b.PNG"), "png")])
def test_the_suffix_decides_the_format(path: Path | None, expected: str) -> None:
    assert picture_format(path) is PictureFormat(expected)


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.", ".svg", "a.svg.gz"])
def test_another_suffix_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"expected \.svg or \.png"):
        picture_format(Path(name))
