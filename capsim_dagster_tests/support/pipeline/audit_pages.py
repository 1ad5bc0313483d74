"""Audit pages of warehouses that a test fills, written and read again."""

import datetime as dt
from collections.abc import Callable
from xml.etree.ElementTree import Element

import duckdb

from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.refine import AuditPage, write_audit_page
from capsim_dagster_tests.support.audits.refinery_rows import (
    add_months,
)
from capsim_dagster_tests.support.pipeline.html_page import by_id, read_page, text_of

NOW = dt.datetime(2026, 4, 5, 6, 7, tzinfo=dt.UTC)
MONTHS = [202301, 202302, 202303]
Fill = Callable[[duckdb.DuckDBPyConnection], None]


def page_of(platform: Platform, *fill: Fill) -> tuple[AuditPage, Element]:
    """Write and read the page of a warehouse that was filled so."""
    with platform.writing() as connection:
        for step in fill:
            step(connection)
    written = write_audit_page(platform, now=NOW)
    return written, read_page(written.path)


def whole(connection: duckdb.DuckDBPyConnection) -> None:
    add_months(connection, MONTHS)


def cell(page: Element, month: int, resource: str) -> Element:
    """Return the cell of the map that leads to a file."""
    target = f"#f-{month}-{resource}"
    return next(
        td for td in by_id(page, "map").iter("td") if (link := td.find("a")) is not None and link.get("href") == target
    )


def face(td: Element) -> str:
    link = td.find("a")
    assert link is not None
    return text_of(link)
