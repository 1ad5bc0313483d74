"""Audit of the feed as it lies on disk: names and content."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from capsim_dagster.audits.fingerprints import FeedFormat, Fingerprint, PieceKey, feed_fingerprints
from capsim_dagster.audits.report import Finding, Reports, by_claim


def file_names(count: int, strange: Sequence[str], named_right: int, layout: str) -> Finding:
    """Report whether every file of the feed bears a name of the convention, in its folder.

    Args:
        layout: The convention.
        count: Files that do not.
        strange: Which they are, or the first of very many.
        named_right: Number of files that do.
    """
    return Finding(
        "file_names_follow_convention",
        examples=[f"{path} is not in the layout {layout}" for path in strange],
        counts={"files": named_right, "strange_files": count},
    )


def read_feed(
    files: Mapping[PieceKey, Path], form: FeedFormat
) -> tuple[dict[PieceKey, Fingerprint], dict[PieceKey, list[str]]]:
    """Return by piece the fingerprint of each readable file, and the lines that do not parse, in words.

    Args:
        files: Files whose headers were inspected, by piece.
        form: How their lines are written.
    """
    pieces = {path: piece for piece, path in files.items()}
    found, rejected = feed_fingerprints(pieces, form)
    unreadable = {pieces[path]: [f"{path.name}: {line}" for line in lines] for path, lines in rejected.items()}
    return {pieces[path]: fingerprint for path, fingerprint in found.items()}, unreadable


def foreign_month(found: Mapping[PieceKey, Fingerprint]) -> Reports:
    """Return what the audits of a month against the simulation say of a feed that capsim did not write.

    Args:
        found: Fingerprints of the month.
    """
    rows = sum(content.rows for content in found.values())
    return by_claim(not_simulated("row_parity", rows), not_simulated("hosts_are_known", rows))


def not_simulated(claim: str, rows: int) -> Finding:
    """Return an audit against the simulation where there is none: nothing to compare with.

    Args:
        claim: The claim.
        rows: Rows of the table.
    """
    note = "the feed is not capsim's own: there is no master or simulated inventory to compare with"
    return Finding(claim, counts={"rows": rows}, note=note)


def no_defects() -> Finding:
    """Return the score of a feed into which nothing was put on purpose."""
    return Finding("injected_defects_are_found", note="the feed is not capsim's own")
