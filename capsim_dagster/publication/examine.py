"""The rows of a published day, looked at once from the first to the last: counts, and rows that break a rule."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.publication.columns import COLUMNS, KEY, TRAFFIC, UTILIZATIONS
from capsim_dagster.publication.lines import LineRule, Sample, reason
from capsim_dagster.publication.manifest import Manifest
from capsim_dagster.publication.tally import BoolArray, DayTally, seconds_of
from capsim_dagster.publication.untrusted import row_groups
from capsim_dagster.schemas import FULL_UTILIZATION, Type

SAMPLED_ROWS: Final = 1_000
"""Rows that are judged one by one, evenly over the file."""
TEXTS: Final = tuple(column.name for column in COLUMNS if column.type is Type.TEXT)
"""Columns that are read as dictionaries."""

Float64Array = NDArray[np.float64]


@dataclass
class Broken:
    """Rows that break a rule.

    Attributes:
        count: How many.
        examples: The first five, in words.
    """

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, rows: pa.Table, bad: BoolArray, *shown: str) -> None:
        """Count rows and keep the first as examples.

        Args:
            rows: The rows.
            bad: Which of them break the rule, shape `(rows,)`.
            shown: Columns to show beside the key.
        """
        self.count += int(bad.sum())
        for index in np.flatnonzero(bad)[: MAX_EXAMPLES - len(self.examples)].tolist():
            values = {name: rows[name][index].as_py() for name in (*KEY, *shown)}
            facts = " ".join(f"{name}={values[name]}" for name in shown)
            self.examples.append(f"{values['host_id']} {_time(values['ts'])} {facts}".rstrip())


@dataclass
class Examination:
    """What was seen in the rows.

    Attributes:
        tally: Counts.
        broken: By claim, the rows that break it.
    """

    tally: DayTally
    broken: dict[str, Broken] = field(default_factory=dict)

    def at(self, name: str) -> Broken:
        """Return the rows that break a claim."""
        return self.broken.setdefault(name, Broken())


def examine(file: pq.ParquetFile, manifest: Manifest) -> Examination:
    """Look at every row of a file that has the columns of the dataset.

    Args:
        file: The file, opened by `untrusted.opened`.
        manifest: What its manifest says.

    Raises:
        UnreadableDataError: If a value is none that can be judged.
        ArrowException: If a page is not what its checksum says, or cannot be read.
    """
    seen = Examination(DayTally(manifest.day))
    origin_s: int | None = None
    step = max(manifest.rows // SAMPLED_ROWS, 1)
    for hour, rows in _pieces(file):
        if not rows.num_rows:
            continue
        if origin_s is None:
            origin_s = int(seconds_of(rows)[0]) - rows["seq"][0].as_py() * manifest.interval_s
        rule = LineRule(manifest.interval_s, origin_s)
        seen.at("keys_are_unique").add(rows, seen.tally.repeats(rows, hour))
        seen.tally.add(rows, hour)
        _judge_values(seen, rows)
        _judge_time(seen, rows, hour, rule)
        _judge_sampled(seen, rows.take(list(range(0, rows.num_rows, step))), rule)
    return seen


def _pieces(file: pq.ParquetFile) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of each hour file, texts as dictionaries."""
    for rows in row_groups(file):
        hours = pc.unique(rows["archive_hour"]).to_pylist()
        for hour in hours:
            yield hour, rows if len(hours) == 1 else rows.filter(pc.equal(rows["archive_hour"], hour))


def _judge_values(seen: Examination, rows: pa.Table) -> None:
    values = {name: _numbers(rows, name) for name in (*UTILIZATIONS, *TRAFFIC)}
    absent = {name: rows[name].is_null().to_numpy() for name in values}
    for name in UTILIZATIONS:
        within = (values[name] >= 0) & (values[name] <= FULL_UTILIZATION)
        seen.at("percent_is_within_bounds").add(rows, ~within & ~absent[name], name)
    for name in TRAFFIC:
        sound = np.isfinite(values[name]) & (values[name] >= 0)
        seen.at("traffic_is_not_negative").add(rows, ~sound & ~absent[name], name)
        seen.at("traffic_is_null_where_network_is").add(rows, absent[name] != absent["network"], "network", name)


def _judge_time(seen: Examination, rows: pa.Table, hour: int, rule: LineRule) -> None:
    at, seq = seconds_of(rows), rows["seq"].to_numpy()
    interval = rows["interval_s"].to_numpy()
    seen.at("interval_is_that_of_the_day").add(rows, interval != rule.interval_s, "interval_s")
    astray = (at % rule.interval_s != 0) | (seq * rule.interval_s != at - (rule.origin_s or 0))
    seen.at("seq_follows_the_time").add(rows, astray, "seq")
    seen.at("timestamps_are_of_the_hour").add(rows, seen.tally.is_astray(at, hour), "archive_hour")


def _judge_sampled(seen: Examination, rows: pa.Table, rule: LineRule) -> None:
    broken = seen.at("sampled_rows_are_samples")
    for row in rows.to_pylist():
        try:
            Sample.model_validate(_as_line(row), context=rule)
        except ValidationError as error:
            broken.count += 1
            if len(broken.examples) < MAX_EXAMPLES:
                broken.examples.append(f"{row['host_id']} {_time(row['ts'])}: {reason(error)}")


def _as_line(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as the line of the archive that it was."""
    meta = {"interval_s": row["interval_s"], "agent": row["agent_version"], "seq": row["seq"]}
    numbers = {name: row[name] for name in (*UTILIZATIONS, *TRAFFIC)}
    return {"host_id": row["host_id"], "ts": _time(row["ts"]), **numbers, "meta": meta}


def _numbers(rows: pa.Table, name: str) -> Float64Array:
    """Return a column, NaN = none."""
    numbers: Float64Array = rows[name].to_numpy()
    return numbers


def _time(at: dt.datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
