"""Loading of one month's feed files into `processed_data`, in one transaction, with every gate before the commit.

Each data line of a file becomes a row or a rejected line; a file that cannot be used at all is refused, and so is a
month with more rejected lines than is allowed. Whatever fails, the month keeps its previous good rows. A file that is
loaded already, and whose rows are still in the table, is not read again.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from capsim_dagster.audits.fingerprints import Fingerprint, PieceKey, frame_fingerprint, table_month_fingerprints
from capsim_dagster.errors import CapsimError, FeedError, GateError, WarehouseError, listed
from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.inspect import look_alikes
from capsim_dagster.refinery.accounts import (
    LoadedFile,
    RefusedFile,
    loaded_files,
    record_files,
    record_refusals,
    replace_rows,
)
from capsim_dagster.refinery.parsed import ParsedFiles
from capsim_dagster.refinery.read import ReadFile, has_usable_header, read_feed_file
from capsim_dagster.refinery.rules import REMEDIES, FileRefused, HostTable
from capsim_dagster.refinery.source import FeedSource
from capsim_dagster.schemas import FileFault, Resource
from capsim_dagster.schemas.months import first_day, month_name
from capsim_dagster.storage.warehouse import transaction

_KEPT: Final = "the month keeps its previous rows"
_GATES: Final = (FileFault.UNLIKE_MASTER, FileFault.TOO_MANY_REJECTED)
_EXAMPLES: Final = 3
_ROWS_HELD: Final = 1_000_000
"""Rows that wait for the others of their month, at 80 bytes each while they are inserted."""


@dataclass(frozen=True)
class Feed:
    """A feed that is being loaded: where its files lie, the hosts and rules that they are read by, the name of the run.

    `source` is what each month and resource must hold, where capsim wrote the feed; None = it is somebody else's.
    `parsed` has the files that were read before in this run.
    """

    contract: FeedContract
    hosts: HostTable
    run: str
    source: Mapping[PieceKey, Fingerprint] | None = None
    parsed: ParsedFiles | None = None


@dataclass(frozen=True)
class LoadedMonth:
    """One month, as YYYYMM, that is in the table.

    Files are refused, or more lines rejected than `refinery.max_rejected_share`, only where a partial month is allowed.
    `content` is what the table was found to hold of it, before the transaction ended.
    """

    month: int
    files: Sequence[LoadedFile]
    refused: Sequence[RefusedFile] = ()
    is_too_dirty: bool = False
    content: Mapping[PieceKey, Fingerprint] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows in the table."""
        return sum(file.loaded for file in self.files)

    @property
    def lines(self) -> int:
        """Physical data lines of the files."""
        return sum(file.lines for file in self.files)

    @property
    def rejected(self) -> int:
        """Lines that are not loaded."""
        return sum(file.rejected for file in self.files)

    @property
    def checksum(self) -> int:
        """Order-independent checksum over the rows."""
        return sum(int(file.checksum, 16) for file in self.files)

    @property
    def is_unchanged(self) -> bool:
        """Whether every file was loaded already."""
        return all(file.is_unchanged for file in self.files)

    @property
    def is_partial(self) -> bool:
        """Whether this month was loaded only because a partial one was allowed."""
        return bool(self.refused) or self.is_too_dirty


class _MonthRefused(Exception):  # noqa: N818 control flow: leaves the transaction, then becomes an error with a remedy
    def __init__(self, refused: Sequence[RefusedFile], *, has_files: bool) -> None:
        self.refused, self.has_files = refused, has_files


