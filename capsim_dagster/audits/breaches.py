"""Audit of the breaches: do hosts that must reach the threshold do so on their date?"""

import datetime as dt
from collections.abc import Mapping
from typing import Final

import duckdb

from capsim_dagster.audits.relations import Relation, rows_of, statement
from capsim_dagster.audits.report import AuditReport

TOLERANCE_DAYS: Final = 14
"""Noise and season of about one point over growth of 0.2 points a day cross the threshold some days early or late."""

Series = tuple[str, str]
"""Host and resource."""


def breaches_on_date(
    connection: duckdb.DuckDBPyConnection,
    relation: Relation,
    expected_days: Mapping[Series, int],
    *,
    start: dt.date,
    end: dt.date,
    threshold: float,
) -> AuditReport:
    """Report whether each series first reaches the threshold within 14 days of its breach date.

    Args:
        connection: Connection that sees the relation.
        relation: The telemetry.
        expected_days: Breach day of each limiting series, in days since `start`.
        start: First day of the window.
        end: Last day of the telemetry; series whose date lies within 14 days of it or later are not judged.
        threshold: Utilization that counts as a breach [%].
    """
    last_judged = (end - start).days - TOLERANCE_DAYS
    due = {series: day for series, day in expected_days.items() if day <= last_judged}
    crossed = _first_crossings(connection, relation, due, start, threshold)
    problems = []
    for (host, resource), day in sorted(due.items()):
        first = crossed.get((host, resource))
        if first is None:
            problems.append(f"{host} {resource} never reaches {threshold:g} %, due on {start + dt.timedelta(day)}")
        elif abs(first - day) > TOLERANCE_DAYS:
            problems.append(f"{host} {resource} reaches {threshold:g} % {first - day:+d} days from its date")
    return AuditReport(
        claim=f"each breach host reaches the threshold within {TOLERANCE_DAYS} days of its date",
        problems=problems,
        counts={"breach_hosts": len(expected_days), "judged": len(due), "on_date": len(due) - len(problems)},
        note="" if due else f"no breach date falls inside the window, which ends on {end}",
    )


def _first_crossings(
    connection: duckdb.DuckDBPyConnection,
    relation: Relation,
    due: Mapping[Series, int],
    start: dt.date,
    threshold: float,
) -> dict[Series, int]:
    parameters = {"start": start, "threshold": threshold, "hosts": sorted({host for host, _ in due})}
    rows = rows_of(connection, statement("first_crossings", relation=relation), parameters)
    return {(host, resource): day for host, resource, day in rows}
