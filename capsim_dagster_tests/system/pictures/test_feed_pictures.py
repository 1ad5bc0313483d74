"""The pictures of a feed as they are drawn from the accounts of the refinery: capsim's own feed, or another's."""

from collections import Counter

import pytest

from capsim_dagster.errors import WarehouseError
from capsim_dagster.pictures import feed
from capsim_dagster.pictures.feed import NOTHING_YET, FeedMonths, audit_pictures
from capsim_dagster.pipeline import refine
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.page import words
from capsim_dagster.schemas import FileFault, LineFault, Resource
from capsim_dagster_tests.conftest import MONTHS
from capsim_dagster_tests.support import foreign_feed
from capsim_dagster_tests.support.audits.refinery_rows import (
    add_calendar,
    add_file,
    add_months,
    add_refusal,
    add_rejected,
)
from capsim_dagster_tests.support.pictures.views import ids, texts

NAMES = ["monthly_file_sizes", "lines_by_month"]


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def handed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> FeedMonths:
    """Return what is handed over to be drawn."""
    kept: list[FeedMonths] = []
    for drawer in ("file_sizes_picture", "lines_picture"):
        monkeypatch.setattr(feed, drawer, lambda found, _note: kept.append(found))
    audit_pictures(platform)
    assert kept[0] is kept[1]
    return kept[0]


def test_pictures_of_capsims_own_feed_show_the_files_and_lines_that_lie_on_disk(platform: Platform) -> None:
    drawn = audit_pictures(platform)

    assert list(drawn) == NAMES
    sizes, lines = Counter[str](), 0
    for path, piece in platform.contract.files():
        assert piece is not None
        sizes[piece.resource.value] += path.stat().st_size
        lines += path.read_text(encoding="utf-8").count("\n") - 1
    assert len(sizes) == len(Resource)
    assert {f"{name}: {words.size(count)}" for name, count in sizes.items()} <= set(texts(drawn[NAMES[0]]))
    assert "12 files loaded · 2023-01 to 2023-03" in texts(drawn[NAMES[0]])
    assert {f"loaded: {lines:,} of {lines:,} (100 %)", "no line was rejected"} <= set(texts(drawn[NAMES[1]]))


def test_a_users_feed_needs_neither_master_nor_inventory(foreign: Platform) -> None:
    list(refine.processed_data(foreign, foreign_feed.MONTHS, run="run"))
    drawn = audit_pictures(foreign)

    said = texts(drawn["lines_by_month"])
    total = sum(foreign_feed.LINES.values())
    assert not foreign.layout.master.exists()
    assert any(text.startswith(f"loaded: {total:,} of {total:,} ") for text in said)
    assert "6 files loaded · 2024-05 to 2024-06" in said
    assert {"cpu", "memory", "disk"} <= ids(drawn["monthly_file_sizes"])
    assert "network" not in ids(drawn["monthly_file_sizes"])


def test_numbers_are_those_of_the_accounts_month_by_month(
    empty_platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    with empty_platform.writing() as connection:
        add_file(connection, 202301, "cpu", loaded=7, rejected=3)
        add_file(connection, 202303, "cpu", loaded=5)
        add_file(connection, 202303, "gpu", loaded=2)
        add_rejected(connection, 202301, "cpu", LineFault.BLANK_LINE, count=2)
        add_rejected(connection, 202301, "cpu", LineFault.MISSING_DATE)

    found = handed(empty_platform, monkeypatch)

    assert found.months == [202301, 202302, 202303]
    assert {name: sizes.tolist() for name, sizes in found.sizes.items()} == {
        "cpu": [1000, 0, 1000],
        "gpu": [0, 0, 1000],
    }
    assert found.loaded.tolist() == [7, 0, 7]
    assert {reason: lines.tolist() for reason, lines in found.rejected.items()} == {
        "blank_line": [2, 0, 0],
        "missing_date": [1, 0, 0],
    }


def test_refused_and_missing_files_are_told_from_each_other_and_from_those_held_back(
    empty_platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    with empty_platform.writing() as connection:
        add_months(connection, [202301, 202302])
        add_refusal(connection, 202302, "cpu", FileFault.EMPTY)  # the rows of an earlier file are kept
        add_refusal(connection, 202303, "disk", FileFault.NOT_CSV)  # the other three are held back
        add_refusal(connection, 202304, "disk", FileFault.MISSING)
        add_file(connection, 202306, "cpu")

    found = handed(empty_platform, monkeypatch)

    assert found.months == [202301, 202302, 202303, 202304, 202305, 202306]
    assert found.refused.tolist() == [False, True, True, False, False, False]
    assert found.missing.tolist() == [False, False, False, True, True, True]


def test_months_of_the_calendar_that_were_never_loaded_are_shown_as_missing(
    empty_platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = empty_platform.generation
    with empty_platform.writing() as connection:
        add_calendar(connection, generation.start_date, generation.end_date)
        add_months(connection, [202302])

    found = handed(empty_platform, monkeypatch)

    assert found.months == MONTHS
    assert found.missing.tolist() == [True, False, True]


def test_a_stray_date_does_not_stretch_the_picture_over_a_century(
    empty_platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    with empty_platform.writing() as connection:
        add_months(connection, [190001, 202301])

    assert handed(empty_platform, monkeypatch).months == [190001, 202301]


def test_before_anything_was_read_the_pictures_say_so(empty_platform: Platform) -> None:
    with empty_platform.writing() as connection:
        add_calendar(connection, empty_platform.generation.start_date, empty_platform.generation.end_date)

    drawn = audit_pictures(empty_platform)

    assert list(drawn) == NAMES
    assert all(NOTHING_YET in texts(picture) for picture in drawn.values())


def test_without_months_at_all_there_is_a_picture_too(empty_platform: Platform) -> None:
    with empty_platform.writing():
        pass

    drawn = audit_pictures(empty_platform)

    assert all({NOTHING_YET, "0 files loaded"} <= set(texts(picture)) for picture in drawn.values())


def test_without_a_warehouse_there_is_an_error_that_says_what_to_do(empty_platform: Platform) -> None:
    with pytest.raises(WarehouseError, match="no warehouse at"):
        audit_pictures(empty_platform)
