"""What a picture is written as, in few bytes that look the same."""

from pathlib import Path

import numpy as np
import pytest

from capsim_dagster.errors import SettingsError
from capsim_dagster.pictures import canvas
from capsim_dagster.pictures.canvas import Margins, PictureFormat, picture_format
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.pictures.views import crowded, strokes, texts


@pytest.mark.parametrize(("path", "expected"), [(None, "svg"), (Path("a.svg"), "svg"), (Path("a.b.PNG"), "png")])
def test_the_suffix_decides_the_format(path: Path | None, expected: str) -> None:
    assert picture_format(path) is PictureFormat(expected)


@each_case("name", ["a.jpg", "a", "a.", ".svg", "a.svg.gz"])
def test_another_suffix_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"expected \.svg or \.png"):
        picture_format(Path(name))


def zigzag(*notes: str) -> bytes:
    """Return a picture of a line of 500 corners, a curve, and some texts."""
    with canvas.styled():
        figure, (axes,) = canvas.panels((400, 300), (1, 1), Margins())
        axes.plot(np.arange(500), np.arange(500) % 7 + 1 / 3, gid="zigzag")
        axes.plot([100, 200], [2, 3], marker="o", linestyle="none")
        for place, note in enumerate(notes):
            figure.text(0.2, 0.2 + 0.1 * place, note)
        return canvas.rendered(figure, PictureFormat.SVG)


def test_shapes_lose_bytes_and_no_corner(monkeypatch: pytest.MonkeyPatch) -> None:
    compact = zigzag()
    monkeypatch.setattr(canvas, "_compact", lambda svg: svg)
    full = zigzag()

    assert len(compact) < 0.8 * len(full)
    assert len(strokes(full, "zigzag")[0]) > 100
    np.testing.assert_allclose(strokes(compact, "zigzag"), strokes(full, "zigzag"), atol=0.01)


def test_texts_stay_as_they_are_whatever_they_look_like() -> None:
    notes = ['<path d="M 1.23456 2', 'a transform="rotate(-0 1.23456 2)">b', "1.23456 > <"]

    assert set(notes) <= set(texts(zigzag(*notes)))


def test_texts_that_run_into_each_other_would_be_found() -> None:
    assert crowded(zigzag("one", "two")) == []
    assert crowded(zigzag("x" * 99)) == ["x" * 99]


def test_grid_is_one_shape_with_a_line_at_each_tick_within_the_panel() -> None:
    with canvas.styled():
        _, (axes,) = canvas.panels((400, 300), (1, 1), Margins())
        axes.set(xticks=[0, 5, 20], yticks=[0.5])
        axes.set(xlim=(0, 10), ylim=(0, 1))
        canvas.draw_grid(axes)
        (grid,) = axes.lines

    corners = np.asarray(grid.get_xydata())
    upright_and_level = [[0, 0], [0, 1], [5, 0], [5, 1], [0, 0.5], [10, 0.5]]
    assert corners[~np.isnan(corners).any(axis=1)].tolist() == upright_and_level
    assert axes.get_xlim() == (0, 10)
