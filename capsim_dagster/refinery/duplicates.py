"""Lines that say the same host and day twice: which one is loaded, and what the others are."""

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.schemas import LineFault

Policy = Literal["reject", "first", "last"]
_Said = tuple[float | None, float | None]
"""What a line says of its host and day: utilization and capacity."""
_DAYS: Final = 32
"""Slots a host: days of the month are 1 to 31."""


def duplicate_lines(rows: pl.DataFrame, policy: Policy) -> Mapping[int, LineFault]:
    """Return the lines that are not to be loaded because another line says the same host and day.

    Lines that all say the same keep the first of them. Of lines that differ, the policy keeps none, the first or the
    last; a further line that says just what the kept one says is an exact duplicate of it.

    Args:
        rows: Sound lines: `line`, `day`, `host` (a code), `util`, `capacity`.
        policy: Which of several different lines is kept.
    """
    key = _keys(rows)
    count = np.bincount(key, minlength=1)
    if count.max() <= 1:
        return {}
    is_twice = count[key] > 1
    twice = rows.filter(pl.Series(is_twice)).with_columns(key=key[is_twice]).sort("line")
    groups: dict[int, list[tuple[int, _Said]]] = {}
    for group, line, util, capacity in twice.select("key", "line", "util", "capacity").iter_rows():
        groups.setdefault(group, []).append((line, (util, capacity)))
    faults: dict[int, LineFault] = {}
    for group_lines in groups.values():
        faults |= _faults(group_lines, policy)
    return faults


def count_repeated(rows: pl.DataFrame) -> int:
    """Return how many lines say a host and day that an earlier one said: at least so many are not loaded."""
    return rows.height - int(np.count_nonzero(np.bincount(_keys(rows))))


def _keys(rows: pl.DataFrame) -> NDArray[np.int64]:
    """Return a number that tells host and day."""
    host: NDArray[np.int64] = rows["host"].to_numpy().astype(np.int64)
    keys: NDArray[np.int64] = host * _DAYS + rows["day"].to_numpy().astype(np.int64)
    return keys


def _faults(group: list[tuple[int, _Said]], policy: Policy) -> dict[int, LineFault]:
    """Return the faults of the lines of one host and day, in the order of the file."""
    is_conflict = len({said for _, said in group}) > 1
    if is_conflict and policy == "reject":
        return {line: LineFault.CONFLICTING_DUPLICATE for line, _ in group}
    kept = len(group) - 1 if is_conflict and policy == "last" else 0
    return {
        line: LineFault.EXACT_DUPLICATE if said == group[kept][1] else LineFault.CONFLICTING_DUPLICATE
        for index, (line, said) in enumerate(group)
        if index != kept
    }
