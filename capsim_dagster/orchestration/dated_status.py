"""What there is of the assets with a partition a day or an hour, as the instance has recorded it."""

import datetime as dt
from collections.abc import Mapping

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph  # not exported
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus  # not exported
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value  # not exported

from capsim_dagster.orchestration.keys import DATED
from capsim_dagster.orchestration.partitions import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from capsim_dagster.orchestration.states import DatedStatus


def dates_asked(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the first and last partition key that a run asks for by its tags; None = none."""
    single = tags.get(PARTITION_TAG)
    first, last = tags.get(RANGE_START_TAG, single), tags.get(RANGE_END_TAG, single)
    return (first, last) if first and last else None


def read_dated(instance: dg.DagsterInstance, graph: AssetGraph) -> list[DatedStatus]:
    """Return what there is of archive and published datasets.

    Args:
        instance: Where runs are recorded.
        graph: The assets.
    """
    return [_dated(instance, graph, key) for key in DATED]


def _dated(instance: dg.DagsterInstance, graph: AssetGraph, key: dg.AssetKey) -> DatedStatus:
    partitions = graph.get(key).partitions_def
    assert partitions is not None  # noqa: S101 that is what makes it dated
    # By its subsets: to ask for the status of each of tens of thousands of hours takes half a second.
    cached = get_and_update_asset_status_cache_value(instance, key, partitions)
    there, failed, running = set[str](), set[str](), set[str]()
    if cached is not None:
        running = {*cached.deserialize_in_progress_partition_subsets(partitions).get_partition_keys()}
        failed = {*cached.deserialize_failed_partition_subsets(partitions).get_partition_keys()} - running
        there = {*cached.deserialize_materialized_partition_subsets(partitions).get_partition_keys()} - failed - running
    latest = instance.get_latest_materialization_event(key)
    return DatedStatus(
        asset=key.to_user_string(),
        unit="hours" if isinstance(partitions, dg.HourlyPartitionsDefinition) else "days",
        there=len(there),
        first=min(there, default=""),
        last=max(there, default=""),
        failed=sorted(failed),
        running=sorted(running),
        refused=_refused(instance, graph, key),
        latest=dt.datetime.fromtimestamp(latest.timestamp, dt.UTC) if latest else None,
    )


def _refused(instance: dg.DagsterInstance, graph: AssetGraph, key: dg.AssetKey) -> list[str]:
    """Return the partitions that a check looked at as they are now, and did not pass."""
    checks = list(graph.get_check_keys_for_assets({key}))
    infos = instance.event_log_storage.get_asset_check_partition_info(checks)
    failed = AssetCheckExecutionRecordStatus.FAILED
    return sorted(
        {
            str(info.partition_key)
            for info in infos
            if info.partition_key and info.is_current and info.latest_execution_status is failed
        }
    )
