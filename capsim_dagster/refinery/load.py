"""Loading of one month's feed files into `processed_data`, in one transaction, with every gate before the commit.

Whatever fails, the month keeps its previous good rows. Content is compared with the master where one is there;
without one, keys, hosts and ranges are still held.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import duckdb
import polars as pl

from capsim_dagster.audits.parity import known_hosts, unique_keys
from capsim_dagster.audits.relations import (
    Fingerprint,
    PieceKey,
    rejected_lines,
    rows_of,
    table_month_fingerprints,
    unreadable_files,
    view_table_month,
)
from capsim_dagster.errors import FeedError, GateError, WarehouseError, listed
from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.inspect import InspectedFile, inspect_file
from capsim_dagster.schemas import Resource
from capsim_dagster.warehouse import append_rows, transaction

_REMEDY = "mend or restore the feed, then materialize processed_data for this month; its previous rows are untouched"


@dataclass(frozen=True)
class LoadedMonth:
    """One month that is in the table.

    Attributes:
        month: The month as YYYYMM.
        files: The files it came from.
        rows: Rows in the table.
        checksum: Order-independent checksum over their content.
    """

    month: int
    files: Sequence[InspectedFile]
    rows: int
    checksum: int


def load_month(
    connection: duckdb.DuckDBPyConnection,
    contract: FeedContract,
    month: int,
    *,
    source: Mapping[PieceKey, Fingerprint] | None,
) -> LoadedMonth:
    """Replace one month of `processed_data` by what its feed files hold.

    Args:
        connection: An open read-write connection to the warehouse.
        contract: Names and headers of the feed.
        month: The month as YYYYMM.
        source: Fingerprints of the master where it wrote the feed; None = the feed is somebody else's.

    Raises:
        FeedError: If a file is missing, cut off, has another header, or holds a line that does not parse.
        GateError: If rows are lost, doubled, of unknown hosts, out of range or unlike the master's.
        WarehouseError: If the files are sound but the rows cannot be written, as on a full disk.
    """
    inspected = [inspect_file(contract, FeedPiece(month, resource)) for resource in Resource]
    with transaction(connection):
        try:
            _replace_rows(connection, month, inspected)
        except duckdb.Error as error:
            reasons = unreadable_files(file.path for file in inspected)
            if not reasons:
                raise WarehouseError(
                    f"{month} cannot be written: {error}",
                    remedy="check disk and memory, then run it again; its previous rows are untouched",
                ) from None
            raise FeedError(f"{month}: the feed cannot be read: {listed(reasons)}", remedy=_REMEDY) from None
        _require_all_parsed(connection, month)
        found = table_month_fingerprints(connection, month)
        problems = _differences(found, inspected, source)
        if problems or source is None:
            problems += _rule_breaks(connection, inspected, found)
        if problems:
            raise GateError(f"{month}: the feed cannot be loaded: {listed(problems)}", remedy=_REMEDY)
        _record_files(connection, contract, inspected)
    return LoadedMonth(
        month=month,
        files=inspected,
        rows=sum(fingerprint.rows for fingerprint in found.values()),
        checksum=sum(fingerprint.checksum for fingerprint in found.values()),
    )


def retire_months(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """Remove the months of `processed_data` that the calendar does not hold, and return them as YYYYMM.

    They come from a window that is no more: left in place they would be hosts and days that nothing explains.
    """
    stale = rows_of(connection, _sql("stale_months"))
    if stale:
        with transaction(connection):
            connection.execute(_sql("retire_months"))
    return [month for (month,) in stale]


def _replace_rows(connection: duckdb.DuckDBPyConnection, month: int, inspected: Sequence[InspectedFile]) -> None:
    first_day = _first_day(month)
    connection.execute(
        "DELETE FROM processed_data WHERE ds >= $first_day AND ds < $first_day + INTERVAL 1 MONTH",
        {"first_day": first_day},
    )
    connection.execute("DELETE FROM feed_files WHERE yearmonth = $month", {"month": month})
    connection.execute(
        _sql("insert_month"),
        {
            "paths": [str(file.path) for file in inspected],
            "resources": [file.piece.resource.value for file in inspected],
        },
    )


def _require_all_parsed(connection: duckdb.DuckDBPyConnection, month: int) -> None:
    rejected = rejected_lines(connection)
    if rejected:
        lines = [f"{path} {line}" for path, found in rejected.items() for line in found]
        raise FeedError(f"{month}: {len(lines):,} lines cannot be read: {listed(lines)}", remedy=_REMEDY)


def _differences(
    found: Mapping[PieceKey, Fingerprint],
    inspected: Sequence[InspectedFile],
    source: Mapping[PieceKey, Fingerprint] | None,
) -> list[str]:
    """Return where rows of the table are not the lines of a file, or not the rows of the master."""
    problems = []
    for file in inspected:
        key = (file.piece.month, file.piece.resource.value)
        loaded = found.get(key)
        if loaded is None or loaded.rows != file.lines:
            rows = loaded.rows if loaded else 0
            problems.append(f"{file.path} has {file.lines:,} data lines, of which {rows:,} are rows of this month")
        elif source is not None:
            difference = loaded.differs_from(source[key]) if key in source else "a month that the master does not hold"
            if difference:
                problems.append(f"{file.path} differs from the master: {difference}")
    return problems


def _rule_breaks(
    connection: duckdb.DuckDBPyConnection, inspected: Sequence[InspectedFile], found: Mapping[PieceKey, Fingerprint]
) -> list[str]:
    """Return keys that stand twice, unknown hosts and values out of range among the month's rows."""
    month = inspected[0].piece.month
    paths = {file.piece.resource.value: file.path for file in inspected}
    view_table_month(connection, month)
    outside = rows_of(connection, _sql("out_of_range"), {"first_day": _first_day(month)})
    folder = inspected[0].path.parent
    by_key = [*unique_keys(connection, "table_month_rows", found).problems]
    by_key += known_hosts(connection, "table_month_rows").problems
    return [
        *(f"{folder}: {problem}" for problem in by_key),
        *(
            f"{paths[resource]}: {rows:,} lines out of range, value {low} to {high}, capacity {least} to {most}"
            for resource, rows, low, high, least, most in outside
        ),
    ]


def _record_files(
    connection: duckdb.DuckDBPyConnection, contract: FeedContract, inspected: Sequence[InspectedFile]
) -> None:
    rows = pl.DataFrame(
        {
            "path": [str(file.path.relative_to(contract.root)) for file in inspected],
            "yearmonth": [file.piece.month for file in inspected],
            "resource": [file.piece.resource.value for file in inspected],
            "bytes": [file.bytes for file in inspected],
            "sha256": [file.sha256 for file in inspected],
            "lines": [file.lines for file in inspected],
            "loaded": [file.lines for file in inspected],
        }
    )
    append_rows(connection, "feed_files", rows)


def _first_day(month: int) -> dt.date:
    return dt.date(month // 100, month % 100, 1)


def _sql(name: str) -> str:
    return files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
