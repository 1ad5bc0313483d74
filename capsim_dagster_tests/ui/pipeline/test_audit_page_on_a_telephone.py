"""The audit page in a browser as narrow as a telephone's."""

from typing import TYPE_CHECKING

import duckdb

from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import LineFault
from capsim_dagster_tests.support.audits.refinery_rows import (
    add_file,
    add_months,
    add_refusal,
    add_rejected,
    set_origin,
)
from capsim_dagster_tests.support.pipeline.audit_pages import MONTHS, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_nothing_is_cut_or_scrolls_sideways_on_a_telephone(empty_platform: Platform, page: "Page") -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        long_name = "/".join(["2023", "a_name_without_any_place_to_break_it_that_goes_on_and_on" * 3])
        add_months(connection, MONTHS)
        connection.execute("UPDATE processed_data SET y = 1 WHERE resource = 'cpu'")
        add_refusal(connection, 202302, "disk", detail=long_name, path=long_name)
        add_file(connection, 202304, "memory", loaded=96, rejected=4, path=long_name)
        add_rejected(connection, 202304, "memory", LineFault.UNKNOWN_HOST, count=4, raw=long_name, path=long_name)
        set_origin(connection, f"/srv/{long_name}")

    written, _ = page_of(empty_platform, fill)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(written.path.as_uri())

    wide = "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    scrolled, shown = page.evaluate(wide)
    assert scrolled <= shown
