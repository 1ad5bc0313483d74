"""Partition keys as Dagster names them, and the tags that ask for them, as plain text.

What Dagster makes of them is in `partitions`; nothing here loads it, so that looking costs little.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final

PARTITION_TAG: Final = "dagster/partition"
RANGE_START_TAG: Final = "dagster/asset_partition_range_start"
RANGE_END_TAG: Final = "dagster/asset_partition_range_end"

_MONTH_LETTERS: Final = len("2026-01")
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


def key_ranges(keys: Iterable[str], longest: int | None = None) -> list[list[str]]:
    """Return the keys of months, or of hours, as ranges without a gap, in order: what a run can ask for.

    None is longer than `longest`, 1 or more; None = any length.

    >>> key_ranges(["2024-01-01", "2023-12-01", "2024-04-01"])
    [['2023-12-01', '2024-01-01'], ['2024-04-01']]
    >>> key_ranges(["2026-01-15-23:00", "2026-01-16-00:00", "2026-01-16-02:00"])
    [['2026-01-15-23:00', '2026-01-16-00:00'], ['2026-01-16-02:00']]
    """
    ranges: list[list[str]] = []
    for key in sorted({*keys}):
        last = ranges[-1] if ranges else []
        if last and key == _next(last[-1]) and (longest is None or len(last) < longest):
            last.append(key)
        else:
            ranges.append([key])
    return ranges


def ranges_named(months: Iterable[str]) -> str:
    """Return months in words, those in a row as a range.

    >>> ranges_named(["2023-12-01", "2024-01-01", "2024-03-01"])
    '2023-12 to 2024-01, 2024-03'
    """
    ends = [dict.fromkeys((month_name(part[0]), month_name(part[-1]))) for part in key_ranges(months)]
    return ", ".join(map(" to ".join, ends))


def month_name(key: str) -> str:
    """Return the month of a partition key as people write it: 2024-03."""
    return key[:_MONTH_LETTERS]


def range_tags(keys: Iterable[str]) -> dict[str, str]:
    """Return the run tags that ask for the range from the first to the last of some partitions."""
    ordered = sorted(keys)
    return {RANGE_START_TAG: ordered[0], RANGE_END_TAG: ordered[-1]}


def dates_asked(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the first and last partition key that a run asks for by its tags; None = none."""
    single = tags.get(PARTITION_TAG)
    first, last = tags.get(RANGE_START_TAG, single), tags.get(RANGE_END_TAG, single)
    return (first, last) if first and last else None


def last_month_asked(tags: Mapping[str, str]) -> int | None:
    """Return the last month that a run asks for by its tags, as YYYYMM; None for a run without partitions."""
    asked = dates_asked(tags)
    return month_of(asked[1]) if asked else None


def months_asked(tags: Mapping[str, str], wanted: Iterable[str]) -> list[str]:
    """Return those of some months that a run asks for by its tags."""
    ends = dates_asked(tags)
    return [month for month in wanted if ends and ends[0] <= month <= ends[1]]


def _next(key: str) -> str:
    if len(key) == _DAY_LETTERS:
        return str((day_of(key) + _LONGEST_MONTH).replace(day=1))
    hour = dt.datetime.combine(day_of(key), dt.time(hour_of(key))) + dt.timedelta(hours=1)
    return hour_key(hour.date(), hour.hour)
