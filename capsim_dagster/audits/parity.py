"""Audits of content: is every row of one relation in another, once and unchanged?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import duckdb

from capsim_dagster.audits.fingerprints import Fingerprint, PieceKey, Relation, rows_of
from capsim_dagster.audits.report import Finding, Reports, by_claim
from capsim_dagster.errors import listed
from capsim_dagster.schemas import FULL_UTILIZATION, Resource
from capsim_dagster.schemas.months import month_name
from capsim_dagster.storage.warehouse import statement


def expected_grid(connection: duckdb.DuckDBPyConnection) -> dict[PieceKey, Fingerprint]:
    """Return rows and key checksum that each month and resource must have: every host on every day."""
    return {
        (month, resource.value): Fingerprint(rows, 0, int(key_checksum), 0)
        for month, rows, key_checksum in rows_of(connection, statement(__package__, "expected_grid"))
        for resource in Resource
    }


def grid_parity(grid: Mapping[PieceKey, Fingerprint], found: Mapping[PieceKey, Fingerprint]) -> Finding:
    """Report whether a relation has exactly one row for each host x resource x day, as the grid has it."""
    problems = [f"{named(piece)} is missing" for piece in sorted(grid.keys() - found.keys())]
    problems += [f"{named(piece)} is not in the calendar" for piece in sorted(found.keys() - grid.keys())]
    for piece in sorted(grid.keys() & found.keys()):
        if found[piece].rows != grid[piece].rows:
            problems.append(f"{named(piece)} has {found[piece].rows:,} rows instead of {grid[piece].rows:,}")
        elif found[piece].key_checksum != grid[piece].key_checksum:
            problems.append(f"{named(piece)} has other hosts or days, or one of them twice")
    return Finding(
        "row_parity",
        examples=problems,
        counts={"rows": _rows(found), "expected_rows": _rows(grid), "months": len({month for month, _ in grid})},
    )


def within_bounds(found: Mapping[PieceKey, Fingerprint]) -> Finding:
    """Report whether all values lie between 0 and 100 percent."""
    problems = [
        f"{named(piece)} spans {f.low:g} to {f.high:g}"
        for piece, f in sorted(found.items())
        if f.low is not None and f.high is not None and not (f.low >= 0 and f.high <= FULL_UTILIZATION)
    ]
    reported = [f for f in found.values() if f.low is not None and f.high is not None]
    return Finding(
        "utilization_is_within_bounds",
        examples=problems,
        counts={
            "values": sum(f.reported for f in found.values()),
            "lowest": min((f.low for f in reported if f.low is not None), default=0.0),
            "highest": max((f.high for f in reported if f.high is not None), default=0.0),
        },
    )


def content_parity(
    source: Mapping[PieceKey, Fingerprint],
    found: Mapping[PieceKey, Fingerprint],
    *,
    expected_months: Iterable[int],
    resources: Sequence[str] = tuple(Resource),
) -> Finding:
    """Report whether each expected month, and each that is there, holds just what its source holds.

    Months of the source beyond the expected ones may still be missing; only some resources, or what else stands in
    their place, are looked at.
    """
    wanted = set(map(str, resources))
    present = {piece for piece in found if piece[1] in wanted}
    months = set(expected_months) | {month for month, _ in present}
    due = {(month, resource) for month in months for resource in wanted}
    problems = [f"{named(piece)} is missing" for piece in sorted(due - present)]
    for piece in sorted(present):
        difference = found[piece].differs_from(source[piece]) if piece in source else "no such month in the source"
        if difference:
            problems.append(f"{named(piece)} has {difference}")
    absent = sorted({month for month, resource in source if resource in wanted} - months)
    return Finding(
        "row_parity",
        examples=problems,
        counts={
            "rows": sum(found[piece].rows for piece in present),
            "source_rows": sum(source[piece].rows for piece in due if piece in source),
            "months": len(months),
            "pending_months": len(absent),
        },
    )


def unique_keys(
    connection: duckdb.DuckDBPyConnection,
    relation: Relation,
    found: Mapping[PieceKey, Fingerprint],
    grid: Mapping[PieceKey, Fingerprint],
) -> Finding:
    """Report whether each host has each day of each resource at most once.

    A month that matches the grid of all hosts and days, in rows and key checksum, holds each of them once; only
    where one does not are the keys counted, which costs four times as much.
    """
    is_whole = all(
        piece in grid and (f.rows, f.key_checksum) == (grid[piece].rows, grid[piece].key_checksum)
        for piece, f in found.items()
    )
    rows = [] if is_whole else rows_of(connection, statement(__package__, "duplicate_keys", relation=relation))
    return Finding(
        "keys_are_unique",
        examples=[f"{host} {resource} has {extra:,} rows too many in {month}" for host, resource, month, extra in rows],
        counts={"rows": _rows(found), "duplicate_rows": sum(extra for *_, extra in rows)},
    )


def known_hosts(connection: duckdb.DuckDBPyConnection, relation: Relation) -> Finding:
    """Report whether every row belongs to a host of the inventory."""
    rows = rows_of(connection, statement(__package__, "unknown_hosts", relation=relation))
    return Finding(
        "hosts_are_known",
        examples=[f"{host} with {count:,} rows is not in the inventory" for host, count in rows],
        counts={"unknown_hosts": len(rows), "rows_of_unknown_hosts": sum(count for _, count in rows)},
    )


def named(piece: PieceKey) -> str:
    """Return e.g. `2024-01 cpu`."""
    month, resource = piece
    return f"{month_name(month)} {resource}"


def months_named(months: Iterable[int]) -> str:
    """Return months as a short list for a message."""
    return listed(map(month_name, sorted(months)))


def _rows(fingerprints: Mapping[PieceKey, Fingerprint]) -> int:
    return sum(fingerprint.rows for fingerprint in fingerprints.values())


def of_a_month(report: Finding) -> Finding:
    """Return a report without the numbers of months, which say nothing of one."""
    return replace(report, counts={name: count for name, count in report.counts.items() if "months" not in name})


def file_names(count: int, strange: Sequence[str], named_right: int, layout: str) -> Finding:
    """Report whether every file of the feed bears a name of its layout, in its folder; of very many some are named."""
    return Finding(
        "file_names_follow_convention",
        examples=[f"{path} is not in the layout {layout}" for path in strange],
        counts={"files": named_right, "strange_files": count},
    )


def foreign_month(found: Mapping[PieceKey, Fingerprint]) -> Reports:
    """Return what the audits of a month against the simulation say of a feed that capsim did not write."""
    rows = sum(content.rows for content in found.values())
    return by_claim(not_simulated("row_parity", rows), not_simulated("hosts_are_known", rows))


def not_simulated(claim: str, rows: int) -> Finding:
    """Return an audit against the simulation where there is none: nothing to compare with."""
    note = "the feed is not capsim's own: there is no master or simulated inventory to compare with"
    return Finding(claim, counts={"rows": rows}, note=note)


def no_defects() -> Finding:
    """Return the score of a feed into which nothing was put on purpose."""
    return Finding("injected_defects_are_found", note="the feed is not capsim's own")
