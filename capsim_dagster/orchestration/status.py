"""What is there and what is not: assets, months, checks and runs, as the instance has recorded them.

The words for it are in `states`, what is to be done about it in `backfill`, how it looks in a terminal in `cli.status`.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Final

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph  # not exported
from dagster._core.definitions.data_version import DATA_VERSION_TAG  # not exported
from dagster._core.event_api import PartitionKeyFilter  # not exported
from dagster._core.storage.asset_check_execution_record import (  # not exported
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecordStatus,
    AssetCheckPartitionInfo,
)
from dagster._core.storage.dagster_run import RunRecord  # not exported
from dagster._core.storage.event_log.base import AssetEntry  # not exported

from capsim_dagster.orchestration.dated_status import dates_asked, read_dated
from capsim_dagster.orchestration.jobs import LOADING_JOBS
from capsim_dagster.orchestration.keys import DATED, HOST_INVENTORY, ON_DEMAND, TIER1_REALTIME, assets_in_order
from capsim_dagster.orchestration.partitions import Standing, key_of, month_of, standing
from capsim_dagster.orchestration.publication_jobs import PUBLICATION_JOBS
from capsim_dagster.orchestration.states import AssetStatus, CheckStatus, RunStatus, State, Status, Verdict
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation.telemetry import fleet_hash

_RUNS: Final = 5
_INVENTORIES: Final = 100
"""Latest inventories looked at, to find since when the fleet is the one that is there."""


def read_status(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    *,
    today: dt.date,
    assets: Collection[dg.AssetKey] | None = None,
    months: Collection[int] | None = None,
) -> Status:
    """Return what the instance knows of the assets.

    Args:
        definitions: What Dagster loads.
        instance: Where runs are recorded.
        today: Today's date, in UTC: later months cannot be there yet.
        assets: Which assets; None = all.
        months: Which months, as YYYYMM; None = all that could be there.
    """
    graph = definitions.resolve_asset_graph()
    by_month = [key for key in assets_in_order(graph) if key not in (*DATED, TIER1_REALTIME)]
    keys = [key for key in by_month if assets is None or key in assets]
    reader = _Reader(instance, graph, keys, today, months)
    found = {key: reader.asset(key) for key in keys}
    return Status(
        assets=list(found.values()),
        checks=[
            reader.check(check, found[key]) for key in keys for check in sorted(graph.get_check_keys_for_assets({key}))
        ],
        runs=[_run(instance, record) for record in instance.get_run_records(limit=_RUNS)],
        publication=read_dated(instance, graph) if assets is None else [],
    )


def is_of_other_fleet(instance: dg.DagsterInstance, generation: DataGeneration) -> bool:
    """Return whether the inventory that is there was made with other settings than these."""
    event = instance.get_latest_materialization_event(HOST_INVENTORY)
    version = _data_version(event.asset_materialization) if event else None
    return version is not None and version != fleet_hash(generation)


class _Reader:
    """Reads assets and checks of an instance."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        graph: AssetGraph,
        assets: Sequence[dg.AssetKey],
        today: dt.date,
        months: Collection[int] | None,
    ) -> None:
        self._instance, self._graph, self._months = instance, graph, months
        self._now = dt.datetime.combine(today, dt.time(), dt.UTC)
        self._since = _fleet_since(instance)
        # One query each, instead of one an asset or a check.
        self._entries = {
            record.asset_entry.asset_key: record.asset_entry for record in instance.get_asset_records(assets)
        }
        self._judged: dict[dg.AssetCheckKey, list[AssetCheckPartitionInfo]] = {}
        by_month = [
            key for key in graph.get_check_keys_for_assets({*assets}) if graph.get_check_spec(key).partitions_def
        ]
        for info in instance.event_log_storage.get_asset_check_partition_info(by_month):
            self._judged.setdefault(info.check_key, []).append(info)

    def asset(self, key: dg.AssetKey) -> AssetStatus:
        """Return what there is of an asset."""
        partitions = self._graph.get(key).partitions_def
        if partitions is None:
            return _whole_asset(self._instance, key, self._entries.get(key))
        possible = [month_of(name) for name in partitions.get_partition_keys(self._now)]
        wanted = [month for month in possible if self._months is None or month in self._months]
        # In this order: what a run makes in between is under way, and not missing.
        found = standing(self._instance, key, partitions, wanted, jobs=LOADING_JOBS)
        latest = self._latest(key, wanted)
        months = {month: _state_of(month, found, latest) for month in wanted}
        worst = (State.FAILED, State.RUNNING, State.MATERIALIZED)
        return AssetStatus(
            asset=key.to_user_string(),
            state=next((state for state in worst if state in months.values()), State.MISSING),
            months=months,
            rows=sum(_rows(record.asset_materialization) for record in latest.values()),
            last=max((_time(record.timestamp) for record in latest.values()), default=None),
        )

    def check(self, key: dg.AssetCheckKey, asset: AssetStatus) -> CheckStatus:
        """Return how a check of an asset stands."""
        months = None if asset.months is None else self._verdicts(key, asset)
        verdict = self._whole_verdict(key, asset) if months is None else _worst(months.values())
        failed = sorted(month for month, found in (months or {}).items() if found is Verdict.FAILED)
        return CheckStatus(
            asset=asset.asset,
            check=key.name,
            is_blocking=self._graph.get_check_spec(key).blocking,
            verdict=verdict,
            months=months,
            detail=self._detail(key, failed[0] if failed else None) if verdict is Verdict.FAILED else "",
        )

    def _latest(self, key: dg.AssetKey, months: Collection[int]) -> dict[int, dg.EventLogRecord]:
        """Return the latest materialization of each month, but for those of a fleet that was replaced."""
        if not months:
            return {}
        found = self._instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION, {key_of(month) for month in months}
        )
        chosen = [storage_id for storage_id in found.values() if storage_id >= self._since]
        if not chosen:
            return {}
        wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=chosen)
        records = self._instance.fetch_materializations(wanted, limit=len(chosen)).records
        return {month_of(record.partition_key): record for record in records if record.partition_key}

    def _verdicts(self, key: dg.AssetCheckKey, asset: AssetStatus) -> dict[int, Verdict]:
        """Return how a check judged the months that are there; what is being made is judged after it."""
        there = dict.fromkeys(asset.months_in(State.MATERIALIZED), Verdict.NOT_JUDGED)
        for found in self._judged.get(key, ()):
            latest, month = (
                found.latest_materialization_storage_id,
                month_of(found.partition_key) if found.partition_key else 0,
            )
            if latest is None or latest < self._since or not found.is_current or month not in (asset.months or ()):
                continue
            if found.latest_execution_status is AssetCheckExecutionRecordStatus.FAILED:
                # Of a month that failed too: it keeps its previous rows, and this may be why.
                there[month] = Verdict.FAILED
            elif found.latest_execution_status is AssetCheckExecutionRecordStatus.SUCCEEDED and month in there:
                there[month] = Verdict.PASSED
        return there

    def _whole_verdict(self, key: dg.AssetCheckKey, asset: AssetStatus) -> Verdict | None:
        if asset.last is None or asset.state is State.RUNNING:
            return None
        evaluation, entry = self._evaluation(key), self._entries[key.asset_key]
        target = evaluation.target_materialization_data if evaluation else None
        if evaluation is None or (target is not None and target.storage_id != entry.last_materialization_storage_id):
            return Verdict.NOT_JUDGED
        return Verdict.PASSED if evaluation.passed else Verdict.FAILED

    def _detail(self, key: dg.AssetCheckKey, month: int | None) -> str:
        evaluation = self._evaluation(key, month)
        return (evaluation.description or "") if evaluation else ""

    def _evaluation(self, key: dg.AssetCheckKey, month: int | None = None) -> dg.AssetCheckEvaluation | None:
        """Return the latest evaluation of a check, of a month if one is given."""
        records = self._instance.event_log_storage.get_asset_check_execution_history(
            key,
            limit=1,
            status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
            partition_filter=None if month is None else PartitionKeyFilter(key=key_of(month)),
        )
        return records[0].evaluation if records else None


