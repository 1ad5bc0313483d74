"""Audit of the breaches: do hosts that must reach the threshold do so on their date?"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import duckdb

from capsim_dagster.audits.fingerprints import Relation, rows_of
from capsim_dagster.audits.report import Finding
from capsim_dagster.storage.warehouse import statement

TOLERANCE_DAYS: Final = 7
"""Least tolerance: noise of a quarter point over growth of 0.2 points a day crosses some days early or late."""

Series = tuple[str, str]
"""Host and resource."""


@dataclass(frozen=True)
class Breach:
    """When a series must reach the threshold.

    Attributes:
        day: Days since the start of the window.
        tolerance_days: How far off the crossing may be: more where noise is strong or growth is slow.
    """

    day: int
    tolerance_days: int = TOLERANCE_DAYS


def breaches_on_date(
    connection: duckdb.DuckDBPyConnection,
    relation: Relation,
    expected: Mapping[Series, Breach],
    *,
    start: dt.date,
    end: dt.date,
    threshold: float,
) -> Finding:
    """Report whether each series first reaches the threshold on its breach date, but for its tolerance.

    Args:
        connection: Connection that sees the relation.
        relation: The telemetry.
        expected: When each limiting series must reach the threshold.
        start: First day of the window.
        end: Last day of the telemetry; series whose date lies within their tolerance of it or later are not judged.
        threshold: Utilization that counts as a breach [%].
    """
    last_day = (end - start).days
    due = {series: breach for series, breach in expected.items() if breach.day + breach.tolerance_days <= last_day}
    crossed = _first_crossings(connection, relation, due, start, threshold)
    problems = []
    for (host, resource), breach in sorted(due.items(), key=lambda item: item[0]):
        first = crossed.get((host, resource))
        if first is None:
            date = start + dt.timedelta(breach.day)
            problems.append(f"{host} {resource} never reaches {threshold:g} %, due on {date}")
        elif abs(first - breach.day) > breach.tolerance_days:
            off = f"{first - breach.day:+d} days from its date, more than {breach.tolerance_days}"
            problems.append(f"{host} {resource} reaches {threshold:g} % {off}")
    return Finding(
        "breach_hosts_reach_threshold_on_date",
        examples=problems,
        counts={"breach_hosts": len(expected), "judged": len(due), "on_date": len(due) - len(problems)},
        note="" if due else f"no breach date falls inside the window, which ends on {end}",
    )


def _first_crossings(
    connection: duckdb.DuckDBPyConnection,
    relation: Relation,
    due: Iterable[Series],
    start: dt.date,
    threshold: float,
) -> dict[Series, int]:
    parameters = {"start": start, "threshold": threshold, "hosts": sorted({host for host, _ in due})}
    rows = rows_of(connection, statement(__package__, "first_crossings", relation=relation), parameters)
    return {(host, resource): day for host, resource, day in rows}
