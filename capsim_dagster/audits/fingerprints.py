"""Fingerprints of relations: rows and order-independent checksums by month and resource.

Master, feed and table differ in names and types; here each is seen as `(date, host_id, resource, util, capacity)`, so
that equal content has equal fingerprints. Percentages are compared as the doubles nearest to their two decimals.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import duckdb
import polars as pl

from capsim_dagster.errors import MasterError
from capsim_dagster.schemas.months import first_day
from capsim_dagster.storage import identity
from capsim_dagster.storage.warehouse import statement

Relation = Literal[
    "master_rows", "table_rows", "table_month_rows", "expected_rows", "panel_rows", "rows_behind_panel", "frame_rows"
]
"""Temporary views that the functions here make."""
PieceKey = tuple[int, str]
"""Month as YYYYMM, and resource."""

_CREATE_VIEW: Final = "CREATE OR REPLACE TEMP VIEW {name} AS {query}"
_MASTER_QUERY: Final = (
    "SELECT date, host_id, resource, round(p95_util::DOUBLE * 100) / 100 AS util, capacity FROM read_parquet({path})"
)
_EXPECTED_QUERY: Final = (
    "SELECT date, host_id, resource, expected_util::DOUBLE AS util, 0.0 AS capacity FROM read_parquet({path})"
)
_EVENTS_QUERY: Final = 'SELECT host_id, resource, kind, start, "end" FROM read_parquet({path})'
_PANEL_QUERY: Final = (
    "SELECT timestamp::DATE AS date, host_id, metric AS resource, {metric} AS util, factor AS capacity "
    "FROM read_parquet({path}) JOIN panel_factors USING (server_id) WHERE metric = '{metric}'"
)
_BEHIND_PANEL_QUERY: Final = (
    "SELECT date, host_id, metric AS resource, round_even(round(p95_util::DOUBLE * 100) * factor, 0) / 100 AS util, "
    "factor AS capacity FROM read_parquet({path}) JOIN panel_factors USING (host_id, resource) WHERE date <= '{end}'"
)
_TABLE_QUERY: Final = "SELECT ds::DATE AS date, host_id, resource, y AS util, capacity FROM processed_data"


@dataclass(frozen=True)
class Fingerprint:
    """Rows and checksums of one month of one resource.

    Attributes:
        rows: Rows.
        reported: Rows with a value.
        key_checksum: Order-independent checksum over host and day.
        checksum: Order-independent checksum over host, day, value and capacity.
        low: Lowest value [%], where known.
        high: Highest value [%], where known.
    """

    rows: int
    reported: int
    key_checksum: int
    checksum: int
    low: float | None = None
    high: float | None = None

    def differs_from(self, other: "Fingerprint") -> str:
        """Return in words how the content differs from another; empty = it is the same."""
        if self.rows != other.rows:
            return f"{self.rows:,} rows instead of {other.rows:,}"
        if self.key_checksum != other.key_checksum:
            return "other hosts or days"
        if self.reported != other.reported:
            return f"{self.reported:,} values instead of {other.reported:,}"
        return "" if self.checksum == other.checksum else "other values or capacities"


@dataclass(frozen=True)
class FeedFormat:
    """How the lines of clean feed files are written: day, host, utilization and, where it has one, capacity.

    Where fields do not stand in quotes, quotes are plain characters, so that an unclosed one costs its own line only.
    """

    delimiter: str = ","
    decimal: str = "."
    date_format: str = "%Y-%m-%d"
    gap: str = ""
    is_quoted: bool = False
    has_capacity: bool = True


PLAIN_FORMAT: Final = FeedFormat()
_FEED_TYPES: Final = {"date": "DATE", "host_id": "VARCHAR", "util": "DOUBLE", "capacity": "DOUBLE"}
_KNOWN_TABLES: Final = dict[tuple[object, ...], dict[PieceKey, Fingerprint]]()
NOTHING: Final = Fingerprint(0, 0, 0, 0)
"""The fingerprint of no row."""


def rows_of(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object] | None = None
) -> list[tuple[Any, ...]]:
    """Run a query and return its rows."""
    return connection.execute(sql, dict(parameters or {})).fetchall()


def view_master(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Make the master file visible as `master_rows`."""
    _view_file(connection, "master_rows", _MASTER_QUERY, path)


