"""What Dagster shows of each month: states of partitions and of checks, as the UI reads them."""

from collections.abc import Iterable

import dagster as dg

from capsim_dagster.orchestration.months import key_of


def partition_states(
    instance: dg.DagsterInstance, definitions: dg.Definitions, asset: str, months: Iterable[int]
) -> dict[int, str]:
    """Return by month whether an asset is MATERIALIZED, FAILED, IN_PROGRESS or MISSING."""
    key = dg.AssetKey(asset.split("/"))
    node = definitions.resolve_asset_graph().get(key)
    assert node.partitions_def is not None
    asked = {key_of(month): month for month in months}
    found = instance.get_status_by_partition(key, list(asked), node.partitions_def) or {}
    return {month: status.name if (status := found.get(name)) else "MISSING" for name, month in asked.items()}


def check_states(instance: dg.DagsterInstance, asset: str, check: str) -> dict[int, str]:
    """Return by month how a check ended: SUCCEEDED, FAILED, or PLANNED where it was not reached.

    An evaluation that looked at an earlier materialization counts as OUTDATED.
    """
    key = dg.AssetCheckKey(dg.AssetKey(asset.split("/")), check)
    return {
        int(found.partition_key[:7].replace("-", "")): found.latest_execution_status.name
        if found.is_current
        else "OUTDATED"
        for found in instance.event_log_storage.get_asset_check_partition_info([key])
        if found.partition_key
    }
