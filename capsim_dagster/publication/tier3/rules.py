"""What every sample keeps to, whether it is a line of the archive or a row of a published day."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from capsim_dagster.publication.dataset.rules import MICROS, BoolArray, Rows, Rule, outside
from capsim_dagster.publication.tier3.columns import COLUMNS, TRAFFIC, UTILIZATIONS
from capsim_dagster.schemas.terms import HOST_ID_PATTERN

_PATTERNS: Final = {"host_id": HOST_ID_PATTERN, "agent_version": r"^[A-Za-z0-9_.+-]{1,64}$"}
_FIRST_US, _END_US = (int(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp()) * MICROS for year in (1970, 2200))


@dataclass(frozen=True)
class LineRule:
    """What the samples of an archive have in common: the interval [s], and when that with number 0 begins.

    `origin_s` [s since 1970]; None = not known, so numbers are not judged.
    """

    interval_s: int
    origin_s: int | None = None


def _rules() -> Iterator[Rule[LineRule]]:
    for column in COLUMNS:
        name = column.name
        if name in UTILIZATIONS:
            said = f"{name}: {{{name}}} is not from 0 to {column.maximum:g}"
            yield Rule("percent_is_within_bounds", outside(column), (name,), said)
        if name in TRAFFIC:
            yield Rule("traffic_is_not_negative", outside(column), (name,), f"{name}: {{{name}}} is not 0 or more")
    for name in TRAFFIC:
        said = f"{' and '.join(TRAFFIC)} are null just where network is"
        yield Rule("traffic_is_null_where_network_is", _network_differs(name), ("network", name), said)
    yield Rule(
        "interval_is_that_of_the_day",
        lambda rows, facts: rows["interval_s"] != facts.interval_s,
        ("interval_s",),
        "interval_s is {interval_s}, not {facts.interval_s}",
    )
    off = "ts {ts} is no start of an interval of {facts.interval_s} s"
    yield Rule("seq_follows_the_time", _is_off_the_grid, ("seq",), off)
    yield Rule("seq_follows_the_time", _has_another_number, ("seq",), "seq {seq} is not that of {ts}")
    # The claim is called as when one row in a thousand was looked at.
    for name, pattern in _PATTERNS.items():
        said = f"{name}: {{{name}}} does not match {pattern.replace('{', '{{').replace('}', '}}')}"
        yield Rule("sampled_rows_are_samples", _has_another_form(name, pattern), (name,), said)
    yield Rule("sampled_rows_are_samples", _is_of_another_age, (), "ts {ts} is not from 1970 to 2199")


def _network_differs(name: str) -> Callable[[Rows, LineRule], BoolArray]:
    return lambda rows, _facts: rows.lacks(name) != rows.lacks("network")


def _has_another_form(name: str, pattern: str) -> Callable[[Rows, LineRule], BoolArray]:
    return lambda rows, _facts: ~rows.fits(name, pattern)


def _is_off_the_grid(rows: Rows, facts: LineRule) -> BoolArray:
    off: BoolArray = rows["ts"] % (facts.interval_s * MICROS) != 0
    return off


def _has_another_number(rows: Rows, facts: LineRule) -> BoolArray:
    """Return which rows on the grid have not the number of their time; numbers may be too large to reckon with."""
    seq = rows["seq"]
    other: BoolArray = seq < 0
    if facts.origin_s is not None:
        right, rest = np.divmod(rows["ts"] // MICROS - facts.origin_s, facts.interval_s)
        other |= (seq != right) | (rest != 0)
    return other & ~_is_off_the_grid(rows, facts)


def _is_of_another_age(rows: Rows, _facts: LineRule) -> BoolArray:
    other: BoolArray = (rows["ts"] < _FIRST_US) | (rows["ts"] >= _END_US)
    return other


SAMPLE_RULES: Final = tuple(_rules())
"""In the order in which a line is told what is wrong with it."""
