import codecs
import gzip
from pathlib import Path

import polars as pl
import pytest

from capsim_dagster.refinery.read import MAX_RAW, has_usable_header, read_feed_file, shown
from capsim_dagster.refinery.rules import FileRefused, HostTable
from capsim_dagster.refinery.source import FeedSource
from capsim_dagster.schemas import FileFault
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.refinery.readings import (
    HEADER,
    JANUARY,
    feed_settings,
    read_rules,
    read_text,
    with_header,
    written,
)

A, B = "2024-01-01,a,20.5,64", "2024-01-02,b,30.5,32"
ROW_A, ROW_B = (1, "a", 20.5, 64.0), (2, "b", 30.5, 32.0)
BLOCK_BYTES = "capsim_dagster.refinery.source.BLOCK_BYTES"


def refused(folder: Path, content: bytes | str) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        read_text(folder, content)
    return caught.value


# Lines, their numbers and what is counted.


def test_each_line_is_a_row_or_rejected_with_its_number_reason_column_and_text(tmp_path: Path) -> None:
    found = read_text(tmp_path, with_header(A, "2024-01-02,b,x,32", "", B, "x"))
    assert found.lines == 5
    assert found.rows == {2: ROW_A, 5: ROW_B}
    assert found.faults == {3: ("unparsable_value", "cpu_p95"), 4: ("blank_line", None), 6: ("field_count", None)}
    assert found.raw == {3: "2024-01-02,b,x,32", 4: "", 6: "x"}


def test_frames_have_the_same_columns_with_and_without_rejected_lines(tmp_path: Path) -> None:
    schemas = set()
    for content in [with_header(A), with_header(A, "x"), with_header("x"), with_header(f" {A}"), with_header(A, A)]:
        read = read_feed_file(FeedSource(written(tmp_path, content)), JANUARY, HostTable(read_rules()))
        schemas.add((str(read.rows.schema), str(read.rejected.schema)))
    assert schemas == {
        (
            str(
                pl.Schema(
                    {"line": pl.Int64, "day": pl.Int8, "host": pl.Int32, "util": pl.Float64, "capacity": pl.Float64}
                )
            ),
            str(pl.Schema({"line": pl.Int64, "reason": pl.String, "column_name": pl.String, "raw": pl.String})),
        )
    }


def test_lines_that_are_judged_alone_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = read_text(tmp_path, with_header(A, f" {B}", "2024-01-03,a,1,2", "x", ' "2024-01-04",a,1,2', "y"))
    assert list(found.rows) == [2, 3, 4, 6]
    assert list(found.faults) == [5, 7]


def test_blank_lines_before_the_header_are_no_data_but_count_as_lines(tmp_path: Path) -> None:
    found = read_text(tmp_path, "\n  \n\t\n" + with_header(A, "x"))
    assert (found.lines, found.rows, found.reasons) == (2, {5: ROW_A}, {6: "field_count"})


@each_case("blank", ["\n", "\n\n\n", "  \n\t\n", "\r\n\r\n", "\n  ", "\x0c\n"])
def test_blank_lines_at_the_end_are_no_data(tmp_path: Path, blank: str) -> None:
    found = read_text(tmp_path, with_header(A, B) + blank)
    assert (found.lines, found.rows, found.faults) == (2, {2: ROW_A, 3: ROW_B}, {})
    assert found.traits - {"crlf"} == {"trailing_blank_lines"}


def test_blank_lines_within_are_rejected_even_if_a_bad_line_is_all_that_follows(tmp_path: Path) -> None:
    found = read_text(tmp_path, with_header(A, "", "  ", "x", "", ""))
    assert (found.lines, found.reasons) == (4, {3: "blank_line", 4: "blank_line", 5: "field_count"})
    assert found.traits == {"trailing_blank_lines"}


def test_blank_lines_at_the_end_may_fill_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BLOCK_BYTES, 64)
    found = read_text(tmp_path, "\n" * 100 + with_header(A, "", B) + "\n" * 500)
    assert (found.lines, found.rows, found.reasons) == (3, {102: ROW_A, 104: ROW_B}, {103: "blank_line"})


@each_case("last", [B, "2024-01-02,b,30.5,3", "2024", '"', "\0\0\0", "\x1a"])
def test_last_line_without_an_end_may_be_cut_off_and_is_rejected(tmp_path: Path, last: str) -> None:
    found = read_text(tmp_path, with_header(A) + last)
    assert (found.lines, found.rows, found.faults) == (2, {2: ROW_A}, {3: ("truncated_line", None)})
    assert found.raw == {3: last}
    assert "no_final_newline" not in found.traits


