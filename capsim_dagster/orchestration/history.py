"""What Dagster has recorded of a data directory, read with a few queries: what was made, tried, judged and run.

The tables are those of Dagster's storage, read as they are, because to load Dagster costs seconds and this is only a
look; a test compares what is read with what Dagster says. What follows from it is decided in `status`.
"""

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from capsim_dagster.errors import StorageError

Query = Callable[[str], Sequence[tuple[Any, ...]]]
"""Returns the rows of a SELECT."""
Slot = tuple[str, str | None]
"""An asset and its partition; None = it has none."""

UNFINISHED: Final = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING")
"""Statuses of runs that are not finished, as `dagster._core.storage.dagster_run` has them."""
_MADE: Final = "ASSET_MATERIALIZATION"
_PLANNED: Final = "ASSET_MATERIALIZATION_PLANNED"
_LATEST: Final = f"""
SELECT id, asset_key, partition, dagster_event_type, run_id, timestamp FROM event_logs WHERE id IN (
    SELECT max(id) FROM event_logs WHERE dagster_event_type IN ('{_MADE}', '{_PLANNED}') AND asset_key IS NOT NULL
    GROUP BY asset_key, partition, dagster_event_type
)"""
_VERSIONS: Final = f"""
SELECT made.id, tags.value FROM event_logs AS made
LEFT JOIN asset_event_tags AS tags ON tags.event_id = made.id AND tags.key = 'dagster/data_version'
WHERE made.dagster_event_type = '{_MADE}' AND made.asset_key = '["host_inventory"]' ORDER BY made.id DESC"""
_JUDGED: Final = """
SELECT id, asset_key, check_name, partition, execution_status, materialization_event_storage_id
FROM asset_check_executions WHERE id IN (
    SELECT max(id) FROM asset_check_executions WHERE execution_status IN ('SUCCEEDED', 'FAILED')
    GROUP BY asset_key, check_name, partition
)"""
_WIPED: Final = "SELECT asset_key, wipe_timestamp FROM asset_keys WHERE wipe_timestamp IS NOT NULL"
_RUNS: Final = "SELECT run_id, pipeline_name, status, start_time, end_time, run_body FROM runs"
_LATEST_OF: Final = (
    f"SELECT max(id) FROM event_logs WHERE dagster_event_type IN ('{_MADE}', '{_PLANNED}') AND asset_key IN ({{keys}})",
    "SELECT max(id), max(evaluation_event_storage_id) FROM asset_check_executions WHERE asset_key IN ({keys})",
    "SELECT max(wipe_timestamp) FROM asset_keys WHERE asset_key IN ({keys})",
)
_FAILURES: Final = """
SELECT dagster_event_type, step_key, event FROM event_logs
WHERE run_id = '{run_id}' AND dagster_event_type IN ('STEP_FAILURE', 'PIPELINE_FAILURE') ORDER BY id"""
_ROW_COUNTS: Final = ("dagster/row_count", "dagster/partition_row_count")


@dataclass(frozen=True)
class Records:
    """The tables that Dagster writes: events of assets, runs, and all events of one run."""

    events: Query
    runs: Query
    events_of_run: Callable[[str], Query]


@dataclass(frozen=True)
class Made:
    """A latest materialization: when (UTC), and how many rows and bytes it says that it wrote; None = it does not."""

    storage_id: int
    run_id: str
    time: dt.datetime
    rows: int = 0
    bytes: int | None = None


@dataclass(frozen=True)
class Judged:
    """The latest verdict of a check; `target` is the materialization that it looked at, `id` the row that tells why."""

    id: int
    passed: bool
    target: int | None


@dataclass(frozen=True)
class Run:
    """A run as it is recorded; `assets` are those chosen, None = all of its job; times in seconds since 1970."""

    run_id: str
    job: str
    status: str
    started: float | None
    ended: float | None
    tags: Mapping[str, str]
    assets: Collection[str] | None


