"""What a panel holds, counted in one pass over its rows: servers with their days and gaps, metrics, what is missing.

The metrics of a panel that is made are counted by the same rules. Which of it is right is in `judge`.
"""

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.panel.contract import KEY
from capsim_dagster.schemas import Column, Type

MISSING: Final = "missing_share_is_within_limit"
RANGE: Final = "values_are_within_range"
"""Claims on any panel, made or loaded; their sentences are in `audits.claims`."""
_SERVER, _DAY = map(pl.col, KEY)
_REPEATS: Final = (_SERVER.shift() == _SERVER) & (_DAY.shift() == _DAY)
"""Whether the row before has the same key."""
_SERVER_DAYS: Final = {
    KEY[0]: pl.String,
    "first": pl.Date,
    "last": pl.Date,
    "days": pl.Int64,
    "gap": pl.Int32,
    "gap_from": pl.Date,
    "changed": pl.Boolean,
}
"""Of each server: its first and last day, how many have a row, most days in a row that lack between two, and whether
business unit, region or criticality change."""


@dataclass
class MetricCount:
    """What is counted of one metric, at most five examples of values out of their bounds among it.

    An infinite high bound = none is known. Sums and sums of squares are kept a piece each.
    """

    name: str
    low_bound: float = 0.0
    high_bound: float = math.inf
    rows: int = 0
    count: int = 0
    lowest: float = math.inf
    highest: float = -math.inf
    sums: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)
    outside: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """Mean of the values; None = there is none, or they are not finite."""
        if not self.count or not all(map(math.isfinite, self.sums)):
            return None
        return math.fsum(self.sums) / self.count

    def add(self, frame: pl.DataFrame) -> None:
        """Count the values of a piece, in which none is NaN."""
        values = pl.col(self.name)
        asked = values.count(), values.min(), values.max(), values.sum(), (values * values).sum()
        count, low, high, total, squares = frame.select(
            expression.alias(str(place)) for place, expression in enumerate(asked)
        ).row(0)
        self.rows += frame.height
        if not count:
            return
        self.count += count
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
        self.sums.append(total)
        self.squares.append(squares)
        if low < self.low_bound or high > self.high_bound or math.isinf(high):
            self._add_outside(frame)

    def _add_outside(self, frame: pl.DataFrame) -> None:
        values = pl.col(self.name)
        found = frame.filter((values < self.low_bound) | (values > self.high_bound) | values.is_infinite())
        self.outside += found.height
        if KEY[0] in frame.columns:
            few = found.select(*KEY, self.name).head(MAX_EXAMPLES - len(self.examples))
            self.examples += [f"{_key_text(*key)} {self.name} = {value:g}" for *key, value in few.iter_rows()]


@dataclass
class Examination:
    """Everything that was counted in rows that have a key.

    Exact duplicates only repeat another row, conflicts have the key of another and different content; of both there are
    at most five examples. `servers` has their days, a row a server, in order.
    """

    metrics: Sequence[MetricCount]
    kept: int = 0
    exact: int = 0
    conflicts: int = 0
    exact_examples: list[str] = field(default_factory=list)
    conflict_examples: list[str] = field(default_factory=list)
    servers: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_SERVER_DAYS))

    @property
    def first(self) -> dt.date | None:
        """First day in the panel."""
        return self.servers.select(pl.col("first").min()).item()  # type: ignore[no-any-return]

    @property
    def last(self) -> dt.date | None:
        """Last day in the panel."""
        return self.servers.select(pl.col("last").max()).item()  # type: ignore[no-any-return]

    @property
    def days(self) -> int:
        """Days from the first to the last."""
        return 0 if self.first is None or self.last is None else (self.last - self.first).days + 1


def examine(known: Sequence[Column], pieces: Iterable[pl.DataFrame]) -> Examination:
    """Return what the rows hold, which come by whole servers in the order of their keys, in columns of the contract."""
    metrics = [
        MetricCount(column.name, high_bound=math.inf if column.maximum is None else column.maximum)
        for column in known
        if column.type is Type.DOUBLE
    ]
    identity = [column.name for column in known if column.type is Type.TEXT and column.name not in KEY]
    seen = Examination(metrics)
    servers = [seen.servers]
    for kept in _without_exact(seen, pieces):
        seen.kept += kept.height
        servers.append(_server_days(kept, identity))
        for metric in metrics:
            metric.add(kept)
    seen.servers = pl.concat(servers)
    return seen


def lacks(missing: Mapping[str, tuple[int, int]], limit: float) -> list[str]:
    """Return which metrics lack more than a share of their rows, 0 to 1; one without any value does whatever it is."""
    return [
        f"{name} has no value at all"
        if count == rows
        else f"{name} lacks {count / rows:.2%} of its {rows:,} values, at most {limit:.2%} may be missing"
        for name, (count, rows) in missing.items()
        if count == rows or count > limit * rows
    ]


def without_exact(piece: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of a piece without those that only repeat another, and those; two missing values are the same."""
    if not piece.select(_REPEATS.any()).item():
        return piece, piece.clear()
    is_first = piece.select(pl.struct(pl.all()).is_first_distinct()).to_series()
    return piece.filter(is_first), piece.filter(~is_first)


def _without_exact(seen: Examination, pieces: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield pieces without exact duplicates; count those, and rows that differ from another with their key."""
    for piece in pieces:
        kept, exact = without_exact(piece)
        conflicts = kept.filter(_REPEATS)
        seen.exact += exact.height
        seen.conflicts += conflicts.height
        for rows, examples in ((exact, seen.exact_examples), (conflicts, seen.conflict_examples)):
            few = rows.select(KEY).head(MAX_EXAMPLES - len(examples))
            examples.extend(_key_text(*key) for key in few.iter_rows())
        yield kept


def _server_days(kept: pl.DataFrame, identity: Sequence[str]) -> pl.DataFrame:
    """Return the days of each server of a piece."""
    day, gap = pl.col("day"), pl.col("gap")
    moves = [pl.col(name).ne_missing(pl.col(name).shift()) for name in identity]
    goes_on = _SERVER.shift() == _SERVER
    step = day - day.shift()
    days = kept.with_columns(day=_DAY.dt.epoch("d")).select(
        KEY[0],
        "day",
        # Grouping by what is known to rise takes a third of the time.
        number=_SERVER.rle_id().set_sorted(),
        gap=pl.when(goes_on & (step > 1)).then(step - 1).otherwise(0),
        repeats=_REPEATS,
        changed=goes_on & pl.any_horizontal(pl.lit(False), *moves),
    )
    found = days.group_by("number", maintain_order=True).agg(
        _SERVER.first(),
        first=day.first(),
        last=day.last(),
        days=pl.len() - pl.col("repeats").sum(),
        gap=gap.max(),
        gap_from=(day - gap).get(gap.arg_max()),
        changed=pl.col("changed").any(),
    )
    return found.drop("number").cast(_SERVER_DAYS)  # type: ignore[arg-type]


def _key_text(server: str, day: dt.datetime) -> str:
    return f"{server} {day:%Y-%m-%d}"
