"""Whether the P95 of a day's samples is the master's value of that day, host by host."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from capsim_dagster.publication.columns import UTILIZATIONS

TOLERANCE: Final = 0.01
"""How far the two may lie apart [%]."""
_ROUNDING: Final = 1e-4
"""What single precision and decimals may add to that [%]."""


def p95_problems(data: Path, p95: pl.DataFrame) -> Sequence[str]:
    """Return in words where the samples and the master differ, gaps included.

    P95 is the nearest rank, as in `simulation.samples`: of n sorted samples the one at place ceil(0.95 n).

    Args:
        data: The file of a complete day.
        p95: host_id and a column a resource [%]; null = a gap.
    """
    ranked = [_nearest_rank(name) for name in UTILIZATIONS]
    found = pl.scan_parquet(data).group_by("host_id").agg(ranked).collect()
    both = found.join(p95.select("host_id", *UTILIZATIONS), on="host_id", how="full", suffix="_master", coalesce=True)
    problems = []
    for name in UTILIZATIONS:
        ours, master = pl.col(name), pl.col(f"{name}_master").cast(pl.Float64)
        differs = (ours.is_null() != master.is_null()) | ((ours - master).abs() > TOLERANCE + _ROUNDING).fill_null(
            False
        )
        for host, sampled, expected in both.filter(differs).sort("host_id").select("host_id", ours, master).iter_rows():
            problems.append(f"{host} {name}: {_shown(sampled)} by the samples, {_shown(expected)} by the master")
    return problems


def _nearest_rank(name: str) -> pl.Expr:
    place = (pl.col(name).count().cast(pl.Int64) * 95 + 99) // 100 - 1
    return pl.col(name).drop_nulls().sort().get(pl.max_horizontal(place, 0), null_on_oob=True).alias(name)


def _shown(value: float | None) -> str:
    return "a gap" if value is None else f"{value:.2f}"