@dataclass(frozen=True)
class History:
    """What is recorded.

    Attributes:
        attempts: Status of the run of the latest attempt, where nothing was made since.
        judged: The latest verdict by asset, check and partition.
        versions: Storage id and data version of each inventory, the latest first.
    """

    made: Mapping[Slot, Made]
    attempts: Mapping[Slot, str]
    judged: Mapping[tuple[str, str, str | None], Judged]
    versions: Sequence[tuple[int, str | None]]
    runs: Sequence[Run]
    unfinished: Sequence[Run]

    @property
    def fleet_since(self) -> int:
        """Storage id of the first inventory of the fleet that is there; 0 = there never was another.

        Dagster keeps the months of a fleet that was replaced, although their files and rows are gone.
        """
        latest = self.versions[0][1] if self.versions else None
        other = next((index for index, (_, version) in enumerate(self.versions) if version != latest), None)
        return 0 if other is None else self.versions[other - 1][0]


@contextmanager
def open_records(home: Path) -> Iterator[Records | None]:
    """Open what is recorded under a `DAGSTER_HOME` without writing; None = it is not in SQLite files there.

    Raises:
        StorageError: If a file there is no sound database.
    """
    index, runs = home / "storage" / "history" / "runs" / "index.db", home / "storage" / "history" / "runs.db"
    if not (index.is_file() and runs.is_file()):
        yield None
        return
    with ExitStack() as opened:
        events = partial(_rows, _connected(index, opened), index)
        yield Records(events, partial(_rows, _connected(runs, opened), runs), partial(_events_of_run, index.parent))


def read_history(records: Records, *, bodiless: Collection[str] = (), last_runs: int) -> History:
    """Return what is recorded; of bodiless assets, with a partition an hour, neither rows nor bytes.

    Raises:
        StorageError: If a file is no sound database.
    """
    wiped = {asset: _moment(moment) for asset, moment in records.events(_WIPED)}
    latest = [row for row in records.events(_LATEST) if row[1] not in wiped or _moment(row[5]) > wiped[row[1]]]
    wanted = [row[0] for row in latest if row[3] == _MADE and _asset(row[1]) not in bodiless]
    bodies: dict[int, str] = dict(records.events(f"SELECT id, event FROM event_logs WHERE id IN ({_numbers(wanted)})"))
    made = {_slot(row): _made(row, bodies.get(row[0])) for row in latest if row[3] == _MADE}
    planned = {_slot(row): (row[0], row[4]) for row in latest if row[3] == _PLANNED}
    tried = {slot: run for slot, (event, run) in planned.items() if slot not in made or made[slot].storage_id < event}
    statuses: dict[str, str] = dict(
        records.runs(f"SELECT run_id, status FROM runs WHERE run_id IN ({_quoted({*tried.values()})})")
    )
    return History(
        made=made,
        attempts={slot: statuses[run] for slot, run in tried.items() if run in statuses},
        judged={
            (_asset(asset), check, partition): Judged(row, status == "SUCCEEDED", target)
            for row, asset, check, partition, status, target in records.events(_JUDGED)
        },
        versions=inventory_versions(records),
        runs=[_run(row) for row in records.runs(f"{_RUNS} ORDER BY id DESC LIMIT {last_runs}")],
        unfinished=[_run(row) for row in records.runs(f"{_RUNS} WHERE status IN ({_quoted(UNFINISHED)})")],
    )


def latest_of(records: Records, assets: Iterable[str]) -> list[object]:
    """Return the latest of each kind of thing recorded of some assets: the same as long as no run was at any of them.

    That somebody looked at one is no such thing.
    """
    keys = _quoted(json.dumps(asset.split("/")) for asset in assets)
    return [list(records.events(query.format(keys=keys))[0]) for query in _LATEST_OF]


