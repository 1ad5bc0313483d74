"""The history of runs, kept for so many days: what older runs logged goes, but not what tells what is there now.

Of each asset and partition the latest materialization stays, and of each check the latest verdict, whichever run made
them. A run stays whole while it is the latest of an asset, or was the last to try something and did not get there: its
end is what shows as failed. What goes of a run goes in an order in which a kill leaves it to be found again: what the
index holds, its files, its record.
"""

import datetime as dt
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg
from sqlalchemy import Select, func, select

from capsim_dagster.orchestration import dagster_private as private
from capsim_dagster.orchestration.event_log import EngineReusingEventLog

_MOST_RUNS: Final = 500
"""Runs that one tick of the daemon removes at most: some seconds of work."""
_EVERY_SECONDS: Final = 3600
_ORPHAN_DAYS: Final = 1
"""How long a log lies without a run before it goes; one that just begins is not recorded yet."""
_EVENTS: Final = private.SqlEventLogStorageTable.c
_CHECKS: Final = private.AssetCheckExecutionsTable.c
_PLANNED: Final = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
_TOLD: Final = (dg.DagsterEventType.ASSET_MATERIALIZATION.value, dg.DagsterEventType.ASSET_OBSERVATION.value)


@dataclass(frozen=True)
class RunHistory:
    """What there is of the history: the runs that are older than runs are kept, oldest first, and how many stay.

    The old ones tell nothing of what is there now. `days` are the first and the last on which one began, `bytes` the
    size of their logs.
    """

    old: Sequence[str]
    days: Sequence[dt.date]
    kept: int
    bytes: int


def history_of(instance: dg.DagsterInstance, keep_days: int | None, *, now: dt.datetime) -> RunHistory:
    """Return what is older than runs are kept [days]; None = for ever."""
    storage, count = instance.event_log_storage, instance.get_runs_count()
    if keep_days is None or not isinstance(storage, EngineReusingEventLog):
        return RunHistory([], [], count, 0)
    before = dg.RunsFilter(statuses=private.FINISHED_STATUSES, created_before=now - dt.timedelta(days=keep_days))
    needed = _needed_runs(storage)
    records = [each for each in instance.get_run_records(before) if each.dagster_run.run_id not in needed]
    records.sort(key=lambda record: record.create_timestamp)
    old = [record.dagster_run.run_id for record in records]
    days = [record.create_timestamp.date() for record in (*records[:1], *records[-1:])]
    size = sum(path.stat().st_size for run_id in old for path in storage.files_of(run_id))
    return RunHistory(old, days, count - len(old), size)


def prune(instance: dg.DagsterInstance, old: Sequence[str], *, now: dt.datetime) -> int:
    """Remove old runs, and logs without a run; return how many runs went."""
    storage = instance.event_log_storage
    if not isinstance(storage, EngineReusingEventLog):
        return 0
    telling = _telling_events(storage)
    for run_id in old:
        _forget_events(storage, run_id, telling)
        storage.remove_files(run_id)
        for folder in ("logs", "storage"):
            shutil.rmtree(Path(instance.root_directory) / folder / run_id, ignore_errors=True)
        instance.run_storage.delete_run(run_id)
    _remove_orphans(instance, storage, now)
    return len(old)


def history_sensor(keep_days: int | None) -> dg.SensorDefinition:
    """Return the sensor that removes old runs while the UI runs; it requests nothing."""

    @dg.sensor(
        name="history_sensor",
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Removes runs that are older than automation.keep_runs_days, a bounded number a tick. The latest "
            "materializations and verdicts stay. It requests no run."
        ),
    )
    def history_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        now = dt.datetime.now(dt.UTC)
        old = history_of(context.instance, keep_days, now=now).old
        gone = prune(context.instance, old[:_MOST_RUNS], now=now)
        return dg.SkipReason(f"removed {gone} of {len(old)} old runs" if gone else "no run is older than it is kept")

    return history_sensor


def _latest(*kinds: str) -> Select[str, str, int, str]:
    """Return the query of the latest event of some kinds, of each asset and partition: asset, partition, id, run."""
    # SQLite takes the other columns of a group from the row that has the maximum.
    columns = (_EVENTS.asset_key, _EVENTS.partition, func.max(_EVENTS.id), _EVENTS.run_id)
    chosen = _EVENTS.dagster_event_type.in_(kinds), _EVENTS.asset_key.is_not(None)
    return select(*columns).where(*chosen).group_by(_EVENTS.asset_key, _EVENTS.partition)


def _latest_checks() -> Select[str, int | None, int]:
    """Return the query of the latest execution of each check of each partition: run, event, id."""
    columns = (_CHECKS.run_id, _CHECKS.evaluation_event_storage_id, func.max(_CHECKS.id))
    return select(*columns).group_by(_CHECKS.asset_key, _CHECKS.check_name, _CHECKS.partition)


def _needed_runs(storage: EngineReusingEventLog) -> set[str]:
    with storage.index_connection() as index:
        made = {(asset, partition): run for asset, partition, _, run in index.execute(_latest(_TOLD[0]))}
        tried = {(asset, partition): run for asset, partition, _, run in index.execute(_latest(_PLANNED))}
        # A verdict that never came is shown by how its run ended.
        unjudged = {run for run, event, _ in index.execute(_latest_checks()) if event is None}
        last = {run for (run,) in index.execute(select(private.AssetKeyTable.c.last_run_id)) if run}
    return {run for key, run in tried.items() if made.get(key) != run} | unjudged | last


def _telling_events(storage: EngineReusingEventLog) -> tuple[set[int], set[int]]:
    """Return the ids of the events that stay, and those of the executions of checks."""
    with storage.index_connection() as index:
        told = {event for kind in _TOLD for _, _, event, _ in index.execute(_latest(kind))}
        checks = list(index.execute(_latest_checks()))
    return told | {event for _, event, _ in checks if event is not None}, {execution for _, _, execution in checks}


def _forget_events(storage: EngineReusingEventLog, run_id: str, telling: tuple[set[int], set[int]]) -> None:
    """Remove what the index holds of a run, but what tells what is there now."""
    events, executions = telling
    with storage.index_connection() as index:
        of_run = {event for (event,) in index.execute(select(_EVENTS.id).where(_EVENTS.run_id == run_id))} - events
        for event in of_run:
            index.execute(private.SqlEventLogStorageTable.delete().where(_EVENTS.id == event))
            index.execute(private.AssetEventTagsTable.delete().where(private.AssetEventTagsTable.c.event_id == event))
        judged = index.execute(select(_CHECKS.id).where(_CHECKS.run_id == run_id))
        for execution in {execution for (execution,) in judged} - executions:
            index.execute(private.AssetCheckExecutionsTable.delete().where(_CHECKS.id == execution))


def _remove_orphans(instance: dg.DagsterInstance, storage: EngineReusingEventLog, now: dt.datetime) -> None:
    latest = now.timestamp() - dt.timedelta(days=_ORPHAN_DAYS).total_seconds()
    orphans = set(storage.get_all_run_ids()) - set(instance.get_run_ids())
    for run_id in orphans:
        if all(path.stat().st_mtime < latest for path in storage.files_of(run_id)):
            storage.remove_files(run_id)
