import datetime as dt
from typing import Final

import duckdb
import pytest

from capsim_dagster.audits.report import Finding
from capsim_dagster.audits.truth import Breach, breaches_on_date
from capsim_dagster_tests.support.audits.relations_of_rows import RELATION, Row, show
from capsim_dagster_tests.support.cases import each_case

START: Final = dt.date(2023, 1, 1)
END: Final = dt.date(2023, 3, 2)
LAST_DAY: Final = 60
HOST: Final = "srv-000009"


def series(crossing: int | None, *, host: str = HOST, resource: str = "cpu", peak: float = 95.0) -> list[Row]:
    """Return one series that is at 50 % until it reaches its peak for good."""
    return [
        Row(START + dt.timedelta(day), host, resource, peak if crossing is not None and day >= crossing else 50.0)
        for day in range(LAST_DAY + 1)
    ]


def audit(rows: list[Row], expected: dict[tuple[str, str], Breach], *, threshold: float = 95.0) -> Finding:
    with duckdb.connect() as connection:
        show(connection, rows)
        return breaches_on_date(connection, RELATION, expected, start=START, end=END, threshold=threshold)


@each_case("crossing", [23, 29, 30, 31, 37])
def test_breach_within_a_week_of_its_date_holds(crossing: int) -> None:
    report = audit(series(crossing), {(HOST, "cpu"): Breach(30)})
    assert report.passed
    assert report.counts == {"breach_hosts": 1, "judged": 1, "on_date": 1}


@pytest.mark.parametrize(
    ("crossing", "problem"),
    [
        (22, "srv-000009 cpu reaches 95 % -8 days from its date"),
        (38, "srv-000009 cpu reaches 95 % +8 days from its date"),
        (None, "srv-000009 cpu never reaches 95 %, due on 2023-01-31"),
    ],
)
def test_breach_at_another_time_does_not_hold(crossing: int | None, problem: str) -> None:
    report = audit(series(crossing), {(HOST, "cpu"): Breach(30)})
    assert [found[: len(problem)] for found in report.examples] == [problem]
    assert report.counts == {"breach_hosts": 1, "judged": 1, "on_date": 0}


@each_case(("crossing", "holds"), [(9, False), (10, True), (50, True), (51, False)])
def test_series_may_have_a_tolerance_of_its_own(crossing: int, holds: bool) -> None:
    assert audit(series(crossing), {(HOST, "cpu"): Breach(30, tolerance_days=20)}).passed == holds


@pytest.mark.parametrize(("tolerance_days", "judged"), [(30, 1), (31, 0)])
def test_series_is_judged_once_its_own_tolerance_is_over(tolerance_days: int, judged: int) -> None:
    report = audit(series(None), {(HOST, "cpu"): Breach(LAST_DAY - 30, tolerance_days)})
    assert report.counts["judged"] == judged


def test_value_just_below_the_threshold_is_no_breach() -> None:
    rows = series(30, peak=94.99)
    assert not audit(rows, {(HOST, "cpu"): Breach(30)}).passed
    assert audit(rows, {(HOST, "cpu"): Breach(30)}, threshold=94.99).passed


def test_first_crossing_counts_when_the_series_falls_again() -> None:
    rows = [row if row.date < dt.date(2023, 2, 5) else row._replace(util=None) for row in series(30)]
    assert audit(rows, {(HOST, "cpu"): Breach(30)}).passed


def test_other_resources_and_hosts_are_not_mistaken_for_the_series() -> None:
    rows = series(2, resource="disk") + series(2, host="srv-000010") + series(30)
    assert audit(rows, {(HOST, "cpu"): Breach(30)}).passed
    assert not audit(rows, {(HOST, "memory"): Breach(30)}).passed


@pytest.mark.parametrize(("day", "judged"), [(LAST_DAY - 7, 1), (LAST_DAY - 6, 0), (LAST_DAY + 400, 0)])
def test_breach_near_the_end_of_the_window_is_not_judged(day: int, judged: int) -> None:
    report = audit(series(None), {(HOST, "cpu"): Breach(day)})
    assert report.counts["judged"] == judged
    assert report.passed == (judged == 0)


def test_report_says_when_nothing_could_be_judged() -> None:
    report = audit(series(None), {})
    assert report.passed
    assert report.verdict == "no breach date falls inside the window, which ends on 2023-03-02"
