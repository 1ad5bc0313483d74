"""Ways to damage what a test has built, and to see what is left of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource

ChangeLines = Callable[[list[str]], list[str]]
ChangeFrame = Callable[[pl.DataFrame], pl.DataFrame]


def feed_file(platform: Platform, month: int = 202302, resource: Resource = Resource.CPU) -> Path:
    """Return where a feed file lies; February's CPU unless told."""
    return platform.contract.path(FeedPiece(month, resource))


def change_lines(path: Path, change: ChangeLines) -> None:
    """Rewrite a text file through a function of its lines, the header included."""
    lines = change(path.read_text(encoding="utf-8").splitlines())
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def replace_field(line_number: int, field: int, text: str) -> ChangeLines:
    """Return a change of one field of one line; the header is line 1, the date is field 0."""

    def change(lines: list[str]) -> list[str]:
        fields = lines[line_number - 1].split(",")
        fields[field] = text
        return [*lines[: line_number - 1], ",".join(fields), *lines[line_number:]]

    return change


def rewrite_parquet(path: Path, change: ChangeFrame) -> None:
    """Rewrite each row group of one of capsim's files through a function of its frame; footer metadata stays."""
    source = pq.ParquetFile(path)
    footer = {"capsim": source.metadata.metadata[b"capsim"].decode()}
    schema = source.schema_arrow.remove_metadata()
    frames = [pl.DataFrame(source.read_row_group(index)) for index in range(source.num_row_groups)]
    source.close()
    with pq.ParquetWriter(path, schema, store_schema=False) as writer:
        writer.add_key_value_metadata(footer)
        for frame in frames:
            changed = change(frame).to_arrow().select(schema.names).cast(schema)
            writer.write_table(changed, row_group_size=max(changed.num_rows, 1))


def rewrite_master(platform: Platform, change: ChangeFrame) -> None:
    """Rewrite each row group of the master through a function of its frame."""
    rewrite_parquet(platform.layout.master, change)


def run_sql(platform: Platform, statement: str) -> None:
    """Run one statement in the warehouse and commit it."""
    with platform.writing() as connection:
        connection.execute(statement).fetchall()


def rows_in(platform: Platform, table: str) -> list[tuple[Any, ...]]:
    """Return every row of a table of the warehouse, sorted."""
    with platform.reading() as connection:
        rows: list[tuple[Any, ...]] = connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
    return rows


def files_under(folder: Path) -> dict[str, bytes]:
    """Return the content of every file under a folder, by relative path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