@each_case(
    ("last", "reason"),
    [(B, None), (f"{B}\r", None), ("2024-01-02,b,30.5", "field_count"), ("\0\0", "invalid_encoding")],
)
def test_last_line_without_an_end_is_judged_where_the_settings_accept_it(
    tmp_path: Path, last: str, reason: str | None
) -> None:
    found = read_text(tmp_path, with_header(A) + last, read_rules(unterminated_last_line="accept"))
    assert found.rows == {2: ROW_A} | ({} if reason else {3: ROW_B})
    assert found.reasons == ({3: reason} if reason else {})
    assert "no_final_newline" in found.traits


def test_blank_last_line_without_an_end_is_a_trailing_one(tmp_path: Path) -> None:
    for policy in ("reject", "accept"):
        found = read_text(tmp_path, with_header(A) + "  ", read_rules(unterminated_last_line=policy))
        assert (found.lines, found.rows, found.traits) == (1, {2: ROW_A}, {"trailing_blank_lines"})


# What the file as a whole is refused for.


@each_case("content", ["\n\n \n", "\ufeff", "\ufeff\n", "\r\r", "\t"])
def test_file_of_blank_lines_is_empty(tmp_path: Path, content: str) -> None:
    assert refused(tmp_path, content).fault == FileFault.EMPTY


@each_case("content", [HEADER, f"{HEADER}\n", f"{HEADER}\r", f"{HEADER}\n\n\n", f"\n{HEADER}\r\n  "])
def test_header_alone_is_an_empty_file(tmp_path: Path, content: str) -> None:
    refusal = refused(tmp_path, content)
    assert refusal.fault == FileFault.EMPTY
    assert "a header and no data line" in refusal.found


def test_file_whose_lines_are_mostly_of_another_month_is_refused_and_the_month_is_named(tmp_path: Path) -> None:
    other = ["2024-02-01,a,1,2", "2024-02-02,a,1,2", "2023-01-02,a,1,2"]
    refusal = refused(tmp_path, with_header(A, *other, B))
    assert refusal.fault == FileFault.ANOTHER_MONTH
    assert "2 of 5 lines are of 2024-02 under the name of 2024-01" in refusal.found


def test_file_half_of_another_month_loses_those_lines_alone(tmp_path: Path) -> None:
    found = read_text(tmp_path, with_header(A, "2024-02-01,a,1,2", "2023-12-31,a,1,2", B))
    assert found.rows == {2: ROW_A, 5: ROW_B}
    assert found.faults == dict.fromkeys([3, 4], ("outside_month", "date"))


def test_another_month_is_told_even_where_the_day_stands_beyond_what_is_kept_of_a_line(tmp_path: Path) -> None:
    header = "note,host_id,cpu_p95,max_cores,date"
    refusal = refused(tmp_path, with_header(f"{'x' * 5000},a,1,2,2024-02-01", header=header))
    assert refusal.fault == FileFault.ANOTHER_MONTH
    assert "1 of 1 lines" in refusal.found


def test_february_in_the_american_way_under_the_name_of_january_is_another_month(tmp_path: Path) -> None:
    feed = feed_settings(date_formats=["%d/%m/%Y", "%m/%d/%Y"])
    lines = [f"02/{day:02d}/2024,a,1,2" for day in range(1, 30)]
    with pytest.raises(FileRefused) as caught:
        read_text(tmp_path, with_header(*lines), read_rules(feed=feed))
    assert caught.value.fault == FileFault.ANOTHER_MONTH


def test_gzip_that_breaks_off_late_is_refused_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BLOCK_BYTES, 100)
    packed = gzip.compress(with_header(*[A] * 500).encode())
    assert refused(tmp_path, packed[:-4]).fault == FileFault.UNREADABLE_GZIP


# How the file is written.


def test_traits_of_packing_header_and_lines_come_together(tmp_path: Path) -> None:
    lines = ['01/05/2024;"a";"20,5";64;x', "01/06/2024;a;NULL;64;x", ""]
    text = with_header(*lines, header="DATE;Host;cpu_p95;max_cores;note").replace("\n", "\r\n")
    found = read_text(tmp_path, gzip.compress(codecs.BOM_UTF8 + text.encode()))
    assert found.rows == {2: (5, "a", 20.5, 64.0), 3: (6, "a", None, 64.0)}
    assert found.traits == {
        "gzip", "bom", "crlf", "semicolon", "decimal_comma", "quoted", "header_case", "header_alias", "extra_columns",
        "date_format", "trailing_blank_lines",
    }  # fmt: skip
    assert (found.dialect.decimal, found.dialect.date_format, found.dialect.encoding) == (",", "%m/%d/%Y", "utf-8")


