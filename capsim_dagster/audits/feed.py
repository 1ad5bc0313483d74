"""Audit of the feed as it lies on disk: names and content."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from capsim_dagster.audits.relations import Fingerprint, PieceKey, feed_fingerprints
from capsim_dagster.audits.report import AuditReport


def file_names(strange: Sequence[Path], named_right: int) -> AuditReport:
    """Report whether every file of the feed bears a name of the convention, in its folder.

    Args:
        strange: Files that do not.
        named_right: Number of files that do.
    """
    return AuditReport(
        claim="every feed file is named by the convention, in the folder of its month",
        problems=[f"{path} is not <prefix>_YYYYMM.csv of its folder" for path in strange],
        counts={"files": named_right, "strange_files": len(strange)},
    )


def read_feed(files: Mapping[PieceKey, Path]) -> tuple[dict[PieceKey, Fingerprint], dict[PieceKey, list[str]]]:
    """Return by piece the fingerprint of each readable file, and the lines that do not parse, in words.

    Args:
        files: Files whose headers were inspected, by piece.
    """
    pieces = {path: piece for piece, path in files.items()}
    found, rejected = feed_fingerprints(pieces)
    unreadable = {pieces[path]: [f"{path.name}: {line}" for line in lines] for path, lines in rejected.items()}
    return {pieces[path]: fingerprint for path, fingerprint in found.items()}, unreadable
