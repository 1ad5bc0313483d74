"""Warehouses that stay open, for tests of what is in them: opening one costs 0.08 CPU s, and a command does it often.

Within `opened_once` each opening of a warehouse is a cursor of the connection that was opened first, and that is one to
a DuckDB that the process keeps, with the file attached: starting one costs more than all else of it. A built data
directory may stay open from test to test, and is mended after each. Tests of the opening itself, of locks, and those
that look at the directory from another process or copy it do without.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Final

import duckdb
import pytest

from capsim_dagster.pipeline import feed_watch
from capsim_dagster.schemas.tables import TABLES
from capsim_dagster.storage import warehouse
from capsim_dagster.storage.warehouse.upgrade import STORAGE_VERSION

Opening = Callable[..., AbstractContextManager[duckdb.DuckDBPyConnection]]
Stamp = tuple[int, int, int]
"""Kind, size and time of change of a file."""


_NUMBERS: Final = count()


@cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    """Return the DuckDB to which warehouses are attached."""
    return duckdb.connect()


@dataclass
class _Kept:
    """A warehouse that is open.

    Attributes:
        file: Which file it is: another one may come in its place.
        connection: The connection.
        closing: What closes it.
        database: Its name in the DuckDB that it is attached to; empty = it has one of its own.
        kinds: How it is being used just now.
    """

    file: int
    connection: duckdb.DuckDBPyConnection
    closing: ExitStack = field(default_factory=ExitStack)
    database: str = ""
    kinds: list[str] = field(default_factory=list)


class Openings:
    """The warehouses that are open, by path."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: dict[Path, _Kept] = {}

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let them be used in place of new openings while this lasts."""
        with pytest.MonkeyPatch.context() as patched:
            self._originals = {kind: getattr(warehouse, f"open_for_{kind}") for kind in ("reading", "writing")}
            for kind in self._originals:
                patched.setattr(warehouse, f"open_for_{kind}", partial(self._open, kind))
            patched.setattr(feed_watch, "open_for_reading", partial(self._open, "reading"))
            yield

    def connection(self, path: Path) -> duckdb.DuckDBPyConnection | None:
        """Return the connection of a warehouse, if that file is open and is still there."""
        kept = self._kept.get(path)
        is_there = kept is not None and path.exists() and path.stat().st_ino == kept.file
        return kept.connection if kept is not None and is_there else None

    def keep(self, path: Path, connection: duckdb.DuckDBPyConnection, closing: ExitStack, database: str = "") -> None:
        """Use a connection for a path from now on."""
        self._kept[path] = _Kept(path.stat().st_ino, connection, closing, database)

    def close(self) -> None:
        """Close all."""
        while self._kept:
            self._kept.popitem()[1].closing.close()

    @contextmanager
    def _open(self, kind: str, path: Path, *, lock_timeout_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        if path in self._kept and self.connection(path) is None:
            self._kept.pop(path).closing.close()
        if path not in self._kept and (kind == "writing" or path.exists()):
            self._attach(path, lock_timeout_s)
        if path in self._kept:
            with self._cursor(kind, path) as cursor:
                yield cursor
        else:
            with self._originals[kind](path, lock_timeout_s=lock_timeout_s) as connection:
                yield connection

    def _attach(self, path: Path, lock_timeout_s: float) -> None:
        database, closing = f"warehouse_{next(_NUMBERS)}", ExitStack()
        opened = warehouse._opened

        def attached(file: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
            if file != path:
                # That in which a new one is made.
                return opened(file, read_only=read_only)
            place = str(file).replace("'", "''")
            connection = _duckdb().cursor()
            connection.execute(f"ATTACH '{place}' AS {database} (STORAGE_VERSION '{STORAGE_VERSION}')")
            closing.callback(_duckdb().execute, f"DETACH {database}")
            return connection.execute(f"USE {database}")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(warehouse, "_opened", attached)
            connection = closing.enter_context(self._originals["writing"](path, lock_timeout_s=lock_timeout_s))
        self.keep(path, connection, closing, database)

    @contextmanager
    def _cursor(self, kind: str, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        kept = self._kept[path]
        # As DuckDB has it: a process cannot open a file in two ways at once.
        assert {*kept.kinds} <= {kind}, f"{path} is opened for {kind} while it is open for {kept.kinds[0]}"
        kept.kinds.append(kind)
        try:
            with warehouse._sound(path, warehouse._BROKEN), kept.connection.cursor() as cursor:
                if kept.database:
                    cursor.execute(f"USE {kept.database}")
                yield cursor
        finally:
            kept.kinds.remove(kind)


@contextmanager
def opened_once() -> Iterator[None]:
    """Let each warehouse be opened once while this lasts."""
    openings = Openings()
    with openings.used():
        try:
            yield
        finally:
            openings.close()


@dataclass(frozen=True)
class KeptOpen:
    """A copy of a built data directory with its open warehouse.

    Attributes:
        root: The copy.
        built: What it is a copy of.
        openings: The open warehouse, with what it held at first in the schema `built`.
    """

    root: Path
    built: Path
    openings: Openings = field(default_factory=Openings)
    _files: dict[str, Stamp] = field(default_factory=dict)
    _rows: dict[str, object] = field(default_factory=dict)

    @contextmanager
    def lent(self) -> Iterator[Path]:
        """Lend the directory to one test."""
        with self.openings.used():
            yield self.root
        self.mend()

    def open(self) -> None:
        """Copy what was built, and open its warehouse."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.built, self.root)
        closing = ExitStack()
        connection = closing.enter_context(warehouse.open_for_writing(self._warehouse, lock_timeout_s=5))
        connection.execute("ATTACH ':memory:' AS built")
        for table in TABLES:
            connection.execute(f"CREATE TABLE built.{table} AS SELECT * FROM {table}")
        self.openings.keep(self._warehouse, connection, closing)
        self._files.update(_stamps(self.root))
        self._rows.update(_contents(connection))

    def mend(self) -> None:
        """Put back what is no longer as it was built."""
        connection = self.openings.connection(self._warehouse)
        if connection is None:
            self.openings.close()
            self.open()
            return
        self._mend_files()
        found = _contents(connection)
        if found == self._rows:
            return
        for table in (table for table in TABLES if found[table] != self._rows[table]):
            connection.execute(f"DELETE FROM {table}")
            connection.execute(f"INSERT INTO {table} SELECT * FROM built.{table}")
        assert _contents(connection) == self._rows

    @property
    def _warehouse(self) -> Path:
        return self.root / "warehouse" / "capsim.duckdb"

    def _mend_files(self) -> None:
        found = _stamps(self.root)
        for path in sorted(found.keys() - self._files.keys(), reverse=True):
            (self.root / path).rmdir() if stat.S_ISDIR(found[path][0]) else (self.root / path).unlink()
        for path in sorted(path for path, stamp in self._files.items() if found.get(path) != stamp):
            _put_back(self.built / path, self.root / path)
        self._files.update(_stamps(self.root))


