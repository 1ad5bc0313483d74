"""The pictures of a feed, drawn from the accounts of the refinery: any feed that was read, capsim's own or another's.

They read the accounts of files and lines only, never the table itself, so they cost the same whatever its size.
"""

from collections.abc import Iterable, Sequence

import duckdb
import numpy as np
import polars as pl

from capsim_dagster.pictures import feed
from capsim_dagster.pictures.bars import IntArray
from capsim_dagster.pictures.feed import FeedMonths
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import FileFault, Resource
from capsim_dagster.schemas.months import month_name, month_span
from capsim_dagster.storage.warehouse import read_table


def audit_pictures(platform: Platform) -> dict[str, bytes]:
    """Return what the warehouse tells of the feed that was refined, by name of the picture.

    Both are SVG. `monthly_file_sizes` shows the size of the files that are loaded, by resource; `lines_by_month` the
    lines that were loaded, and those that were rejected by reason. Months with refused or missing files are marked.
    Where no file was read yet, they say so.

    Args:
        platform: Settings and paths; neither master nor inventory is needed.

    Raises:
        WarehouseError: If the warehouse is missing, locked or of an older schema.
    """
    with platform.reading() as connection:
        files = read_table(connection, "feed_files", order_by="yearmonth, resource")
        found = _feed_months(connection, files, platform.settings.refinery.resources)
    note = " · ".join([f"{files.height:,} files loaded", *_window(found.months)])
    return {
        "monthly_file_sizes": feed.file_sizes_picture(found, note),
        "lines_by_month": feed.lines_picture(found, note),
    }


def _feed_months(
    connection: duckdb.DuckDBPyConnection, files: pl.DataFrame, required: Sequence[Resource]
) -> FeedMonths:
    """Return what the refinery knows of a feed by month.

    Args:
        connection: An open warehouse.
        files: The rows of `feed_files`.
        required: Resources that each month must have.
    """
    rejected = _rejected_lines(connection)
    refusals = read_table(connection, "refused_files", order_by="yearmonth, resource")
    is_missing = pl.col("reason") == FileFault.MISSING.value
    refused, absent = refusals.filter(~is_missing)["yearmonth"], refusals.filter(is_missing)["yearmonth"]
    months = month_span([*files["yearmonth"], *refusals["yearmonth"], *rejected["yearmonth"], *_calendar(connection)])
    # Where a file is refused, its whole month may be held back: the others are there, but not in the table.
    lacking = _without_all(files, months, required) - set(refused)
    return FeedMonths(
        months=months,
        sizes={name: _by_month(rows, "bytes", months) for name, rows in _parts(files, "resource").items()},
        loaded=_by_month(files, "loaded", months),
        rejected={name: _by_month(rows, "lines", months) for name, rows in _parts(rejected, "reason").items()},
        refused=np.isin(months, sorted(set(refused))),
        missing=np.isin(months, sorted(lacking | set(absent))),
    )


def _rejected_lines(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return columns `yearmonth`, `reason` and `lines`."""
    frame: pl.DataFrame = connection.sql(
        "SELECT yearmonth, reason::VARCHAR AS reason, count(*) AS lines FROM rejected_lines GROUP BY ALL ORDER BY ALL"
    ).pl()
    return frame


def _calendar(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """Return the months of the calendar as YYYYMM; a user's feed has none."""
    months = connection.execute("SELECT DISTINCT yearmonth FROM time_periods ORDER BY yearmonth").fetchall()
    return [month for (month,) in months]


def _without_all(files: pl.DataFrame, months: Iterable[int], required: Sequence[Resource]) -> set[int]:
    """Return the months that lack the file of a resource."""
    loaded = set(files.select("yearmonth", "resource").iter_rows())
    return {month for month in months if any((month, resource.value) not in loaded for resource in required)}


def _parts(rows: pl.DataFrame, column: str) -> dict[str, pl.DataFrame]:
    """Return the rows of each value of a column: resources in their own order, before anything unknown."""
    known = [resource.value for resource in Resource]
    names = sorted(rows[column].unique(), key=lambda name: (known.index(name) if name in known else len(known), name))
    return {name: rows.filter(pl.col(column) == name) for name in names}


def _by_month(rows: pl.DataFrame, column: str, months: Sequence[int]) -> IntArray:
    """Return the sum of a column by month, shape `(n_months,)`."""
    sums = dict(rows.group_by("yearmonth").agg(pl.col(column).sum()).iter_rows())
    return np.array([sums.get(month, 0) for month in months], dtype=np.int64)


def _window(months: Sequence[int]) -> list[str]:
    return [f"{month_name(months[0])} to {month_name(months[-1])}"] if months else []
