import re

import duckdb
import pytest
from markdown_it import MarkdownIt

from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.support.audits.refinery_rows import add_file, add_months, add_refusal
from capsim_dagster_tests.support.pipeline.audit_pages import MONTHS, page_of, whole

HOSTILE = "[x](javascript:alert) ![y](http://a.example/p.png) | `c` **b** <b> www.a.example \u202e"

pytestmark = pytest.mark.usefixtures("_opened_once")


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def html_of(summary: str) -> str:
    """Return what a reader of Markdown with tables makes of it."""
    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(summary))


def test_summary_says_the_verdict_and_balances_each_resource(empty_platform: Platform) -> None:
    written, _ = page_of(empty_platform, whole)
    shown = html_of(written.summary)

    assert f"<strong>{written.verdict}</strong>" in shown
    rows = [re.findall(r"<td[^>]*>([^<]*)", row) for row in shown.split("<tr>")[2:]]
    assert rows == [[each, "3", "30", "30", "0"] for each in ("cpu", "memory", "disk", "network")] + [
        ["all", "12", "120", "120", "0"]
    ]
    assert len(written.summary) < 1000, "Dagster's UI shows no more than 1,000 characters without a click"


def test_summary_names_a_few_concerns_and_how_many_more(empty_platform: Platform) -> None:
    def refuse(connection: duckdb.DuckDBPyConnection) -> None:
        for month in range(202301, 202310):
            add_refusal(connection, month, "cpu")

    shown = html_of(page_of(empty_platform, refuse)[0].summary)

    assert "<li>2023-01 cpu: " in shown
    assert shown.count("<li>") == 6
    assert "<li>and " in shown


def test_text_of_a_feed_is_shown_in_the_summary_sign_for_sign(empty_platform: Platform) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        add_months(connection, MONTHS)
        add_file(connection, 202301, HOSTILE, loaded=1)

    summary = page_of(empty_platform, fill)[0].summary
    shown = html_of(summary)

    assert not [tag for tag in ("<a ", "<img", "<code", "<b>") if tag in shown]
    assert r"\u202e" in shown
    assert "www\\." in summary
    assert all(row.count("<td") == 5 for row in shown.split("<tr>")[2:])
