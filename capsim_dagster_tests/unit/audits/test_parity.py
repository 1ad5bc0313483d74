import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import duckdb
import pytest

from capsim_dagster.audits import parity
from capsim_dagster.audits.fingerprints import Fingerprint, PieceKey, fingerprints
from capsim_dagster.audits.report import Finding
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.support.audits.relations_of_rows import RELATION, Row, show, warehouse_with
from capsim_dagster_tests.support.cases import each_case

DAYS: Final = [dt.date(2023, 1, 31), dt.date(2023, 2, 1), dt.date(2023, 2, 2)]
HOSTS: Final = ["srv-000001", "srv-000002"]
GRID: Final = [Row(day, host, resource.value) for resource in Resource for host in HOSTS for day in DAYS]
FOUND: Final[dict[PieceKey, Fingerprint]] = {
    (month, resource.value): Fingerprint(month, month, 7, 5, low=0.0, high=100.0)
    for month in (202301, 202302)
    for resource in Resource
}
FEBRUARY_CPU: Final = (202302, "cpu")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse_with([(host, "BURST", "MODERATE") for host in HOSTS], DAYS) as opened:
        yield opened


def parity_of(connection: duckdb.DuckDBPyConnection, rows: list[Row]) -> Finding:
    show(connection, rows)
    return parity.grid_parity(parity.expected_grid(connection), fingerprints(connection, RELATION))


def uniqueness_of(connection: duckdb.DuckDBPyConnection, rows: list[Row]) -> Finding:
    show(connection, rows)
    return parity.unique_keys(
        connection, RELATION, fingerprints(connection, RELATION), parity.expected_grid(connection)
    )


def content(found: dict[PieceKey, Fingerprint], *, months: list[int]) -> Finding:
    return parity.content_parity(FOUND, found, expected_months=months)


def test_expected_grid_has_each_host_on_each_day(connection: duckdb.DuckDBPyConnection) -> None:
    rows = {piece: f.rows for piece, f in parity.expected_grid(connection).items()}
    assert rows == {(month, r.value): n for month, n in ((202301, 2), (202302, 4)) for r in Resource}


def test_whole_grid_has_parity(connection: duckdb.DuckDBPyConnection) -> None:
    report = parity_of(connection, GRID)
    assert report.passed
    assert report.counts == {"rows": 24, "expected_rows": 24, "months": 2}


@each_case(
    ("rows", "problem"),
    [
        (GRID[1:], "2023-01 cpu has 1 rows instead of 2"),
        ([*GRID, GRID[1]], "2023-02 cpu has 5 rows instead of 4"),
        ([*GRID[:1], GRID[2], *GRID[2:]], "2023-02 cpu has other hosts or days, or one of them twice"),
        ([GRID[0]._replace(host_id="srv-000009"), *GRID[1:]], "2023-01 cpu has other hosts or days"),
        ([row for row in GRID if row.resource != "disk"], "2023-01 disk is missing, 2023-02 disk is missing"),
        ([*GRID, Row(dt.date(2023, 3, 1), HOSTS[0])], "2023-03 cpu is not in the calendar"),
        ([], "2023-01 cpu is missing"),
    ],
)
def test_other_grid_has_no_parity(connection: duckdb.DuckDBPyConnection, rows: list[Row], problem: str) -> None:
    report = parity_of(connection, rows)
    assert not report.passed
    assert problem in report.verdict


def test_values_at_the_bounds_are_within() -> None:
    report = parity.within_bounds(FOUND)
    assert report.passed
    assert report.counts["lowest"] == 0
    assert report.counts["highest"] == 100
    assert report.counts["values"] == 4 * (202301 + 202302)


@each_case(("low", "high"), [(-0.01, 50.0), (5.0, 100.01), (float("nan"), float("nan")), (5.0, float("nan"))])
def test_value_out_of_bounds_is_told_with_its_piece(low: float, high: float) -> None:
    report = parity.within_bounds({**FOUND, FEBRUARY_CPU: Fingerprint(1, 1, 0, 0, low, high)})
    assert report.examples == [f"2023-02 cpu spans {low:g} to {high:g}"]


def test_piece_without_values_is_within_bounds() -> None:
    report = parity.within_bounds({FEBRUARY_CPU: Fingerprint(3, 0, 0, 0)})
    assert report.passed
    assert report.counts == {"values": 0, "lowest": 0.0, "highest": 0.0}


