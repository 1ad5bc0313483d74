"""Partitions: which there are, which a run asks for, how months are cut into runs, and how they stand.

A data directory records from which month to which it has partitions beyond its window: those that somebody asked for,
or made. Without a record a fleet would offer every month since its window ended, and show as half filled although it is
whole. Dagster learns of a wider span when the definitions are loaded.
"""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

import dagster as dg

from capsim_dagster.orchestration.dagster_private import NOT_FINISHED_STATUSES, AssetPartitionStatus
from capsim_dagster.orchestration.months import (
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    dates_asked,
    day_of,
    key_of,
    month_of,
    months_asked,
)
from capsim_dagster.schemas.months import MAX_SPAN_MONTHS, month_end, month_start, months_between
from capsim_dagster.settings import Automation, DataGeneration
from capsim_dagster.storage import DataLayout, atomic_path

_FILE: Final = "months.json"


class MonthSpan(NamedTuple):
    """A first and a last month, both inclusive."""

    first: str
    last: str


def recorded_span(layout: DataLayout, asked: Iterable[str] = ()) -> MonthSpan | None:
    """Return the span that is recorded, and some months that are asked for just now; None = there are none."""
    months = [*asked]
    try:
        found = json.loads((layout.dagster_home / _FILE).read_text(encoding="utf-8"))
        months += [key_of(int(found["first"])), key_of(int(found["last"]))]
    except (OSError, ValueError, TypeError, KeyError):
        pass  # nothing was recorded; what is damaged comes back with the next month that is asked for
    return MonthSpan(min(months), max(months)) if months else None


def widen_span(layout: DataLayout, months: Iterable[str]) -> None:
    """Record that some months are asked for; one stray date does not make hundreds of months missing."""
    span = recorded_span(layout, months)
    if span is None or span == recorded_span(layout):
        return
    if len(months_between(day_of(span.first), day_of(span.last))) <= MAX_SPAN_MONTHS:
        with atomic_path(layout.dagster_home / _FILE) as temporary:
            # As YYYYMM, as every version has written it.
            temporary.write_text(json.dumps({name: month_of(key) for name, key in span._asdict().items()}), "utf-8")


def replace_span(layout: DataLayout, months: Iterable[str]) -> None:
    """Record that months of another fleet are asked for, and none of the one before."""
    (layout.dagster_home / _FILE).unlink(missing_ok=True)
    widen_span(layout, months)


def monthly_partitions(
    generation: DataGeneration, *, today: dt.date, span: MonthSpan | None = None, is_endless: bool = True
) -> dg.MonthlyPartitionsDefinition:
    """Return the months from the window's start on; after the window each exists once it is over.

    Where the window itself, or the span of months that were asked for beside it, reaches beyond the last complete
    month, its months exist already. Unless they are endless, they end there.
    """
    start, end = month_start(generation.start_date), month_start(generation.end_date)
    ahead = len(months_between(month_start(today), end)) if end >= month_start(today) else 0
    if span is not None:
        start, end = min(start, day_of(span.first)), max(end, day_of(span.last))
    after = None if is_endless else (month_end(end) + dt.timedelta(days=1)).isoformat()
    return dg.MonthlyPartitionsDefinition(start_date=start.isoformat(), end_date=after, end_offset=ahead)


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
    Those that the run that replaces the fleet asks for by its tags, `but`, are made anew. An instance that cannot
    forget single partitions goes on showing them.
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

    Those present have not failed since; those under way have the ids of the unfinished runs that ask for them.
    """

    present: frozenset[str]
    failed: frozenset[str]
    under_way: Mapping[str, Sequence[str]]


def standing(
    instance: dg.DagsterInstance,
    asset: dg.AssetKey,
    months: dg.PartitionsDefinition[str],
    wanted: Sequence[str],
    *,
    jobs: Collection[str],
) -> Standing:
    """Return how the wanted months of an asset stand.

    Unfinished runs of the `jobs` that materialize it count by what they ask for.
    """
    by_status: dict[AssetPartitionStatus | None, set[str]] = {}
    for key, status in (instance.get_status_by_partition(asset, wanted, months) or {}).items():
        by_status.setdefault(status, set()).add(key)
    under_way: dict[str, list[str]] = {month: [] for month in by_status.get(AssetPartitionStatus.IN_PROGRESS, ())}
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
