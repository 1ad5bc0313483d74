"""Dagster's SQLite event log, with its connections kept instead of several new ones an event, and months that can go.

The stock class makes an engine and a connection for each statement group, which throws SQLAlchemy's compiled statements
away and opens the database six times an event: a run over 36 months writes 700 events, and spent 10 CPU seconds on
them. Here an event is serialized once and stored by statements that are made once, one transaction a database. The
files are the same, so either class reads what the other wrote; where a later Dagster no longer calls `_connect` and
`store_event`, this class is inert.

A run holds a lock beside its database while this process executes it, wherever it was started, and waits for its turn
at a pool as `other_runs` has it.

The stock class can forget an asset, but not one of its partitions: months that a replaced fleet no longer has would be
shown as materialized for ever.
"""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import dagster as dg
from sqlalchemy import bindparam, create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.event import listen
from sqlalchemy.pool import QueuePool

from capsim_dagster.orchestration import dagster_private as private
from capsim_dagster.orchestration.other_runs import Patience, RunLocks, claimed_in_turn

_OPEN_DATABASES: Final = 16
"""There is a database a run; a web server that has shown hundreds of them keeps the latest open."""
_ENDS: Final = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
_INSERT: Final = private.SqlEventLogStorageTable.insert()
_UPDATE_ASSET: Final = private.AssetKeyTable.update().where(private.AssetKeyTable.c.asset_key == bindparam("of_asset"))
_JUDGED: Final = private.AssetCheckExecutionsTable
_UPDATE_PLANNED: Final = _JUDGED.update().where(
    _JUDGED.c.asset_key == bindparam("of_asset"),
    _JUDGED.c.check_name == bindparam("of_check"),
    _JUDGED.c.run_id == bindparam("of_run"),
    _JUDGED.c.partition.is_not_distinct_from(bindparam("of_partition")),
)
"""Of the row that was planned; what it is to say is given with it."""


