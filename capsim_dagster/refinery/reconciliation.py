"""Audit of the refinery's accounts: is every line of every file in the table or among the rejected ones?"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import duckdb

from capsim_dagster.audits.fingerprints import NOTHING, Fingerprint, PieceKey, rows_of
from capsim_dagster.audits.parity import named
from capsim_dagster.audits.report import Finding
from capsim_dagster.errors import plural
from capsim_dagster.refinery.account import Source, source_states
from capsim_dagster.schemas.months import month_name
from capsim_dagster.storage.warehouse import statement


class _Account(NamedTuple):
    """What the accounts say of one file."""

    path: str
    month: int
    resource: str
    lines: int
    loaded: int
    rejected: int
    checksum: str
    rejected_lines: int


def reconciliation(
    connection: duckdb.DuckDBPyConnection,
    found: Mapping[PieceKey, Fingerprint],
    root: Path,
    month: int | None = None,
) -> Finding:
    """Report whether each loaded file's lines are all accounted for, and the file is still what was loaded.

    Of each file: physical lines = loaded + rejected; the table holds just the loaded rows, by number and by a checksum
    over their content that was taken from the parsed file; the rejected lines are all there; and the file has the
    digest that it had. A month whose files were all rotated away from a user's feed stays good.

    Args:
        connection: Connection that sees the accounts.
        found: Fingerprints of the table, or of its month.
        root: Root of the feed.
        month: The month to look at, as YYYYMM; None = all.
    """
    accounts = [
        _Account(*row) for row in rows_of(connection, statement(__package__, "reconciliation"), {"month": month})
    ]
    sources = source_states(connection, root, month)
    verdicts = [
        (account, list(_problems(account, found, sources[account.month, account.resource]))) for account in accounts
    ]
    problems = [problem for _, found_wrong in verdicts for problem in found_wrong]
    orphans = found.keys() - {(account.month, account.resource) for account in accounts}
    problems += [f"{named(piece)}: {found[piece].rows:,} rows come from no file" for piece in sorted(orphans)]
    return Finding(
        "reconciliation",
        examples=problems,
        counts={
            "files": len(accounts),
            "lines": sum(account.lines for account in accounts),
            "loaded": sum(account.loaded for account in accounts),
            "rejected": sum(account.rejected for account in accounts),
        },
        table=list(_by_month(verdicts)),
    )


def _by_month(verdicts: Sequence[tuple[_Account, Sequence[str]]]) -> Iterator[dict[str, str | int | float]]:
    """Yield one row a month: its files and lines, and whether they are all accounted for."""
    for month, group in groupby(verdicts, key=lambda verdict: verdict[0].month):
        files = list(group)
        wrong = sum(len(problems) for _, problems in files)
        yield {
            "month": month_name(month),
            "files": len(files),
            **{name: sum(getattr(account, name) for account, _ in files) for name in ("lines", "loaded", "rejected")},
            "verdict": "accounted for" if not wrong else plural(wrong, "problem"),
        }


def _problems(account: _Account, found: Mapping[PieceKey, Fingerprint], source: Source) -> Iterator[str]:
    rows = found.get((account.month, account.resource), NOTHING)
    if account.lines != account.loaded + account.rejected:
        yield f"{account.path}: {account.lines:,} lines, but {account.loaded:,} loaded + {account.rejected:,} rejected"
    if account.rejected_lines != account.rejected:
        yield f"{account.path}: {account.rejected_lines:,} rejected lines are kept, not {account.rejected:,}"
    if rows.rows != account.loaded:
        yield f"{account.path}: the table holds {rows.rows:,} of its {account.loaded:,} rows"
    elif f"{rows.checksum:x}" != account.checksum:
        yield f"{account.path}: the table holds other values than the file"
    if source is Source.LOST:
        yield f"{account.path} was loaded but is no longer there"
    elif source is Source.CHANGED:
        yield f"{account.path} has changed since it was loaded"
