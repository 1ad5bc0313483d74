"""Running jobs from the command line, in this process, on the instance that the UI shows: one run, or a backfill's.

A backfill finds which months are due, in which runs, and does those one after the other.
"""

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg

from capsim_dagster.errors import PartitionError, SettingsError
from capsim_dagster.orchestration.dagster_private import InMemoryJob, execute_run_iterator
from capsim_dagster.orchestration.event_log import EngineReusingEventLog
from capsim_dagster.orchestration.instance import origin_of
from capsim_dagster.orchestration.jobs import FULL_REFRESH, MONTHLY_REFRESH, REFINE_FEED
from capsim_dagster.orchestration.keys import HOST_INVENTORY, PROCESSED_DATA, REFINERY_AUDIT
from capsim_dagster.orchestration.months import key_of, key_ranges, range_tags, ranges_named
from capsim_dagster.orchestration.other_runs import Patience, held_run, host_tag, release_dead_runs
from capsim_dagster.orchestration.run_summary import RunSummary, summary_of
from capsim_dagster.orchestration.states import State, Status
from capsim_dagster.orchestration.status import is_of_other_fleet, possible_months, read_status
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.refine import feed_months
from capsim_dagster.settings import Settings

_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The summary says what happened; the whole log is in the UI."""


def run_job(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    months: Sequence[str],
    tags: Mapping[str, str] | None = None,
) -> RunSummary:
    """Run a job in this process, as one run over the range from the first to the last of some months.

    Raises:
        dagster.DagsterExecutionInterruptedError: If Ctrl-C comes between two steps; the run is recorded as cancelled.
    """
    release_dead_runs(instance)
    run_id = str(uuid.uuid4())
    storage = instance.event_log_storage
    if isinstance(storage, EngineReusingEventLog):
        storage.patience = patience_of(definitions)
    with held_run(instance, run_id):
        try:
            result = _execute(
                definitions.resolve_job_def(job), instance, run_id, {**range_tags(months), **host_tag(), **(tags or {})}
            )
        except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
            _record_as_cancelled(instance, run_id)
            raise
        summary = summary_of(result)
        if summary.interrupted:
            _record_as_cancelled(instance, run_id)
    return summary


def patience_of(definitions: dg.Definitions) -> Patience:
    """Return how a run in a terminal waits for others: as the settings say, and visibly."""
    resources = definitions.resources or {}
    return Patience(resources["platform"].settings.automation.max_wait_seconds, resources["progress"].say)


def _execute(
    job: dg.JobDefinition, instance: dg.DagsterInstance, run_id: str, tags: Mapping[str, str]
) -> dg.ExecuteInProcessResult:
    """Run a job as `execute_in_process` does, with the origin that it has in the UI."""
    run = instance.create_run_for_job(
        job, run_id=run_id, run_config=_QUIET, tags={**job.run_tags, **tags}, remote_job_origin=origin_of(job.name)
    )
    events = list(execute_run_iterator(InMemoryJob(job), run, instance))
    ended = instance.get_run_by_id(run_id)
    assert ended is not None  # noqa: S101 it was recorded above
    return dg.ExecuteInProcessResult(job_def=job, event_list=events, dagster_run=ended, output_capture={})


def _record_as_cancelled(instance: dg.DagsterInstance, run_id: str) -> None:
    """Show a run that Ctrl-C ended as cancelled: as a failure it would mark months as failed that it did not reach."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is not dg.DagsterRunStatus.CANCELED:
        instance.report_run_canceled(run, "interrupted in the terminal (Ctrl-C or SIGTERM)")


BACKFILL_TAG: Final = "capsim/backfill"
"""Tag that the runs of one backfill share."""
_FEED_ASSETS: Final = (PROCESSED_DATA, REFINERY_AUDIT)
"""What a user's feed fills; nothing of the simulator is wanted there."""


@dataclass(frozen=True)
class Plan:
    """Which months a backfill runs.

    Attributes:
        runs: Months of each run: contiguous, ascending.
        done: Months that are there already, with every gate passed.
        assets: Assets without months for whose sake the last month is run again: every month is there, and these are
            missing, failed or not judged.
    """

    job: str
    runs: Sequence[Sequence[str]]
    done: Sequence[str]
    running: Sequence[str]
    assets: Sequence[str] = ()

    @property
    def months(self) -> list[str]:
        """The months of all runs."""
        return [month for months in self.runs for month in months]


