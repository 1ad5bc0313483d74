"""From which month to which a data directory has partitions beyond its window: those that somebody asked for, or made.

Without a record a fleet would offer every month since its window ended, and show as half filled although it is whole.
Dagster learns of a wider span when the definitions are loaded.
"""

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from capsim_dagster.schemas.months import MAX_SPAN_MONTHS, first_day, months_between
from capsim_dagster.storage import DataLayout, atomic_path

_FILE: Final = "months.json"


class MonthSpan(NamedTuple):
    """A first and a last month, as YYYYMM, both inclusive."""

    first: int
    last: int


def recorded_span(layout: DataLayout, asked: Iterable[int] = ()) -> MonthSpan | None:
    """Return the span that is recorded, and some months that are asked for just now; None = there are none.

    Args:
        layout: Where the record lies.
        asked: Months as YYYYMM.
    """
    months = [*asked]
    try:
        found = json.loads((layout.dagster_home / _FILE).read_text(encoding="utf-8"))
        months += [int(found["first"]), int(found["last"])]
    except (OSError, ValueError, TypeError, KeyError):
        pass  # nothing was recorded; what is damaged comes back with the next month that is asked for
    return MonthSpan(min(months), max(months)) if months else None


def widen_span(layout: DataLayout, months: Iterable[int]) -> None:
    """Record that some months, as YYYYMM, are asked for; one stray date does not make hundreds of months missing."""
    span = recorded_span(layout, months)
    if span is None or span == recorded_span(layout):
        return
    if len(months_between(first_day(span.first), first_day(span.last))) <= MAX_SPAN_MONTHS:
        with atomic_path(layout.dagster_home / _FILE) as temporary:
            temporary.write_text(json.dumps(span._asdict()), encoding="utf-8")


def replace_span(layout: DataLayout, months: Iterable[int]) -> None:
    """Record that months of another fleet are asked for, and none of the one before."""
    (layout.dagster_home / _FILE).unlink(missing_ok=True)
    widen_span(layout, months)
