"""What a run did, put together from its events: for the terminal, which shows an asset or a check a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg

from capsim_dagster.orchestration.dagster_private import DagsterAssetCheckFailedError, SerializableErrorInfo
from capsim_dagster.orchestration.other_runs import WaitError

_NOT_SUMMED: Final = ("months", "pending_months", "problems")
"""Numbers of a month that mean nothing when added up."""
_INTERRUPTS: Final = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")


@dataclass(frozen=True)
class AssetSummary:
    """What one asset wrote, over all partitions of the run; no bytes = it is no file of its own."""

    asset: str
    partitions: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class CheckSummary:
    """How one check ended, over the months of the run that were judged one by one; none = the asset as a whole was."""

    asset: str
    check: str
    months: int
    passed: bool
    is_warning: bool
    detail: str


@dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    run_id: str
    succeeded: bool
    interrupted: bool
    assets: list[AssetSummary]
    checks: list[CheckSummary]
    failures: list[str]


def summary_of(result: dg.ExecuteInProcessResult) -> RunSummary:
    """Return what a run did."""
    return RunSummary(
        run_id=result.run_id,
        succeeded=result.success,
        interrupted=any(map(_is_interrupt, _errors(result))),
        assets=_assets(result),
        checks=_checks(result),
        failures=_failures(result),
    )


def _assets(result: dg.ExecuteInProcessResult) -> list[AssetSummary]:
    """Add up rows and bytes of each asset over the partitions of the run."""
    events: dict[str, list[dg.AssetMaterialization]] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        events.setdefault(materialization.asset_key.to_user_string(), []).append(materialization)
    return [
        AssetSummary(
            asset=asset,
            partitions=sum(1 for m in materializations if m.partition is not None),
            rows=sum(
                _number(m, "dagster/row_count") + _number(m, "dagster/partition_row_count") for m in materializations
            ),
            bytes=sum(_number(m, "bytes") for m in materializations),
        )
        for asset, materializations in events.items()
    ]


def _number(materialization: dg.AssetMaterialization, name: str) -> int:
    value = materialization.metadata.get(name)
    return int(value.value) if isinstance(value, dg.IntMetadataValue) and value.value is not None else 0


def _checks(result: dg.ExecuteInProcessResult) -> list[CheckSummary]:
    """Put the evaluations of each check together, those of its months into one line."""
    evaluations: dict[tuple[str, str], list[dg.AssetCheckEvaluation]] = {}
    for evaluation in result.get_asset_check_evaluations():
        key = evaluation.asset_key.to_user_string(), evaluation.check_name
        evaluations.setdefault(key, []).append(evaluation)
    return [
        CheckSummary(
            asset=asset,
            check=check,
            months=sum(1 for evaluation in found if evaluation.partition),
            passed=all(evaluation.passed for evaluation in found),
            is_warning=all(evaluation.severity is dg.AssetCheckSeverity.WARN for evaluation in found),
            detail=_verdict(found),
        )
        for (asset, check), found in evaluations.items()
    ]


def _verdict(evaluations: Sequence[dg.AssetCheckEvaluation]) -> str:
    """Return the verdict of one evaluation, the failures of several, or else the sums of their numbers."""
    failed = [evaluation for evaluation in evaluations if not evaluation.passed]
    if failed or len(evaluations) == 1:
        return "; ".join(evaluation.description or "" for evaluation in (failed or evaluations))
    sums: dict[str, int] = {}
    for evaluation in evaluations:
        for name, value in evaluation.metadata.items():
            if isinstance(value, dg.IntMetadataValue) and name not in _NOT_SUMMED:
                sums[name] = sums.get(name, 0) + (value.value or 0)
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in sums.items())


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return why steps failed: the description of a failure raised on purpose, else the error itself."""
    reasons = []
    for event in _step_failures(result):
        data = event.step_failure_data
        described = data.user_failure_data.description if data.user_failure_data else None
        reasons.append(f"{event.step_key}: {described or _error_text(data.error)}")
    return reasons or [_error_text(error) for error in _run_errors(result)]


def _errors(result: dg.ExecuteInProcessResult) -> list[SerializableErrorInfo | None]:
    return [event.step_failure_data.error for event in _step_failures(result)] + _run_errors(result)


def _run_errors(result: dg.ExecuteInProcessResult) -> list[SerializableErrorInfo | None]:
    """Return what ended the run between two steps, such as waiting for another one."""
    ends = [event.job_failure_data.error for event in result.all_events if event.is_job_failure]
    return [error for error in ends if error is not None]


def _step_failures(result: dg.ExecuteInProcessResult) -> list[dg.DagsterEvent]:
    return [event for event in result.all_events if event.is_step_failure]


def _is_interrupt(error: SerializableErrorInfo | None) -> bool:
    """Whether a step failed because of Ctrl-C: Dagster raises an error of its own, DuckDB and polars raise theirs."""
    return error is not None and (error.cls_name in _INTERRUPTS or "Query interrupted" in error.message)


def _error_text(error: SerializableErrorInfo | None) -> str:
    """Return an error with its trace, but for a blocking check, whose reason stands in the table of checks."""
    if error is None:
        return "no reason was recorded"
    if error.cls_name in (DagsterAssetCheckFailedError.__name__, WaitError.__name__):
        return error.message.partition(":")[2].strip()
    return error.to_string()
