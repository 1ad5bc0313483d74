"""Feeds that capsim did not write: read by settings alone, without simulator, into a warehouse of their own."""

import datetime as dt
import gzip
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from capsim_dagster.audits.report import Finding
from capsim_dagster.errors import FeedError, GateError
from capsim_dagster.pipeline import checks, refine
from capsim_dagster.pipeline.checks import TableMonths
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.refine import write_audit_page
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.support.foreign_feed import (
    HOSTS,
    LINES,
    MONTHS,
    SIMULATED,
    expected_rows,
    file_of,
    readings,
    refined,
    with_refinery,
    write_feed,
)
from capsim_dagster_tests.support.sabotage import change_lines, files_under, rows_in, run_sql

pytestmark = pytest.mark.usefixtures("_opened_once")


def spoil(path: Path, old: str, new: str, count: int = 1) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, count), encoding="utf-8")


def verdicts(platform: Platform) -> dict[str, bool]:
    return {name: report.passed for name, report in audited(platform).items()}


def audited(platform: Platform) -> Mapping[str, Finding]:
    """Return the reports over all months, and those that a month alone has, of June."""
    with platform.reading() as connection:
        month = TableMonths(platform, connection, None).audit(202406)
    return {**month, **checks.refinery_audit(platform, [])}


# The tree that config/other_tool.yaml describes.


def test_tree_of_another_tool_loads_row_for_row_by_its_settings_alone_and_no_simulator_is_needed(
    foreign: Platform,
) -> None:
    months = refined(foreign)

    assert rows_in(foreign, "processed_data") == expected_rows()
    assert [(month.month, month.lines, month.rows, month.rejected) for month in months] == [
        (month, LINES[month], LINES[month], 0) for month in MONTHS
    ]
    assert not any(month.is_partial or month.is_unchanged for month in months)
    assert {table: rows_in(foreign, table) for table in SIMULATED} == {table: [] for table in SIMULATED}
    assert sorted(path.name for path in foreign.layout.root.iterdir()) == ["capsim_settings.yaml", "warehouse"]


def test_capacity_is_null_where_the_settings_name_none_though_the_file_has_such_a_column(foreign: Platform) -> None:
    path = file_of(foreign.refined.root, 202406, Resource.DISK)
    change_lines(path, lambda lines: [line.replace(";;FRA", ";77,7;FRA") for line in lines])

    refined(foreign, [202406])

    assert rows_in(foreign, "processed_data") == expected_rows([202406])


def test_second_load_changes_nothing_and_says_so(foreign: Platform) -> None:
    refined(foreign)
    before = rows_in(foreign, "processed_data"), rows_in(foreign, "feed_files")

    assert all(month.is_unchanged for month in refined(foreign))
    assert (rows_in(foreign, "processed_data"), rows_in(foreign, "feed_files")) == before


def test_corrected_file_replaces_its_month_and_resource_alone(foreign: Platform) -> None:
    refined(foreign)
    files = rows_in(foreign, "feed_files")
    corrected = next(reading for reading in readings(202406, Resource.CPU) if reading.hundredths is not None)
    path = file_of(foreign.refined.root, 202406)
    spoil(path, corrected.line, corrected.line.replace(corrected.line.split(";")[2], "12,34"))

    months = refined(foreign)

    old = corrected.row
    changed = [(*row[:3], 12.34, *row[4:]) if row == old else row for row in expected_rows()]
    assert rows_in(foreign, "processed_data") == changed
    assert changed != expected_rows()
    assert [[file.is_unchanged for file in month.files] for month in months] == [[True] * 3, [False, True, True]]
    assert {row[0] for row in set(rows_in(foreign, "feed_files")) ^ set(files)} == {"2024-06/CPU.csv"}


