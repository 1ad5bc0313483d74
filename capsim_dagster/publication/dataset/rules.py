"""What every row of a dataset keeps to, as named expressions over its columns, and the rows that do not.

An expression says of each row whether the rule is broken. It is the same whoever judges: the reader of an hour of the
archive, the verifier of a published file, and who wants to know why a line is no sample.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from capsim_dagster.audits.report import Finding, Severity
from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.publication.dataset.verify import claim
from capsim_dagster.schemas import Column

BoolArray = NDArray[np.bool_]
Facts = TypeVar("Facts")
"""What rules need to know beside the rows."""
MICROS: Final = 1_000_000
"""In a second."""


class Rows:
    """Some rows, texts as dictionaries, whose columns are arrays of shape `(rows,)`, each made when first asked for."""

    def __init__(self, table: pa.Table) -> None:
        """Look at rows, texts of which are dictionaries."""
        self.table = table
        self._arrays: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column of numbers, NaN = none, or of times [µs since 1970]."""
        if name not in self._arrays:
            column = self.table[name]
            self._arrays[name] = (column.cast(pa.int64()) if name == "ts" else column).to_numpy()
        return self._arrays[name]

    def lacks(self, name: str) -> BoolArray:
        """Return which rows have no value in a column."""
        nulls: BoolArray = self.table[name].is_null().to_numpy()
        return nulls

    def fits(self, name: str, pattern: str) -> BoolArray:
        """Return in which rows a text matches a pattern."""
        pieces = [
            pc.match_substring_regex(piece.dictionary, pattern).take(piece.indices).to_numpy(zero_copy_only=False)
            for piece in self.table[name].chunks
        ]
        return np.concatenate([np.empty(0, np.bool_), *pieces])

    def shown(self, index: int) -> dict[str, Any]:
        """Return the values of a row by column, the time as text."""
        row = {name: self.table[name][index].as_py() for name in self.table.schema.names}
        return row | {"ts": f"{row['ts']:%Y-%m-%dT%H:%M:%SZ}"}


@dataclass(frozen=True)
class Rule(Generic[Facts]):
    """What every row keeps to.

    Attributes:
        claim: Its name; several rules may be parts of a claim.
        breaks: The expression: which rows break it.
        shown: Columns to show beside the key of such a row.
        reason: What is wrong with such a row, with the names of columns, and of `facts`, in braces.
    """

    claim: str
    breaks: Callable[[Rows, Facts], BoolArray]
    shown: Sequence[str] = ()
    reason: str = ""


def outside(column: Column) -> Callable[[Rows, object], BoolArray]:
    """Return the expression that a value is there, and out of its column's bounds or no finite number."""
    least = -np.inf if column.minimum is None else column.minimum
    most = np.finfo(np.float64).max if column.maximum is None else column.maximum
    name = column.name
    return lambda rows, _facts: ~((rows[name] >= least) & (rows[name] <= most)) & ~rows.lacks(name)


def claims_of(rules: Iterable[Rule[Any]]) -> tuple[str, ...]:
    """Return the names of rules, each once, in order."""
    return tuple(dict.fromkeys(rule.claim for rule in rules))


class Judgement:
    """How many rows break each claim, and the first five of them in words."""

    def __init__(self, claims: Iterable[str], key: Sequence[str]) -> None:
        """Start with no rows; the columns of the key tell a person which row it is."""
        self._key = key
        self._counts = dict.fromkeys(claims, 0)
        self._examples: Mapping[str, list[str]] = {name: [] for name in self._counts}

    def judge(self, rules: Iterable[Rule[Facts]], rows: Rows, facts: Facts) -> None:
        """Count the rows that break rules."""
        # What anyone may have written overflows.
        with np.errstate(all="ignore"):
            for rule in rules:
                self.add(rule.claim, rows, rule.breaks(rows, facts), *rule.shown)

    def add(self, name: str, rows: Rows, bad: BoolArray, *shown: str) -> None:
        """Count the rows that break a claim, and keep the first as examples, with some columns beside the key."""
        self._counts[name] += int(np.count_nonzero(bad))
        examples = self._examples[name]
        for index in np.flatnonzero(bad)[: MAX_EXAMPLES - len(examples)].tolist():
            row = rows.shown(index)
            examples.append(" ".join([*(row[part] for part in self._key), *(f"{part}={row[part]}" for part in shown)]))

    def findings(self, warnings: Sequence[str] = ()) -> list[Finding]:
        """Return a finding a claim; those of `warnings` only warn."""
        return [
            claim(
                name,
                self._examples[name],
                severity=Severity.WARNING if name in warnings else Severity.ERROR,
                count=count,
            )
            for name, count in self._counts.items()
        ]