def test_copy_of_everything_has_content_parity() -> None:
    report = content(dict(FOUND), months=[202301, 202302])
    assert report.passed
    assert report.claim == "row_parity"
    assert report.counts["rows"] == report.counts["source_rows"] == 4 * (202301 + 202302)


def test_month_of_the_source_that_is_not_expected_may_be_missing() -> None:
    january = {piece: f for piece, f in FOUND.items() if piece[0] == 202301}
    report = content(january, months=[202301])
    assert report.passed
    assert report.counts["pending_months"] == 1


def test_expected_month_must_not_be_missing() -> None:
    january = {piece: f for piece, f in FOUND.items() if piece[0] == 202301}
    report = content(january, months=[202301, 202302])
    assert report.examples == [f"2023-02 {name} is missing" for name in ("cpu", "disk", "memory", "network")]


def test_one_piece_of_a_present_month_must_not_be_missing() -> None:
    report = content({piece: f for piece, f in FOUND.items() if piece != FEBRUARY_CPU}, months=[])
    assert report.examples == ["2023-02 cpu is missing"]


@each_case(
    ("change", "problem"),
    [
        ({"rows": 3}, "2023-02 cpu has 3 rows instead of 202,302"),
        ({"key_checksum": 1}, "2023-02 cpu has other hosts or days"),
        ({"reported": 3}, "2023-02 cpu has 3 values instead of 202,302"),
        ({"checksum": 1}, "2023-02 cpu has other values or capacities"),
    ],
)
def test_changed_copy_has_no_content_parity(change: dict[str, Any], problem: str) -> None:
    changed = replace(FOUND[FEBRUARY_CPU], **change)
    assert content({**FOUND, FEBRUARY_CPU: changed}, months=[202301]).examples == [problem]


def test_month_that_the_source_lacks_has_no_content_parity() -> None:
    strange = {(202303, resource.value): FOUND[FEBRUARY_CPU] for resource in Resource}
    report = content({**FOUND, **strange}, months=[])
    assert report.examples[0] == "2023-03 cpu has no such month in the source"
    assert len(report.examples) == 4


def test_resources_that_are_not_asked_for_are_not_judged() -> None:
    cpu = {piece: f for piece, f in FOUND.items() if piece[1] == "cpu"}
    report = parity.content_parity(FOUND, cpu, expected_months=[202301, 202302], resources=[Resource.CPU])
    assert report.passed
    assert report.counts["rows"] == 202301 + 202302


@each_case("rows", [GRID, GRID[1:], GRID[::2], [*GRID, Row(dt.date(2023, 3, 31), "srv-000009")], []])
def test_keys_that_stand_once_are_unique(connection: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    report = uniqueness_of(connection, rows)
    assert report.passed
    assert report.counts == {"rows": len(rows), "duplicate_rows": 0}


@each_case(
    ("rows", "problems"),
    [
        ([*GRID, GRID[1]], ["srv-000001 cpu has 1 rows too many in 202302"]),
        ([*GRID, GRID[1]._replace(util=1.0)], ["srv-000001 cpu has 1 rows too many in 202302"]),
        ([*GRID[:1], GRID[2], *GRID[2:]], ["srv-000001 cpu has 1 rows too many in 202302"]),
        ([GRID[0]] * 3, ["srv-000001 cpu has 2 rows too many in 202301"]),
        ([Row(dt.date(2099, 12, 31), "other", "disk")] * 2, ["other disk has 1 rows too many in 209912"]),
    ],
)
def test_key_that_stands_twice_is_told(
    connection: duckdb.DuckDBPyConnection, rows: list[Row], problems: list[str]
) -> None:
    assert uniqueness_of(connection, rows).examples == problems


def test_hosts_of_the_inventory_are_known(connection: duckdb.DuckDBPyConnection) -> None:
    show(connection, GRID[:2])
    report = parity.known_hosts(connection, RELATION)
    assert report.passed
    assert report.counts == {"unknown_hosts": 0, "rows_of_unknown_hosts": 0}


def test_unknown_hosts_are_told_with_their_rows(connection: duckdb.DuckDBPyConnection) -> None:
    show(connection, [*GRID, *(Row(day, "srv-000009") for day in DAYS), Row(DAYS[0], "SRV-000001")])
    report = parity.known_hosts(connection, RELATION)
    assert report.examples == [
        "SRV-000001 with 1 rows is not in the inventory",
        "srv-000009 with 3 rows is not in the inventory",
    ]
    assert report.counts == {"unknown_hosts": 2, "rows_of_unknown_hosts": 4}
