"""Pictures of a feed: amounts as they are, months that can be read, and what was refused or rejected in plain sight."""

from dataclasses import replace

import numpy as np
import pytest

from capsim_dagster.pictures.feed import (
    LINES_PX,
    MOST_MONTHS,
    MOST_REASONS,
    NOTHING_YET,
    FeedMonths,
    file_sizes_picture,
    lines_picture,
)
from capsim_dagster.schemas import LineFault, Resource
from capsim_dagster_tests.support.pictures.views import crowded, ids, marks, strokes, svg_size, texts
from capsim_dagster_tests.unit.pictures.test_bars import months


def feed(count: int, *, reasons: int = 2, scale: int = 1) -> FeedMonths:
    """Return a feed of so many months whose amounts all differ; nothing of it was refused or is missing."""
    nth = np.arange(1, count + 1)
    return FeedMonths(
        months=months(count),
        sizes={r.value: (2_000_000 + 10_000 * nth) * (k + 1) * scale for k, r in enumerate(Resource)},
        loaded=(60_000 + 100 * nth) * scale,
        rejected={fault.value: (5 + nth) * (reasons - k) * scale for k, fault in enumerate([*LineFault][:reasons])},
        refused=np.zeros(count, dtype=bool),
        missing=np.zeros(count, dtype=bool),
    )


def heights(svg: bytes, name: str) -> list[float]:
    return [abs(line[1][1] - line[0][1]) for line in strokes(svg, name)]


def test_bars_of_file_sizes_are_as_high_as_the_sizes_and_stand_on_each_other() -> None:
    shown = feed(36)
    svg = file_sizes_picture(shown, "144 files")

    cpu, memory = (strokes(svg, name) for name in ("cpu", "memory"))
    a_byte = heights(svg, "cpu")[0] / shown.sizes["cpu"][0]
    for name, sizes in shown.sizes.items():
        assert heights(svg, name) == pytest.approx(sizes * a_byte, abs=0.1)
    for lower, upper in zip(cpu, memory, strict=True):
        assert min(y for _, y in lower) == pytest.approx(max(y for _, y in upper), abs=0.02)
        assert lower[0][0] == upper[0][0]


def test_file_sizes_are_said_by_resource_and_in_all_in_a_unit_that_suits_them() -> None:
    said = texts(file_sizes_picture(feed(2), "8 files · 2023-01 to 2023-02"))
    small = texts(file_sizes_picture(replace(feed(1), sizes={"cpu": np.array([1_234])}), ""))

    assert {"Size of the feed's files, by month", "8 files · 2023-01 to 2023-02"} <= set(said)
    assert {"cpu: 4.0 MB", "network: 16.1 MB", "MB by resource; 40.3 MB in all"} <= set(said)
    assert {"cpu: 1.2 kB", "kB by resource; 1.2 kB in all"} <= set(small)
    assert not any("memory" in text for text in small)


def test_a_resource_that_nobody_knows_is_shown_too() -> None:
    svg = file_sizes_picture(replace(feed(1), sizes={"cpu": np.array([10]), "gpu": np.array([30])}), "")

    assert heights(svg, "gpu")[0] == pytest.approx(3 * heights(svg, "cpu")[0], abs=0.05)


def test_rejected_lines_have_a_panel_of_their_own_where_they_can_be_seen() -> None:
    shown = feed(36)
    svg = lines_picture(shown, "")

    rejected, loaded = int(sum(lines.sum() for lines in shown.rejected.values())), int(shown.loaded.sum())
    assert rejected < 0.01 * loaded
    assert max(heights(svg, "truncated line")) > 50
    for reason, lines in shown.rejected.items():
        name = reason.replace("_", " ")
        assert f"{name}: {lines.sum():,}" in texts(svg)
        assert heights(svg, name) == pytest.approx(lines * heights(svg, "truncated line")[0] / 12, abs=0.1)
    assert any(text.startswith(f"loaded: {loaded:,} of {loaded + rejected:,} (9") for text in texts(svg))
    assert any(text.startswith(f"rejected, by reason: {rejected:,} of ") for text in texts(svg))


