"""Running the main job from the command line: in this process, on the instance that the UI shows."""

import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import dagster as dg
import psutil
from dagster._core.errors import DagsterAssetCheckFailedError  # not exported
from dagster_shared.error import SerializableErrorInfo  # not exported
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars

from capsim_dagster.orchestration.jobs import FULL_REFRESH
from capsim_dagster.orchestration.partitions import range_tags
from capsim_dagster.orchestration.progress import Advance

_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The summary says what happened; the whole log is in the UI."""
_PROCESS_TAG: Final = "capsim/process"
_INTERRUPTS: Final = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")


@dataclass(frozen=True)
class AssetSummary:
    """What one asset wrote.

    Attributes:
        asset: The asset.
        partitions: Months; 0 = not partitioned.
        rows: Rows over all partitions.
        bytes: Bytes over all partitions; 0 = not a file of its own.
    """

    asset: str
    partitions: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class CheckSummary:
    """How one check ended.

    Attributes:
        asset: The asset.
        check: The check.
        passed: Whether the claim holds.
        is_warning: Whether a failure only warns.
        detail: Verdict and examples, in words.
    """

    asset: str
    check: str
    passed: bool
    is_warning: bool
    detail: str


@dataclass(frozen=True)
class RunSummary:
    """How a run ended.

    Attributes:
        run_id: Its id in the UI.
        succeeded: Whether every step did, and no blocking check failed.
        interrupted: Whether Ctrl-C ended it.
        assets: What each asset wrote.
        checks: How each check ended.
        failures: Why steps failed, in words.
    """

    run_id: str
    succeeded: bool
    interrupted: bool
    assets: list[AssetSummary]
    checks: list[CheckSummary]
    failures: list[str]


class BarProgress:
    """Shows each stage as a bar in the terminal, or as a line once it is done where there is no terminal."""

    def __init__(self, console: Console) -> None:
        """Prepare bars on a console; nothing is shown yet."""
        self._console = console
        self._starting = TaskID(0)
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=32),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bars while the run lasts."""
        with self._bars:
            self._starting = self._bars.add_task("starting the run", total=1, unit="run")
            yield

    @contextmanager
    def stage(self, _context: object, *, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Open a stage of `total` units."""
        self._bars.update(self._starting, completed=1)
        task = self._bars.add_task(name, total=total, unit=unit)
        yield lambda amount: self._bars.advance(task, amount)
        if not self._console.is_terminal:
            self._console.print(f"{name}: {total:,} {unit}")


def release_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs of this machine's killed `capsim run` processes, and return their ids.

    Nothing else would: such a run stays "started" for ever and keeps its slot of the write pool, so that the next
    run waits without end.
    """
    unfinished = instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    dead = [run for run in unfinished if _PROCESS_TAG in run.tags and not _is_alive(run.tags[_PROCESS_TAG])]
    for run in dead:
        instance.report_run_failed(run, "its process is gone: it was killed, or the machine was restarted")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


def full_refresh(definitions: dg.Definitions, instance: dg.DagsterInstance, months: Iterable[int]) -> RunSummary:
    """Run the job `full_refresh` for some months in this process, as one run.

    Args:
        definitions: What Dagster loads.
        instance: Where the run is recorded.
        months: Months as YYYYMM; the run covers the range from the first to the last.
    """
    release_dead_runs(instance)
    job = definitions.resolve_job_def(FULL_REFRESH)
    tags = {**range_tags(months), _PROCESS_TAG: _identity(psutil.Process())}
    result = job.execute_in_process(instance=instance, tags=tags, run_config=_QUIET, raise_on_error=False)
    return RunSummary(
        run_id=result.run_id,
        succeeded=result.success,
        interrupted=any(_is_interrupt(event.step_failure_data.error) for event in _step_failures(result)),
        assets=_assets(result),
        checks=_checks(result),
        failures=_failures(result),
    )


def _identity(process: psutil.Process) -> str:
    """Return host, process id and start time: a later process may get the same id."""
    return f"{platform.node()} {process.pid} {process.create_time():.2f}"


def _is_alive(identity: str) -> bool:
    """Return whether a process still runs; one of another machine is taken to."""
    node, pid, _ = identity.rsplit(" ", 2)
    if node != platform.node():
        return True
    try:
        return _identity(psutil.Process(int(pid))) == identity
    except psutil.NoSuchProcess:
        return False


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
    return [
        CheckSummary(
            asset=evaluation.asset_key.to_user_string(),
            check=evaluation.check_name,
            passed=evaluation.passed,
            is_warning=evaluation.severity is dg.AssetCheckSeverity.WARN,
            detail=evaluation.description or "",
        )
        for evaluation in result.get_asset_check_evaluations()
    ]


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return why steps failed: the description of a failure raised on purpose, else the error itself."""
    reasons = []
    for event in _step_failures(result):
        data = event.step_failure_data
        described = data.user_failure_data.description if data.user_failure_data else None
        reasons.append(f"{event.step_key}: {described or _error_text(data.error)}")
    return reasons


def _step_failures(result: dg.ExecuteInProcessResult) -> list[dg.DagsterEvent]:
    return [event for event in result.all_events if event.is_step_failure]


def _is_interrupt(error: SerializableErrorInfo | None) -> bool:
    """Whether a step failed because of Ctrl-C: Dagster raises an error of its own, DuckDB and polars raise theirs."""
    return error is not None and (error.cls_name in _INTERRUPTS or "Query interrupted" in error.message)


def _error_text(error: SerializableErrorInfo | None) -> str:
    """Return an error with its trace, but for a blocking check, whose reason stands in the table of checks."""
    if error is None:
        return "no reason was recorded"
    if error.cls_name == DagsterAssetCheckFailedError.__name__:
        return error.message.partition(":")[2].strip()
    return error.to_string()
