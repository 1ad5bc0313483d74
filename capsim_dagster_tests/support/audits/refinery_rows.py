"""What a refinery leaves behind, row by row: files, rejected lines, refusals and the rows of the table."""

import datetime as dt
import json
from collections.abc import Sequence

import duckdb
import polars as pl

from capsim_dagster.schemas import FileFault, LineFault, Resource
from capsim_dagster.schemas.tables import TABLES, ddl
from capsim_dagster.storage.warehouse import append_rows, set_fact

LOADED_AT = dt.datetime.fromisoformat("2026-01-02T03:04:05")
REFUSED_AT = dt.datetime.fromisoformat("2026-02-03T04:05:06")
ALL_RESOURCES = tuple(Resource)


def tables() -> duckdb.DuckDBPyConnection:
    """Return a warehouse in memory with empty tables."""
    connection = duckdb.connect()
    for table in TABLES:
        connection.execute(ddl(table))
    return connection


def feed_path(month: int, resource: str) -> str:
    return f"{month // 100}/{month % 100:02d}/{resource}_{month}.csv"


def add_file(  # noqa: PLR0913 each may contradict the others
    connection: duckdb.DuckDBPyConnection,
    month: int,
    resource: str,
    *,
    loaded: int = 10,
    rejected: int = 0,
    lines: int | None = None,
    rows: int | None = None,
    traits: Sequence[str] = (),
    path: str | None = None,
) -> None:
    """Record a loaded file with its rows; `lines` and `rows` follow from the counts unless they are to contradict."""
    counts = (loaded + rejected if lines is None else lines, loaded, rejected)
    facts = _file_facts(connection, path or feed_path(month, resource), month, resource, counts, traits)
    append_rows(connection, "feed_files", pl.DataFrame([facts]))
    add_rows(connection, month, resource, loaded if rows is None else rows)


def add_rows(connection: duckdb.DuckDBPyConnection, month: int, resource: str, count: int) -> None:
    """Put rows into the table: the first day of the month of so many hosts, srv-000001 and up."""
    connection.execute(
        "INSERT INTO processed_data SELECT $day, 'srv-' || lpad((n + 1)::VARCHAR, 6, '0'), $resource, 50, 100, 64 "
        "FROM range($count) AS numbers(n)",
        {"day": dt.date(month // 100, month % 100, 1), "resource": resource, "count": count},
    )


def add_rejected(  # noqa: PLR0913 the columns of the table
    connection: duckdb.DuckDBPyConnection,
    month: int,
    resource: str,
    reason: LineFault,
    *,
    count: int = 1,
    first_line: int = 2,
    raw: str = "2023-01-01,srv-000001,?,64",
    column: str | None = "value",
    path: str | None = None,
) -> None:
    """Put rejected lines beside the table, one after the other."""
    connection.execute(
        "INSERT INTO rejected_lines (path, yearmonth, resource, line, reason, column_name, raw, run) "
        "SELECT $path, $month, $resource, $first_line + n, $reason, $column, $raw, 'run' FROM range($count) AS x(n)",
        {
            "path": path or feed_path(month, resource),
            "month": month,
            "resource": resource,
            "first_line": first_line,
            "reason": reason.value,
            "column": column,
            "raw": raw,
            "count": count,
        },
    )


def add_refusal(
    connection: duckdb.DuckDBPyConnection,
    month: int,
    resource: str,
    reason: FileFault = FileFault.EMPTY,
    *,
    detail: str = "0 bytes",
    path: str | None = None,
) -> None:
    """Record a file that was refused as a whole."""
    facts = {
        "path": path or feed_path(month, resource),
        "yearmonth": month,
        "resource": resource,
        "reason": reason.value,
        "detail": detail,
        "run": "other run",
        "refused_at": REFUSED_AT,
    }
    append_rows(connection, "refused_files", pl.DataFrame([facts]))


def add_months(connection: duckdb.DuckDBPyConnection, months: Sequence[int], *, loaded: int = 10) -> None:
    """Record a whole plain file for each month and resource."""
    pieces = [(month, resource.value) for month in months for resource in Resource]
    facts = [_file_facts(connection, feed_path(*piece), *piece, (loaded, loaded, 0), ()) for piece in pieces]
    append_rows(connection, "feed_files", pl.DataFrame(facts))
    connection.execute(
        "INSERT INTO processed_data "
        "SELECT make_date(yearmonth // 100, yearmonth % 100, 1), 'srv-' || lpad((n + 1)::VARCHAR, 6, '0'), resource, "
        "50, 100, 64 FROM feed_files, range($count) AS numbers(n) WHERE list_contains($months, yearmonth)",
        {"count": loaded, "months": list(months)},
    )


def add_calendar(connection: duckdb.DuckDBPyConnection, first: dt.date, last: dt.date) -> None:
    """Fill the calendar; only its months matter here."""
    connection.execute(
        "INSERT INTO time_periods SELECT day::DATE, year(day) * 100 + month(day), year(day), month(day), isodow(day), "
        "quarter(day), FALSE, FALSE, FALSE "
        "FROM generate_series($first::DATE, $last::DATE, INTERVAL 1 DAY) AS days(day)",
        {"first": first, "last": last},
    )


def set_origin(connection: duckdb.DuckDBPyConnection, origin: str) -> None:
    """Record where the feed came from."""
    set_fact(connection, "feed.origin", origin)


def _checksum(connection: duckdb.DuckDBPyConnection, month: int, count: int) -> str:
    """Return the checksum over the rows that `add_rows` puts into the table."""
    query = (
        "SELECT sum(hash(hash('srv-' || lpad((n + 1)::VARCHAR, 6, '0'), $day::DATE), 50::DOUBLE, 64::DOUBLE)) "
        "FROM range($count) AS numbers(n)"
    )
    day = dt.date(month // 100, month % 100, 1)
    return f"{int(connection.execute(query, {'day': day, 'count': count}).fetchall()[0][0] or 0):x}"


def _file_facts(
    connection: duckdb.DuckDBPyConnection,
    path: str,
    month: int,
    resource: str,
    counts: tuple[int, int, int],
    traits: Sequence[str],
) -> dict[str, object]:
    lines, loaded, rejected = counts
    return {
        "path": path,
        "yearmonth": month,
        "resource": resource,
        "bytes": 1_000,
        "sha256": "0" * 64,
        "lines": lines,
        "loaded": loaded,
        "rejected": rejected,
        "checksum": _checksum(connection, month, loaded),
        "dialect": json.dumps({"encoding": "utf-8", "delimiter": ",", "traits": list(traits)}),
        "rules": "rules",
        "run": "run",
        "loaded_at": LOADED_AT,
    }
