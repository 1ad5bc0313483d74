"""Months brought up to date from the command line: which are due, in which runs, and those runs one after the other."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg

from capsim_dagster.errors import PartitionError, listed
from capsim_dagster.orchestration.jobs import FULL_REFRESH, LOADING_JOBS, MONTHLY_REFRESH, REFINE_FEED
from capsim_dagster.orchestration.keys import HOST_INVENTORY, MONTHLY, PROCESSED_DATA
from capsim_dagster.orchestration.launch import release_dead_runs, run_job
from capsim_dagster.orchestration.partitions import month_of, month_ranges, standing
from capsim_dagster.orchestration.run_summary import RunSummary
from capsim_dagster.orchestration.status import failed_months
from capsim_dagster.settings import Settings
from capsim_dagster.simulation.time_dimension import month_name

BACKFILL_TAG: Final = "capsim/backfill"
"""Tag that the runs of one backfill share."""


@dataclass(frozen=True)
class Plan:
    """Which months a backfill runs.

    Attributes:
        job: The job.
        runs: Months of each run, as YYYYMM: contiguous, ascending.
        done: Months that are there already, with every gate passed.
        running: Months that another run is at.
    """

    job: str
    runs: Sequence[Sequence[int]]
    done: Sequence[int]
    running: Sequence[int]


def plan_backfill(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    months: Sequence[int] | None,
    *,
    again: bool = False,
) -> Plan:
    """Return what is to be run so that some months are there.

    Args:
        definitions: What Dagster loads.
        instance: Where runs are recorded.
        settings: The settings.
        months: Months as YYYYMM; None = every complete month.
        again: Whether months that are there already are run too.

    Raises:
        PartitionError: If one of the months cannot exist: before the fleet's start, or not complete yet.
    """
    release_dead_runs(instance)
    asked = _existing(definitions, months)
    assets = MONTHLY if settings.refinery.feed_dir is None else (PROCESSED_DATA,)
    partitions = _partitions(definitions)
    found = [standing(instance, asset, partitions, asked, jobs=LOADING_JOBS) for asset in assets]
    graph = definitions.resolve_asset_graph()
    gates = [key for key in graph.get_check_keys_for_assets(set(assets)) if graph.get_check_spec(key).blocking]
    barred = {month for gate in gates for month in failed_months(instance, gate)}
    running = [month for month in asked if any(month in states.under_way for states in found)]
    is_whole = {month for month in asked if month not in barred and all(month in states.present for states in found)}
    done = [] if again else sorted(is_whole)
    due = [month for month in asked if month not in {*running, *done}]
    return Plan(
        job=_job(instance, settings),
        runs=month_ranges(due, longest=settings.automation.max_months_per_run),
        done=done,
        running=running,
    )


def run_backfill(definitions: dg.Definitions, instance: dg.DagsterInstance, plan: Plan) -> Iterator[RunSummary]:
    """Run a plan, run by run; a run that fails does not keep the next from being tried.

    Args:
        definitions: What Dagster loads.
        instance: Where runs are recorded.
        plan: The plan.
    """
    name = uuid.uuid4().hex[:8]
    for months in plan.runs:
        yield run_job(definitions, instance, plan.job, months, {BACKFILL_TAG: name})


def _job(instance: dg.DagsterInstance, settings: Settings) -> str:
    """Return the job that makes months: of a fleet that has no inventory yet, the whole one."""
    if settings.refinery.feed_dir is not None:
        return REFINE_FEED
    return MONTHLY_REFRESH if instance.get_latest_materialization_event(HOST_INVENTORY) else FULL_REFRESH


def _existing(definitions: dg.Definitions, months: Sequence[int] | None) -> list[int]:
    """Return the months asked for, ascending, once each.

    Raises:
        PartitionError: If one of them cannot exist.
    """
    existing = [month_of(key) for key in _partitions(definitions).get_partition_keys()]
    if months is None:
        return existing
    strange = sorted(set(months) - set(existing))
    if strange:
        known = f"{month_name(existing[0])} to {month_name(existing[-1])}" if existing else "none yet"
        raise PartitionError(
            f"{listed(map(month_name, strange))} is no month that can be there; those that can: {known}",
            remedy="a month exists from data_generation.start_date on, once it is over (UTC) or within end_date",
        )
    return sorted(set(months))


def _partitions(definitions: dg.Definitions) -> dg.PartitionsDefinition[str]:
    found = definitions.resolve_asset_graph().get(PROCESSED_DATA).partitions_def
    assert found is not None  # noqa: S101 it has months
    return found
