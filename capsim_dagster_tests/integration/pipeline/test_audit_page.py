import datetime as dt

import duckdb
import pytest

from capsim_dagster.errors import WarehouseError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.refine import write_audit_page
from capsim_dagster.refinery.page import words as audit_terms
from capsim_dagster.refinery.page.view import MAX_CONCERNS, MAX_WORST_FILES
from capsim_dagster.schemas import FileFault, LineFault
from capsim_dagster.storage.warehouse import append_rows
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.support.audits.refinery_rows import (
    add_calendar,
    add_file,
    add_months,
    add_refusal,
    add_rejected,
    add_rows,
    set_origin,
)
from capsim_dagster_tests.support.pipeline.audit_pages import MONTHS, Fill, cell, face, page_of, whole
from capsim_dagster_tests.support.pipeline.html_page import by_id, rows_of, text_of, with_class

pytestmark = pytest.mark.usefixtures("_opened_once")


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def test_page_needs_a_warehouse(empty_platform: Platform) -> None:
    with pytest.raises(WarehouseError, match="no warehouse at"):
        write_audit_page(empty_platform)
    assert not empty_platform.layout.audit.exists()


def test_empty_warehouse_says_so_and_what_to_run(empty_platform: Platform) -> None:
    written, page = page_of(empty_platform)

    assert written.path == empty_platform.layout.audit
    assert written.verdict == "Nothing is loaded: no feed file has been read into processed_data."
    assert written.has_problems
    assert "capsim run" in text_of(by_id(page, "verdict"))
    assert "capsim refine --feed DIR" in text_of(by_id(page, "verdict"))
    assert list(page.iter("table")) == []


def test_calendar_without_files_is_still_empty(empty_platform: Platform) -> None:
    written, _ = page_of(empty_platform, lambda c: add_calendar(c, dt.date(2023, 1, 1), dt.date(2025, 12, 31)))
    assert written.verdict.startswith("Nothing is loaded")


def test_clean_feed_is_accounted_for(empty_platform: Platform) -> None:
    written, page = page_of(empty_platform, whole, lambda c: set_origin(c, "/srv/exports"))

    assert (written.verdict, written.has_problems) == ("120 of 120 lines are in the table.", False)
    assert written.counts == {
        "files": 12,
        "bytes": 12_000,
        "lines": 120,
        "loaded": 120,
        "rejected": 0,
        "rows": 120,
        "refused_files": 0,
        "absent_files": 0,
        "disagreements": 0,
        "changed_files": 0,
    }
    assert "✓ Accounted for" in text_of(by_id(page, "verdict"))
    assert text_of(with_class(page, "facts")[0]).startswith(
        "Feed /srv/exports Months 2023-01 to 2023-03 (3) Read 2026-04-05 06:07 UTC Warehouse "
    )
    assert text_of(by_id(page, "totals")) == (
        "Lines read 120 12 files, 12.0 kB Loaded 120 100 % of lines Rejected 0 0 % of lines "
        "Refused files 0 no month lacks rows Rows in processed_data 120 = lines loaded"
    )
    assert "✓ No line was rejected." in text_of(by_id(page, "reasons"))
    assert "✓ No file was refused." in text_of(by_id(page, "refused"))
    assert not [element for element in page.iter() if element.get("id") == "attention"]


def test_map_has_a_row_a_year_and_resource_and_a_cell_a_month(empty_platform: Platform) -> None:
    _, page = page_of(empty_platform, whole, lambda c: add_file(c, 202212, "cpu"))

    rows = rows_of(by_id(page, "map"))

    assert rows[0][:3] == ["Year", "Resource", "Jan"]
    assert [row[:2] if len(row) == 14 else row[:1] for row in rows[1:]] == [
        ["2023", "cpu"], ["memory"], ["disk"], ["network"], ["2022", "cpu"], ["memory"], ["disk"], ["network"],
    ]  # fmt: skip
    assert len(with_class(page, "piece")) == 16
    assert rows[1][5:] == ["not expected"] * 9
    assert rows[6][-1].startswith("missing")


