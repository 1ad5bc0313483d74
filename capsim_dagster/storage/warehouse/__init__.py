"""The DuckDB warehouse file: opening it safely, its schema version, and replacing whole tables.

One process writes at a time and a writer excludes readers, so connections open late, close early and wait a bounded
time for the lock. What the tables hold is decided elsewhere; their columns come from `schemas`.
"""

import datetime as dt
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import polars as pl
import psutil

from capsim_dagster.errors import StorageError, WarehouseError, listed, plural
from capsim_dagster.schemas.frames import broken_rules, frame_schema
from capsim_dagster.schemas.tables import TABLES, ddl
from capsim_dagster.storage import atomic_path
from capsim_dagster.storage.warehouse.upgrade import STORAGE_VERSION, create_views, lower_storage
from capsim_dagster.system_errors import clear_error

SCHEMA_VERSION: Final = "4"
"""Raised whenever a table or view changes shape."""
_SAME_TABLES: Final = ("3", SCHEMA_VERSION)
"""Versions whose tables are today's: readers take them as they are, and a writer replaces the views."""
MEMORY_LIMIT: Final = "2GB"
"""DuckDB's own ceiling; beyond it, it spills beside the file."""
_POLL_SECONDS: Final = 0.2
_BROKEN: Final = (duckdb.IOException, duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException)
"""What DuckDB raises about its file while it works with it."""
_LOCK_MESSAGE: Final = "Could not set lock on file"
"""How DuckDB says that another process holds the file."""
_HOLDER: Final = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
_COMMAND_LENGTH: Final = 120


