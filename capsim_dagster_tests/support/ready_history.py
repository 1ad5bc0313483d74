"""The empty databases of Dagster's history, made once a process and copied from then on.

Dagster makes them table by table, and reads all of its migrations whenever it opens one: 0.6 CPU seconds for the
history of a new data directory, 0.1 for one that is there and for each run in it. A copy is what Dagster made. Where
there is a database already, where none can be written, and in processes that a test starts, all is as without this.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.engine import Engine

_EMPTY: Final[dict[str, bytes]] = {}
"""The content of an empty database, by the name of its file."""
_LOADED: Final = "dagster._core.storage.event_log.sqlite"
"""Where this module is not loaded there is no history to open, and loading it takes seconds."""


def keep_ready() -> None:
    """Let new databases be copies, once Dagster is loaded; does nothing before, and nothing the second time."""
    if _LOADED in sys.modules and not _EMPTY:
        with TemporaryDirectory(prefix="capsim-") as folder:
            _make_empty(Path(folder))
        _copy_from_now_on()
        _read_migrations_once()
        _wait_for_no_disk()


def _make_empty(folder: Path) -> None:
    from dagster._core.storage.event_log import SqliteEventLogStorage
    from dagster._core.storage.runs import SqliteRunStorage
    from dagster._core.storage.schedules import SqliteScheduleStorage

    SqliteRunStorage.from_local(str(folder))
    SqliteScheduleStorage.from_local(str(folder))
    with SqliteEventLogStorage(str(folder)).run_connection("one_run"):
        pass
    _EMPTY.update((path.stem, path.read_bytes()) for path in folder.iterdir())
    # Nothing of them may lie in a log beside them.
    assert _EMPTY.keys() == {"index", "one_run", "runs", "schedules"}


def _copy_from_now_on() -> None:
    from dagster._core.storage.event_log import SqliteEventLogStorage
    from dagster._core.storage.runs import SqliteRunStorage
    from dagster._core.storage.schedules import SqliteScheduleStorage

    patched, init, initdb = pytest.MonkeyPatch(), SqliteEventLogStorage.__init__, SqliteEventLogStorage._initdb

    def opened(self: SqliteEventLogStorage, base_dir: str, inst_data: Any = None) -> None:  # noqa: ANN401 Dagster's
        _copy("index", Path(base_dir) / "index.db")
        init(self, base_dir, inst_data)

    def with_tables(self: SqliteEventLogStorage, engine: "Engine", for_index_shard: bool = False) -> None:
        _copy("one_run", Path(str(engine.url.database)))
        initdb(self, engine, for_index_shard)

    patched.setattr(SqliteEventLogStorage, "__init__", opened)
    patched.setattr(SqliteEventLogStorage, "_initdb", with_tables)
    patched.setattr(SqliteRunStorage, "from_local", _after_copy("runs", SqliteRunStorage.from_local))
    patched.setattr(SqliteScheduleStorage, "from_local", _after_copy("schedules", SqliteScheduleStorage.from_local))


def _after_copy(name: str, from_local: Callable[..., object]) -> Callable[..., object]:
    def opened(base_dir: str, inst_data: object = None) -> object:
        _copy(name, Path(base_dir) / f"{name}.db")
        return from_local(base_dir, inst_data)

    return opened


def _copy(name: str, path: Path) -> None:
    """Write an empty database, whole or not at all, where there is none and it can be written."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(_EMPTY[name])
            os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _read_migrations_once() -> None:
    from alembic.script import ScriptDirectory

    read: Callable[[Config], ScriptDirectory] = ScriptDirectory.from_config
    by_place = cache(lambda _place, config: read(config))
    pytest.MonkeyPatch().setattr(
        ScriptDirectory, "from_config", lambda config: by_place(config.get_main_option("script_location"), config)
    )


def _wait_for_no_disk() -> None:
    """Let a commit be in the hands of the system, as a kill leaves it; only a loss of power would lose it."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def connected(connection: Any, _record: object) -> None:  # noqa: ANN401 of any database
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", connected)
