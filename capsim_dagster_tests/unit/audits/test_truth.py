"""The audits of the ground truth, on a few series by hand."""

import datetime as dt
from collections.abc import Iterable

import duckdb
import numpy as np
import polars as pl

from capsim_dagster.audits import truth
from capsim_dagster.audits.fingerprints import view_event_days
from capsim_dagster.audits.report import Finding
from capsim_dagster_tests.conftest import MakeSettings
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import changed

START = dt.date(2023, 1, 1)
Event = tuple[str, str, str, int, int]
"""Host, resource, kind, and first and last day since the start."""
EVENTS_SCHEMA = {"host_id": pl.String, "resource": pl.String, "kind": pl.String, "start": pl.Date, "end": pl.Date}


def day(number: int) -> dt.date:
    return START + dt.timedelta(number)


def events_of(events: Iterable[Event]) -> pl.DataFrame:
    rows = [(host, resource, kind, day(first), day(last)) for host, resource, kind, first, last in events]
    return pl.DataFrame(rows, schema=EVENTS_SCHEMA, orient="row")


def connected(missing: Iterable[int], events: Iterable[Event], *, days: int = 100) -> duckdb.DuckDBPyConnection:
    """Return a connection that sees one series with missing days, and its events."""
    gone = set(missing)
    rows = [("srv-000001", "cpu", day(n), None if n in gone else 50.0) for n in range(days)]
    master = pl.DataFrame(
        rows,
        schema={"host_id": pl.String, "resource": pl.String, "date": pl.Date, "util": pl.Float64},
        orient="row",
    )
    connection = duckdb.connect()
    connection.register("master_rows", master.to_arrow())
    connection.register("truth_events", events_of(events).to_arrow())
    view_event_days(connection)
    return connection


def gaps(missing: Iterable[int], events: Iterable[Event]) -> Finding:
    with connected(missing, events) as connection:
        return truth.gaps_are_labelled(connection, day(99))


def test_days_without_a_value_are_those_of_the_gap_events() -> None:
    labelled: list[Event] = [
        ("srv-000001", "cpu", "missing", 4, 4),
        ("srv-000001", "cpu", "outage", 10, 12),
        ("srv-000001", "cpu", "agent_down", 98, 102),
    ]

    assert gaps([4, 10, 11, 12, 98, 99], labelled).passed
    assert gaps([4, 10, 12, 98, 99], labelled).examples == [
        "srv-000001 cpu on 2023-01-12 has a value in spite of a gap"
    ]
    assert gaps([4, 5, 10, 11, 12, 98, 99], labelled).examples == [
        "srv-000001 cpu on 2023-01-06 has no value and no event"
    ]


def test_anomaly_is_no_label_of_a_gap() -> None:
    assert not gaps([4], [("srv-000001", "cpu", "dip", 4, 4)]).passed


def explain(differs: list[int], events: Iterable[Event]) -> Finding:
    found = np.zeros((2, 20), dtype=np.bool_)
    found[1, differs] = True
    series = [("srv-000001", "cpu"), ("srv-000002", "cpu")]
    return truth.events_explain_differences(found, events_of(events), series, start=START)


@each_case(
    ("differs", "event", "problem"),
    [
        ([3, 4, 5], (3, 5), None),
        ([3, 5], (3, 5), None),
        ([18, 19], (18, 25), None),
        ([3, 4, 5, 9], (3, 5), "srv-000002 cpu on 2023-01-10 differs from its twin without an event"),
        ([4, 5], (3, 5), "spike of srv-000002 cpu from 2023-01-04 to 2023-01-06 does not show in the data"),
        ([3, 4], (3, 5), "spike of srv-000002 cpu from 2023-01-04 to 2023-01-06 does not show in the data"),
    ],
)
def test_each_difference_has_an_event_whose_first_and_last_day_show(
    differs: list[int], event: tuple[int, int], problem: str | None
) -> None:
    report = explain(differs, [("srv-000002", "cpu", "spike", *event)])

    assert report.examples == ([problem] if problem else [])


def test_rates_of_the_settings_hold_and_others_do_not(make_settings: MakeSettings) -> None:
    generation = make_settings().data_generation
    frequent = changed(generation, {"gaps.missing_rate": 0.05, "gaps.outage_share": 0.0, "anomalies.rate": 0.02})
    missing, spikes = range(0, 4_000, 100), [("srv-000001", "cpu", "spike", n, n) for n in range(1, 4_000, 200)]
    with connected(missing, spikes, days=4_000) as connection:
        held = truth.event_rates(connection, generation, last=day(3_999), anomalous_share=1.0)
        broken = truth.event_rates(connection, frequent, last=day(3_999), anomalous_share=1.0)

    assert held.passed
    assert held.counts == {"missing_values": 40, "anomalous_days": 20}
    assert "1.0000% missing values, expected 5.0000%" in broken.examples[0]


def breach_report(dates: dict[str, list[int | None]], scenario: str, make_settings: MakeSettings) -> Finding:
    series = pl.DataFrame(
        [
            (host, f"r{n}", None if number is None else day(number))
            for host, numbers in dates.items()
            for n, number in enumerate(numbers)
        ],
        schema={"host_id": pl.String, "resource": pl.String, "breach_date": pl.Date},
        orient="row",
    )
    hosts = pl.DataFrame({"host_id": list(dates), "scenario": [scenario] * len(dates)})
    return truth.breach_dates(series, hosts, make_settings().data_generation)


@each_case(
    ("dates", "scenario", "problem"),
    [
        ([None, 1_096, None, None], "CAPACITY_BREACH", None),
        ([None, 1_097, None, None], "CAPACITY_BREACH", "srv-000009 r1 breaches on 2026-01-02, outside"),
        ([None, None, None, None], "CAPACITY_BREACH", "srv-000009 has 0 breach dates"),
        ([5, 6, None, None], "CAPACITY_BREACH", "srv-000009 has 2 breach dates"),
        ([5, None, None, None], "BURST", "srv-000009 has a breach date but is no breach host"),
        ([None, None, None, None], "BURST", None),
    ],
)
def test_breach_hosts_alone_have_one_date_within_the_horizon(
    make_settings: MakeSettings, dates: list[int | None], scenario: str, problem: str | None
) -> None:
    report = breach_report({"srv-000009": dates}, scenario, make_settings)

    assert [found[: len(problem or "")] for found in report.examples] == ([problem] if problem else [])