def test_a_single_rejected_line_is_not_rounded_away() -> None:
    one = replace(feed(3, reasons=0, scale=100), rejected={"blank_line": np.array([0, 1, 0])})
    svg = lines_picture(one, "")
    said, shown = texts(svg), heights(svg, "blank line")

    assert "rejected, by reason: 1 of 18,060,001 (< 0.01 %)" in said
    assert "loaded: 18,060,000 of 18,060,001 (> 99.99 %)" in said
    assert len(shown) == 1
    assert shown[0] > 50


def test_a_feed_without_rejected_lines_says_so() -> None:
    said = texts(lines_picture(feed(2, reasons=0), ""))

    assert {"no line was rejected", "loaded: 120,300 of 120,300 (100 %)"} <= set(said)


def test_reasons_beyond_the_palette_are_counted_together_and_none_is_lost() -> None:
    few, many = (texts(lines_picture(feed(2, reasons=count), "")) for count in (MOST_REASONS, len(LineFault)))

    assert not any("other reasons" in text for text in few)
    rest = len(LineFault) - (MOST_REASONS - 1)
    # Reasons have 13 lines times 18, 17, 16 and so on.
    assert f"{rest} other reasons: {13 * sum(range(1, rest + 1)):,}" in many
    assert f"truncated line: {13 * 18}" in many


@pytest.mark.parametrize("count", [1, MOST_MONTHS])
def test_pictures_of_any_number_of_months_can_be_read_and_stored(count: int) -> None:
    shown = replace(feed(count, reasons=18), refused=np.arange(count) % 9 == 0, missing=np.arange(count) % 7 == 0)

    for draw in (file_sizes_picture, lines_picture):
        svg = draw(shown, "note")
        assert crowded(svg) == []
        assert len(svg) < 60_000
        assert any("2023" in text for text in texts(svg))


def test_more_months_are_drawn_as_years_of_the_same_amounts() -> None:
    shown = replace(feed(MOST_MONTHS + 13, scale=1_000), refused=np.arange(MOST_MONTHS + 13) % 12 == 3)
    svg = lines_picture(shown, "")

    years = [shown.loaded[first : first + 12].sum() for first in range(0, len(shown.months), 12)]
    assert heights(svg, "loaded") == pytest.approx(
        [year * heights(svg, "loaded")[0] / years[0] for year in years], abs=0.05
    )
    assert {"Lines of the feed, by year", "file refused: 11 months", "2033"} <= set(texts(svg))
    assert crowded(svg) == []


def test_months_with_refused_and_missing_files_are_marked_and_counted() -> None:
    shown = replace(
        feed(5), refused=np.array([1, 0, 0, 1, 0], dtype=bool), missing=np.array([0, 0, 0, 0, 1], dtype=bool)
    )

    for draw in (file_sizes_picture, lines_picture):
        svg = draw(shown, "")
        assert (marks(svg, "refused"), marks(svg, "missing")) == (2, 1)
        assert {"file refused: 2 months", "file missing: 1 month"} <= set(texts(svg))
    assert not {"refused", "missing"} & ids(file_sizes_picture(feed(5), ""))


def test_a_feed_of_which_every_file_was_refused_shows_that() -> None:
    nothing = np.zeros(3, dtype=np.int64)
    shown = FeedMonths(months(3), {}, nothing, {}, refused=nothing == 0, missing=nothing != 0)

    assert {"no file is loaded", "file refused: 3 months", "Feb"} <= set(texts(file_sizes_picture(shown, "")))
    assert {"no line is loaded", "no line was rejected", "loaded: no line"} <= set(texts(lines_picture(shown, "")))


@pytest.mark.parametrize("count", [0, 36])
def test_a_feed_of_which_no_file_was_read_says_so(count: int) -> None:
    nothing = np.zeros(count, dtype=np.int64)
    shown = FeedMonths(months(count), {}, nothing, {}, refused=nothing != 0, missing=nothing == 0)

    assert NOTHING_YET in texts(file_sizes_picture(shown, ""))
    assert texts(lines_picture(shown, "")).count(NOTHING_YET) == 2


def test_pictures_of_a_feed_are_the_same_each_time_and_have_their_size() -> None:
    assert file_sizes_picture(feed(4), "") == file_sizes_picture(feed(4), "")
    assert svg_size(lines_picture(feed(4), "")) == LINES_PX
