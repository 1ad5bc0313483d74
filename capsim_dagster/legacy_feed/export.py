"""Export of the master into the legacy feed: one CSV file a resource a month, each whole or absent."""

from pathlib import Path
from typing import Final

import polars as pl

from capsim_dagster.errors import GateError, PartitionError
from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.inspect import InspectedFile, inspect_file
from capsim_dagster.master import MasterFile
from capsim_dagster.storage import atomic_path

_ROWS_PER_WRITE: Final = 16_384
"""Half a megabyte at a time: the default of 1,024 rows costs three times the system time."""


def export_piece(master: MasterFile, contract: FeedContract, piece: FeedPiece) -> InspectedFile:
    """Write one month of one resource as a CSV file, in place of the one that was there.

    Args:
        master: The open master file.
        contract: Names and headers of the feed.
        piece: Which month and resource.

    Raises:
        PartitionError: If the master holds no such month.
        GateError: If the file on disk does not hold one line for each row of the master; the old file stays.
    """
    if piece.month not in master.footer.months:
        raise PartitionError(
            f"{piece} lies outside the master, which holds {master.footer.start} to {master.footer.end}",
            remedy="run the monthly_refresh job for that month: it extends calendar and master first",
        )
    path = contract.path(piece)
    with atomic_path(path) as temporary:
        rows = _write_csv(master, contract, piece, temporary)
        written = inspect_file(contract, piece, temporary)
        if written.lines != rows:
            raise GateError(
                f"{piece}: the file written holds {written.lines:,} lines for {rows:,} rows of the master",
                remedy="check the disk and run this month again; the previous file is untouched",
            )
    return InspectedFile(piece=piece, path=path, bytes=written.bytes, sha256=written.sha256, lines=written.lines)


def retire_strays(contract: FeedContract, months: list[int]) -> list[int]:
    """Remove feed files of months that the master does not hold, and return those months.

    Only files that follow the naming convention are touched: they are capsim's own, from a window that is no more.

    Args:
        contract: Names and headers of the feed.
        months: Months that the master holds, as YYYYMM.
    """
    kept = set(months)
    retired = {piece: path for piece, path in contract.pieces().items() if piece.month not in kept}
    for path in retired.values():
        path.unlink(missing_ok=True)
    return sorted({piece.month for piece in retired})


def _write_csv(master: MasterFile, contract: FeedContract, piece: FeedPiece, path: Path) -> int:
    """Write header and rows, piece by piece; return the rows."""
    rows = 0
    header = contract.header(piece.resource)
    with path.open("wb") as stream:
        stream.write((",".join(header) + "\n").encode())
        for frame in master.month(piece.month, piece.resource):
            # Capacities are whole numbers: 64, not 64.0, as the source systems print them. Nothing needs a quote.
            frame.with_columns(pl.col("capacity").cast(pl.Int64)).write_csv(
                stream, include_header=False, batch_size=_ROWS_PER_WRITE, quote_style="never"
            )
            rows += frame.height
    return rows