def test_cell_tells_lines_loaded_rejected_dialect_and_time(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        add_file(connection, 202301, "cpu", loaded=1_990, rejected=10, traits=["gzip", "header_case"])
        add_rejected(connection, 202301, "cpu", LineFault.FIELD_COUNT, count=10)

    _, page = page_of(empty_platform, fill)
    found = cell(page, 202301, "cpu")

    assert found.get("class") == "piece partly q2"
    assert face(found) == "1,990 −10 · 0.50 %"  # noqa: RUF001 a minus sign
    assert text_of(with_class(found, "pop")[0]) == (
        "2023-01 · cpu loaded, without the lines that were rejected Lines 2,000 Loaded 1,990 Rejected 10 (0.50 %) "
        "Dialect gzip, header case (encoding 'utf-8', delimiter ',') Loaded at 2026-01-02 03:04 UTC In table 1,990 rows"
    )
    assert "2023/01/cpu_202301.csv" in text_of(by_id(page, "f-202301-cpu"))


def test_shades_follow_the_share_of_rejected_lines(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        for resource, rejected in (("cpu", 1), ("memory", 10), ("disk", 50), ("network", 51)):
            add_file(connection, 202301, resource, loaded=1_000 - rejected, rejected=rejected)
            add_rejected(connection, 202301, resource, LineFault.FIELD_COUNT, count=rejected)

    _, page = page_of(empty_platform, fill)
    assert [td.get("class") for td in with_class(page, "piece")] == [f"piece partly q{shade}" for shade in (1, 2, 3, 4)]


def test_refused_missing_and_held_back_cells_are_told_in_words(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        add_months(connection, [202301])
        add_refusal(connection, 202301, "disk", FileFault.NOT_CSV, detail="starts with PK")
        add_refusal(connection, 202302, "cpu")
        add_calendar(connection, dt.date(2023, 1, 1), dt.date(2023, 3, 31))

    written, page = page_of(empty_platform, fill)

    assert written.verdict == "3 of 3 months need attention."
    assert written.has_problems
    assert written.counts["refused_files"] == 2
    assert written.counts["absent_files"] == 8
    assert face(cell(page, 202301, "disk")) == "refused keeps 10"
    assert face(cell(page, 202302, "cpu")) == "refused no rows"
    assert face(cell(page, 202302, "memory")) == "held back no rows"
    assert face(cell(page, 202303, "network")) == "missing no file"
    assert ["2023-01", "disk", "not csv; earlier rows are kept for disk"] in [
        row[:3] for row in rows_of(by_id(page, "attention"))
    ]
    assert ["2023-03", "cpu, memory, disk, network", "no file of it was ever read"] in [
        row[:3] for row in rows_of(by_id(page, "attention"))
    ]
    assert "empty; there are no rows; memory, disk, network held back with it" in text_of(by_id(page, "attention"))
    kept = rows_of(by_id(page, "refused"))[1]
    assert kept[2:5] == ["2023/01/disk_202301.csv", "not_csv The content is binary, not lines of text.", kept[4]]
    assert kept[4] == "starts with PK"
    assert kept[5] == audit_terms.file_remedy(FileFault.NOT_CSV)
    assert kept[6:] == ["10 earlier rows", "2026-02-03 04:05 UTC"]


def test_rejected_lines_alone_are_no_problem(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        add_file(connection, 202301, "cpu", loaded=990)
        add_file(connection, 202301, "disk", loaded=999, rejected=1)
        add_rejected(connection, 202301, "disk", LineFault.FIELD_COUNT)
        add_file(connection, 202301, "memory", loaded=5)
        add_file(connection, 202301, "network", loaded=5)

    written, _ = page_of(empty_platform, fill)

    assert written.verdict == "1,999 of 2,000 lines are in the table; 1 (0.05\xa0%) are set aside with a reason."
    assert not written.has_problems


def test_month_beyond_the_limit_needs_attention(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        add_months(connection, [202302])
        for resource in ("cpu", "memory", "disk", "network"):
            add_file(connection, 202301, resource, loaded=98, rejected=2)
            add_rejected(connection, 202301, resource, LineFault.FIELD_COUNT, count=2)

    written, page = page_of(empty_platform, fill)

    assert written.verdict == "1 of 2 months needs attention."
    assert written.has_problems
    assert "2.00 % of its lines were rejected; the limit that is set is 1 %" in text_of(by_id(page, "attention"))


@pytest.mark.parametrize(
    ("contradict", "what", "mark"),
    [
        (
            lambda c: add_rows(c, 202302, "disk", 3),
            "✗ 10 lines are said to be loaded, but the table holds 13 rows",
            7,
        ),
        (
            lambda c: c.execute("UPDATE feed_files SET lines = 99 WHERE yearmonth = 202302 AND resource = 'disk'"),
            "✗ its file has 99 lines, but 10 are loaded or rejected",
            5,
        ),
        (
            lambda c: add_rejected(c, 202302, "disk", LineFault.FIELD_COUNT),
            "✗ 0 lines are said to be rejected, but rejected_lines holds 1",
            9,
        ),
    ],
)
def test_each_disagreement_is_loud(empty_platform: Platform, contradict: Fill, what: str, mark: int) -> None:
    written, page = page_of(empty_platform, whole, contradict)

    assert written.verdict == (
        "The account does not balance in 1 place: 2023-02 disk. Do not use the table before this is settled."
    )
    assert written.has_problems
    assert written.counts["disagreements"] == 1
    assert "✗ Does not balance" in text_of(by_id(page, "verdict"))
    assert rows_of(by_id(page, "attention"))[2][:3] == ["2023-02", "disk", what]
    balance = {row[0]: row for row in rows_of(by_id(page, "balance"))}
    assert (balance["disk"][mark], balance["all"][mark]) == ("✗ 1 month differs", "✗ 1 month differs")
    assert balance["cpu"][mark] == "✓ equal"
    assert "broken" in cell(page, 202302, "disk").get("class", "")
    assert face(cell(page, 202302, "disk")).endswith("≠ off balance")


def test_balance_sums_each_resource(empty_platform: Platform) -> None:
    _, page = page_of(empty_platform, whole)
    equal = "✓ equal"
    assert rows_of(by_id(page, "balance"))[1:] == [
        *(
            [name, "3", "30", "30", "0", equal, "30", equal, "0", equal, "✓ as loaded"]
            for name in ("cpu", "memory", "disk", "network")
        ),
        ["all", "12", "120", "120", "0", equal, "120", equal, "0", equal, "✓ as loaded"],
    ]


def test_reasons_tell_meaning_remedy_and_examples(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        add_file(connection, 202301, "cpu", loaded=96, rejected=4)
        add_rejected(connection, 202301, "cpu", LineFault.UNKNOWN_HOST, count=3, first_line=7, column="host")
        add_rejected(connection, 202301, "cpu", LineFault.BLANK_LINE, raw="", column=None)

    _, page = page_of(empty_platform, fill)
    term = audit_terms.LINE_FAULTS[LineFault.UNKNOWN_HOST]
    rows = rows_of(by_id(page, "reasons"))

    assert rows[1] == [f"unknown_host {term.meaning}", "3", "75.00 %", "1", term.remedy]
    assert rows[4] == ["2023/01/cpu_202301.csv", "7", "host", "2023-01-01,srv-000001,?,64"]
    assert rows[-1] == ["2023/01/cpu_202301.csv", "2", "whole line", "empty"]


def test_concerns_of_one_kind_are_listed_up_to_a_limit(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        months = [year * 100 + month for year in range(2020, 2024) for month in range(1, 13)]
        add_months(connection, months, loaded=1)
        connection.execute("UPDATE feed_files SET lines = 2")

    _, page = page_of(empty_platform, fill)

    assert len([row for row in with_class(by_id(page, "attention"), "broken") if row.tag == "tr"]) == MAX_CONCERNS
    assert f"and {48 * 4 - MAX_CONCERNS} more" in text_of(by_id(page, "attention"))


def test_worst_files_come_first_and_lead_to_their_row(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        for month in range(202301, 202313):
            add_file(connection, month, "cpu", loaded=100 - month % 100, rejected=month % 100)

    _, page = page_of(empty_platform, fill)
    worst = by_id(page, "worst")

    assert len(rows_of(worst)) == 1 + MAX_WORST_FILES
    assert rows_of(worst)[1] == ["2023/12/cpu_202312.csv", "2023-12", "cpu", "100", "12", "12.00 %"]
    assert [link.get("href") for link in worst.iter("a")][:2] == ["#f-202312-cpu", "#f-202311-cpu"]


def test_dialects_are_counted_with_files(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        add_file(connection, 202301, "cpu", traits=["bom", "gzip"])
        add_file(connection, 202302, "cpu", traits=["gzip"])
        add_file(connection, 202303, "cpu")

    _, page = page_of(empty_platform, fill)

    assert "1 of 3 files are plain." in text_of(by_id(page, "dialects"))
    assert [row[:3] for row in rows_of(by_id(page, "dialects"))[1:]] == [
        ["gzip", "is compressed with gzip", "2"],
        ["bom", "starts with a byte order mark", "1"],
    ]


def test_varieties_tell_what_the_table_retains(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        append_rows(connection, "hosts", inventory(empty_platform.generation).drop("app_code"))
        add_months(connection, MONTHS, loaded=8)
        add_file(connection, 202304, "cpu", loaded=9)

    written, page = page_of(empty_platform, fill)
    rows = rows_of(by_id(page, "varieties"))

    assert rows[1][0] == "STEADY_GROWTH/NORMAL"
    assert rows[9][2:] == ["1", "1 of 4", "✗ 3 series lost"]
    assert rows[10][2:] == ["0", "0 of 4", "✗ 4 series lost"]
    assert "behavioural varieties have rows of every series" in text_of(by_id(page, "verdict"))
    assert written.has_problems


def test_varieties_are_left_out_without_an_inventory(empty_platform: Platform) -> None:
    _, page = page_of(empty_platform, whole)
    assert "Left out: the warehouse holds no simulated inventory" in text_of(by_id(page, "varieties"))