def plan_backfill(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    months: Sequence[str] | None,
    *,
    today: dt.date,
    again: bool = False,
) -> Plan:
    """Return what is to be run so that some months are there.

    Where none are named, these are all complete months, of a user's feed those that it has. The month of `today`, in
    UTC, is not complete. With `again` months that are there already are run too.

    Raises:
        PartitionError: If one of the months cannot exist: before the fleet's start, or not complete yet.
        SettingsError: If the data are of another fleet than the settings describe.
        FeedError: If the folder of a user's feed is missing, or holds no file of the layout.
    """
    release_dead_runs(instance)
    _require_same_fleet(instance, settings)
    asked = _existing(definitions, settings, months, today)
    wanted = None if settings.refinery.feed_dir is None else _FEED_ASSETS
    found = read_status(definitions, instance, today=today, assets=wanted, months=asked)
    running = found.months_in(State.RUNNING)
    due = [month for month in asked if month not in running] if again else found.open_months
    done = sorted({*asked} - {*found.open_months, *running})
    assets: Sequence[str] = ()
    if months is None and done and not due and not running:
        # The last month is made anew for what comes after all months, at the price of a file that has not changed.
        assets = tuple(found.open_assets)
        due = done[-1:] if assets else []
    return Plan(
        job=_job(found, settings),
        runs=key_ranges(due, longest=settings.automation.max_months_per_run),
        done=[month for month in done if month not in due],
        running=running,
        assets=assets,
    )


def run_backfill(
    definitions: dg.Definitions, instance: dg.DagsterInstance, plan: Plan, tags: Mapping[str, str] | None = None
) -> Iterator[RunSummary]:
    """Run a plan, run by run; a run that fails does not keep the next from being tried."""
    name = uuid.uuid4().hex[:8]
    for months in plan.runs:
        yield run_job(definitions, instance, plan.job, months, {BACKFILL_TAG: name, **(tags or {})})


def months_wanted(definitions: dg.Definitions, settings: Settings, *, today: dt.date) -> list[str]:
    """Return the months that can be there, ascending: of a user's feed those that it has.

    Raises:
        FeedError: If the folder of a user's feed is missing, or holds no file of the layout.
    """
    existing = possible_months(definitions, today)
    if settings.refinery.feed_dir is None:
        return existing
    return sorted({*map(key_of, feed_months(Platform(settings)))} & {*existing})


def _require_same_fleet(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Keep a fleet from being replaced, or torn, by months that were asked for with other settings."""
    generation = settings.data_generation
    if settings.refinery.feed_dir is None and is_of_other_fleet(instance, generation):
        raise SettingsError(
            f"{settings.data_dir} holds another fleet than {generation.num_servers:,} hosts from "
            f"{generation.start_date} on, seed {generation.random_seed}",
            remedy="give the settings and options that it was made with (--hosts, --start, --config), or name another "
            "--data-dir; capsim run --replace replaces it",
        )


def _job(found: Status, settings: Settings) -> str:
    """Return the job that makes months: where the inventory is not there and judged, the whole one."""
    if settings.refinery.feed_dir is not None:
        return REFINE_FEED
    return FULL_REFRESH if HOST_INVENTORY.to_user_string() in found.open_assets else MONTHLY_REFRESH


def _existing(
    definitions: dg.Definitions, settings: Settings, months: Sequence[str] | None, today: dt.date
) -> list[str]:
    """Return the months asked for, ascending, once each."""
    if months is None:
        return months_wanted(definitions, settings, today=today)
    existing = possible_months(definitions, today)
    strange = set(months) - set(existing)
    if strange:
        raise PartitionError(
            f"{ranges_named(strange)} cannot be there; months that can: {ranges_named(existing)}",
            remedy="a month exists from data_generation.start_date on, once it is over (UTC) or within end_date",
        )
    return sorted(set(months))
