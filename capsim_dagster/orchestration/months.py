"""Partition keys and the tags that ask for them, as plain text: months as YYYYMM, days and hours as Dagster names them.

What Dagster makes of them is in `partitions`; nothing here loads it, so that looking costs little.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from capsim_dagster.schemas.months import first_day, month_name

PARTITION_TAG: Final = "dagster/partition"
RANGE_START_TAG: Final = "dagster/asset_partition_range_start"
RANGE_END_TAG: Final = "dagster/asset_partition_range_end"

T = TypeVar("T", int, str)

_DAY_LETTERS: Final = len("2026-01-15")
_LONGEST_MONTH: Final = dt.timedelta(days=31)


def day_of(key: str) -> dt.date:
    """Return the day of the partition key of a day or an hour.

    >>> day_of("2026-01-15"), day_of("2026-01-15-07:00")
    (datetime.date(2026, 1, 15), datetime.date(2026, 1, 15))
    """
    return dt.date.fromisoformat(key[:_DAY_LETTERS])


def hour_of(key: str) -> int:
    """Return the hour of the partition key of an hour.

    >>> hour_of("2026-01-15-07:00")
    7
    """
    return int(key[_DAY_LETTERS + 1 : _DAY_LETTERS + 3])


def hour_key(day: dt.date, hour: int) -> str:
    """Return the partition key of an hour.

    >>> hour_key(dt.date(2026, 1, 15), 7)
    '2026-01-15-07:00'
    """
    return f"{day}-{hour:02d}:00"


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


def month_ranges(months: Iterable[int], longest: int | None = None) -> list[list[int]]:
    """Return months as ranges without a gap, in order: what a run can ask for.

    Args:
        months: Months as YYYYMM, in any order.
        longest: Longest range, 1 or more [months]; None = any length.

    >>> month_ranges([202401, 202311, 202312, 202404])
    [[202311, 202312, 202401], [202404]]
    >>> month_ranges([202311, 202312, 202401], longest=2)
    [[202311, 202312], [202401]]
    """
    return _ranges(months, _next_month, longest)


def hour_ranges(keys: Iterable[str]) -> list[list[str]]:
    """Return the keys of hours as ranges without a gap, in order: what a run can ask for.

    >>> hour_ranges(["2026-01-15-23:00", "2026-01-16-00:00", "2026-01-16-02:00"])
    [['2026-01-15-23:00', '2026-01-16-00:00'], ['2026-01-16-02:00']]
    """
    return _ranges(keys, _next_hour)


def ranges_named(months: Iterable[int]) -> str:
    """Return months in words, those in a row as a range.

    >>> ranges_named([202312, 202401, 202403])
    '2023-12 to 2024-01, 2024-03'
    """
    return ", ".join(
        month_name(part[0]) if len(part) == 1 else f"{month_name(part[0])} to {month_name(part[-1])}"
        for part in month_ranges(months)
    )


def range_tags(months: Iterable[int]) -> dict[str, str]:
    """Return the run tags that ask for the range from the first to the last of some months."""
    ordered = sorted(months)
    return {RANGE_START_TAG: key_of(ordered[0]), RANGE_END_TAG: key_of(ordered[-1])}


def dates_asked(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the first and last partition key that a run asks for by its tags; None = none."""
    single = tags.get(PARTITION_TAG)
    first, last = tags.get(RANGE_START_TAG, single), tags.get(RANGE_END_TAG, single)
    return (first, last) if first and last else None


def last_month_asked(tags: Mapping[str, str]) -> int | None:
    """Return the last month that a run asks for by its tags, as YYYYMM; None for a run without partitions."""
    return max(ends_asked(tags), default=None)


def ends_asked(tags: Mapping[str, str]) -> list[int]:
    """Return the first and last month that a run asks for by its tags, as YYYYMM; none for a run without partitions."""
    return [month_of(key) for key in dates_asked(tags) or ()]


def months_asked(tags: Mapping[str, str], wanted: Iterable[int]) -> list[int]:
    """Return those of some months that a run asks for by its tags."""
    ends = ends_asked(tags)
    return [month for month in wanted if ends and ends[0] <= month <= ends[1]]


def _ranges(values: Iterable[T], after: Callable[[T], T], longest: int | None = None) -> list[list[T]]:
    """Return values as ranges in which each comes after the one before."""
    ranges: list[list[T]] = []
    for value in sorted(set(values)):
        last = ranges[-1] if ranges else []
        if last and value == after(last[-1]) and (longest is None or len(last) < longest):
            last.append(value)
        else:
            ranges.append([value])
    return ranges


def _next_hour(key: str) -> str:
    hour = dt.datetime.combine(day_of(key), dt.time(hour_of(key))) + dt.timedelta(hours=1)
    return hour_key(hour.date(), hour.hour)


def _next_month(month: int) -> int:
    after = first_day(month) + _LONGEST_MONTH
    return after.year * 100 + after.month