def has_unfinished(records: Records) -> bool:
    """Return whether any run is not finished, as far as is recorded."""
    return bool(records.runs(f"SELECT run_id FROM runs WHERE status IN ({_quoted(UNFINISHED)}) LIMIT 1"))


def inventory_versions(records: Records) -> list[tuple[int, str | None]]:
    """Return storage id and data version of each inventory that was made, the latest first."""
    return [(row, version) for row, version in records.events(_VERSIONS)]


def why_failed(records: Records, judged: Iterable[Judged]) -> dict[int, str]:
    """Return by the id of a verdict what the check said."""
    ids = _numbers(verdict.id for verdict in judged)
    rows = records.events(f"SELECT id, evaluation_event FROM asset_check_executions WHERE id IN ({ids})")
    return {row: _data(event).get("description") or "" for row, event in rows}


def why_run_failed(records: Records, run_id: str) -> str:
    """Return why a run failed: what its first failed step says, or else the run; empty = it does not say."""
    for kind, step, event in records.events_of_run(run_id)(_FAILURES.format(run_id=run_id)):
        if kind != "STEP_FAILURE":
            return str(json.loads(event)["dagster_event"]["message"] or "")
        failure = _data(event)
        described = (failure.get("user_failure_data") or {}).get("description")
        text = described or (failure.get("error") or {}).get("message") or ""
        return f"{step}: {text.strip()}"
    return ""


def _connected(path: Path, opened: ExitStack) -> sqlite3.Connection:
    """Return a connection that reads only; where nothing can be written beside the file, one that takes it as it is."""
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        connection = opened.enter_context(closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)))
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            continue
        except sqlite3.DatabaseError:
            break
        return connection
    raise _unsound(path, "it is no database, or cannot be read")


def _rows(connection: sqlite3.Connection, path: Path, sql: str) -> Sequence[tuple[Any, ...]]:
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.DatabaseError as error:
        raise _unsound(path, str(error)) from None


def _events_of_run(folder: Path, run_id: str) -> Query:
    """Return a query over the events of a run, which has a file of its own; where that is gone, nothing is found."""

    def query(sql: str) -> Sequence[tuple[Any, ...]]:
        path = folder / f"{run_id}.db"
        if not path.is_file():
            return []
        with ExitStack() as opened:
            return _rows(_connected(path, opened), path, sql)

    return query


def _unsound(path: Path, reason: str) -> StorageError:
    return StorageError(
        f"the record of runs {path} cannot be read: {reason}",
        remedy=f"restore it, or move {path.parents[1]} away: the data stay, and the history begins anew",
    )


def _numbers(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids))


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _asset(key: str) -> str:
    """Return an asset by its name: `monthly_csv/cpu` of `["monthly_csv", "cpu"]`."""
    return "/".join(json.loads(key))


def _slot(row: Sequence[Any]) -> Slot:
    return _asset(row[1]), row[2]


def _data(event: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event)["dagster_event"]["event_specific_data"] or {}
    return found


def _made(row: Sequence[Any], event: str | None) -> Made:
    storage_id, _, _, _, run_id, moment = row
    entries = _data(event)["materialization"]["metadata_entries"] if event else []
    numbers = {entry["label"]: entry["entry_data"].get("value") for entry in entries}
    rows = sum(int(numbers.get(name) or 0) for name in _ROW_COUNTS)
    return Made(storage_id, run_id, _moment(moment), rows, numbers.get("bytes"))


def _moment(value: str | dt.datetime) -> dt.datetime:
    """Return a time of Dagster's tables, which are in UTC."""
    moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=dt.UTC)


def _run(row: Sequence[Any]) -> Run:
    run_id, job, status, started, ended, text = row
    body = json.loads(text)
    chosen = body["asset_selection"]
    assets = None if chosen is None else {"/".join(key["path"]) for key in chosen["__frozenset__"]}
    return Run(run_id, job, status, started, ended, body["tags"] or {}, assets)
