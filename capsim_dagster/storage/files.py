"""Files on disk: writes that are whole or absent.

A file is written beside its final path, flushed to the disk and renamed, so a kill at any instant leaves the previous
good version in place. What belongs elsewhere: where each lies (`layout`), object stores (`bucket`), what the files mean
(`master`, `legacy_feed`) and the DuckDB file (`warehouse`).
"""

import errno
import glob
import hashlib
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.storage.locks import BEING_WRITTEN, held, remove_abandoned

_DICTIONARY_PAGE_BYTES: Final = 4 << 20
"""Above the dictionary of any row group that is written here: a fallback to plain values doubles the file."""
_HASH_CHUNK_BYTES: Final = 1 << 20
TEMPORARY: Final = r"\.[0-9a-f.]+\.tmp"
"""Ends the name of a file that is being written, whose beginning is a point and the final name."""
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""How file systems say that they know no hard links: FAT, SMB, some of FUSE."""
_END: Final = object()
Item = TypeVar("Item")


@dataclass(frozen=True)
class StoredFile:
    """A file that was written whole."""

    path: Path
    rows: int
    bytes: int
    sha256: str


@contextmanager
def atomic_path(path: Path, *, replaces: bool = True) -> Iterator[Path]:
    """Yield a temporary path; on success it replaces `path`, durably; on any failure it is removed.

    Temporary files that a killed process left beside `path` are swept first; those of live processes stay.

    `replaces`: whether it replaces a file that is there; else that one stays, made by another process meanwhile too.

    Raises:
        FileNotFoundError: If nothing was written to the temporary path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        remove_abandoned(leftover)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with held(temporary):
        yield temporary
        _require_written(temporary)
        sync(temporary)
        if replaces:
            temporary.replace(path)
        else:
            _name_once(temporary, path)
        sync(path.parent)


Gate = Callable[[pq.FileMetaData], None]
"""Looks at the footer of a finished file and raises to keep it from replacing the old one."""


def write_parquet(
    path: Path, batches: Iterable[pa.RecordBatch], *, schema: pa.Schema, gate: Gate = lambda _metadata: None
) -> StoredFile:
    """Write record batches as one snappy Parquet file, atomically; as `staged_parquet`, which explains the rest."""
    with staged_parquet(path, batches, schema=schema, gate=gate) as stored:
        return stored


@contextmanager
def staged_parquet(
    path: Path, batches: Iterable[pa.RecordBatch], *, schema: pa.Schema, gate: Gate = lambda _metadata: None
) -> Iterator[StoredFile]:
    """Write record batches as one snappy Parquet file, one row group a batch, that replaces `path` on leaving.

    Every column is dictionary-encoded: rounded percentages repeat, which halves the file. Pages carry checksums.
    Files that belong together are staged in one `with` statement, so that none is replaced before all are whole.

    `batches`: batches of `schema`; two are held at a time.
    `schema`: columns, and the metadata of the footer.
    `gate`: holds the finished file's invariants.
    """
    with atomic_path(path) as temporary:
        rows = fill_parquet(temporary, batches, schema=schema)
        gate(pq.read_metadata(temporary))
        digest, size = sha256(temporary), temporary.stat().st_size
        yield StoredFile(path=path, rows=rows, bytes=size, sha256=digest)


def fill_parquet(
    path: Path, batches: Iterable[pa.RecordBatch], *, schema: pa.Schema, plain: Collection[str] = ()
) -> int:
    """Write record batches to a path that nobody reads yet, one row group a batch; return the rows.

    `batches`: batches of `schema`; two are held at a time.
    `schema`: columns, and the metadata of the footer.
    `plain`: columns whose values hardly ever repeat: a dictionary would cost time and space.
    """
    rows = 0
    with parquet_writer(path, schema, compression="snappy", plain=plain) as writer:
        writer.add_key_value_metadata(_text_metadata(schema))
        for batch in made_ahead(batches):
            writer.write_batch(batch, row_group_size=max(batch.num_rows, 1))
            rows += batch.num_rows
    return rows


def made_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items in order, each made in another thread while the one before is at work here: on the second core."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = maker.submit(next, iterator, _END)
            yield item  # type: ignore[misc] # it is not the end


def parquet_writer(
    sink: Path | pa.BufferOutputStream,
    schema: pa.Schema,
    *,
    compression: str,
    plain: Collection[str] = (),
    dictionary_bytes: int = _DICTIONARY_PAGE_BYTES,
) -> pq.ParquetWriter:
    """Return a writer of Parquet as it is written here: pages with checksums, and no schema but Parquet's own.

    `plain`: columns without a dictionary.
    `dictionary_bytes`: size of a dictionary above which plain values follow.
    """
    return pq.ParquetWriter(
        sink,
        schema,
        compression=compression,
        use_dictionary=[name for name in schema.names if name not in plain],
        dictionary_pagesize_limit=dictionary_bytes,
        store_schema=False,
        write_page_checksum=True,
    )


def sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def identity(path: Path) -> tuple[int, int, int] | None:
    """Return inode, size [bytes] and time of change [ns since 1970] of a file: others wherever somebody wrote it.

    None = there is none.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, max(found.st_mtime_ns, found.st_ctime_ns)


def _text_metadata(schema: pa.Schema) -> Mapping[str, str]:
    return {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}


def _require_written(path: Path) -> None:
    if path.stat().st_size == len(BEING_WRITTEN) and path.read_bytes() == BEING_WRITTEN:
        raise FileNotFoundError(errno.ENOENT, "nothing was written", str(path))


def _name_once(temporary: Path, path: Path) -> None:
    """Give a file its final name, unless that is taken."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # All that such a file system can do: whoever comes between these two is replaced.
        if not path.exists():
            temporary.replace(path)


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
