"""The tables of the DuckDB warehouse."""

from typing import Final

from capsim_dagster.schemas import feed, fleet
from capsim_dagster.schemas.column import Column, Type

TABLES: Final[dict[str, tuple[Column, ...]]] = {
    "hosts": fleet.HOSTS,
    "business_hierarchy": fleet.BUSINESS_HIERARCHY,
    "time_periods": fleet.TIME_PERIODS,
    "region_calendar": fleet.REGION_CALENDAR,
    "bank_holidays": fleet.BANK_HOLIDAYS,
    "processed_data": feed.PROCESSED_DATA,
    "feed_files": feed.FEED_FILES,
    "rejected_lines": feed.REJECTED_LINES,
    "refused_files": feed.REFUSED_FILES,
    "warehouse_info": (
        Column("name", Type.TEXT, "Name of the fact.", is_key=True),
        Column("value", Type.TEXT, "Its value."),
    ),
}
"""The columns of each."""


def ddl(table: str) -> str:
    """Return the `CREATE TABLE IF NOT EXISTS` statement of a warehouse table.

    No primary keys: an index costs twice the load time and space (measured), so uniqueness is a check.

    Raises:
        KeyError: If the table is not in `TABLES`.
    """
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(column.ddl for column in TABLES[table])})"
