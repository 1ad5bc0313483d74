"""Gates between assets that hold in every kind of run.

A blocking check stops later assets within one run only: "Materialize all" is a backfill of several runs, and so is a
person who goes on by hand. So each asset looks at the gates of what it is made from, and refuses what failed them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg

from capsim_dagster.errors import GateError
from capsim_dagster.orchestration import dagster_private as private
from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE, MONTHLY_CSV, specs_of

_PARITY_GATE: Final = "row_parity"


def require_gates(instance: dg.DagsterInstance, upstream: Iterable[dg.AssetKey]) -> None:
    """Refuse upstream data whose gate failed.

    A check counts if it looked at the asset as it is now: an asset that was materialized since is judged again, or not
    yet.

    Raises:
        GateError: If the latest evaluation of a blocking check failed.
    """
    failed = [
        f"{spec.asset_key.to_user_string()}: {spec.name} failed ({reason})"
        for asset in upstream
        for spec in specs_of(asset)
        if spec.blocking and (reason := _failure(instance, spec.key)) is not None
    ]
    if failed:
        raise GateError(
            f"what this is made from did not pass its checks: {'; '.join(failed)}",
            remedy="see the check for what is wrong, materialize that asset again, then this one",
        )


@dataclass(frozen=True)
class PartitionGate:
    """What bars single partitions made of others, what those are in words, what is kept then, and the remedy."""

    upstream: Sequence[dg.AssetKey]
    what: str
    kept: str
    remedy: str


FEED_GATE: Final = PartitionGate(
    tuple(MONTHLY_CSV.values()), "feed", "it keeps its previous rows", "materialize monthly_csv for that month again"
)
ARCHIVE_GATE: Final = PartitionGate(
    (HOURLY_ARCHIVE,), "archive", "what is published of it stays", "materialize hourly_archive for that day again"
)


def barred(gate: PartitionGate, instance: dg.DagsterInstance, keys: Sequence[str]) -> Mapping[str, GateError]:
    """Return the partitions, by key, that are made from what failed its check, and why they may not be made."""
    return {
        key: GateError(
            f"{key.removesuffix('-01') if gate is FEED_GATE else key}: its {gate.what} did not pass its checks "
            f"({', '.join(names)}); {gate.kept}",
            remedy=gate.remedy,
        )
        for key, names in _failed_gates(instance, gate.upstream, keys).items()
    }


def _failed_gates(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], keys: Sequence[str]
) -> Mapping[str, Sequence[str]]:
    """Return the partitions of some assets whose parity check failed, each with the names of those checks."""
    checks = [dg.AssetCheckKey(asset, _PARITY_GATE) for asset in assets]
    failed: dict[str, list[str]] = {}
    for found in instance.event_log_storage.get_asset_check_partition_info(checks, partition_keys=keys):
        # A run that was killed before it judged a partition again hides the verdict, but does not lift it.
        is_passed = found.latest_execution_status is private.AssetCheckExecutionRecordStatus.SUCCEEDED
        if not is_passed and _failure(instance, found.check_key, found.partition_key) is not None:
            name = f"{found.check_key.asset_key.to_user_string()} {found.check_key.name}"
            failed.setdefault(str(found.partition_key), []).append(name)
    return failed


def _failure(instance: dg.DagsterInstance, check: dg.AssetCheckKey, partition: str | None = None) -> str | None:
    """Return why the latest evaluation of a check failed; None = it passed, or looked at an earlier materialization."""
    records = instance.event_log_storage.get_asset_check_execution_history(
        check,
        limit=1,
        status=private.COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
        partition_filter=private.PartitionKeyFilter(key=partition),
    )
    evaluation = records[0].evaluation if records else None
    if evaluation is None or evaluation.passed:
        return None
    target = evaluation.target_materialization_data
    chosen = dg.AssetRecordsFilter(check.asset_key, asset_partitions=[partition] if partition else None)
    latest = instance.fetch_materializations(chosen, limit=1).records
    if latest and target is not None and target.storage_id != latest[0].storage_id:
        return None
    return evaluation.description or "no reason was recorded"
