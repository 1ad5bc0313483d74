"""Monthly partitions: their keys, and which months a run asks for."""

import datetime as dt
from collections.abc import Iterable, Mapping

import dagster as dg

from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation.time_dimension import month_start, months_between

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def monthly_partitions(generation: DataGeneration, *, today: dt.date) -> dg.MonthlyPartitionsDefinition:
    """Return the months from the window's start on.

    They have no end: each month exists once it is complete, so the fleet lives on after the window. Where the window
    itself reaches beyond the last complete month, its months exist already.

    Args:
        generation: The fleet and its window.
        today: Today's date, in UTC.
    """
    start = month_start(generation.start_date)
    ahead = (
        len(months_between(month_start(today), generation.end_date)) if generation.end_date >= month_start(today) else 0
    )
    return dg.MonthlyPartitionsDefinition(start_date=start.isoformat(), end_offset=ahead)


def month_of(partition_key: str) -> int:
    """Return the month of a partition key as YYYYMM.

    >>> month_of("2024-03-01")
    202403
    """
    return int(partition_key[:4]) * 100 + int(partition_key[5:7])


def key_of(month: int) -> str:
    """Return the partition key of a month given as YYYYMM.

    >>> key_of(202403)
    '2024-03-01'
    """
    return f"{month // 100:04d}-{month % 100:02d}-01"


def range_tags(months: Iterable[int]) -> dict[str, str]:
    """Return the run tags that ask for the range from the first to the last of some months."""
    ordered = sorted(months)
    return {RANGE_START_TAG: key_of(ordered[0]), RANGE_END_TAG: key_of(ordered[-1])}


def last_month_asked(tags: Mapping[str, str]) -> int | None:
    """Return the last month that a run asks for by its tags, as YYYYMM; None for a run without partitions."""
    key = tags.get(RANGE_END_TAG) or tags.get(PARTITION_TAG)
    return month_of(key) if key else None