@contextmanager
def open_for_writing(path: Path, *, lock_timeout_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse read-write, making the file and its tables where they are missing.

    `lock_timeout_s`: how long to wait for another process [s].

    Raises:
        WarehouseError: If another process keeps the lock, the file is no DuckDB file, or its tables are older.
    """
    if not path.exists():
        _make(path)
    with _connected(path, read_only=False, lock_timeout_s=lock_timeout_s) as connection:
        with _sound(path):
            if _is_empty(connection):
                _create_tables(connection)
            _require_version(connection, path)
            is_copied = lower_storage(connection, path)
            if not is_copied:
                _update_views(connection)
        if not is_copied:
            yield connection
            return
    with open_for_writing(path, lock_timeout_s=lock_timeout_s) as connection:
        yield connection


@contextmanager
def open_for_reading(path: Path, *, lock_timeout_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an existing warehouse read-only.

    `lock_timeout_s`: how long to wait for a writer in another process [s].

    Raises:
        WarehouseError: If the file is missing, locked, no DuckDB file, or its schema is older.
    """
    if not path.exists():
        raise WarehouseError(
            f"no warehouse at {path}",
            remedy="materialize host_inventory and time_dimension first: capsim run; "
            "or load a feed of your own: capsim refine --feed DIR",
        )
    with _connected(path, read_only=True, lock_timeout_s=lock_timeout_s) as connection:
        with _sound(path):
            _require_version(connection, path)
        yield connection


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit on success; on any failure, an interrupt included, roll back and let it pass on."""
    connection.execute("BEGIN TRANSACTION")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A commit that failed, as on a full disk, has rolled back already; its own error is the one to be seen.
        with suppress(duckdb.TransactionException):
            connection.execute("ROLLBACK")
        raise


def replace_tables(
    connection: duckdb.DuckDBPyConnection, frames: Mapping[str, pl.DataFrame], *, facts: Mapping[str, str] | None = None
) -> None:
    """Replace the rows of some tables, and record facts about them, in one transaction.

    `frames`: rows by table; each must meet the table's contract.
    `facts`: what `warehouse_info` is to say from then on, such as which settings made the rows.

    Raises:
        WarehouseError: If a frame lacks a column or breaks a rule of one. No table has changed.
    """
    broken = [f"{table}.{rule}" for table, frame in frames.items() for rule in broken_rules(TABLES[table], frame)]
    if broken:
        raise WarehouseError(
            f"rows for {listed(frames)} break {plural(len(broken), 'rule')} of their columns: {listed(broken)}",
            remedy="no table has changed; make the rows as capsim_dagster.schemas.tables has the columns",
        )
    with transaction(connection):
        for table, frame in frames.items():
            connection.execute(f"DELETE FROM {table}")
            append_rows(connection, table, frame.cast(frame_schema(TABLES[table])))
        for name, value in (facts or {}).items():
            set_fact(connection, name, value)


def append_rows(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
    """Insert a frame with the columns of a table, within the caller's transaction."""
    columns = ", ".join(column.name for column in TABLES[table])
    connection.register("incoming", frame.to_arrow())
    connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM incoming")
    connection.unregister("incoming")


def read_table(connection: duckdb.DuckDBPyConnection, table: str, *, order_by: str) -> pl.DataFrame:
    """Return all rows of a table in the order given."""
    columns = ", ".join(column.name for column in TABLES[table])
    frame: pl.DataFrame = connection.sql(f"SELECT {columns} FROM {table} ORDER BY {order_by}").pl()
    return frame


def set_fact(connection: duckdb.DuckDBPyConnection, name: str, value: str) -> None:
    """Record a fact about the warehouse in place of the one that was there, within the caller's transaction."""
    connection.execute("DELETE FROM warehouse_info WHERE name = ?", [name])
    connection.execute("INSERT INTO warehouse_info (name, value) VALUES (?, ?)", [name, value])


def fact(connection: duckdb.DuckDBPyConnection, name: str) -> str | None:
    """Return a fact about the warehouse, or None."""
    rows = connection.execute("SELECT value FROM warehouse_info WHERE name = ?", [name]).fetchall()
    return str(rows[0][0]) if rows else None


def statement(package: str, name: str, **identifiers: str) -> str:
    """Return the SQL of a package's file `name`, with identifiers of ours put in."""
    text = files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return text.format(**identifiers) if identifiers else text


@contextmanager
def _connected(path: Path, *, read_only: bool, lock_timeout_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = _connect(path, read_only=read_only, lock_timeout_s=lock_timeout_s)
    try:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        # Merging small row groups at each checkpoint rewrites the whole table: 36 months cost 10 CPU s and 630 MB
        # instead of 5 CPU s and 270 MB. Blocks of deleted rows are used again without it.
        connection.execute("SET max_vacuum_tasks = 0")
        with _sound(path, _BROKEN):
            yield connection
    finally:
        connection.close()


def _make(path: Path) -> None:
    """Make the file, with its tables, at once: DuckDB alone makes it piece by piece, and a kill leaves such a piece."""
    with TemporaryDirectory(prefix="capsim-") as folder:
        made = Path(folder) / path.name
        with _sound(made), _opened(made, read_only=False) as connection:
            _create_tables(connection)
        with atomic_path(path, replaces=False) as temporary:
            shutil.copyfile(made, temporary)


def _opened(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(path), read_only=read_only, config={"storage_compatibility_version": STORAGE_VERSION})


def _connect(path: Path, *, read_only: bool, lock_timeout_s: float) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + lock_timeout_s
    while True:
        try:
            with _sound(path):
                return _opened(path, read_only=read_only)
        except _LockedError as error:
            if time.monotonic() >= deadline:
                raise WarehouseError(
                    f"{path} is held by another process after {lock_timeout_s:g} s: {_holder(error.found)}",
                    remedy="close that connection or wait for that run to end, then run this again; "
                    "while one process writes, no other can open the file",
                ) from None
            time.sleep(_POLL_SECONDS)


def _holder(message: str) -> str:
    """Return who holds the lock: process, command and since when; DuckDB names a program and a number only."""
    found = _HOLDER.search(message)
    if not found:
        return message
    try:
        process = psutil.Process(int(found["pid"]))
        command = " ".join(" ".join(process.cmdline()).split())[:_COMMAND_LENGTH]
        since = dt.datetime.fromtimestamp(process.create_time(), dt.UTC)
    except psutil.Error:
        return f"process {found['pid']}, {found['program']}"
    return f"process {found['pid']}, '{command}', running since {since:%Y-%m-%d %H:%M:%S} UTC"


class _LockedError(WarehouseError):
    """Another process holds the lock."""


@contextmanager
def _sound(path: Path, kinds: tuple[type[duckdb.Error], ...] = (duckdb.Error,)) -> Iterator[None]:
    """Say what to do about a file that DuckDB cannot open, read or write.

    `kinds`: errors that are the file's, and not those of a statement.
    """
    try:
        yield
    except kinds as error:
        said = str(error).partition("\n")[0]
        if _LOCK_MESSAGE in said:
            raise _LockedError(said, remedy="wait") from None
        known = clear_error(error)
        if isinstance(known, StorageError):
            raise WarehouseError(f"{path}: {said}", remedy=known.remedy) from error
        raise WarehouseError(
            f"{path} cannot be opened or is damaged: {said}",
            remedy="restore it from a copy, or move it away and make it anew: capsim run, or capsim refine",
        ) from error


def _is_empty(connection: duckdb.DuckDBPyConnection) -> bool:
    try:
        connection.table("warehouse_info")
    except duckdb.CatalogException:
        return not _table_names(connection)
    return False


def _table_names(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {str(name) for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}


def _create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    with transaction(connection):
        for table in TABLES:
            connection.execute(ddl(table))
        create_views(connection)
        set_fact(connection, "schema_version", SCHEMA_VERSION)


def _update_views(connection: duckdb.DuckDBPyConnection) -> None:
    if fact(connection, "schema_version") != SCHEMA_VERSION:
        with transaction(connection):
            create_views(connection)
            set_fact(connection, "schema_version", SCHEMA_VERSION)


def _require_version(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    missing = _lacking(connection)
    found = None if missing else fact(connection, "schema_version")
    if missing or found not in _SAME_TABLES:
        problem = f"lacks {listed(missing)}" if missing else f"has schema version {found}"
        raise WarehouseError(
            f"{path} {problem}; this version of capsim needs schema version {SCHEMA_VERSION}",
            remedy="move the file away and make it anew: capsim run, or capsim refine",
        )


def _lacking(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the tables that should be there and are not, or else such columns."""
    # DuckDB lists what it holds at 36 CPU ms, more than it takes to open the file; to name its tables costs 8.
    try:
        if all(_has_its_columns(connection, table) for table in TABLES):
            return []
    except (duckdb.CatalogException, duckdb.BinderException):
        pass
    return sorted(set(TABLES) - _table_names(connection)) or _other_columns(connection)


def _has_its_columns(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    # A view in a table's place has no rowid.
    relation = connection.sql(f"SELECT rowid, * FROM {table}")
    found = dict(zip(relation.columns, map(str, relation.types), strict=True))
    return all(found.get(column.name) == column.type for column in TABLES[table])


def _other_columns(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the columns that tables should have and have not, as when another tool has replaced one."""
    found = {*connection.execute("SELECT table_name, column_name, data_type FROM duckdb_columns()").fetchall()}
    wanted = [(table, column.name, column.type) for table, columns in TABLES.items() for column in columns]
    return [f"{table}.{name} {kind}" for table, name, kind in wanted if (table, name, kind) not in found]