def view_truth(connection: duckdb.DuckDBPyConnection, *, expected: Path, events: Path) -> None:
    """Make two files of the ground truth visible as `expected_rows`, `truth_events` and `truth_event_days`."""
    _view_file(connection, "expected_rows", _EXPECTED_QUERY, expected)
    _view_file(connection, "truth_events", _EVENTS_QUERY, events)
    view_event_days(connection)


def view_event_days(connection: duckdb.DuckDBPyConnection) -> None:
    """Make each day of the events in `truth_events` visible as `truth_event_days`."""
    connection.execute(_CREATE_VIEW.format(name="truth_event_days", query=statement(__package__, "event_days")))


def view_table(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `processed_data` visible as `table_rows`."""
    connection.execute(_CREATE_VIEW.format(name="table_rows", query=_TABLE_QUERY))


def view_panel(
    connection: duckdb.DuckDBPyConnection, path: Path, master: Path, factors: pl.DataFrame, *, end: dt.date
) -> None:
    """Make a panel and the master behind it visible as `panel_rows` and `rows_behind_panel`, a row a metric.

    The factors are `server_id`, `host_id`, `resource`, `metric` and `factor`: by what the utilization of a host is
    multiplied in a metric; the metrics are column names. The panel ends with a day that the master may go beyond.
    """
    connection.register("panel_factors", factors.to_arrow())
    queries = [
        _PANEL_QUERY.format(metric=metric, path=_quoted(path))
        for metric in factors.get_column("metric").unique().sort()
    ]
    connection.execute(_CREATE_VIEW.format(name="panel_rows", query=" UNION ALL ".join(queries)))
    behind = _BEHIND_PANEL_QUERY.format(path=_quoted(master), end=end)
    connection.execute(_CREATE_VIEW.format(name="rows_behind_panel", query=behind))


def frame_fingerprint(connection: duckdb.DuckDBPyConnection, name: str) -> Fingerprint:
    """Return the fingerprint of a registered frame of one month and resource: `date`, `host_id`, `util`, `capacity`."""
    ((rows, reported, key, checksum),) = rows_of(connection, statement(__package__, "fingerprint_rows", relation=name))
    return Fingerprint(rows, reported, int(key), int(checksum))


def frame_fingerprints(rows: pl.DataFrame) -> dict[PieceKey, Fingerprint]:
    """Return the fingerprints of a frame with `date`, `host_id`, `resource`, `util`, `capacity`."""
    with scratch() as connection:
        connection.register("frame_rows", rows.to_arrow())
        return fingerprints(connection, "frame_rows")


def fingerprints(connection: duckdb.DuckDBPyConnection, relation: Relation) -> dict[PieceKey, Fingerprint]:
    """Return the fingerprint of each month and resource of a view made here."""
    return _as_fingerprints(rows_of(connection, statement(__package__, "fingerprint", relation=relation)))


def table_fingerprints(connection: duckdb.DuckDBPyConnection) -> dict[PieceKey, Fingerprint]:
    """Return the fingerprint of each month and resource of `processed_data`.

    The result is kept for as long as the warehouse's files stay the same (inode, size and time of change): the audit
    page and the checks over all months look at the same table, one after the other.
    """
    view_table(connection)
    ((path,),) = rows_of(connection, "SELECT path FROM duckdb_databases() WHERE database_name = current_database()")
    if not path:
        return fingerprints(connection, "table_rows")
    state = path, *(identity(Path(f"{path}{end}")) for end in ("", ".wal"))
    if state not in _KNOWN_TABLES:
        found = fingerprints(connection, "table_rows")
        _KNOWN_TABLES.clear()
        _KNOWN_TABLES[state] = found
    return dict(_KNOWN_TABLES[state])


def table_month_fingerprints(connection: duckdb.DuckDBPyConnection, month: int) -> dict[PieceKey, Fingerprint]:
    """Return the fingerprints of one month of `processed_data`, as this transaction sees it."""
    start = f"DATE '{first_day(month)}'"
    query = f"{_TABLE_QUERY} WHERE ds >= {start} AND ds < {start} + INTERVAL 1 MONTH"
    connection.execute(_CREATE_VIEW.format(name="table_month_rows", query=query))
    return _as_fingerprints(
        rows_of(connection, statement(__package__, "fingerprint_month", relation="table_month_rows"), {"month": month})
    )


def master_fingerprints(path: Path) -> dict[PieceKey, Fingerprint]:
    """Return the fingerprint of each month and resource of a master file.

    The result is kept for as long as the file stays the same (inode, size and time of change), because several
    audits of one run compare with it.

    Raises:
        MasterError: If the file cannot be read.
    """
    return _master_fingerprints(path, identity(path))


def feed_fingerprints(
    paths: Iterable[Path], form: FeedFormat = PLAIN_FORMAT
) -> tuple[dict[Path, Fingerprint], dict[Path, list[str]]]:
    """Return the fingerprint of each feed file of sound header, and the lines that do not parse, by file."""
    names = [str(path) for path in paths]
    try:
        return _read_feed(names, form) if names else ({}, {})
    except duckdb.Error:
        return _read_feed_one_by_one(names, form)


def rejected_lines(connection: duckdb.DuckDBPyConnection) -> dict[Path, list[str]]:
    """Return, by file, the lines that DuckDB could not parse in this connection, in words."""
    rejected: dict[Path, list[str]] = {}
    for path, line, column, error, text in rows_of(connection, statement(__package__, "rejected_lines")):
        where = f"line {line}" + (f", column {column}" if column else "")
        rejected.setdefault(Path(path), []).append(f"{where}: {error.splitlines()[0]} in '{text.strip()}'")
    return rejected


def _view_file(connection: duckdb.DuckDBPyConnection, name: str, query: str, path: Path) -> None:
    connection.execute(_CREATE_VIEW.format(name=name, query=query.format(path=_quoted(path))))


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _read_feed(names: list[str], form: FeedFormat) -> tuple[dict[Path, Fingerprint], dict[Path, list[str]]]:
    types = (
        _FEED_TYPES if form.has_capacity else {name: kind for name, kind in _FEED_TYPES.items() if name != "capacity"}
    )
    capacity = "capacity" if form.has_capacity else "NULL::DOUBLE"
    chosen = {
        "paths": names,
        "delimiter": form.delimiter,
        "quote": '"' if form.is_quoted else "",
        "gap": form.gap,
        "decimal": form.decimal,
        "date_format": form.date_format,
    }
    with duckdb.connect() as connection:
        query = statement(__package__, "feed_fingerprint", capacity=capacity, columns=str(types))
        found = rows_of(connection, query, chosen)
        rejected = rejected_lines(connection)
    fingerprints_by_path = {
        Path(name): Fingerprint(rows, reported, int(key), int(checksum))
        for name, rows, reported, key, checksum in found
    }
    return fingerprints_by_path, rejected


def _read_feed_one_by_one(names: list[str], form: FeedFormat) -> tuple[dict[Path, Fingerprint], dict[Path, list[str]]]:
    """Read each file alone: one that DuckDB gives up on must not hide the others."""
    found: dict[Path, Fingerprint] = {}
    rejected: dict[Path, list[str]] = {}
    for name in names:
        try:
            alone, lines = _read_feed([name], form)
        except duckdb.Error as error:
            alone, lines = {}, {Path(name): [str(error).splitlines()[0]]}
        found |= alone
        rejected |= lines
    return found, rejected


def scratch() -> duckdb.DuckDBPyConnection:
    """Return a connection that holds nothing: to open a database of its own costs 50 ms, as much as reading a month."""
    return _scratch_database().cursor()


@lru_cache(maxsize=1)
def _scratch_database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    # A month of a resource is small: two threads cost more CPU seconds than one, and wait for each other.
    connection.execute("SET threads = 1")
    return connection


@lru_cache(maxsize=4)
def _master_fingerprints(path: Path, _state: tuple[int, int, int] | None) -> dict[PieceKey, Fingerprint]:
    try:
        with duckdb.connect() as connection:
            view_master(connection, path)
            return fingerprints(connection, "master_rows")
    except duckdb.Error as error:
        raise MasterError(
            f"{path} cannot be audited: {error}", remedy="materialize master_parquet again: capsim run"
        ) from None


def _as_fingerprints(rows: list[tuple[Any, ...]]) -> dict[PieceKey, Fingerprint]:
    return {
        (month, resource): Fingerprint(count, reported, int(key_checksum), int(checksum), low, high)
        for month, resource, count, reported, low, high, key_checksum, checksum in rows
    }
