"""An instance in memory that is put back to what it was: making and filling one takes longer than what is tested."""

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

import dagster as dg
import pytest

from capsim_dagster.orchestration.keys import DATED
from capsim_dagster.orchestration.status import records_of
from capsim_dagster.pipeline.on_disk import OnDisk
from capsim_dagster.settings import Settings

Kept = list[sqlite3.Connection]
"""Copies of the databases of an instance."""


class MemoryInstance:
    """An instance in memory, empty at first."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self._empty = self.keep()

    def keep(self) -> Kept:
        """Return what the instance holds now."""
        kept = []
        for database in self._databases():
            copy = sqlite3.connect(":memory:")
            database.backup(copy)
            kept.append(copy)
        return kept

    def put_back(self, kept: Kept | None = None) -> dg.DagsterInstance:
        """Return the instance with what it held then; None = nothing."""
        for database, copy in zip(self._databases(), kept or self._empty, strict=True):
            copy.backup(database)
        return self.instance

    def _databases(self) -> Kept:
        """Return the connections that the storages hold for as long as they live."""
        storages: list[Any] = [self.instance.event_log_storage, self.instance.run_storage]
        return [storage._held_conn.connection.dbapi_connection for storage in storages]


@contextmanager
def in_memory() -> Iterator[MemoryInstance]:
    """Open an instance in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield MemoryInstance(instance)


class AsRecorded(OnDisk):
    """A disk that says nothing against what is recorded of assets and months."""

    def is_unknown(self, asset: str) -> bool:
        """Whether the disk says nothing of an asset."""
        return bool(asset)


def read_from(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `capsim status` read this instance, and take the disk to hold what is recorded in it."""

    def as_recorded(_: Settings, __: dt.date) -> OnDisk:
        return AsRecorded(dated={key.to_user_string(): [*instance.get_materialized_partitions(key)] for key in DATED})

    status_view = import_module("capsim_dagster.cli.status_view")
    monkeypatch.setattr(status_view, "records_to_read", lambda _: nullcontext(records_of(instance)))
    monkeypatch.setattr(status_view, "look_at_disk", as_recorded)
