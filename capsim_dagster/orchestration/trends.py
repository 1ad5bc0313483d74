"""How the checks fared lately, from the instance: what the picture of check trends shows."""

import datetime as dt
from typing import Final

import dagster as dg

from capsim_dagster.orchestration.check_specs import every_check
from capsim_dagster.orchestration.dagster_private import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
from capsim_dagster.pictures.checks import CheckTrend, Evaluation, Verdict

_LATEST: Final = 30
"""Evaluations a check; a picture with more cannot be read."""


def check_trends(instance: dg.DagsterInstance) -> list[CheckTrend]:
    """Return the latest evaluations of each check that was ever evaluated; of months whichever came last."""
    trends = []
    for check in every_check():
        records = instance.event_log_storage.get_asset_check_execution_history(
            check, limit=_LATEST, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
        )
        found = [_evaluation(record.evaluation, record.create_timestamp) for record in records if record.evaluation]
        if found:
            trends.append(CheckTrend(check.asset_key.to_user_string(), check.name, found))
    return trends


def _evaluation(found: dg.AssetCheckEvaluation, timestamp: float) -> Evaluation:
    failed = Verdict.WARNED if found.severity is dg.AssetCheckSeverity.WARN else Verdict.FAILED
    verdict = Verdict.PASSED if found.passed else failed
    return Evaluation(dt.datetime.fromtimestamp(timestamp, dt.UTC), verdict)
