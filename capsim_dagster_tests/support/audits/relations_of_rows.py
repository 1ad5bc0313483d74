"""Small relations, row by row, as the audits see telemetry."""

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import duckdb
import polars as pl

from capsim_dagster.audits.fingerprints import Relation
from capsim_dagster.schemas.tables import ddl

RELATION: Final[Relation] = "table_rows"


class Row(NamedTuple):
    """One row of telemetry."""

    date: dt.date
    host_id: str
    resource: str = "cpu"
    util: float | None = 50.0
    capacity: float = 64.0


SCHEMA: Final = {
    "date": pl.Date,
    "host_id": pl.String,
    "resource": pl.String,
    "util": pl.Float64,
    "capacity": pl.Float64,
}


def show(connection: duckdb.DuckDBPyConnection, rows: Iterable[Row]) -> None:
    """Make rows visible as `RELATION`, in place of those that were."""
    connection.register(RELATION, pl.DataFrame(list(rows), schema=SCHEMA, orient="row").to_arrow())


@contextmanager
def warehouse_with(
    hosts: Iterable[tuple[str, str, str]], days: Iterable[dt.date]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a warehouse in memory with hosts (id, scenario, variant) and a calendar."""
    with duckdb.connect() as connection:
        connection.execute(ddl("hosts").replace(" NOT NULL", ""))
        connection.execute(ddl("time_periods").replace(" NOT NULL", ""))
        for host in hosts:
            connection.execute("INSERT INTO hosts (host_id, scenario, variant) VALUES (?, ?, ?)", list(host))
        for day in days:
            connection.execute("INSERT INTO time_periods (date) VALUES (?)", [day])
        yield connection
