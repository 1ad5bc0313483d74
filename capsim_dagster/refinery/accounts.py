"""The accounts of the refinery in the warehouse: which file gave which rows, which lines are not loaded, and why."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb
import polars as pl

from capsim_dagster.audits.fingerprints import Fingerprint, rows_of
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.schemas import FileFault, Resource
from capsim_dagster.schemas.feed import REFUSED_FILES
from capsim_dagster.schemas.frames import frame_schema
from capsim_dagster.schemas.months import first_day
from capsim_dagster.storage.warehouse import append_rows, statement, transaction

_DELETE: Final = """
    DELETE FROM processed_data
    WHERE ds >= $first_day AND ds < $first_day + INTERVAL 1 MONTH AND list_contains($resources, resource)
"""
_INSERT: Final = """
    INSERT INTO processed_data (ds, host_id, resource, y, cap, capacity)
    SELECT date::TIMESTAMP, host_id, resource, util, 100.0, capacity FROM incoming_rows
"""
_FACTS: Final = ("path", "bytes", "sha256", "lines", "loaded", "rejected", "checksum", "dialect", "rules")
_RECORDED: Final = f"SELECT resource, {', '.join(_FACTS)} FROM feed_files WHERE yearmonth = $month"
_REASONS: Final = """
    SELECT resource, reason, count(*) AS lines FROM rejected_lines WHERE yearmonth = $month
    GROUP BY ALL ORDER BY lines DESC, reason
"""


@dataclass(frozen=True)
class LoadedFile:
    """A feed file whose lines are in the table: `lines = loaded + rejected`; its path is relative to the feed.

    Attributes:
        checksum: Order-independent checksum over the rows, in hexadecimal digits.
        dialect: How it is written, as JSON.
        rules: Hash of what it was read by.
        loaded_at: When, in UTC; None = just now.
        reasons: Rejected lines by reason, most first.
        is_unchanged: Whether it was loaded already, so that nothing was done.
    """

    piece: FeedPiece
    path: str
    bytes: int
    sha256: str
    lines: int
    loaded: int
    rejected: int
    checksum: str
    dialect: str
    rules: str
    loaded_at: dt.datetime | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    is_unchanged: bool = False

    @property
    def rejected_share(self) -> float:
        """Share of its lines that were rejected, 0 to 1."""
        return self.rejected / self.lines if self.lines else 0.0

    def holds(self, found: Fingerprint | None) -> bool:
        """Return whether rows of the table are those of this file."""
        return found is not None and (found.rows, f"{found.checksum:x}") == (self.loaded, self.checksum)


@dataclass(frozen=True)
class RefusedFile:
    """A feed file that was refused as a whole, at a time in UTC, None = just now; its path is relative to the feed."""

    piece: FeedPiece
    path: str
    fault: FileFault
    detail: str
    refused_at: dt.datetime | None = None

    def __str__(self) -> str:
        """Return path, fault and detail in one line."""
        return f"{self.path}: {self.detail}"


def loaded_files(connection: duckdb.DuckDBPyConnection, month: int) -> dict[Resource, LoadedFile]:
    """Return the files of a month whose lines are in the table, and whose rejected lines are all kept."""
    recorded = rows_of(connection, _RECORDED, {"month": month})
    reasons: dict[str, dict[str, int]] = {}
    for resource, reason, lines in rows_of(connection, _REASONS, {"month": month}) if recorded else ():
        reasons.setdefault(resource, {})[reason] = lines
    known = {}
    for resource, *values in recorded:
        piece, facts = FeedPiece(month, Resource(resource)), dict(zip(_FACTS, values, strict=True))
        if sum(reasons.get(resource, {}).values()) == facts["rejected"]:
            known[piece.resource] = LoadedFile(
                piece=piece, is_unchanged=True, reasons=reasons.get(resource, {}), **facts
            )
    return known


def replace_rows(connection: duckdb.DuckDBPyConnection, month: int, frames: Mapping[Resource, pl.DataFrame]) -> None:
    """Put rows in the place of the previous ones of some resources of a month, YYYYMM, within the transaction."""
    if not frames:
        return
    names = {"resources": [resource.value for resource in frames]}
    connection.execute(_DELETE, {"first_day": first_day(month), **names})
    kind = pl.Enum(names["resources"])
    rows = pl.concat([frame.with_columns(resource=pl.lit(name.value, kind)) for name, frame in frames.items()])
    connection.register("incoming_rows", rows.to_arrow())
    connection.execute(_INSERT)
    connection.unregister("incoming_rows")


def record_files(
    connection: duckdb.DuckDBPyConnection, files: Sequence[LoadedFile], rejected: Sequence[pl.DataFrame], run: str
) -> None:
    """Record which files of one month are loaded and which of their lines are not, in place of what was said before.

    What is known of unchanged files stays; rejected lines, of the others, have `path`, `yearmonth` and `resource`.
    The connection is within the transaction that loads them.
    """
    if not files:
        return
    month, resources = files[0].piece.month, [file.piece.resource for file in files]
    _forget(connection, "refused_files", month, resources)
    changed = [file for file in files if not file.is_unchanged]
    if changed:
        for table in ("feed_files", "rejected_lines"):
            _forget(connection, table, month, [file.piece.resource for file in changed])
        append_rows(connection, "feed_files", _file_rows(changed, run))
    if rejected:
        append_rows(connection, "rejected_lines", pl.concat(rejected).with_columns(run=pl.lit(run)))


def record_refusals(connection: duckdb.DuckDBPyConnection, refused: Sequence[RefusedFile], run: str) -> None:
    """Record which files were refused, and why, in the caller's transaction."""
    for file in refused:
        _forget(connection, "refused_files", file.piece.month, [file.piece.resource])
    rows = [(f.path, f.piece.month, f.piece.resource, f.fault, f.detail, run, _now()) for f in refused]
    append_rows(connection, "refused_files", pl.DataFrame(rows, frame_schema(REFUSED_FILES), orient="row"))


def retire_months(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """Remove the months of `processed_data` that the calendar does not hold, and return them as YYYYMM.

    They come from a window that is no more: left in place they would be hosts and days that nothing explains.
    """
    stale = rows_of(connection, statement(__package__, "stale_months"))
    if stale:
        with transaction(connection):
            connection.execute(statement(__package__, "retire_months"))
    return [month for (month,) in stale]


def _file_rows(files: Sequence[LoadedFile], run: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "yearmonth": [file.piece.month for file in files],
            "resource": [file.piece.resource.value for file in files],
            **{name: [getattr(file, name) for file in files] for name in _FACTS},
            "run": [run] * len(files),
            "loaded_at": [_now()] * len(files),
        }
    )


def _forget(connection: duckdb.DuckDBPyConnection, table: str, month: int, resources: Sequence[Resource]) -> None:
    connection.execute(
        f"DELETE FROM {table} WHERE yearmonth = $month AND list_contains($resources, resource)",
        {"month": month, "resources": [resource.value for resource in resources]},
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)