def _fleet_since(instance: dg.DagsterInstance) -> int:
    """Return the storage id of the first inventory of the fleet that is there; 0 = there never was another.

    Dagster keeps the months of a fleet that was replaced, although their files and rows are gone.
    """
    records = instance.fetch_materializations(HOST_INVENTORY, limit=_INVENTORIES).records
    versions = [_data_version(record.asset_materialization) for record in records]
    same = next((index for index, version in enumerate(versions) if version != versions[0]), len(versions))
    return 0 if same == len(versions) else records[same - 1].storage_id


def _data_version(materialization: dg.AssetMaterialization | None) -> str | None:
    return (materialization.tags or {}).get(DATA_VERSION_TAG) if materialization else None


def _state_of(month: int, found: Standing, latest: Collection[int]) -> State:
    if month in found.under_way:
        return State.RUNNING
    if month in found.failed:
        return State.FAILED
    return State.MATERIALIZED if month in found.present and month in latest else State.MISSING


def _worst(verdicts: Collection[Verdict]) -> Verdict | None:
    worst = (Verdict.FAILED, Verdict.NOT_JUDGED, Verdict.PASSED)
    return next((verdict for verdict in worst if verdict in verdicts), None)


def _whole_asset(instance: dg.DagsterInstance, key: dg.AssetKey, entry: AssetEntry | None) -> AssetStatus:
    """Return the state of an asset without months: its latest materialization, unless a later run did not get there."""
    latest = entry.last_materialization_record if entry else None
    state = State.MATERIALIZED if latest else State.MISSING
    if entry and entry.last_run_id and (latest is None or latest.run_id != entry.last_run_id):
        run = instance.get_run_by_id(entry.last_run_id)
        if run is not None and not run.is_finished:
            state = State.RUNNING
        elif run is not None and run.status is dg.DagsterRunStatus.FAILURE:
            state = State.FAILED
    return AssetStatus(
        asset=key.to_user_string(),
        state=state,
        months=None,
        rows=_rows(latest.asset_materialization) if latest else 0,
        last=_time(latest.timestamp) if latest else None,
        is_on_demand=key in ON_DEMAND,
    )


