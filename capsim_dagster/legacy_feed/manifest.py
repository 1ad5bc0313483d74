"""The lists of defects that were put into the feed on purpose: one Parquet file a feed file, beside the feed.

A list names the digest of the feed file that it belongs to. Where the two differ, the list tells nothing about that
file, and writing the month again puts both right.
"""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from capsim_dagster.errors import FeedError
from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.schemas.arrow import arrow_schema
from capsim_dagster.schemas.feed import INJECTED_DEFECTS
from capsim_dagster.simulated.footer import readable
from capsim_dagster.storage import StoredFile, staged_parquet

SCHEMA: Final = arrow_schema(INJECTED_DEFECTS)
"""Columns as written."""
_KEY: Final = "capsim"
_SUFFIX: Final = ".parquet"
_FEED_SUFFIX: Final = ".csv"
_REMEDY: Final = "write the feed file again by materializing monthly_csv for that month: the list comes with it"


@dataclass(frozen=True)
class DefectList:
    """The defects of one feed file.

    Attributes:
        frame: Columns of `schemas.feed.INJECTED_DEFECTS`.
        sha256: Hex digest of the feed file; empty = it is missing on purpose.
        bytes: Size of the feed file.
    """

    frame: pl.DataFrame
    sha256: str
    bytes: int


def list_path(contract: FeedContract, root: Path, piece: FeedPiece) -> Path:
    """Return where the list of a piece lies: as the plain feed file under its own root, with another suffix."""
    return root / (contract.relative(contract.path(piece)).removesuffix(_FEED_SUFFIX) + _SUFFIX)


def staged_list(path: Path, frame: pl.DataFrame, *, sha256: str, size: int) -> AbstractContextManager[StoredFile]:
    """Write a list that replaces the one at `path` on leaving.

    `frame`: columns of `schemas.feed.INJECTED_DEFECTS`.
    `sha256`: hex digest of the feed file; empty = it is missing on purpose.
    `size`: size of the feed file [bytes].
    """
    facts = json.dumps({"sha256": sha256, "bytes": size}, sort_keys=True)
    batches = frame.to_arrow().cast(SCHEMA).to_batches()
    return staged_parquet(path, batches, schema=SCHEMA.with_metadata({_KEY: facts}))


def read_list(path: Path) -> DefectList:
    """Return a list.

    Raises:
        FeedError: If it is missing or torn.
    """
    with readable(path, FeedError, remedy=_REMEDY), pq.ParquetFile(path, page_checksum_verification=True) as file:
        facts = json.loads((file.metadata.metadata or {}).get(_KEY.encode(), b"{}"))
        frame = pl.DataFrame(file.read())
    if not {"sha256", "bytes"} <= facts.keys():
        raise FeedError(f"{path} is no list of defects: nothing says which file it belongs to", remedy=_REMEDY)
    return DefectList(frame, facts["sha256"], facts["bytes"])


def list_files(contract: FeedContract, root: Path) -> Iterator[tuple[FeedPiece, Path]]:
    """Yield every list under a root with the piece whose defects it holds."""
    suffix = _FEED_SUFFIX if contract.settings.layout.endswith(_FEED_SUFFIX) else ""
    for path in sorted(root.rglob(f"*{_SUFFIX}")):
        name = path.relative_to(root).as_posix().removesuffix(_SUFFIX) + suffix
        piece = contract.piece(contract.root / name)
        if piece is not None and path == list_path(contract, root, piece):
            yield piece, path


def remove_list(contract: FeedContract, root: Path, piece: FeedPiece) -> None:
    """Remove the list of a piece, if there is one."""
    list_path(contract, root, piece).unlink(missing_ok=True)