def load_month(connection: duckdb.DuckDBPyConnection, feed: Feed, month: int) -> LoadedMonth:
    """Replace one month of `processed_data` by what its feed files hold.

    Raises:
        FeedError: If a file cannot be used, and partial months are not allowed.
        GateError: If too many lines are rejected, or the files are not what capsim wrote.
        WarehouseError: If the files are sound but the rows cannot be written, as on a full disk.
    """
    try:
        try:
            with transaction(connection):
                return _load(connection, feed, month)
        except _MonthRefused as refusal:
            # A month of which there is nothing at all is no month of this feed, or not yet: there is nothing to mend.
            if any(file.fault is not FileFault.MISSING for file in refusal.refused) or refusal.has_files:
                with transaction(connection):
                    record_refusals(connection, refusal.refused, feed.run)
            raise _as_error(month, refusal.refused) from None
    except duckdb.Error as error:
        raise WarehouseError(
            f"{month} cannot be written: {error}",
            remedy="check disk and memory, then run it again; its previous rows are untouched",
        ) from None


def _load(connection: duckdb.DuckDBPyConnection, feed: Feed, month: int) -> LoadedMonth:
    """Do the work of `load_month` within its transaction; a gate that does not hold raises _MonthRefused."""
    files: list[LoadedFile] = []
    incoming = _Incoming(connection, month)
    sources, refused = _sources(feed, month)
    known = loaded_files(connection, month)
    present = table_month_fingerprints(connection, month) if known else {}
    for resource, source in sources.items():
        piece = FeedPiece(month, resource)
        try:
            before, rows = known.get(resource), present.get((month, resource.value))
            if before and rows and _is_unchanged(feed, before, source, rows):
                _require_as_written(feed, piece, rows)
                files.append(before)
            else:
                files.append(_load_file(incoming, feed, piece, source))
        except FileRefused as refusal:
            refused.append(_refused(feed, piece, refusal, source.path))
    loaded = _gated(feed, LoadedMonth(month, files, refused))
    incoming.insert()
    content = present if loaded.is_unchanged else _require_in_table(connection, loaded)
    record_files(connection, files, incoming.rejected, feed.run)
    if refused:
        record_refusals(connection, refused, feed.run)
    return replace(loaded, content=content)


class _Incoming:
    """Rows and rejected lines of a month's files on their way into the table: one insert costs less than four."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, month: int) -> None:
        self.connection = connection
        self.rejected: list[pl.DataFrame] = []
        self._month = month
        self._frames: dict[Resource, pl.DataFrame] = {}

    def add(self, resource: Resource, rows: pl.DataFrame, rejected: pl.DataFrame) -> None:
        """Hold a file's rows; what is held is inserted where it would become much."""
        if rows.height + sum(frame.height for frame in self._frames.values()) > _ROWS_HELD:
            self.insert()
        self._frames[resource] = rows
        self.rejected += [rejected] if rejected.height else []

    def insert(self) -> None:
        """Put what is held into the table."""
        replace_rows(self.connection, self._month, self._frames)
        self._frames = {}


def _sources(feed: Feed, month: int) -> tuple[dict[Resource, FeedSource], list[RefusedFile]]:
    """Open the files of a month: those that can be read, and those that cannot or are copies of another."""
    sources: dict[Resource, FeedSource] = {}
    refused = []
    for resource in feed.hosts.rules.refinery.resources:
        piece = FeedPiece(month, resource)
        try:
            sources[resource] = _source(feed, piece)
        except FileRefused as refusal:
            refused.append(_refused(feed, piece, refusal))
    for resource, twin in _copies(feed, sources, month).items():
        copied = FileRefused(FileFault.DUPLICATE_FILE, f"byte for byte the same as {feed.contract.relative(twin)}")
        refused.append(_refused(feed, FeedPiece(month, resource), copied, sources.pop(resource).path))
    return sources, refused


def _source(feed: Feed, piece: FeedPiece) -> FeedSource:
    """Open the one file of a piece; refuse it if there is none, or two, or it cannot be read."""
    found = feed.contract.found(piece)
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise FileRefused(FileFault.AMBIGUOUS, f"{names} both claim to be {piece}")
    if not found:
        raise _nothing_to_read(feed.contract.candidates(piece))
    return FeedSource(found[0], max_text_mb=feed.hosts.rules.refinery.max_text_mb)