def test_plain_feed_has_no_trait(tmp_path: Path) -> None:
    assert read_text(tmp_path, with_header(A, B, "x")).traits == set()


@each_case(
    ("line", "is_quoted"),
    [
        ('"2024-01-05","a","1","2"', True),
        ('2024-01-05, "a" ,1,2', True),
        ('2024-01-05,"a, b",1,2', True),
        ('2024-01-05,"a,1,2', False),
        (A.replace("a", "c"), False),
    ],
)
def test_quotes_are_a_trait_where_they_mean_something(tmp_path: Path, line: str, is_quoted: bool) -> None:
    assert read_text(tmp_path, with_header(A, line)).traits == ({"quoted"} if is_quoted else set())


def test_dialect_is_found_out_from_lines_all_over_the_file(tmp_path: Path) -> None:
    first = ["x;y", '"', "NULL;NULL;NULL;NULL"] * 60
    lines = [f"01/{day:02d}/2024;srv-{host};{day},5;64" for host in range(30) for day in range(1, 32)]
    found = read_text(tmp_path, with_header(*first, *lines, header=HEADER.replace(",", ";")))
    assert (found.dialect.decimal, found.dialect.date_format) == (",", "%m/%d/%Y")
    assert len(found.rows) == len(lines)


def test_quoted_tab_file_with_decimal_comma_is_understood(tmp_path: Path) -> None:
    lines = ['"2024-01-01"\t"a"\t"20,5"\t"64"', '"2024-01-02"\t"b"\t""\t"32,0"']
    found = read_text(tmp_path, with_header(*lines, header=HEADER.replace(",", "\t")))
    assert found.rows == {2: ROW_A, 3: (2, "b", None, 32.0)}


def test_bytes_that_are_no_text_cost_their_line_alone(tmp_path: Path) -> None:
    found = read_text(tmp_path, with_header(A).encode() + b"2024-01-02,\xffb,1,2\n" + f"{B}\n".encode())
    assert (found.rows, found.reasons) == ({2: ROW_A, 4: ROW_B}, {3: "invalid_encoding"})
    assert found.raw == {3: r"2024-01-02,\xffb,1,2"}


# Duplicates.


@each_case(
    ("policy", "kept", "faults"),
    [
        ("reject", [2], {3: "conflicting_duplicate", 5: "conflicting_duplicate", 6: "exact_duplicate"}),
        ("first", [2, 3], {5: "conflicting_duplicate", 6: "exact_duplicate"}),
        ("last", [2, 5], {3: "conflicting_duplicate", 6: "exact_duplicate"}),
    ],
)
def test_duplicates_are_rejected_by_the_policy(
    tmp_path: Path, policy: str, kept: list[int], faults: dict[int, str]
) -> None:
    lines = [A, B, "x", B.replace("30.5", "31"), f' "{A[:10]}",a,20.50,64.0']
    found = read_text(tmp_path, with_header(*lines), read_rules(conflicting_duplicates=policy))
    assert list(found.rows) == kept
    assert found.reasons == {4: "field_count"} | faults
    assert [found.raw[line] for line in faults] == [lines[line - 2] for line in faults]


def test_text_of_duplicates_is_found_again_in_any_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BLOCK_BYTES, 70)
    lines = [f"2024-01-{day:02d},a,{day},64" for day in range(1, 32)]
    packed = gzip.compress(with_header(*lines, *lines).encode("utf-16"))
    found = read_text(tmp_path, packed)
    assert found.reasons == dict.fromkeys(range(33, 64), "exact_duplicate")
    assert list(found.raw.values()) == lines


# Single functions.


@each_case(("content", "is_usable"), [(HEADER, True), ("date,host_id", False), ("", False), ("\0", False)])
def test_header_is_usable_or_not_whatever_follows(tmp_path: Path, content: str, is_usable: bool) -> None:
    source = FeedSource(written(tmp_path, f"{content}\n"))
    assert has_usable_header(source, JANUARY, read_rules()) is is_usable


@each_case(
    ("raw", "text"),
    [
        (b"a\xff\0", "a\\xff\0"),
        ("é🖥".encode(), "é🖥"),
        (b"x" * MAX_RAW, "x" * MAX_RAW),
        (b"x" * 10**6, "x" * MAX_RAW + "…"),
        ("🖥".encode() * 10**5, "🖥" * MAX_RAW + "…"),
        (b"a" + "🖥".encode() * 10**5, "a" + "🖥" * (MAX_RAW - 1) + "…"),
    ],
)
def test_rejected_line_is_shown_as_text_and_not_without_end(raw: bytes, text: str) -> None:
    assert shown(raw) == text