@contextmanager
def kept_open(built: Path, root: Path) -> Iterator[KeptOpen]:
    """Copy a built data directory and keep its warehouse open."""
    directory = KeptOpen(root, built)
    directory.open()
    yield directory
    directory.openings.close()


def _contents(connection: duckdb.DuckDBPyConnection) -> dict[str, object]:
    """Return what tells the rows of each table from others."""
    each = [f"SELECT '{table}', count(*), sum(hash({table})) FROM {table}" for table in TABLES]
    rows = connection.execute(" UNION ALL ".join(each)).fetchall()
    return {table: facts for table, *facts in rows}


def _stamps(root: Path) -> dict[str, Stamp]:
    """Return what lies under a folder, by relative path, but for the warehouse: links and folders as such."""
    found: dict[str, Stamp] = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path, facts = f"{folder}{entry.name}", entry.stat(follow_symlinks=False)
                if path == "warehouse":
                    continue
                is_folder = stat.S_ISDIR(facts.st_mode)
                found[path] = (facts.st_mode, 0, 0) if is_folder else (facts.st_mode, facts.st_size, facts.st_mtime_ns)
                folders += [f"{path}/"] if is_folder else []
    return found


def _put_back(built: Path, path: Path) -> None:
    if path.is_dir() and not path.is_symlink() and not built.is_dir():
        shutil.rmtree(path)
    elif not path.is_dir():
        path.unlink(missing_ok=True)
    if built.is_dir():
        path.mkdir(exist_ok=True)
        path.chmod(built.stat().st_mode & 0o777)
    else:
        shutil.copy2(built, path)
