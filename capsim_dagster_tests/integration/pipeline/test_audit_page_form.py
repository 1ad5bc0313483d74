import re
from pathlib import Path

import duckdb
import pytest

from capsim_dagster.errors import SettingsError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.refine import write_audit_page
from capsim_dagster.refinery.page import words as audit_terms
from capsim_dagster.schemas import DialectTrait, FileFault, LineFault
from capsim_dagster_tests.support.audits.refinery_rows import (
    add_file,
    add_months,
    add_refusal,
    add_rejected,
    set_origin,
)
from capsim_dagster_tests.support.pipeline.audit_pages import MONTHS, page_of, whole
from capsim_dagster_tests.support.pipeline.html_page import by_id, text_of, with_class

HOSTILE = '<script>alert("x")</script>'

pytestmark = pytest.mark.usefixtures("_opened_once")


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def test_text_of_a_feed_cannot_become_markup_nor_hide(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        path = f"2023/{HOSTILE}.csv"
        add_file(connection, 202301, "cpu", loaded=99, rejected=1, traits=[HOSTILE], path=path)
        raw, column = f"2023-01-01,{HOSTILE},\x00\t\u202e9", f'"><img src=x>{HOSTILE}'
        add_rejected(connection, 202301, "cpu", LineFault.UNKNOWN_HOST, raw=raw, column=column, path=path)
        add_refusal(connection, 202301, "disk", detail=f"found {HOSTILE}\u2028", path=path)
        add_file(connection, 202301, HOSTILE)
        connection.execute("UPDATE feed_files SET dialect = ? WHERE resource = ?", [HOSTILE, HOSTILE])
        set_origin(connection, HOSTILE)

    written, page = page_of(empty_platform, fill)
    source = written.path.read_text(encoding="utf-8")

    assert "<script" not in source
    assert "<img" not in source
    assert not [element for element in page.iter() if element.tag in {"script", "img"}]
    assert rf"2023-01-01,{HOSTILE},\x00\t\u202e9" in text_of(by_id(page, "reasons"))
    assert rf"found {HOSTILE}\u2028" in text_of(by_id(page, "refused"))
    assert f"2023/{HOSTILE}.csv" in text_of(by_id(page, "worst"))
    assert HOSTILE in text_of(by_id(page, "dialects"))
    assert f"Feed {HOSTILE}" in text_of(with_class(page, "facts")[0])
    assert not [name for element in page.iter() for name in element.attrib if name.startswith("on")]


def test_page_asks_for_nothing_from_elsewhere(empty_platform: Platform) -> None:
    written, page = page_of(empty_platform, whole)
    source = written.path.read_text(encoding="utf-8")

    assert not re.search(r"https?:|//|url\(|@import|\bsrc=", source)
    assert not [element for element in page.iter() if element.tag in {"link", "script", "img", "iframe", "object"}]
    assert {link.get("href", "")[:1] for link in page.iter("a")} == {"#"}
    (policy,) = [meta for meta in page.iter("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.get("content") == "default-src 'none'; style-src 'unsafe-inline'"
    assert "prefers-color-scheme: dark" in source
    assert "@media print" in source


def test_every_link_and_description_leads_somewhere_and_tables_have_heads(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        add_refusal(connection, 202303, "cpu")
        add_file(connection, 202302, "a strange one", loaded=9, rejected=1, rows=3, traits=["bom"])
        add_rejected(connection, 202302, "a strange one", LineFault.FIELD_COUNT)

    _, page = page_of(empty_platform, whole, fill)
    names = [element.get("id") for element in page.iter() if element.get("id")]

    assert len(names) == len(set(names))
    assert {link.get("href", "")[1:] for link in page.iter("a")} <= set(names)
    assert {link.get("aria-describedby", names[0]) for link in page.iter("a")} <= set(names)
    assert all(th.get("scope") for th in page.iter("th"))
    assert all(table.find("thead") is not None for table in page.iter("table"))


def test_colours_of_text_have_the_contrast_that_reading_needs() -> None:
    css = Path(audit_terms.__file__).with_name("page.css").read_text(encoding="utf-8")
    pairs = [("ink", "loaded"), ("q-ink", "q1"), ("q-ink", "q2"), ("q-ink", "q3"), ("q4-ink", "q4"), ("muted", "paper")]
    pairs += [
        ("kept-ink", "kept-stripe"),
        ("refused-ink", "refused"),
        ("bad", "bad-bg"),
        ("ok", "ok-bg"),
        ("ink", "line"),
    ]
    for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]:
        colours = dict(re.findall(r"--([\w-]+): #(\w+)", block))
        for text, ground in pairs:
            high, low = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def luminance(colour: str) -> float:
    """Return the relative luminance of a hexadecimal colour, as WCAG 2 defines it."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_many_rejected_lines_do_not_make_a_large_page(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        for month in MONTHS:
            add_file(connection, month, "cpu", loaded=1, rejected=5_000)
            for nth, reason in enumerate(LineFault):
                count = 5_000 - 100 * (len(LineFault) - 1) if nth == 0 else 100
                add_rejected(connection, month, "cpu", reason, count=count, first_line=nth * 5_000 + 2, raw="x" * 400)

    written, page = page_of(empty_platform, fill)

    assert written.counts["rejected"] == 15_000
    assert written.path.stat().st_size < 120_000
    details = list(by_id(page, "reasons").iter("details"))
    assert [len(list(one.iter("tr"))) - 1 for one in details] == [5] * len(LineFault)
    assert max(len(text_of(code)) for code in with_class(page, "raw")) == 161


def test_ten_years_stay_a_page_that_can_be_mailed(empty_platform: Platform) -> None:
    def add(*years: int) -> int:
        months = [year * 100 + month for year in years for month in range(1, 13)]
        written, page = page_of(empty_platform, lambda connection: add_months(connection, months, loaded=1))
        pieces.append(len(with_class(page, "piece")))
        return written.path.stat().st_size

    pieces: list[int] = []
    one_year, three_years = add(2025), add(2023, 2024)

    assert pieces == [48, 144]
    # Each year more is as large as the others.
    assert one_year + 9 * (three_years - one_year) / 2 < 600_000


def test_page_goes_where_it_is_told(empty_platform: Platform, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "page.html"
    page_of(empty_platform, whole)

    assert write_audit_page(empty_platform, target).path == target
    assert [file.name for file in target.parent.iterdir()] == ["page.html"]


def test_page_that_cannot_be_written_leaves_nothing_behind(empty_platform: Platform, tmp_path: Path) -> None:
    page_of(empty_platform, whole)
    (tmp_path / "taken").mkdir()

    for target in (tmp_path / "taken", Path("/dev/null/page")):
        with pytest.raises(SettingsError, match=f"cannot write {target}"):
            write_audit_page(empty_platform, target)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "taken"]


def test_every_fault_and_trait_is_explained_in_sentences() -> None:
    assert set(audit_terms.LINE_FAULTS) == set(LineFault)
    assert set(audit_terms.FILE_FAULTS) == set(FileFault)
    assert set(audit_terms.TRAITS) == set(DialectTrait)
    sentences = [text for term in audit_terms.LINE_FAULTS.values() for text in (term.meaning, term.remedy)]
    sentences += list(audit_terms.FILE_FAULTS.values())
    sentences += [audit_terms.file_remedy(fault) for fault in FileFault]
    assert all(sentence.endswith(".") for sentence in sentences)
