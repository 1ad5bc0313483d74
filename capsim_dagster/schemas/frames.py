"""Columns as frames have them, and what keeps a frame from being a table with such columns."""

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from capsim_dagster.errors import plural
from capsim_dagster.schemas.arrow import arrow_schema
from capsim_dagster.schemas.column import Column, Type


def frame_schema(columns: Iterable[Column]) -> pl.Schema:
    """Return the types of a frame by its columns' names."""
    return pl.Schema(arrow_schema(columns))


def broken_rules(columns: Sequence[Column], frame: pl.DataFrame) -> list[str]:
    """Return in words the rules of some columns that a frame breaks, with the number of rows that do.

    Values of another type are judged as what they become; one that cannot become one of the column's is a problem.
    """
    missing = [column.name for column in columns if column.name not in frame.columns]
    if missing:
        return [f"column {name} is missing" for name in missing]
    types = frame_schema(columns)
    rules = dict(rule for column in columns for rule in _rules(column, types[column.name]))
    keys = [column.name for column in columns if column.is_key]
    if keys:
        rules[f"{', '.join(keys)} is not unique"] = pl.struct(keys).is_duplicated()
    counts = frame.select(broken.sum().alias(said) for said, broken in rules.items()).row(0)
    return [f"{said} in {plural(n, 'row')}" for said, n in zip(rules, counts, strict=True) if n]


def _rules(column: Column, kind: pl.DataType) -> Iterator[tuple[str, pl.Expr]]:
    """Yield what is said of rows that break a rule of a column, and which those are."""
    name, given = column.name, pl.col(column.name)
    value = given.cast(kind, strict=False)
    yield f"{name} is no {column.type}", given.is_not_null() & value.is_null()
    if not column.nullable:
        yield f"{name} is null", given.is_null()
    if column.type in (Type.FLOAT, Type.DOUBLE):
        yield f"{name} is not finite", ~value.is_finite()
    if column.minimum is not None:
        yield f"{name} is below {column.minimum:g}", value < column.minimum
    if column.maximum is not None:
        yield f"{name} is above {column.maximum:g}", value > column.maximum
    if column.values:
        yield f"{name} is none of {', '.join(column.values)}", ~value.is_in([*map(str, column.values)])
    if column.pattern:
        yield f"{name} is not like {column.pattern}", ~value.str.contains(column.pattern)
