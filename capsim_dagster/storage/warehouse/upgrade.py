"""Warehouses of earlier versions: the first writer brings one up to date, in place or not at all.

New files are written in the oldest storage of DuckDB that holds everything, so that R, DBeaver and other clients of
DuckDB 1.x open them; a file in newer storage is copied once, beside itself, and replaced while its lock is held.
"""

from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from capsim_dagster.errors import WarehouseError

STORAGE_VERSION: Final = "v1.0.0"
"""Oldest DuckDB that opens the file; DuckDB 1.0 fixed its storage, and nothing here needs a later one."""
VIEWS: Final = ("forecast_input_marked", "forecast_input", "prophet_input", "series")
"""Views of the warehouse, each after those that it reads; each is the query in the file of its name."""
_STORAGE: Final = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
_COPY: Final = "being copied"


def create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views, or replace them by today's, within the caller's transaction."""
    for view in VIEWS:
        query = files(__package__).joinpath(f"{view}.sql").read_text(encoding="utf-8")
        connection.execute(f"CREATE OR REPLACE VIEW {view} AS {query}")


def lower_storage(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Put a copy in the oldest storage in the place of a file in a newer one; return whether that was to be done.

    `connection`: the only connection to the file; of no use afterwards if the file was replaced.

    Raises:
        WarehouseError: If it cannot be copied; it is as it was.
    """
    ((storage,),) = connection.execute(_STORAGE).fetchall()
    if not storage or storage.removesuffix("+") == STORAGE_VERSION:
        return False
    copy = path.with_name(f".{path.name}.copy")
    copy.unlink(missing_ok=True)
    try:
        _copy(connection, copy)
        copy.replace(path)
    except (duckdb.Error, OSError) as error:
        raise WarehouseError(
            f"{path} is in the storage of DuckDB {storage} and cannot be copied to that of {STORAGE_VERSION}: {error}",
            remedy=f"make room for {path.stat().st_size >> 20:,} MB beside it and run this again; it is untouched",
        ) from None
    finally:
        copy.unlink(missing_ok=True)
    return True


def _copy(connection: duckdb.DuckDBPyConnection, copy: Path) -> None:
    """Copy all tables and views; what the log of the old file holds is in it then, and the log is gone."""
    ((name,),) = connection.execute("SELECT replace(current_database(), '\"', '\"\"')").fetchall()
    path = str(copy).replace("'", "''")
    connection.execute("CHECKPOINT")
    connection.execute(f"ATTACH '{path}' AS \"{_COPY}\" (STORAGE_VERSION '{STORAGE_VERSION}')")
    try:
        connection.execute(f'COPY FROM DATABASE "{name}" TO "{_COPY}"')
    finally:
        connection.execute(f'DETACH "{_COPY}"')
