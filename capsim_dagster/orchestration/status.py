"""What is there and what is not: assets, months, checks and runs, as the instance has recorded them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (  # not exported
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.dagster_run import RunRecord  # not exported

from capsim_dagster.orchestration.jobs import LOADING_JOBS
from capsim_dagster.orchestration.partitions import (
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    Standing,
    month_of,
    standing,
)

_RUNS: Final = 5
_ALL: Final = 10_000
"""Latest materializations looked at; Dagster hands out no more at once."""


class State(StrEnum):
    """State of an asset or of one of its months."""

    MATERIALIZED = "materialized"
    FAILED = "failed"
    RUNNING = "running"
    MISSING = "missing"


@dataclass(frozen=True)
class AssetStatus:
    """What there is of an asset.

    Attributes:
        asset: The asset.
        state: Of the whole; of one with months: the worst of those that were ever asked for.
        months: State by month as YYYYMM, of every month that could be there; empty = it has no months.
        rows: Rows of the latest materialization, over all months.
        last: When it was last materialized, in UTC; None = never.
    """

    asset: str
    state: State
    months: Mapping[int, State]
    rows: int
    last: dt.datetime | None

    def months_in(self, *states: State) -> list[int]:
        """Return the months in some states, ascending, as YYYYMM."""
        return [month for month, state in sorted(self.months.items()) if state in states]


@dataclass(frozen=True)
class CheckStatus:
    """How a check stands.

    Attributes:
        asset: The asset.
        check: The check.
        is_blocking: Whether later assets are refused where it fails.
        passed: How many months passed, or 1 for an asset without months.
        failed: Months that failed, as YYYYMM; `[0]` for an asset without months.
        unjudged: Months that were materialized since they were last judged, or never judged, likewise.
        detail: Verdict on the first failure, or on the asset.
    """

    asset: str
    check: str
    is_blocking: bool
    passed: int
    failed: Sequence[int]
    unjudged: Sequence[int]
    detail: str


@dataclass(frozen=True)
class RunStatus:
    """One of the last runs.

    Attributes:
        run_id: Its id.
        job: Its job; the assets, where it was launched from assets.
        months: First and last month asked for, as YYYYMM; None = none.
        status: As Dagster names it, in lower case.
        started: When, in UTC; None = not yet.
        seconds: How long it took, or has been running; None = it has not started.
    """

    run_id: str
    job: str
    months: tuple[int, int] | None
    status: str
    started: dt.datetime | None
    seconds: float | None


@dataclass(frozen=True)
class Status:
    """All of it.

    Attributes:
        assets: In the order of the graph.
        checks: Likewise.
        runs: The last ones, latest first.
    """

    assets: Sequence[AssetStatus]
    checks: Sequence[CheckStatus]
    runs: Sequence[RunStatus]

    @property
    def has_failures(self) -> bool:
        """Whether an asset, a month or a blocking check failed."""
        failed = any(asset.state is State.FAILED for asset in self.assets)
        return failed or any(check.failed for check in self.checks if check.is_blocking)


def read_status(instance: dg.DagsterInstance, definitions: dg.Definitions, *, today: dt.date) -> Status:
    """Return what the instance knows of the assets.

    Args:
        instance: Where runs are recorded.
        definitions: What Dagster loads.
        today: Today's date, in UTC: later months cannot be there yet.
    """
    graph = definitions.resolve_asset_graph()
    keys = [key for level in graph.toposorted_asset_keys_by_level for key in sorted(level)]
    return Status(
        assets=[_asset(instance, definitions, key, today) for key in keys],
        checks=[
            _check(instance, definitions, check)
            for key in keys
            for check in sorted(graph.get_check_keys_for_assets({key}))
        ],
        runs=[_run(record) for record in instance.get_run_records(limit=_RUNS)],
    )


def failed_months(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> list[int]:
    """Return the months of which the latest materialization failed a check, ascending, as YYYYMM."""
    return _months_by_verdict(instance, check)[1]


def _asset(instance: dg.DagsterInstance, definitions: dg.Definitions, key: dg.AssetKey, today: dt.date) -> AssetStatus:
    partitions = definitions.resolve_asset_graph().get(key).partitions_def
    if partitions is None:
        return _whole_asset(instance, key)
    now = dt.datetime.combine(today, dt.time(), dt.UTC)
    possible = [month_of(name) for name in partitions.get_partition_keys(now)]
    found = standing(instance, key, partitions, possible, jobs=LOADING_JOBS)
    months = {month: _state_of(month, found) for month in possible}
    records = instance.fetch_materializations(key, limit=_ALL).records
    latest: dict[str, dg.AssetMaterialization] = {}
    for record in records:
        if record.partition_key and record.asset_materialization:
            latest.setdefault(record.partition_key, record.asset_materialization)
    worst = next(
        (state for state in (State.FAILED, State.RUNNING, State.MATERIALIZED) if state in months.values()),
        State.MISSING,
    )
    return AssetStatus(
        asset=key.to_user_string(),
        state=worst,
        months=months,
        rows=sum(_rows(materialization) for materialization in latest.values()),
        last=_time(records[0].timestamp) if records else None,
    )


def _state_of(month: int, found: Standing) -> State:
    if month in found.under_way:
        return State.RUNNING
    if month in found.failed:
        return State.FAILED
    return State.MATERIALIZED if month in found.present else State.MISSING


def _whole_asset(instance: dg.DagsterInstance, key: dg.AssetKey) -> AssetStatus:
    """Return the state of an asset without months: its latest materialization, unless a later run did not get there."""
    records = instance.get_asset_records([key])
    entry = records[0].asset_entry if records else None
    latest = entry.last_materialization_record if entry else None
    state = State.MATERIALIZED if latest else State.MISSING
    if entry and entry.last_run_id and (latest is None or latest.run_id != entry.last_run_id):
        run = instance.get_run_by_id(entry.last_run_id)
        if run is not None and not run.is_finished:
            state = State.RUNNING
        elif run is not None and run.status is dg.DagsterRunStatus.FAILURE:
            state = State.FAILED
    materialization = latest.asset_materialization if latest else None
    return AssetStatus(
        asset=key.to_user_string(),
        state=state,
        months={},
        rows=_rows(materialization) if materialization else 0,
        last=_time(latest.timestamp) if latest else None,
    )


def _check(instance: dg.DagsterInstance, definitions: dg.Definitions, key: dg.AssetCheckKey) -> CheckStatus:
    graph = definitions.resolve_asset_graph()
    spec = graph.get_check_spec(key)
    records = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    )
    evaluation = records[0].evaluation if records else None
    if spec.partitions_def is not None:
        passed, failed, unjudged = _months_by_verdict(instance, key)
        return CheckStatus(key.asset_key.to_user_string(), key.name, spec.blocking, len(passed), failed, unjudged, "")
    is_failure = evaluation is not None and not evaluation.passed
    return CheckStatus(
        asset=key.asset_key.to_user_string(),
        check=key.name,
        is_blocking=spec.blocking,
        passed=int(evaluation is not None and evaluation.passed),
        failed=[0] if is_failure else [],
        unjudged=[] if evaluation is not None else [0],
        detail=(evaluation.description or "") if evaluation else "",
    )


def _months_by_verdict(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> tuple[list[int], list[int], list[int]]:
    """Return the months that passed a check, that failed it, and that it did not judge as they are now."""
    passed, failed, unjudged = [], [], []
    for found in instance.event_log_storage.get_asset_check_partition_info([key]):
        if not found.partition_key or found.latest_materialization_storage_id is None:
            continue
        month = month_of(found.partition_key)
        if not found.is_current or found.latest_execution_status is AssetCheckExecutionRecordStatus.PLANNED:
            unjudged.append(month)
        elif found.latest_execution_status is AssetCheckExecutionRecordStatus.SUCCEEDED:
            passed.append(month)
        else:
            failed.append(month)
    return sorted(passed), sorted(failed), sorted(unjudged)


def _run(record: RunRecord) -> RunStatus:
    run, ended = record.dagster_run, record.end_time
    single = run.tags.get(PARTITION_TAG)
    first, last = run.tags.get(RANGE_START_TAG, single), run.tags.get(RANGE_END_TAG, single)
    began = record.start_time
    until = ended if ended is not None else dt.datetime.now(dt.UTC).timestamp()
    chosen = sorted(key.to_user_string() for key in run.asset_selection or ())
    return RunStatus(
        run_id=run.run_id,
        job=", ".join(chosen) if chosen and run.job_name.startswith("__") else run.job_name,
        months=(month_of(first), month_of(last)) if first and last else None,
        status=run.status.value.lower(),
        started=_time(began) if began else None,
        seconds=until - began if began else None,
    )


def _rows(materialization: dg.AssetMaterialization) -> int:
    values = (materialization.metadata.get(name) for name in ("dagster/row_count", "dagster/partition_row_count"))
    return sum(int(value.value or 0) for value in values if isinstance(value, dg.IntMetadataValue))


def _time(timestamp: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(timestamp, dt.UTC)
