"""Plain lines as columns: days, hosts and numbers of all of them at once, and which lines must be judged alone."""

import codecs
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.errors import GateError
from capsim_dagster.refinery.dialect import days_of_month
from capsim_dagster.refinery.judge import Judge

BoolArray = NDArray[np.bool_]
_NAMES: Final = ("date", "host", "value", "capacity")


def parse_columns(text: bytes, n_lines: int, judge: Judge) -> tuple[pl.DataFrame, BoolArray]:
    """Parse plain lines.

    Args:
        text: Plain lines, without quotes.
        n_lines: How many they are.
        judge: Judge of the file; hosts that are new to its table are added there.

    Returns:
        Columns `day`, `host` (a number), `util`, `capacity`, one row a line; and which lines are sound, shape
        `(n_lines,)`. What stands in the other rows means nothing.

    Raises:
        GateError: If the columns have other rows than the text has lines.
    """
    fields = _fields(text, judge)
    if fields.height != n_lines:
        raise GateError(
            f"{n_lines:,} lines were read as {fields.height:,} rows", remedy="please report this file: it is a defect"
        )
    # One query: each eager step would cost 0.3 ms, which is a second over three years of files.
    rows = (
        fields.lazy()
        .with_columns(judge.hosts.encode(fields["host"]).alias("host"))
        .with_columns(**_parsed(judge))
        .with_columns(is_sound=_soundness(judge))
        .select("day", "host", "util", "capacity", "is_sound", "value")
        .collect()
    )
    is_sound = rows["is_sound"].to_numpy().copy()
    # Gaps are few: only where there is no number is it asked whether the text spells "no value".
    silent = np.flatnonzero(rows["util"].is_null().to_numpy())
    is_gap = rows["value"].gather(silent).is_in(["", *judge.rules.feed.null_values]).to_numpy()
    is_sound[silent] &= is_gap
    return rows.select("day", "host", "util", "capacity"), is_sound


def _parsed(judge: Judge) -> dict[str, pl.Expr]:
    """Return day, utilization and capacity as numbers; null where a text says none."""
    dialect = judge.dialect
    days = _days(judge.month, dialect.date_format)
    capacity = pl.lit(None, pl.Float64) if dialect.header.capacity is None else _number("capacity", dialect.decimal)
    return {
        "day": pl.col("date").cast(days, strict=False).to_physical().cast(pl.Int8) + 1,
        "util": _number("value", dialect.decimal),
        "capacity": capacity,
    }


def _soundness(judge: Judge) -> pl.Expr:
    """Return whether a line is sound, if no number in the place of the utilization is a gap."""
    low, high = judge.rules.feed.resources[judge.resource].range
    is_sound = (
        pl.col("day").is_not_null()
        & pl.col("host").is_not_null()
        & pl.col("util").is_between(low, high).fill_null(value=True)
    )
    if judge.dialect.header.capacity is not None:
        is_sound &= (pl.col("capacity").is_finite() & (pl.col("capacity") >= 0)).fill_null(value=False)
    nulls = list(_null_numbers(judge))
    if nulls:
        is_sound &= ~pl.any_horizontal(pl.col("util", "capacity").is_in(nulls).fill_null(value=False))
    return is_sound


def _null_numbers(judge: Judge) -> Iterator[float]:
    """Yield the numbers that are spellings of no value, as -1 may be: their lines are judged by the text."""
    for text in judge.rules.null_values:
        with suppress(ValueError):
            yield float(text.replace(judge.dialect.decimal, "."))


def _fields(text: bytes, judge: Judge) -> pl.DataFrame:
    """Return the fields that are read, as text."""
    header = judge.dialect.header
    labels = [f"column_{index}" for index in range(header.width)]
    names = {labels[index]: name for index, name in zip(header.columns, _NAMES, strict=False)}
    if not text:
        return pl.DataFrame(schema=dict.fromkeys(names.values(), pl.String))
    return pl.read_csv(
        # One byte order mark at the start of the text would be dropped; it belongs to the first field.
        codecs.BOM_UTF8 + text if text.startswith(codecs.BOM_UTF8) else text,
        has_header=False,
        schema=dict.fromkeys(labels, pl.String),
        columns=list(names),
        separator=header.delimiter,
        quote_char=None,
        empty_string_is_null=False,
    ).rename(names)


def _number(column: str, decimal: str) -> pl.Expr:
    """Return a text as a number; null where it is none."""
    text = pl.col(column)
    if decimal == ",":
        has_point = text.str.contains(".", literal=True)
        text = pl.when(~has_point).then(text.str.replace(",", ".", literal=True))
    return text.cast(pl.Float64, strict=False)


@lru_cache(maxsize=256)
def _days(month: int, date_format: str) -> pl.Enum:
    """Return the days of a month as they are written, as an enumeration: casting to it looks each text up."""
    return pl.Enum(list(days_of_month(month, date_format)))