def _nothing_to_read(paths: Sequence[Path]) -> FileRefused:
    """Return why none of the paths where a file may lie is one."""
    for path in paths:
        if path.is_symlink() and not path.exists():
            return FileRefused(FileFault.UNREADABLE, f"it is a link to {path.readlink()}, which is not there")
        if path.exists() and not path.is_dir():
            return FileRefused(FileFault.UNREADABLE, "it is a pipe or a device, not a file")
    return FileRefused(FileFault.MISSING, f"no such file{look_alikes(paths[0])}")


def _copies(feed: Feed, sources: Mapping[Resource, FeedSource], month: int) -> dict[Resource, Path]:
    """Return the files that are copies of another one of the month, with the other.

    Of two equal files the one whose header is its own resource's is the original; where both or none are, nothing
    tells which is right, and both are copies.
    """
    by_content: dict[str, list[Resource]] = {}
    for resource, source in sources.items():
        by_content.setdefault(source.sha256, []).append(resource)
    copies: dict[Resource, Path] = {}
    for alike in by_content.values():
        if len(alike) > 1:
            usable = [r for r in alike if has_usable_header(sources[r], FeedPiece(month, r), feed.hosts.rules)]
            wrong = alike if len(usable) != 1 else [r for r in alike if r not in usable]
            copies |= {r: sources[next(other for other in alike if other != r)].path for r in wrong}
    return copies


def _is_unchanged(feed: Feed, before: LoadedFile, source: FeedSource, rows: Fingerprint) -> bool:
    """Whether a file is loaded already: the same content, read by the same rules, and its rows still in the table."""
    digest = feed.hosts.rules.digest(before.piece.resource)
    is_same_file = (before.path, before.sha256) == (feed.contract.relative(source.path), source.sha256)
    return is_same_file and before.rules == digest and before.holds(rows)


def _load_file(incoming: _Incoming, feed: Feed, piece: FeedPiece, source: FeedSource) -> LoadedFile:
    """Read a file, whose rows take the place of its piece's previous ones.

    Raises:
        FileRefused: If it cannot be used; nothing has changed then.
        GateError: If a line is neither a row nor rejected.
    """
    rules = feed.hosts.rules.digest(piece.resource)
    kept = feed.parsed.take(source, piece, rules) if feed.parsed else None
    read = kept.read if kept else read_feed_file(source, piece, feed.hosts)
    rows = rows_of_file(read, feed.hosts)
    parsed = kept.content if kept else content_of(incoming.connection, rows)
    reasons = dict(read.rejected["reason"].value_counts(sort=True).iter_rows())
    file = LoadedFile(
        piece=piece,
        path=feed.contract.relative(source.path),
        bytes=source.bytes,
        sha256=source.sha256,
        lines=read.lines,
        loaded=parsed.rows,
        rejected=read.rejected.height,
        checksum=f"{parsed.checksum:x}",
        dialect=read.dialect.as_json(),
        rules=rules,
        reasons=reasons,
    )
    if file.lines != file.loaded + file.rejected:
        raise GateError(
            f"{file.path}: {file.lines:,} lines gave {file.loaded:,} rows and {file.rejected:,} rejected lines",
            remedy=f"please report this file: it is a defect; {_KEPT}",
        )
    _require_as_written(feed, piece, parsed, read)
    origin = {"path": file.path, "yearmonth": piece.month, "resource": piece.resource.value}
    incoming.add(piece.resource, rows, read.rejected.with_columns(**{n: pl.lit(value) for n, value in origin.items()}))
    return file


def content_of(connection: duckdb.DuckDBPyConnection, rows: pl.DataFrame) -> Fingerprint:
    """Return the fingerprint of the rows of a file, as `rows_of_file` gives them."""
    connection.register("rows_of_file", rows.to_arrow())
    found = frame_fingerprint(connection, "rows_of_file")
    connection.unregister("rows_of_file")
    return found


