"""A day's hours agree with its daily dataset; what differs or is missing is named."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capsim_dagster.audits.report import Finding, Severity
from capsim_dagster.publication.tier2 import agree
from capsim_dagster.publication.tier2.agree import agreement
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.verify import hour_folders
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster_tests.support.publication import days
from capsim_dagster_tests.support.publication.days import change_hour, hour_file, hour_lines, packed, text_of
from capsim_dagster_tests.support.publication.sealing import seal, seal_data
from capsim_dagster_tests.support.publication.tier2.hours import export
from capsim_dagster_tests.unit.publication.tier2.test_verify import change_rows

VALUES = "hours_are_what_the_samples_of_the_day_come_to"


def judged(daily: Path, hours: Path) -> dict[str, Finding]:
    return {each.claim: each for each in agreement(daily, hour_folders(hours))}


def against(found: dict[str, Finding]) -> set[str]:
    return {name for name, each in found.items() if not each.passed}


def test_the_hours_of_a_day_agree_with_the_daily_dataset(published: Path, hours: Path) -> None:
    found = judged(published, hours)

    assert len(hour_folders(hours)) == 24
    assert (against(found), len(found)) == (set(), 5)


def test_hours_that_are_compared_one_by_one_show_the_same(
    published: Path, hours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("00", "07", "23"):
        change_rows(hours / name, lambda rows: rows[9].update(max=rows[9]["max"] - 1))
    at_once = judged(published, hours)
    monkeypatch.setattr(agree, "LINES_AT_ONCE", 1)

    assert at_once[VALUES].count == 3
    assert judged(published, hours) == at_once


def test_an_hour_that_is_missing_is_named(published: Path, hours: Path) -> None:
    for name in ("07", "19"):
        shutil.rmtree(hours / name)
    found = judged(published, hours)

    assert against(found) == {"each_hour_of_the_day_is_published"}
    assert found["each_hour_of_the_day_is_published"].examples == ("hour 07 is missing", "hour 19 is missing")
    assert found["each_hour_of_the_day_is_published"].fails(strict=False)


def test_an_hour_of_other_content_is_named_with_host_resource_and_both_values(
    root: Path, published: Path, hours: Path
) -> None:
    change_hour(root, 7, lambda lines: [{**lines[0], "cpu": 1.0}, *lines[1:]])
    export(root, 7)
    found = judged(published, hours)
    others = [each["cpu"] for each in hour_lines(7) if each["host_id"] == "srv-000001"]

    assert against(found) == {VALUES, "sources_are_those_of_the_day"}
    assert found[VALUES].count == 1
    assert found[VALUES].examples[0].startswith("hour 07 srv-000001 cpu: mean ")
    assert f"by the day {min(others)}" in found[VALUES].examples[0]


def lowered(name: str) -> Callable[[list[dict[str, Any]]], object]:
    """Return an edit by which a row has a little less of something."""
    step = 1 if name == "samples" else 1e-6
    return lambda rows: rows[9].update({name: rows[9][name] - step})


def test_a_value_that_was_changed_and_sealed_again_is_named(published: Path, hours: Path) -> None:
    names = ("mean", "p50", "p95", "max", "samples")
    for hour, name in zip(("07", "08", "09", "10", "11"), names, strict=True):
        change_rows(hours / hour, lowered(name))
    found = judged(published, hours)

    assert against(found) == {VALUES}
    assert found[VALUES].count == 5
    for hour, name, example in zip(("07", "08", "09", "10", "11"), names, found[VALUES].examples, strict=True):
        assert example.startswith(f"hour {hour} srv-000003 disk: {name} ")


def test_a_row_that_is_missing_and_one_that_no_sample_bears_out_are_named(published: Path, hours: Path) -> None:
    change_rows(hours / "07", lambda rows: rows[9].update(host_id="srv-000099"))
    found = judged(published, hours)

    assert found[VALUES].examples == (
        "hour 07 srv-000003 disk is missing",
        "hour 07 srv-000099 disk is not in the daily dataset",
    )


def test_a_daily_dataset_whose_values_were_changed_and_sealed_again_is_noticed(published: Path, hours: Path) -> None:
    table = pq.read_table(published / "data.parquet")
    rows = table.to_pylist()
    rows[100]["cpu"] += 0.01
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), published / "data.parquet")
    seal_data(published, DayManifest)

    assert against(judged(published, hours)) == {VALUES}


def test_an_hour_packed_anew_agrees_and_its_other_source_is_a_warning(root: Path, published: Path, hours: Path) -> None:
    hour_file(root, 7).write_bytes(packed(text_of(hour_lines(7)), members=5))
    export(root, 7)
    found = judged(published, hours)

    assert against(found) == {"sources_are_those_of_the_day"}
    assert found["sources_are_those_of_the_day"].severity is Severity.WARNING
    assert found["sources_are_those_of_the_day"].message == "hour 07 is made of another file than the day"


def test_an_hour_that_the_day_was_published_without_is_named(root: Path, hours: Path) -> None:
    hour_file(root, 7).unlink()
    shutil.rmtree(root / "output")
    daily = days.export(root, allow_incomplete=True).folder
    found = judged(daily, hours)

    assert found["each_hour_of_the_day_is_published"].message == "hour 07 is not in the daily dataset"


def test_folders_that_hold_no_whole_dataset_are_named_and_not_compared(published: Path, hours: Path) -> None:
    (hours / "07" / "data.parquet").write_bytes(b"")
    found = judged(published, hours)
    assert against(found) == {"datasets_are_whole", "each_hour_of_the_day_is_published"}
    assert found["datasets_are_whole"].examples == (str(hours / "07"),)

    (published / "manifest.json").unlink()
    without = judged(published, hours)
    assert against(without) == {"datasets_are_whole", VALUES}
    assert without[VALUES].severity is Severity.INFO


def test_hours_of_another_day_and_hours_that_are_given_twice_are_named(published: Path, hours: Path) -> None:
    twice = {each.claim: each for each in agreement(published, [*hour_folders(hours), hours / "07"])}
    assert against(twice) == {"each_hour_of_the_day_is_published"}
    assert twice["each_hour_of_the_day_is_published"].message == "hour 07 is given twice"

    seal(hours / "07", HourManifest, lambda said: said.update(day="2026-01-14"))
    found = judged(published, hours)
    assert against(found) == {"hours_are_of_the_day", "each_hour_of_the_day_is_published"}


def test_data_of_a_day_that_have_no_such_columns_are_an_error_and_no_crash(published: Path, hours: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), published / "data.parquet")
    seal_data(published, DayManifest)
    found = judged(published, hours)

    assert found[VALUES].fails(strict=False)
    assert "cannot be compared" in found[VALUES].message


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(published: Path, hours: Path) -> None:
    odd = hours.parent / "[a-z]*"
    shutil.copytree(hours, odd)

    assert against(judged(published, odd)) == set()
