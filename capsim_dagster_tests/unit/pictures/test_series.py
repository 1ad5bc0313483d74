"""Pictures of single series say what they show: host, unit, threshold, breach, and each kind of event."""

import datetime as dt
from functools import cache

import numpy as np
import pytest

from capsim_dagster.pictures.canvas import PictureFormat
from capsim_dagster.pictures.series import POINT_MARKERS, SPAN_KINDS, series_picture, smoothed, varieties_picture
from capsim_dagster.schemas import GAP_KINDS, EventKind
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.pictures.views import ids, png_size, texts, view


@cache
def everything(picture_format: PictureFormat = PictureFormat.SVG) -> bytes:
    """Return the picture of a series with each kind of event, drawn once."""
    return series_picture(view(events=ALL_EVENTS), picture_format)


ALL_EVENTS = {kind: [(10 + 10 * place, 12 + 10 * place)] for place, kind in enumerate(EventKind)}


def test_series_picture_names_host_variety_resource_unit_and_threshold() -> None:
    said = texts(series_picture(view()))

    assert "srv-000042 · BURST/EXTREME · network" in said
    assert any("% of capacity · 2023-01-01 to 2023-04-30" in text for text in said)
    assert "threshold 95 %" in said
    assert "observed" in said


def test_series_picture_shows_each_kind_of_event_in_the_course_and_in_a_lane_of_its_own() -> None:
    svg = everything()

    assert {*POINT_MARKERS, *SPAN_KINDS, *GAP_KINDS} == set(EventKind)
    assert {f"lane-{kind}" for kind in EventKind} | set(EventKind) <= ids(svg)
    assert {f"1 {kind.value.replace('_', ' ')}" for kind in EventKind} <= set(texts(svg))


def test_series_picture_without_events_says_so_and_explains_none() -> None:
    svg = series_picture(view(events={}))

    assert "no events in this window" in texts(svg)
    assert not ids(svg) & set(EventKind)
    assert not any("no value" in text for text in texts(svg))


def test_series_picture_marks_a_breach_within_the_window_and_mentions_one_after_it() -> None:
    inside = series_picture(view(breach_date=dt.date(2023, 2, 1)))
    after = series_picture(view(breach_date=dt.date(2024, 2, 1)))

    assert "breach 2023-02-01" in texts(inside)
    assert "breach" in ids(inside)
    assert any("breach 2024-02-01 (not shown)" in text for text in texts(after))
    assert "breach" not in ids(after)


@each_case("n_days", [1, 201, 4000])
def test_series_picture_can_be_drawn_of_any_window(n_days: int) -> None:
    said = texts(series_picture(view(n_days)))

    smooth = "expected, mean of 7 days"
    assert (smooth in said) == (n_days > 200)
    assert any("2023" in text and "to" not in text for text in said) or n_days > 1000


def test_series_picture_can_be_drawn_of_a_host_that_never_reported() -> None:
    silent = view(events={EventKind.AGENT_DOWN: [(-3, 500)]}, observed=np.full(120, np.nan, dtype=np.float32))

    assert "1 agent down" in texts(series_picture(silent))


def test_series_picture_is_the_same_each_time_whatever_style_the_user_has_set() -> None:
    import matplotlib as mpl

    first = [everything(kind) for kind in PictureFormat]
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.facecolor": "red"}):
        again = [series_picture(view(events=ALL_EVENTS), kind) for kind in PictureFormat]
        assert mpl.rcParams["font.size"] == 30

    assert first == again


def test_png_has_the_size_that_is_promised_and_a_palette() -> None:
    png = everything(PictureFormat.PNG)

    assert png_size(png) == (1120, 580)
    assert png[25] == 3  # colour type: palette
    assert len(png) > 10_000


@pytest.mark.parametrize(("panels", "height"), [(1, 300), (3, 474)])
def test_varieties_picture_has_two_panels_a_row(panels: int, height: int) -> None:
    png = varieties_picture([view()] * panels, "Ten of them", "percent")

    assert png_size(png) == (1120, height)


def test_varieties_picture_without_truth_shows_neither_expectation_nor_events() -> None:
    bare = varieties_picture([view(expected=None, events=None)], "Observed", "percent", PictureFormat.SVG)

    assert "observed" in ids(bare)
    assert "expected" not in ids(bare)
    assert "threshold 95 %" in texts(bare)


def test_smoothing_takes_the_mean_of_a_centred_week() -> None:
    values = np.arange(20, dtype=np.float32) ** 2

    by_hand = [values[max(0, i - 3) : i + 4].mean() for i in range(20)]

    assert smoothed(values) == pytest.approx(by_hand)