def _run(instance: dg.DagsterInstance, record: RunRecord) -> RunStatus:
    run, ended = record.dagster_run, record.end_time
    asked = dates_asked(run.tags)
    is_dated = run.job_name in PUBLICATION_JOBS or bool(run.asset_selection and run.asset_selection <= {*DATED})
    began = record.start_time
    until = ended if ended is not None else dt.datetime.now(dt.UTC).timestamp()
    chosen = sorted(key.to_user_string() for key in run.asset_selection or ())
    return RunStatus(
        run_id=run.run_id,
        job=", ".join(chosen) if chosen and run.job_name.startswith("__") else run.job_name,
        months=(month_of(asked[0]), month_of(asked[1])) if asked and not is_dated else None,
        dates=asked if is_dated else None,
        status=run.status.value.lower(),
        started=_time(began) if began else None,
        seconds=until - began if began else None,
        reason=_reason(instance, run.run_id) if run.status is dg.DagsterRunStatus.FAILURE else "",
    )


def _reason(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return why a run failed: what its first failed step says, or else the run."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    events = [
        record.event_log_entry.dagster_event for record in instance.get_records_for_run(run_id, of_type=kinds).records
    ]
    for event in events:
        if event is None:
            continue
        failure = event.step_failure_data if event.is_step_failure else None
        if failure is None:
            return event.message or ""
        described = failure.user_failure_data.description if failure.user_failure_data else None
        text = described or (failure.error.message if failure.error else "")
        return f"{event.step_key}: {text.strip()}"
    return ""


def _rows(materialization: dg.AssetMaterialization | None) -> int:
    metadata = materialization.metadata if materialization else {}
    values = (metadata.get(name) for name in ("dagster/row_count", "dagster/partition_row_count"))
    return sum(int(value.value or 0) for value in values if isinstance(value, dg.IntMetadataValue))


def _time(timestamp: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(timestamp, dt.UTC)
