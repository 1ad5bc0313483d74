"""Audits of the inventory and the calendar."""

import datetime as dt
import itertools
from collections.abc import Iterable

import duckdb

from capsim_dagster.audits.fingerprints import Relation, rows_of
from capsim_dagster.audits.report import Finding
from capsim_dagster.errors import listed
from capsim_dagster.schemas import VARIETIES
from capsim_dagster.storage.warehouse import statement


def behavioral_diversity(varieties: Iterable[tuple[str | None, str | None, int]], *, note: str = "") -> Finding:
    """Report whether all ten varieties are there, by scenario, variant, None = hosts that nobody knows, and hosts."""
    found = {(scenario, variant): hosts for scenario, variant, hosts in varieties}
    missing = [str(v) for v in VARIETIES if not found.get((v.scenario.value, v.variant.value))]
    known = {(v.scenario.value, v.variant.value) for v in VARIETIES}
    strange = sum(hosts for pair, hosts in found.items() if pair not in known)
    problems = [f"no host of {variety}" for variety in missing]
    if strange:
        problems.append(f"{strange:,} hosts whose behaviour the inventory does not know")
    return Finding(
        "behavioral_diversity",
        examples=problems,
        counts={"varieties": len(VARIETIES) - len(missing), "hosts": sum(found.values())},
        table=[{"variety": str(v), "hosts": found.get((v.scenario.value, v.variant.value), 0)} for v in VARIETIES],
        note=note,
    )


def present_varieties(
    connection: duckdb.DuckDBPyConnection, relation: Relation
) -> list[tuple[str | None, str | None, int]]:
    """Return scenario, variant and hosts of each variety that has rows in a relation."""
    return rows_of(connection, statement(__package__, "varieties", relation=relation))


def fleet_size(hosts: int, distinct: int, expected: int) -> Finding:
    """Report whether the inventory holds the configured number of hosts, each once."""
    problems = []
    if hosts != expected:
        problems.append(f"{hosts:,} hosts, expected data_generation.num_servers = {expected:,}")
    if distinct != hosts:
        problems.append(f"{hosts - distinct:,} host ids stand more than once")
    return Finding(
        "fleet_has_configured_number_of_hosts",
        examples=problems,
        counts={"hosts": hosts, "expected_hosts": expected},
    )


def contiguous_calendar(days: list[dt.date], *, start: dt.date, end: dt.date) -> Finding:
    """Report whether the calendar holds each day from `start` on once, in order, without a gap, to `end` or later."""
    problems = []
    if not days or days[0] != start:
        problems.append(f"starts on {days[0] if days else 'no day'}, expected {start}")
    if days and days[-1] < end:
        problems.append(f"ends on {days[-1]}, expected {end} or later")
    breaks = [f"{a} to {b}" for a, b in itertools.pairwise(days) if (b - a).days != 1]
    if breaks:
        problems.append(f"{len(breaks)} gaps or repeats: {listed(breaks)}")
    return Finding("calendar_is_contiguous", examples=problems, counts={"days": len(days)})