class EngineReusingEventLog(private.SqliteEventLogStorage):
    """The SQLite event log of Dagster, with its connections kept, and partitions that can be forgotten."""

    def __init__(self, base_dir: str, inst_data: private.ConfigurableClassData | None = None) -> None:
        """Open the event log under a folder."""
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._engines_lock = threading.Lock()
        self._tables: set[str] = set()
        self._has_index_columns = False
        self._made: dict[tuple[dg.AssetKey, str | None], private.AssetCheckEvaluationTargetMaterializationData] = {}
        self.locks = RunLocks(Path(base_dir).absolute())
        self.patience = Patience()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls,
        inst_data: private.ConfigurableClassData | None,
        config_value: Any,  # noqa: ANN401 the supertypes disagree
    ) -> "EngineReusingEventLog":
        """Open the event log that `dagster.yaml` describes."""
        return cls(inst_data=inst_data, **config_value)

    def has_table(self, table_name: str) -> bool:
        """Return whether there is a table; one that was there stays."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def store_event(self, event: private.EventLogEntry) -> None:
        """Store an event; from its start to its end this process holds the lock of a run that it executes."""
        happened = event.dagster_event
        kind = happened.event_type if happened else None
        if kind is dg.DagsterEventType.RUN_START:
            self.locks.hold(event.run_id)
        elif kind in _ENDS:
            self.locks.end(event.run_id)
            self._made.clear()
        row = self._event_to_row(event)
        with self.run_connection(event.run_id) as connection:
            connection.execute(_INSERT, row)
        is_of_asset, is_of_check = kind in private.ASSET_EVENTS, kind in private.ASSET_CHECK_EVENTS
        if happened and (is_of_asset or is_of_check or kind in private.EVENT_TYPE_TO_PIPELINE_RUN_STATUS):
            # What is asked about over all runs stands in the index too.
            with self.index_connection() as connection:
                (storage_id,) = connection.execute(_INSERT, row).inserted_primary_key or (0,)
                if is_of_asset:
                    self._store_asset_event_tags(connection, [event], [storage_id])
                    self._store_asset_event(connection, event, storage_id)
                if isinstance(happened.event_specific_data, dg.AssetCheckEvaluation):
                    _store_evaluation(connection, happened.event_specific_data, row, storage_id)
            if kind is dg.DagsterEventType.ASSET_MATERIALIZATION and happened.asset_key:
                made = private.AssetCheckEvaluationTargetMaterializationData(
                    storage_id=storage_id, run_id=event.run_id, timestamp=event.timestamp
                )
                self._made[happened.asset_key, happened.partition] = made
            elif kind is dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                self.store_asset_check_event(event, storage_id)

    def made_here(
        self, asset: dg.AssetKey, partition: str | None
    ) -> private.AssetCheckEvaluationTargetMaterializationData | None:
        """Return the materialization that the run of this process has recorded last, if it has one."""
        return self._made.get((asset, partition))

    def _store_asset_event(self, conn: Connection, event: private.EventLogEntry, event_id: int) -> None:
        # The stock class inserts first, which fails for each event of an asset but its first.
        facts = self._get_asset_entry_values(event, event_id, self._has_asset_key_index_cols_on_connection(conn))
        asset = event.dagster_event.asset_key if event.dagster_event else None
        if asset is None or not facts:
            return
        if not conn.execute(_UPDATE_ASSET, {**facts, "of_asset": asset.to_string()}).rowcount:
            conn.execute(private.AssetKeyTable.insert(), {**facts, "asset_key": asset.to_string()})

    def _has_asset_key_index_cols_on_connection(self, conn: Connection) -> bool:
        # Asked for each event; the database was made, or migrated, before.
        if not self._has_index_columns:
            self._has_index_columns = super()._has_asset_key_index_cols_on_connection(conn)
        return self._has_index_columns

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> private.ConcurrencyClaimStatus:
        """Claim a slot of a pool for a step, waiting for its turn."""
        claim = partial(super().claim_concurrency_slot, concurrency_key, run_id, step_key, priority)
        return claimed_in_turn(self._instance, claim, pool=concurrency_key, run_id=run_id, patience=self.patience)

    def wipe_asset_partitions(self, asset_key: dg.AssetKey, partition_keys: Sequence[str]) -> None:
        """Forget what is recorded of some partitions of an asset, and of its checks; the logs of runs stay."""
        with self.index_connection() as connection:
            for table in (private.SqlEventLogStorageTable, private.AssetCheckExecutionsTable):
                is_of_asset = table.c.asset_key == asset_key.to_string()
                connection.execute(table.delete().where(is_of_asset, table.c.partition.in_(list(partition_keys))))
        self._made.clear()
        self.wipe_asset_cached_status(asset_key)

    def files_of(self, run_id: str) -> list[Path]:
        """Return the files that hold the log of a run."""
        base = Path(self.path_for_shard(run_id))
        return [path for path in (base, Path(f"{base}-wal"), Path(f"{base}-shm")) if path.exists()]

    def remove_files(self, run_id: str) -> None:
        """Remove the log of a run; what the index holds of it stays."""
        with self._engines_lock:
            if run_id in self._engines:
                self._engines.pop(run_id).dispose()
        self._initialized_dbs.discard(run_id)
        for path in self.files_of(run_id):
            path.unlink(missing_ok=True)

    def wipe(self) -> None:
        """Remove every database."""
        self._made.clear()
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close what is open."""
        super().dispose()
        self.locks.release_all()
        self._close()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        # One connection at a time, as in the stock class: SQLite has one writer anyway.
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        with self._engines_lock:
            if shard not in self._engines:
                self._engines[shard] = create_engine(
                    self.conn_string_for_shard(shard),
                    # Making the tables of a new database takes a second connection for a moment.
                    poolclass=QueuePool,
                    pool_size=1,
                    connect_args={"timeout": private.SQLITE_BUSY_TIMEOUT_SECONDS},
                )
                listen(self._engines[shard], "connect", _wait_for_no_disk)
            self._engines.move_to_end(shard)
            while len(self._engines) > _OPEN_DATABASES:
                self._engines.popitem(last=False)[1].dispose()
            return self._engines[shard]

    def _close(self) -> None:
        with self._engines_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()


def _store_evaluation(
    connection: Connection, found: dg.AssetCheckEvaluation, row: Mapping[str, Any], storage_id: int
) -> None:
    """Say how a check ended, in the place of the row that planned it, or in one of its own."""
    status = private.AssetCheckExecutionRecordStatus
    target = found.target_materialization_data
    facts = {
        "execution_status": (status.SUCCEEDED if found.passed else status.FAILED).value,
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": storage_id,
        "materialization_event_storage_id": target.storage_id if target else None,
        "partition": found.partition,
    }
    key = {"asset_key": found.asset_key.to_string(), "check_name": found.check_name, "run_id": row["run_id"]}
    of = dict(zip(("of_asset", "of_check", "of_run"), key.values(), strict=True))
    if not connection.execute(_UPDATE_PLANNED, {**facts, **of, "of_partition": found.partition}).rowcount:
        connection.execute(_JUDGED.insert(), {**key, **facts})


def _wait_for_no_disk(connection: sqlite3.Connection, _record: object) -> None:
    """Let a commit not wait for the disk: 1,900 such waits were half of the wall time of a small run.

    Beside a write-ahead log the file stays sound whatever happens; what a power cut loses of the last events, `status`
    finds on disk.
    """
    connection.execute("PRAGMA synchronous = NORMAL")
