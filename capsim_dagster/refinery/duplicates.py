"""Lines that say the same host and day twice: which one is loaded, and what the others are."""

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
import polars as pl

from capsim_dagster.schemas import LineFault

Policy = Literal["reject", "first", "last"]
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
    key = rows["host"].to_numpy().astype(np.int64) * _DAYS + rows["day"].to_numpy()
    count = np.bincount(key) if key.size else np.zeros(1, dtype=np.int64)
    if count.max() <= 1:
        return {}
    twice = rows.with_columns(key=key).filter(pl.Series(count[key] > 1)).sort("line")
    faults: dict[int, LineFault] = {}
    for _, group in twice.group_by("key", maintain_order=True):
        faults |= _faults(group["line"].to_list(), list(group.select("util", "capacity").iter_rows()), policy)
    return faults


def _faults(lines: list[int], says: list[tuple[float | None, float | None]], policy: Policy) -> dict[int, LineFault]:
    """Return the faults of the lines of one host and day, in the order of the file."""
    is_conflict = len(set(says)) > 1
    if is_conflict and policy == "reject":
        return dict.fromkeys(lines, LineFault.CONFLICTING_DUPLICATE)
    kept = len(lines) - 1 if is_conflict and policy == "last" else 0
    return {
        line: LineFault.EXACT_DUPLICATE if said == says[kept] else LineFault.CONFLICTING_DUPLICATE
        for index, (line, said) in enumerate(zip(lines, says, strict=True))
        if index != kept
    }
