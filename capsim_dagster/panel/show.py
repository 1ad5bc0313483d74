"""A first look at a panel, whoever made it: columns, servers, days, gaps, first rows, the course of each metric."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import duckdb

from capsim_dagster.errors import PanelError

_NUMBERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
_DAYS: Final = ("timestamp", "date", "ds", "day")
_SERVER: Final = "server_id"
_BARS: Final = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class ShownColumn:
    """One column of a panel, NaN counted as missing; of numbers their mean, bounds and course, None = no value.

    The course is their mean over all servers in equal stretches of time; empty = no numbers.
    """

    name: str
    type: str
    missing_percent: float
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    course: Sequence[float | None] = ()

    @property
    def sparkline(self) -> str:
        """The course as bars from its lowest to its highest; a space where there is no value.

        >>> ShownColumn("cpu_p95", "DOUBLE", 0.0, course=[1.0, None, 2.0]).sparkline
        '▁ █'
        """
        known = [value for value in self.course if value is not None]
        if not known:
            return ""
        low, span = min(known), (max(known) - min(known)) or 1.0
        steps = [None if value is None else round((value - low) / span * (len(_BARS) - 1)) for value in self.course]
        return "".join(" " if step is None else _BARS[step] for step in steps)


@dataclass(frozen=True)
class PanelView:
    """What a person wants to see of a panel first; None = it has no column of servers, or of days, or no row."""

    rows: int
    servers: int | None
    first: object
    last: object
    columns: Sequence[ShownColumn]
    head: Sequence[dict[str, Any]]


def look_at_panel(path: Path, *, points: int = 60, head: int = 5) -> PanelView:
    """Return a first look at a Parquet file: courses of `points` stretches, 1 and up, and `head` first rows.

    Raises:
        PanelError: If it is no readable Parquet file.
    """
    try:
        with duckdb.connect() as connection:
            connection.execute(_sql("show_open", path=str(path).replace("'", "''")))
            return _look(connection, points, head)
    except duckdb.Error as error:
        raise PanelError(
            f"{path} is not a readable Parquet file: {str(error).splitlines()[0]}", remedy="name another file"
        ) from None


def _look(connection: duckdb.DuckDBPyConnection, points: int, head: int) -> PanelView:
    types = {name: kind for name, kind, *_ in connection.execute("DESCRIBE shown").fetchall()}
    day = next((name for name in _DAYS if name in types), None)
    ((rows,),) = connection.execute("SELECT count(*) FROM shown").fetchall()
    first, last = _one(connection, f"SELECT min({day}), max({day}) FROM shown") if day else (None, None)
    servers = _one(connection, f"SELECT count(DISTINCT {_SERVER}) FROM shown")[0] if _SERVER in types else None
    when = day if isinstance(first, dt.date) and isinstance(last, dt.date) else None
    columns = [_column(connection, name, kind, when, points) for name, kind in types.items()]
    found = connection.execute(f"SELECT * FROM shown LIMIT {int(head)}").fetchall()
    return PanelView(rows, servers, first, last, columns, [dict(zip(types, row, strict=True)) for row in found])


def _column(connection: duckdb.DuckDBPyConnection, name: str, kind: str, day: str | None, points: int) -> ShownColumn:
    quoted = '"' + name.replace('"', '""') + '"'
    if not kind.startswith(_NUMBERS):
        (missing,) = _one(
            connection, f"SELECT 100.0 * count(*) FILTER (WHERE {quoted} IS NULL) / greatest(count(*), 1) FROM shown"
        )
        return ShownColumn(name, kind, missing)
    missing, mean, low, high = _one(connection, _sql("show_numbers", column=quoted))
    means: dict[int, float] = {}
    if day:
        means = dict(connection.execute(_sql("show_course", column=quoted, day=day), {"points": points}).fetchall())
    course = [means.get(point) for point in range(points)] if means else []
    return ShownColumn(name, kind, missing, mean, low, high, course)


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    (row,) = connection.execute(sql).fetchall()
    return tuple(row)


def _sql(name: str, **identifiers: str) -> str:
    return files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8").format(**identifiers)