def test_compressed_file_is_read_in_place_of_the_plain_one(foreign: Platform) -> None:
    path = file_of(foreign.refined.root, 202406)
    path.with_name("CPU.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()

    refined(foreign, [202406])

    assert rows_in(foreign, "processed_data") == expected_rows([202406])
    assert "2024-06/CPU.csv.gz" in {row[0] for row in rows_in(foreign, "feed_files")}


# Which months.


def test_months_of_a_feed_go_from_its_first_file_to_its_last(foreign: Platform) -> None:
    write_feed(foreign.refined.root, [202312])

    assert refine.feed_months(foreign) == [202312, 202401, 202402, 202403, 202404, 202405, 202406]


def test_gap_months_are_refused_as_missing_and_the_others_load(foreign: Platform) -> None:
    write_feed(foreign.refined.root, [202402, 202404])

    with pytest.raises(FeedError) as caught:
        refined(foreign)

    assert "2024-03: 3 of its files cannot be loaded" in caught.value.found
    assert "2024-03/CPU.csv: no such file" in caught.value.found
    assert rows_in(foreign, "processed_data") == expected_rows([202402, 202404, 202405, 202406])
    # There is no file to mend, so no refusal is kept; the audit page shows the month as missing by itself.
    assert rows_in(foreign, "refused_files") == []
    assert write_audit_page(foreign).verdict == "1 of 5 months needs attention."


def test_months_rotated_away_stay_good_and_are_refused_only_where_asked_for(foreign: Platform) -> None:
    write_feed(foreign.refined.root, [202402, 202403, *MONTHS])
    write_feed(foreign.refined.root, [202404])
    refined(foreign)
    for month in (202402, 202404):
        shutil.rmtree(file_of(foreign.refined.root, month).parent)

    refined(foreign)

    assert refine.feed_months(foreign) == [202403, *MONTHS]
    assert refine.rotated_months(foreign) == [202402, 202404]
    assert rows_in(foreign, "processed_data") == expected_rows([202402, 202403, 202404, *MONTHS])
    page = write_audit_page(foreign)
    assert not page.has_problems
    assert "6 files no longer in the feed" in page.path.read_text(encoding="utf-8")
    with pytest.raises(FeedError, match="2024-04"):
        refined(foreign, [202404])
    assert rows_in(foreign, "processed_data") == expected_rows([202402, 202403, 202404, *MONTHS])


def test_a_month_of_which_one_file_is_gone_is_not_good_and_one_rotated_away_is(foreign: Platform) -> None:
    refined(foreign)
    lost = file_of(foreign.refined.root, 202405)

    for remove, is_good in ((lost.unlink, False), (partial(shutil.rmtree, lost.parent), True)):
        remove()
        page = write_audit_page(foreign)
        with foreign.reading() as connection:
            report = TableMonths(foreign, connection, None).audit(202405)["reconciliation"]

        assert report.passed is is_good
        assert page.has_problems is not is_good


def test_month_that_was_asked_for_by_mistake_leaves_nothing_behind(foreign: Platform) -> None:
    with pytest.raises(FeedError, match="2031-01"):
        refined(foreign, [203101])
    assert rows_in(foreign, "refused_files") == []


def test_one_stray_date_does_not_make_centuries_of_months_missing(foreign: Platform) -> None:
    write_feed(foreign.refined.root, [192001])

    assert refine.feed_months(foreign) == [192001, *MONTHS]


@pytest.mark.parametrize("folder", ["0000-01", "9999-12"])
def test_month_that_cannot_be_is_not_in_the_layout(foreign: Platform, folder: str) -> None:
    file_of(foreign.refined.root, 202406).parent.rename(foreign.refined.root / folder)

    assert 202406 not in refine.feed_months(foreign)
    assert f"{folder}/CPU.csv" in foreign.refined.strays()


def test_folder_that_is_missing_is_an_error_that_names_it_and_nothing_is_written(foreign: Platform) -> None:
    lost = with_refinery(foreign, feed_dir=Path("/nowhere/exports"))

    for months in (None, MONTHS):
        with pytest.raises(FeedError, match="no folder /nowhere/exports") as caught:
            refined(lost, months)
        assert "--feed" in caught.value.remedy
    assert not lost.layout.root.exists()


def test_own_feed_that_is_not_written_yet_says_how_to_write_it(empty_platform: Platform) -> None:
    with pytest.raises(FeedError, match=r"no folder .*/legacy") as caught:
        refine.feed_months(empty_platform)

    assert "capsim run" in caught.value.remedy
    assert "--feed" in caught.value.remedy


def test_folder_without_a_file_of_the_layout_says_what_is_expected_and_what_is_there(foreign: Platform) -> None:
    empty = foreign.refined.root / "empty"
    empty.mkdir()

    with pytest.raises(FeedError, match=r"none of the 0 files under .* is in the layout, e\.g\. 2024-01/CPU\.csv"):
        refine.feed_months(with_refinery(foreign, feed_dir=empty))
    with pytest.raises(FeedError) as caught:
        refine.feed_months(with_refinery(foreign, feed_dir=foreign.refined.root.parent))

    assert "none of the 6 files" in caught.value.found
    assert "found exports/2024-05/CPU.csv" in caught.value.found
    assert "legacy_feed.layout" in caught.value.remedy


def test_months_that_are_named_are_loaded_alone_and_one_without_a_file_is_refused(foreign: Platform) -> None:
    with pytest.raises(FeedError, match="2024-07: 3 of its files cannot be loaded"):
        refined(foreign, [202406, 202407])

    assert rows_in(foreign, "processed_data") == expected_rows([202406])


def test_resource_that_the_tool_does_not_measure_is_not_missed(foreign: Platform) -> None:
    with pytest.raises(FeedError, match=r"NET\.csv: no such file"):
        refined(with_refinery(foreign, resources=tuple(Resource)), [202406])

    assert refined(foreign, [202406])[0].rows == LINES[202406]


# What a forecaster reads, and what the checks say.


def test_views_for_forecasting_work_on_a_foreign_feed(foreign: Platform) -> None:
    refined(foreign)
    days, series = 61, len(HOSTS) * 3

    rows = expected_rows()
    prophet = [(f"{host}/{resource}", ds, y, 0.0, cap) for ds, host, resource, y, cap, _ in rows]
    assert rows_in(foreign, "prophet_input") == sorted(prophet, key=lambda row: row[:2])
    filled = rows_in(foreign, "forecast_input")
    assert len(filled) == days * series
    assert all(y is not None for _, _, y in filled)
    reported = {(f"{host}/{resource}", ds, y) for ds, host, resource, y, _, _ in rows if y is not None}
    assert reported < set(filled)
    static = rows_in(foreign, "series")
    assert len(static) == series
    assert {row[:4] for row in static if row[1] == "web-017"} == {
        (f"web-017/{resource}", "web-017", resource, None) for resource in ("cpu", "memory", "disk")
    }


def test_checks_of_a_foreign_feed_pass_and_say_what_they_cannot_compare(foreign: Platform) -> None:
    refined(foreign)

    reports = audited(foreign)

    assert all(report.passed for report in reports.values())
    lines = sum(LINES.values())
    assert reports["reconciliation"].counts == {"files": 6, "lines": lines, "loaded": lines, "rejected": 0}
    for name in ("row_parity", "hosts_are_known", "behavioral_diversity"):
        assert "no master" in reports[name].note


def test_reconciliation_fails_where_table_and_accounts_disagree(foreign: Platform) -> None:
    refined(foreign)
    tables = ("processed_data", "feed_files")
    for table in tables:
        run_sql(foreign, f"CREATE TABLE good_{table} AS FROM {table}")

    for damage, said in (
        ("UPDATE processed_data SET y = 1.5 WHERE ds = TIMESTAMP '2024-06-10' AND host_id = 'db-003'", "other values"),
        ("DELETE FROM processed_data WHERE ds = TIMESTAMP '2024-06-10' AND host_id = 'db-003'", "holds 89 of its 90"),
        ("DELETE FROM feed_files WHERE resource = 'cpu'", "90 rows come from no file"),
        ("UPDATE feed_files SET lines = lines + 1", "lines, but"),
        ("INSERT INTO processed_data VALUES ('2024-07-01', 'new', 'cpu', 1.0, 100.0, 1.0)", "1 rows come from no file"),
    ):
        run_sql(foreign, damage)
        report = audited(foreign)["reconciliation"]
        assert not report.passed, damage
        assert any(said in problem for problem in report.examples), damage
        for table in tables:
            run_sql(foreign, f"DELETE FROM {table}")
            run_sql(foreign, f"INSERT INTO {table} FROM good_{table}")

    assert audited(foreign)["reconciliation"].passed


def test_reconciliation_fails_where_the_file_is_not_what_was_loaded(foreign: Platform) -> None:
    refined(foreign)
    path = file_of(foreign.refined.root, 202406)

    for damage, said in (
        (partial(spoil, path, ";FRA", ";LON"), "has changed since it was loaded"),
        (path.unlink, "no longer"),
    ):
        damage()
        report = audited(foreign)["reconciliation"]
        assert [problem for problem in report.examples if said in problem] == list(report.examples)
        assert len(report.examples) == 1
        assert "2024-06/CPU.csv" in report.examples[0]


def test_rejected_lines_reconcile_and_lost_ones_do_not(foreign: Platform) -> None:
    spoil(file_of(foreign.refined.root, 202406), ";FRA", "")
    loose = with_refinery(foreign, max_rejected_share=0.5)
    refined(loose, [202406])
    assert all(verdicts(loose).values())

    run_sql(loose, "DELETE FROM rejected_lines")

    assert {name for name, passed in verdicts(loose).items() if not passed} == {"reconciliation"}


def test_error_of_a_bad_month_names_file_reason_and_remedy_and_the_feed_is_never_written(foreign: Platform) -> None:
    spoil(file_of(foreign.refined.root, 202406), ";30.06.2024;", ";31.06.2024;", 3)
    before = files_under(foreign.refined.root)

    with pytest.raises(GateError) as caught:
        refined(foreign)

    assert "2024-06/CPU.csv: 3 of 90 lines are rejected (unparsable_date 3)" in caught.value.found
    assert "--allow-partial" in caught.value.remedy
    assert rows_in(foreign, "processed_data") == expected_rows([202405])
    assert dt.datetime(2024, 6, 1) not in {row[0] for row in rows_in(foreign, "processed_data")}  # noqa: DTZ001
    assert files_under(foreign.refined.root) == before
