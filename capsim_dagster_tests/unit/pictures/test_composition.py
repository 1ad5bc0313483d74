"""The composition of a fleet: each part with its hosts and share, and bars as long as these."""

import pytest

from capsim_dagster.pictures.canvas import WIDTH_PX
from capsim_dagster.pictures.composition import MOST_PARTS, composition_picture
from capsim_dagster_tests.support.pictures.views import crowded, strokes, svg_size, texts


def test_each_part_shows_its_hosts_and_share_and_a_bar_as_long() -> None:
    svg = composition_picture({"by region": [("east", 1_500), ("west", 498), ("sea", 1), ("moon", 1)]}, "of all hosts")

    assert {"by region", "of all hosts", "east", "1,500 · 75.0 %", "498 · 24.9 %", "1 · < 0.1 %"} <= set(texts(svg))
    lengths = [abs(line[1][0] - line[0][0]) for line in strokes(svg, "bars by region")]
    assert [length / lengths[0] for length in lengths] == pytest.approx(
        [1, 498 / 1_500, 1 / 1_500, 1 / 1_500], abs=0.001
    )


def test_a_part_without_hosts_is_named_with_zero() -> None:
    assert "0 · 0.0 %" in texts(composition_picture({"by region": [("east", 5), ("west", 0)]}, ""))


def test_parts_that_have_no_room_are_counted_together() -> None:
    parts = [(f"department {n:02d}", 100 - n) for n in range(40)]

    said = texts(composition_picture({"by department": parts}, ""))

    shown = [text for text in said if text.startswith("department")]
    assert len(shown) == MOST_PARTS - 1
    assert f"{40 - len(shown)} others" in said
    rest = sum(hosts for _, hosts in parts[len(shown) :])
    assert any(text.startswith(f"{rest:,} · ") for text in said)


def test_six_panels_of_long_names_and_large_fleets_do_not_run_into_each_other() -> None:
    parts = [("A_NAME_THAT_IS_RATHER_LONG_FOR_THIS", 199_999), ("x" * 60, 1)]
    svg = composition_picture({f"by {name}": parts for name in "abcdef"}, "200,000 hosts")

    assert crowded(svg) == []
    assert any(text.endswith("…") for text in texts(svg))


def test_a_fleet_without_hosts_says_so() -> None:
    assert "no hosts" in texts(composition_picture({"by region": []}, ""))


def test_composition_can_be_png_and_is_the_same_each_time() -> None:
    one = {"by region": [("east", 2), ("west", 1)]}

    assert composition_picture(one, "") == composition_picture(one, "")
    assert svg_size(composition_picture(one, ""))[0] == WIDTH_PX