def rows_of_file(read: ReadFile, hosts: HostTable) -> pl.DataFrame:
    """Return the sound lines with dates and hosts in place of numbers."""
    before = first_day(read.piece.month) - dt.timedelta(days=1)
    return read.rows.select(
        date=(pl.col("day").cast(pl.Int32) + (before - dt.date(1970, 1, 1)).days).cast(pl.Date),
        host_id=hosts.names(read.rows["host"]),
        util="util",
        capacity="capacity",
    )


def _require_as_written(feed: Feed, piece: FeedPiece, found: Fingerprint, read: ReadFile | None = None) -> None:
    """Refuse a file that capsim wrote if its rows are not what it wrote."""
    if feed.source is None:
        return
    expected = feed.source.get((piece.month, piece.resource.value))
    difference = found.differs_from(expected) if expected else "a month that the master does not hold"
    if difference:
        rejected = f"; rejected: {_examples(read)}" if read is not None and read.rejected.height else ""
        raise FileRefused(FileFault.UNLIKE_MASTER, f"it differs from the master: {difference}{rejected}")


def _gated(feed: Feed, loaded: LoadedMonth) -> LoadedMonth:
    """Return the month if its gates hold, or a partial one is allowed; else raise _MonthRefused."""
    refinery = feed.hosts.rules.refinery
    is_too_dirty = loaded.rejected > refinery.max_rejected_share * loaded.lines
    if loaded.files and refinery.allow_partial:
        return replace(loaded, is_too_dirty=is_too_dirty)
    refused = list(loaded.refused)
    if is_too_dirty:
        refused += [_too_dirty(file, refinery.max_rejected_share) for file in loaded.files if file.rejected]
    if refused:
        raise _MonthRefused(refused, has_files=bool(loaded.files))
    return loaded


def _too_dirty(file: LoadedFile, allowed: float) -> RefusedFile:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in file.reasons.items())
    return RefusedFile(
        file.piece,
        file.path,
        FileFault.TOO_MANY_REJECTED,
        f"{file.rejected:,} of {file.lines:,} lines are rejected ({reasons}); a month may have {allowed:.3%}",
    )


def _require_in_table(connection: duckdb.DuckDBPyConnection, loaded: LoadedMonth) -> Mapping[PieceKey, Fingerprint]:
    """Return what the table holds of a month; make sure that it is just the rows of the files."""
    found = table_month_fingerprints(connection, loaded.month)
    for file in loaded.files:
        rows = found.get((file.piece.month, file.piece.resource.value))
        if file.loaded and not file.holds(rows):
            raise GateError(
                f"{file.path}: the table holds {rows.rows if rows else 0:,} rows that are not the "
                f"{file.loaded:,} rows of the file",
                remedy=f"check the disk and run it again; {_KEPT}",
            )
    return found


def _examples(read: ReadFile) -> str:
    """Return the first rejected lines in words."""
    rows = read.rejected.head(_EXAMPLES).iter_rows(named=True)
    return listed(
        f"line {row['line']} {row['reason']}" + (f" in {row['column_name']}" if row["column_name"] else "")
        for row in rows
    ) + (f" … {read.rejected.height:,} in all" if read.rejected.height > _EXAMPLES else "")


def _refused(feed: Feed, piece: FeedPiece, refusal: FileRefused, path: Path | None = None) -> RefusedFile:
    return RefusedFile(piece, feed.contract.relative(path or feed.contract.path(piece)), refusal.fault, refusal.found)


def _as_error(month: int, refused: Sequence[RefusedFile]) -> CapsimError:
    """Return the error that names each refused file of a month, and what to do."""
    kind = GateError if all(file.fault in _GATES for file in refused) else FeedError
    remedies = dict.fromkeys(REMEDIES[file.fault] for file in refused)
    return kind(
        f"{month_name(month)}: {len(refused)} of its files cannot be loaded, {_KEPT}: "
        + "; ".join(str(file) for file in refused),
        remedy="; ".join(remedies),
    )
