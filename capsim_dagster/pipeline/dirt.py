"""What is known of a dirty feed beforehand: which lines of capsim's own feed were damaged on purpose.

The lists of defects say what each month and resource must still hold, exactly, and what the refinery must find.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from capsim_dagster.audits.fingerprints import (
    Fingerprint,
    PieceKey,
    fingerprints,
    frame_fingerprints,
    master_fingerprints,
    rows_of,
    view_master,
)
from capsim_dagster.audits.report import Finding
from capsim_dagster.audits.score import score
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.legacy_feed.dialects import plain_dialect
from capsim_dagster.legacy_feed.manifest import DefectList, list_files, list_path, read_list
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.dialect import days_of_month
from capsim_dagster.schemas.feed import INJECTED_DEFECTS
from capsim_dagster.schemas.frames import frame_schema
from capsim_dagster.storage import sha256

_COLUMNS: Final = ("date", "host_id", "util", "capacity")
"""What a plain line says, in this order; the last where the feed has it."""
_NOTHING: Final = pl.DataFrame(
    schema={"date": pl.Date, "host_id": pl.String, "resource": pl.String, "util": pl.Float64, "capacity": pl.Float64}
)
_WITHOUT_CAPACITY: Final = (
    "CREATE OR REPLACE TEMP VIEW expected_rows AS SELECT * REPLACE (NULL::DOUBLE AS capacity) FROM master_rows"
)
_REJECTED: Final = "SELECT path, line, reason FROM rejected_lines"
_REFUSED: Final = "SELECT path, reason FROM refused_files"
_LOADED: Final = "SELECT path, sha256, dialect FROM feed_files"


def defect_lists(platform: Platform, months: Collection[int] | None = None) -> dict[FeedPiece, DefectList]:
    """Return the lists of defects of the feed files that are on disk as they were written, by piece.

    The months are YYYYMM; None = all.
    """
    contract = platform.contract
    lists = {}
    for piece, path in _list_files(platform, months):
        listed, found = read_list(path), contract.found(piece)
        if [sha256(file) for file in found] == ([listed.sha256] if listed.sha256 else []):
            lists[piece] = listed
    return lists


def _list_files(platform: Platform, months: Collection[int] | None) -> Iterator[tuple[FeedPiece, Path]]:
    """Yield the lists that there are; where the months are known, without a walk over all of them."""
    contract, root = platform.contract, platform.layout.defects
    if months is None:
        yield from list_files(contract, root)
        return
    for piece in (FeedPiece(month, resource) for month in months for resource in contract.settings.resources):
        path = list_path(contract, root, piece)
        if path.is_file():
            yield piece, path


def expected_content(platform: Platform, months: Collection[int]) -> Mapping[PieceKey, Fingerprint]:
    """Return what the refinery must make of each month and resource: the master, without the damaged lines.

    Checksums are sums over rows, so the lines that were damaged are taken off by theirs.
    """
    content = undamaged_content(platform)
    lists = defect_lists(platform, months).items()
    damaged = [_damaged_lines(platform, piece, listed.frame) for piece, listed in lists]
    for key, part in frame_fingerprints(pl.concat(damaged) if damaged else _NOTHING).items():
        if key in content:
            content[key] = _without(content[key], part)
    return content


def undamaged_content(platform: Platform) -> dict[PieceKey, Fingerprint]:
    """Return what each month and resource of the feed is made of: the master, with a capacity where the feed has it."""
    return {**master_fingerprints(platform.layout.master), **_without_capacity(platform)}


def defects_score(platform: Platform) -> Finding:
    """Report how well the refinery found the defects that were put into the files that it has read."""
    with platform.reading() as connection:
        rejected, refused = (connection.sql(query).pl() for query in (_REJECTED, _REFUSED))
        loaded = rows_of(connection, _LOADED)
    lists = defect_lists(platform).values()
    digests = {digest for _, digest, _ in loaded}
    names = {path.removesuffix(".gz") for path in refused["path"]}
    read = [
        listed.frame
        for listed in lists
        if listed.sha256 in digests or listed.frame["path"].str.strip_suffix(".gz").is_in(list(names)).any()
    ]
    injected = pl.concat(read) if read else pl.DataFrame(schema=frame_schema(INJECTED_DEFECTS))
    unread = len(lists) - len(read)
    report = score(injected, rejected, refused, {path: set(json.loads(text)["traits"]) for path, _, text in loaded})
    if not unread:
        return report
    return replace(report, note=f"{unread:,} damaged files are of months that were not loaded, and are not judged")


def _without_capacity(platform: Platform) -> dict[PieceKey, Fingerprint]:
    """Return what the master says of the resources whose feed has no capacity."""
    resources = platform.settings.legacy_feed.resources
    silent = {resource.value for resource, columns in resources.items() if columns.capacity_column is None}
    if not silent:
        return {}
    with duckdb.connect() as connection:
        view_master(connection, platform.layout.master)
        connection.execute(_WITHOUT_CAPACITY)
        found = fingerprints(connection, "expected_rows")
    return {key: fingerprint for key, fingerprint in found.items() if key[1] in silent}


def _damaged_lines(platform: Platform, piece: FeedPiece, defects: pl.DataFrame) -> pl.DataFrame:
    """Return what the damaged lines of a file said before, as rows."""
    originals = defects["original"].drop_nulls()
    if originals.is_empty():
        return _NOTHING
    dialect = plain_dialect(platform.settings.legacy_feed, piece.resource)
    rows = pl.read_csv(
        BytesIO("".join(f"{line}\n" for line in originals).encode()),
        has_header=False,
        schema=dict.fromkeys(_COLUMNS[: len(dialect.columns)], pl.String),
        separator=dialect.delimiter,
    )
    days = days_of_month(piece.month, dialect.date_format)
    has_capacity = len(dialect.columns) == len(_COLUMNS)
    return rows.select(
        pl.date(piece.month // 100, piece.month % 100, pl.col("date").replace_strict(days)).alias("date"),
        "host_id",
        pl.lit(piece.resource.value).alias("resource"),
        # A line of capsim's own says a number or is a gap, which may be spelled like one.
        pl.when(pl.col("util") != dialect.gap).then(_number("util", dialect.decimal)).alias("util"),
        _number("capacity", dialect.decimal) if has_capacity else pl.lit(None, pl.Float64).alias("capacity"),
    )


def _number(column: str, decimal: str) -> pl.Expr:
    return pl.col(column).str.replace(decimal, ".", literal=True).cast(pl.Float64, strict=False)


def _without(whole: Fingerprint, part: Fingerprint) -> Fingerprint:
    return Fingerprint(
        whole.rows - part.rows,
        whole.reported - part.reported,
        whole.key_checksum - part.key_checksum,
        whole.checksum - part.checksum,
    )
