"""Export of the master into the legacy feed: one CSV file a resource a month, each whole or absent.

Where the settings ask for defects, each file comes with the list of its own. The list is replaced before the file, and
it names the file's digest: after a kill between the two they disagree, and writing the file again puts both right.
"""

from collections.abc import Collection
from pathlib import Path

from capsim_dagster.errors import GateError, PartitionError
from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.dialects import LINE_END, plain_dialect
from capsim_dagster.legacy_feed.dirt.defects import DirtyFile, dirty_file
from capsim_dagster.legacy_feed.inspect import InspectedFile, inspect_file, require_one_line_per_row
from capsim_dagster.legacy_feed.manifest import list_files, list_path, remove_list, staged_list
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster.storage import atomic_path, sha256


def export_piece(master: MasterFile, contract: FeedContract, piece: FeedPiece, defects_root: Path) -> InspectedFile:
    """Write one month of one resource as a CSV file, in place of the one that was there, with the defects that are set.

    Raises:
        PartitionError: If the master holds no such month.
        GateError: If what was written does not hold one line for each row of the master, before any damage; the old
            file stays.
    """
    if piece.month not in master.footer.months:
        raise PartitionError(
            f"{piece} lies outside the master, which holds {master.footer.start} to {master.footer.end}",
            remedy="run the monthly_refresh job for that month: it extends calendar and master first",
        )
    if contract.settings.defects.is_clean:
        written = _export_clean(master, contract, piece)
        remove_list(contract, defects_root, piece)
    else:
        dirty = dirty_file(master, contract, piece)
        written = _export_dirty(dirty, piece, list_path(contract, defects_root, piece))
    for path in contract.candidates(piece):
        # Two files that claim the same piece are ambiguous to whoever reads them.
        if path != written.path or not written.sha256:
            path.unlink(missing_ok=True)
    return written


def retire_strays(contract: FeedContract, months: Collection[int], defects_root: Path) -> list[int]:
    """Remove feed files and lists of defects of months that the master does not hold, and return those months.

    Only files that follow the naming convention are touched: they are capsim's own, from a window that is no more.

    `months`: months that the master holds, as YYYYMM.
    """
    files = [(piece, path) for path, piece in contract.files()]
    retired = [(piece, path) for piece, path in files if piece.month not in months]
    lists = [(piece, path) for piece, path in list_files(contract, defects_root) if piece.month not in months]
    for _, path in retired + lists:
        path.unlink(missing_ok=True)
    return sorted({piece.month for piece, _ in retired + lists})


def _export_clean(master: MasterFile, contract: FeedContract, piece: FeedPiece) -> InspectedFile:
    """Write a clean file, and read it back before it replaces the old one."""
    path = contract.path(piece)
    with atomic_path(path) as temporary:
        rows = _write_csv(master, contract, piece, temporary)
        written = inspect_file(contract, piece, temporary)
        require_one_line_per_row(piece, lines=written.lines, rows=rows)
    return InspectedFile(piece=piece, path=path, bytes=written.bytes, sha256=written.sha256, lines=written.lines)


def _write_csv(master: MasterFile, contract: FeedContract, piece: FeedPiece, path: Path) -> int:
    """Write header and rows, piece by piece; return the rows."""
    rows = 0
    dialect = plain_dialect(contract.settings, piece.resource)
    with path.open("wb") as stream:
        stream.write(dialect.header.encode() + LINE_END)
        for frame in master.month(piece.month, piece.resource):
            dialect.write_rows(frame, stream)
            rows += frame.height
    return rows


def _export_dirty(dirty: DirtyFile, piece: FeedPiece, listed: Path) -> InspectedFile:
    """Write the list of a file's defects, then the file; a file that is to be missing is left to its caller."""
    digest, size = "", len(dirty.content or b"")
    if dirty.content is None:
        with staged_list(listed, dirty.defects, sha256=digest, size=size):
            pass
    else:
        with atomic_path(dirty.path) as temporary:
            digest = _write_bytes(dirty.content, temporary, piece)
            with staged_list(listed, dirty.defects, sha256=digest, size=size):
                pass
    return InspectedFile(
        piece=piece,
        path=dirty.path,
        bytes=size,
        sha256=digest,
        lines=dirty.lines,
        defects=dirty.defects.height,
        file_fault=dirty.file_fault,
    )


def _write_bytes(content: bytes, path: Path, piece: FeedPiece) -> str:
    """Write a file and return the digest of what the disk then holds."""
    path.write_bytes(content)
    if path.stat().st_size != len(content):
        raise GateError(
            f"{piece}: the file written has {path.stat().st_size:,} bytes of {len(content):,}",
            remedy="check the disk and run this month again; the previous file is untouched",
        )
    return sha256(path)
