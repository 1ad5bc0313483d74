"""The rows of a panel's file in batches of bounded size, and the sorted copy of one whose rows are in no order."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.errors import PanelError, StorageError
from capsim_dagster.panel.contract import KEY
from capsim_dagster.panel.normalise import FilePlan, plan_file, written
from capsim_dagster.settings import Panel

_BATCH_ROWS: Final = 1 << 17
"""Rows at once, at most a row group: five metrics of them are 5 MB."""
_BUFFER_BYTES: Final = 1 << 20
_SORT_MEMORY: Final = "160MB"
"""What sorting may hold; the rest goes to the disk. Twice as much takes a whole load above 600 MiB, no faster."""


@dataclass(frozen=True)
class PanelFile:
    """A Parquet file that could be opened.

    Attributes:
        path: Where it is.
        url: Where a person finds it.
        rows: Rows in it.
        plan: How it is read.
    """

    path: Path
    url: str
    rows: int
    plan: FilePlan

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield its rows, in the file's order and types; texts of the contract as dictionaries.

        Raises:
            PanelError: If a part of it is torn.
        """
        with _readable(self.url):
            file = pq.ParquetFile(
                self.path,
                read_dictionary=self.plan.texts,
                buffer_size=_BUFFER_BYTES,
                page_checksum_verification=True,
            )
        with file:
            columns = [column.source for column in self.plan.usable]
            # Threads cost more CPU than they save time here, and 40 MiB.
            batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=columns, use_threads=False)
            while True:
                with _readable(self.url):
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch


def open_panel(panel: Panel, path: Path, url: str) -> PanelFile:
    """Return a file with the plan of its columns.

    Raises:
        PanelError: If it is no Parquet file, or torn.
    """
    with _readable(url), pq.ParquetFile(path) as file:
        return PanelFile(path, url, file.metadata.num_rows, plan_file(panel, file.schema_arrow))


@contextmanager
def sorted_copy(file: PanelFile, batches: Iterator[pa.RecordBatch]) -> Iterator[PanelFile]:
    """Yield a temporary file with the repaired rows of another, in the order of their keys.

    Args:
        file: The other.
        batches: Its repaired rows.

    Raises:
        PanelError: If the other is torn, or has a column that cannot be sorted along.
        StorageError: If the temporary folder is full.
    """
    # DuckDB costs 0.2 CPU seconds to load, which only a file in no order is to pay.
    import duckdb

    with tempfile.TemporaryDirectory(prefix="capsim-panel-") as folder:
        path = Path(folder) / "sorted.parquet"
        torn: list[PanelError] = []
        reader = pa.RecordBatchReader.from_batches(_schema(file.plan), _until_torn(file.plan, batches, torn))
        try:
            with duckdb.connect(config=_sort_settings(folder)) as connection:
                connection.register("rows_in", reader)
                connection.execute(_sort_statement(file.plan), [str(path)])
        except duckdb.Error as error:
            if not torn:
                raise _unsorted(file, error) from None
        if torn:
            raise torn[0]
        with pq.ParquetFile(path) as copy:
            yield PanelFile(path, file.url, copy.metadata.num_rows, file.plan.as_written(copy.schema_arrow))


def _schema(plan: FilePlan) -> pa.Schema:
    return pa.schema([(column.name, column.target) for column in plan.usable])


def _until_torn(plan: FilePlan, batches: Iterator[pa.RecordBatch], torn: list[PanelError]) -> Iterator[pa.RecordBatch]:
    """Yield batches as DuckDB takes them; it would make an error of its own of one that is raised here."""
    try:
        for batch in batches:
            yield written(batch, _schema(plan))
    except PanelError as error:
        torn.append(error)


def _sort_settings(folder: str) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": _SORT_MEMORY,
        "temp_directory": f"{folder}/spill",
        "threads": "2",
        "preserve_insertion_order": "false",
    }


def _sort_statement(plan: FilePlan) -> str:
    """Return the statement that sorts by every column, the key first: equal rows stand together, in one order only."""
    columns = [column.name for column in plan.usable]
    order = ", ".join(map(_quoted, [*KEY, *(name for name in columns if name not in KEY)]))
    return f"COPY (SELECT * FROM rows_in ORDER BY {order}) TO ? (FORMAT parquet)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _unsorted(file: PanelFile, error: Exception) -> StorageError:
    return StorageError(
        f"the rows of {file.url} are in no order, and cannot be sorted here: {error}",
        remedy="set TMPDIR to a folder with more room, or sort it by server_id and timestamp and load it again",
    )


@contextmanager
def _readable(url: str) -> Iterator[None]:
    """Say which file cannot be read.

    Raises:
        PanelError: If reading fails.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise PanelError(
            f"{url} is not a readable Parquet file: {error}", remedy="get it again from where it came"
        ) from None
