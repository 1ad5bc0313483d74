"""Audit of the refinery's accounts: is every line of every file in the table or among the rejected ones?"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import duckdb

from capsim_dagster.audits.fingerprints import Fingerprint, PieceKey
from capsim_dagster.audits.parity import named
from capsim_dagster.audits.report import Finding
from capsim_dagster.errors import plural
from capsim_dagster.refinery.account import Claim, Piece, Source, pieces_of
from capsim_dagster.refinery.accounts import LoadedFile
from capsim_dagster.schemas.months import month_name


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
    pieces = pieces_of(connection, found, root, month)
    verdicts = [(piece.file, _problems(piece, piece.file)) for piece in pieces.values() if piece.file]
    problems = [problem for _, found_wrong in verdicts for problem in found_wrong]
    problems += [
        f"{named(key)}: {piece.table_rows:,} rows come from no file"
        for key, piece in pieces.items()
        if piece.table_rows and not piece.file
    ]
    return Finding(
        "reconciliation",
        examples=problems,
        counts={"files": len(verdicts), **_sums(verdicts)},
        table=list(_by_month(verdicts)),
    )


def _sums(verdicts: Sequence[tuple[LoadedFile, Sequence[str]]]) -> dict[str, int]:
    return {name: sum(getattr(file, name) for file, _ in verdicts) for name in ("lines", "loaded", "rejected")}


def _by_month(verdicts: Sequence[tuple[LoadedFile, Sequence[str]]]) -> Iterator[dict[str, str | int | float]]:
    """Yield one row a month: its files and lines, and whether they are all accounted for."""
    for month, group in groupby(verdicts, key=lambda verdict: verdict[0].piece.month):
        files = list(group)
        wrong = sum(len(problems) for _, problems in files)
        verdict = plural(wrong, "problem") if wrong else "accounted for"
        yield {"month": month_name(month), "files": len(files), **_sums(files), "verdict": verdict}


def _problems(piece: Piece, file: LoadedFile) -> list[str]:
    said = {
        Claim.LINES: f": {file.lines:,} lines, but {file.loaded:,} loaded + {file.rejected:,} rejected",
        Claim.REJECTED: f": {piece.rejected_rows:,} rejected lines are kept, not {file.rejected:,}",
        Claim.TABLE: f": the table holds {piece.table_rows:,} of its {file.loaded:,} rows",
        Claim.CONTENT: ": the table holds other values than the file",
        Source.LOST: " was loaded but is no longer there",
        Source.CHANGED: " has changed since it was loaded",
    }
    wrong = {piece.source, *(one.claim for one in piece.disagreements)}
    return [f"{file.path}{sentence}" for claim, sentence in said.items() if claim in wrong]
