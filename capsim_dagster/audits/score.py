"""Score of a refinery against the defects that were put into its feed on purpose: what it found, missed and made up.

A finding is a kind of defect at a line of a file, or at the file. Compressed and plain names of a file are one: a file
that is missing has neither suffix.
"""

import math
from collections.abc import Iterator, Mapping, Set
from typing import Final

import polars as pl

from capsim_dagster.audits.report import Finding
from capsim_dagster.schemas import DialectTrait, FileFault, LineFault

_SCHEMA: Final = {"path": pl.String, "line": pl.Int64, "kind": pl.String}
_COMPRESSED_SUFFIX: Final = ".gz"
_LEVELS: Final = (("line", LineFault), ("file", FileFault), ("dialect", DialectTrait))
"""What a kind is said of, and the kinds."""
_OUTCOMES: Final = ("found", "missed", "false_alarms")
_STEPS: Final = 1_000_000
"""Steps in which shares are told: one finding in a million shows."""


def score(
    injected: pl.DataFrame, rejected: pl.DataFrame, refused: pl.DataFrame, dialects: Mapping[str, Set[str]]
) -> Finding:
    """Report by kind how many of the injected defects a refinery found, and what it found besides.

    Two verdicts are consequences of another defect and not findings of their own: a file refused for too many rejected
    lines, where it has injected ones, and no final newline, where its last line was cut off. The traits of a file that
    was damaged as a whole are not judged: nobody has to read it.

    Args:
        injected: Columns of `schemas.feed.INJECTED_DEFECTS`, of every file that was read.
        rejected: One row a rejected line: `path`, `line` and `reason`.
        refused: One row a file that was refused as a whole: `path` and `reason`.
        dialects: Traits that were recorded, by file.
    """
    expected = _findings(injected)
    said = pl.concat(
        [
            _findings(rejected.select("path", "line", pl.col("reason").alias("kind"))),
            _findings(refused.select("path", pl.lit(None, pl.Int64).alias("line"), pl.col("reason").alias("kind"))),
            _findings(pl.DataFrame(list(_recorded(dialects)), schema=_SCHEMA, orient="row")),
        ]
    ).unique()
    judged = _judged(expected, _without_consequences(expected, said))
    totals = {outcome: judged.filter(outcome=outcome).height for outcome in _OUTCOMES}
    return Finding(
        "injected_defects_are_found",
        examples=list(_problems(judged)),
        counts={"injected": expected.height, **totals, **_rates(totals)},
        table=list(_table(judged)),
        note="" if expected.height else "no defect was injected, and none is found",
    )


def _findings(rows: pl.DataFrame) -> pl.DataFrame:
    """Return file, line and kind of each finding, under one name a file."""
    return rows.select(
        pl.col("path").str.strip_suffix(_COMPRESSED_SUFFIX),
        pl.col("line").cast(pl.Int64),
        pl.col("kind").cast(pl.String),
    ).unique()


def _recorded(dialects: Mapping[str, Set[str]]) -> Iterator[tuple[str, None, str]]:
    """Yield the traits that were recorded as findings."""
    for path, traits in dialects.items():
        for trait in traits:
            yield path, None, str(trait)


def _without_consequences(expected: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """Leave out verdicts that follow from an injected defect of another kind in the same file."""
    kind = pl.col("kind")
    with_lines = expected.filter(pl.col("line").is_not_null())
    with_cut = expected.filter(kind == LineFault.TRUNCATED_LINE)
    damaged = expected.filter(kind.is_in(list(FileFault)))
    for cause, consequence in (
        (with_lines, kind == FileFault.TOO_MANY_REJECTED),
        (with_cut, kind == DialectTrait.NO_FINAL_NEWLINE),
        (damaged, kind.is_in(list(DialectTrait))),
    ):
        said = said.filter(~(consequence & pl.col("path").is_in(cause.get_column("path").implode())))
    return said


def _judged(expected: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """Return every finding with its outcome, in order; null lines are equal."""
    keys = list(_SCHEMA)
    frames = {
        "found": expected.join(said, on=keys, how="semi", nulls_equal=True),
        "missed": expected.join(said, on=keys, how="anti", nulls_equal=True),
        "false_alarms": said.join(expected, on=keys, how="anti", nulls_equal=True),
    }
    return pl.concat(frame.with_columns(outcome=pl.lit(name)) for name, frame in frames.items()).sort(keys)


def _problems(judged: pl.DataFrame) -> Iterator[str]:
    """Yield each missed and each false finding in words."""
    for path, line, kind, outcome in judged.filter(pl.col("outcome") != "found").iter_rows():
        place = path if line is None else f"{path}, line {line:,}"
        yield f"{place}: {kind} is " + ("missed" if outcome == "missed" else "a false alarm")


def _table(judged: pl.DataFrame) -> Iterator[dict[str, str | int | float]]:
    """Yield one row a kind that was injected or found, in the order of the kinds."""
    counted = judged.group_by("kind", "outcome").len().iter_rows()
    counts = {(kind, outcome): number for kind, outcome, number in counted}
    for level, kinds in _LEVELS:
        for kind in kinds:
            numbers = {outcome: counts.get((kind.value, outcome), 0) for outcome in _OUTCOMES}
            if any(numbers.values()):
                injected = numbers["found"] + numbers["missed"]
                yield {"level": level, "kind": kind.value, "injected": injected, **numbers, **_rates(numbers)}


def _rates(numbers: Mapping[str, int]) -> dict[str, float]:
    """Return recall and precision."""
    found, missed, false_alarms = (numbers[outcome] for outcome in _OUTCOMES)
    return {"recall": _share(found, found + missed), "precision": _share(found, found + false_alarms)}


def _share(part: int, whole: int) -> float:
    """Return a share, rounded down so that 1 means all; all of nothing is 1.

    >>> _share(2_999_999, 3_000_000), _share(3, 3), _share(0, 0)
    (0.999999, 1.0, 1.0)
    """
    return math.floor(part / whole * _STEPS) / _STEPS if whole else 1.0
