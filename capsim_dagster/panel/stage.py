"""The validated copy: the bytes of the source where nothing had to be repaired, else its repaired rows.

The same rows make the same bytes, in whatever order and pieces they came.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from capsim_dagster.errors import GateError, PanelError
from capsim_dagster.panel.examine import Examination, without_exact
from capsim_dagster.panel.findings import FileFacts
from capsim_dagster.panel.plan import FilePlan
from capsim_dagster.panel.read import PanelRows
from capsim_dagster.storage import Store, fill_parquet, sha256

_ROW_GROUP_ROWS: Final = 1 << 17
"""Rows of a group in a repaired copy: about ninety servers over four years."""
_PANDAS: Final = b"pandas"

Version = tuple[int, int, int]
"""Tells whether a file is still the one that it was: inode, size, time of change."""


@dataclass(frozen=True)
class Copying:
    """What is to be staged.

    Attributes:
        source: The file, as it was when it was examined.
        version: Which version of it that was.
        rows: Its rows.
        seen: What was counted in them.
        is_repaired: Whether anything had to be repaired.
    """

    source: FileFacts
    version: Version
    rows: PanelRows
    seen: Examination
    is_repaired: bool


def version_of(path: Path) -> Version:
    """Return which version of a file is there."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def stage(copying: Copying, store: Store, key: str) -> FileFacts:
    """Write the validated copy, once its rows are accounted for.

    Raises:
        GateError: If a row was lost or invented; what was there before stays.
        PanelError: If the source changed since it was examined.
        StorageError: If the store cannot be written.
    """
    file = copying.rows.file
    with store.writing(key) as path:
        if copying.is_repaired:
            schema = _schema(file.plan)
            rows = fill_parquet(path, _batches(_repaired(copying), schema), schema=schema)
            digest = sha256(path)
        else:
            shutil.copyfile(file.path, path)
            rows, digest = file.rows, copying.source.sha256
        _require(copying, rows)
        size = path.stat().st_size
    return FileFacts(store.url(key), size, digest, rows)


def _require(copying: Copying, rows: int) -> None:
    url, seen, found = copying.source.url, copying.seen, copying.rows.file.rows
    if version_of(copying.rows.file.path) != copying.version:
        raise PanelError(
            f"{url} changed while it was loaded",
            remedy="load it again once nobody writes it; the validated panel of before is untouched",
        )
    if not rows == seen.kept == found - seen.exact:
        raise GateError(
            f"{found:,} rows of {url} are not {rows:,} validated rows, of which {seen.kept:,} were examined, "
            f"+ {seen.exact:,} exact duplicates",
            remedy="this is a defect of capsim: report it; the validated panel of before is untouched",
        )


def _schema(plan: FilePlan) -> pa.Schema:
    """Return the columns with what the footer of the source says."""
    metadata = {name: text for name, text in plan.metadata.items() if name != _PANDAS and _is_utf8(text)}
    return plan.schema.with_metadata(metadata)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _repaired(copying: Copying) -> Iterator[pl.DataFrame]:
    return (without_exact(piece)[0] for piece in copying.rows.pieces())


def _batches(pieces: Iterable[pl.DataFrame], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of pieces in batches of one size, as they are written."""
    held: list[pl.DataFrame] = []
    rows = 0
    for piece in pieces:
        held.append(piece)
        rows += piece.height
        while rows >= _ROW_GROUP_ROWS:
            whole = pl.concat(held)
            yield _batch(whole.head(_ROW_GROUP_ROWS), schema)
            held = [whole.slice(_ROW_GROUP_ROWS)]
            rows -= _ROW_GROUP_ROWS
    if rows:
        yield _batch(pl.concat(held), schema)


def _batch(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    (batch,) = frame.to_arrow().select(schema.names).cast(schema).combine_chunks().to_batches()
    return batch
