"""Reading published files that anyone may have written: what they claim to hold is compared before it is read.

Arrow and polars trust what they read: text that is no UTF-8, times beyond the calendar or a million rows behind every
kilobyte end in a crash, or in all of the memory. What passes here can be judged row by row.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from capsim_dagster.publication.dataset.manifest import PRODUCER, DataFile

MOST_ROWS_AT_ONCE: Final = 4_000_000
"""Rows of a row group, which is read at once: an hour of 300,000 hosts at five minutes, and about 1 GiB."""
_FEW_ROWS: Final = 1_000_000
"""So many are read even where the manifest says another number: what is wrong with them says more."""
_MOST_GROUP_BYTES: Final = 1 << 30
_HIGHEST: Final = 2**50
"""Above any number that is counted here; times the seconds of an hour it still fits into 64 bits."""
_FIRST_TIME: Final = -62_135_596_800_000_000
"""Midnight of the first day that Python's calendar has [µs since 1970]."""
_LAST_TIME: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""


class UnreadableDataError(ValueError):
    """The rows of a file cannot be read safely."""


UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""What reading a file that is no sound Parquet may raise."""


@contextmanager
def opened(path: Path, promised: DataFile, *, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """Yield a file whose footer claims not many more rows than its manifest, and no more at once than memory takes.

    Args:
        path: The file, whose bytes are those of its manifest.
        promised: What its manifest says of it.
        dictionaries: Columns to read as dictionaries.

    Raises:
        UnreadableDataError: If it claims more.
        ArrowException: If it is no Parquet.
    """
    found = pq.read_metadata(path)
    if found.num_rows > max(promised.rows, _FEW_ROWS):
        raise UnreadableDataError(f"its footer says {found.num_rows:,} rows, the manifest {promised.rows:,}")
    _require_small_groups(found)
    texts = [column.name for column in found.schema.to_arrow_schema() if pa.types.is_string(column.type)]
    texts = [name for name in dictionaries if texts.count(name) == 1]
    with pq.ParquetFile(path, metadata=found, read_dictionary=texts, page_checksum_verification=True) as file:
        yield file


def _require_small_groups(found: pq.FileMetaData) -> None:
    groups = [found.row_group(index) for index in range(found.num_row_groups)]
    if sum(group.num_rows for group in groups) != found.num_rows:
        raise UnreadableDataError("its footer contradicts itself: its row groups have other rows than the file")
    for group in groups:
        if group.num_rows > MOST_ROWS_AT_ONCE or group.total_byte_size > _MOST_GROUP_BYTES:
            raise UnreadableDataError(
                f"a row group claims {group.num_rows:,} rows and {group.total_byte_size:,} bytes; at most"
                f" {MOST_ROWS_AT_ONCE:,} and {_MOST_GROUP_BYTES:,} are read at once"
            )


def footer_text(file: pq.ParquetFile) -> bytes:
    """Return what the footer says of the dataset; empty = nothing."""
    found: bytes = (file.metadata.metadata or {}).get(PRODUCER.encode(), b"")
    return found


def row_groups(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """Yield the rows of a file that has the columns of its dataset, row group by row group.

    Raises:
        UnreadableDataError: If a value is none that Python, numpy and polars can hold.
        ArrowException: If a page is not what its checksum says, or cannot be read.
    """
    for index in range(file.num_row_groups):
        rows = file.read_row_group(index, use_threads=False)
        rows.validate(full=True)
        for column in rows.schema:
            _require_range(rows[column.name], column)
        yield rows


def _require_range(values: pa.ChunkedArray, column: pa.Field) -> None:
    """Make sure that times lie in the calendar, and that whole numbers can be reckoned with."""
    if pa.types.is_timestamp(column.type):
        numbers, least, most = values.cast(pa.int64()), _FIRST_TIME, _LAST_TIME
    elif pa.types.is_int64(column.type):
        numbers, least, most = values, -_HIGHEST, _HIGHEST
    else:
        return
    found = pc.min_max(numbers).as_py()
    if found["min"] is not None and not least <= found["min"] <= found["max"] <= most:
        raise UnreadableDataError(f"{column.name} holds {found['min']} to {found['max']}; expected {least} to {most}")
