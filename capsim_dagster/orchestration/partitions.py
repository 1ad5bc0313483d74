"""Monthly partitions: their keys, which months a run asks for, how months are cut into runs, and how they stand."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import dagster as dg

from capsim_dagster.orchestration.dagster_private import NOT_FINISHED_STATUSES, AssetPartitionStatus
from capsim_dagster.orchestration.month_span import MonthSpan
from capsim_dagster.orchestration.months import (
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    dates_asked,
    hour_key,
    key_of,
    month_of,
    months_asked,
)
from capsim_dagster.schemas.months import first_day, month_end, month_start, months_between
from capsim_dagster.settings import Automation, DataGeneration


def monthly_partitions(
    generation: DataGeneration, *, today: dt.date, span: MonthSpan | None = None, is_endless: bool = True
) -> dg.MonthlyPartitionsDefinition:
    """Return the months from the window's start on; after the window each exists once it is over.

    Where the window itself reaches beyond the last complete month, its months exist already.

    Args:
        generation: The fleet and its window.
        today: Today's date, in UTC.
        span: Months that were asked for beside the window; None = none.
        is_endless: Whether they go on for ever; else they end with the window, or with the last that was asked for.
    """
    start, end = month_start(generation.start_date), month_start(generation.end_date)
    ahead = len(months_between(month_start(today), end)) if end >= month_start(today) else 0
    if span is not None:
        start, end = min(start, first_day(span.first)), max(end, first_day(span.last))
    after = None if is_endless else (month_end(end) + dt.timedelta(days=1)).isoformat()
    return dg.MonthlyPartitionsDefinition(start_date=start.isoformat(), end_date=after, end_offset=ahead)


def daily_partitions(generation: DataGeneration) -> dg.DailyPartitionsDefinition:
    """Return the days from the window's start on; each exists once it is over, in UTC."""
    return dg.DailyPartitionsDefinition(start_date=generation.start_date.isoformat())


def hourly_partitions(generation: DataGeneration) -> dg.HourlyPartitionsDefinition:
    """Return the hours from the window's start on; each exists once it is over, in UTC."""
    return dg.HourlyPartitionsDefinition(start_date=hour_key(generation.start_date, 0))


def backfill_policy(automation: Automation) -> dg.BackfillPolicy:
    """Return how a backfill is cut into runs: one run, or runs of at most `automation.max_months_per_run` months."""
    longest = automation.max_months_per_run
    if longest is None:
        return dg.BackfillPolicy.single_run()
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=longest)


def partition_tags(partitions: dg.PartitionsDefinition[str] | None, keys: Sequence[str]) -> dict[str, str]:
    """Return the run tags that ask for partitions: for one, or for a range; those with a gap no tag can ask for."""
    if partitions is None or not keys or not all(partitions.has_partition_key(key) for key in keys):
        return {}
    if len(keys) == 1:
        return {PARTITION_TAG: keys[0]}
    first, last = min(keys), max(keys)
    whole = partitions.get_partition_keys_in_range(dg.PartitionKeyRange(first, last))
    return {RANGE_START_TAG: first, RANGE_END_TAG: last} if len(whole) == len({*keys}) else {}


def forget(instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], but: Mapping[str, str] | None = None) -> int:
    """Forget what is recorded of the partitions of a fleet that is replaced, and return how many were forgotten.

    Their values are gone, or will be when they are made anew, or name other settings; nothing else would tell Dagster.

    Args:
        instance: Where runs are recorded; one that cannot forget single partitions goes on showing them.
        assets: Assets with partitions.
        but: Tags of the run that replaces the fleet: the partitions that it asks for are made anew; None = forget all.
    """
    asked, forgotten = dates_asked(but or {}), 0
    for asset in assets:
        there = instance.get_materialized_partitions(asset)
        lost = sorted(key for key in there if not (asked and asked[0] <= key <= asked[1]))
        with suppress(NotImplementedError):
            instance.wipe_asset_partitions(asset, lost)
            forgotten += len(lost)
    return forgotten


@dataclass(frozen=True)
class Standing:
    """How months of an asset stand; one that is in none of these was never tried, or its first try was cancelled.

    Attributes:
        present: Materialized, and not failed since, as YYYYMM.
        failed: Failed when they were last tried.
        under_way: Asked for by a run that is not finished, with the ids of such runs.
    """

    present: frozenset[int]
    failed: frozenset[int]
    under_way: Mapping[int, Sequence[str]]


def standing(
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    months: dg.PartitionsDefinition[str],
    wanted: Collection[int],
    *,
    jobs: Collection[str],
) -> Standing:
    """Return how some months of an asset stand.

    Args:
        instance: Where runs are recorded.
        asset: An asset with a partition a month.
        months: Its partitions.
        wanted: Months as YYYYMM.
        jobs: Jobs that materialize it: their unfinished runs count by what they ask for.
    """
    keys = [key_of(month) for month in wanted]
    found = instance.get_status_by_partition(asset, keys, months) or {}
    by_status: dict[AssetPartitionStatus | None, set[int]] = {}
    for key, status in found.items():
        by_status.setdefault(status, set()).add(month_of(key))
    under_way: dict[int, list[str]] = {month: [] for month in by_status.get(AssetPartitionStatus.IN_PROGRESS, ())}
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        is_loading = run.job_name in jobs and (run.asset_selection is None or asset in run.asset_selection)
        for month in months_asked(run.tags, wanted):
            # A run is recorded before what it plans is; a run of another job shows by its plan alone.
            if is_loading or month in under_way:
                under_way.setdefault(month, []).append(run.run_id)
    return Standing(
        present=frozenset(by_status.get(AssetPartitionStatus.MATERIALIZED, set()) - under_way.keys()),
        failed=frozenset(by_status.get(AssetPartitionStatus.FAILED, set()) - under_way.keys()),
        under_way=under_way,
    )
