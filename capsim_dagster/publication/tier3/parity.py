"""Whether the P95 of a day's samples is the master's value of that day, host by host."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from capsim_dagster.audits.report import Finding, Findings
from capsim_dagster.errors import MasterError, listed
from capsim_dagster.publication.dataset.verify import claim, not_judged
from capsim_dagster.publication.tier3.columns import UTILIZATIONS
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.schemas import Resource
from capsim_dagster.schemas.months import yearmonth
from capsim_dagster.simulated.master import MasterFile

CLAIM: Final = "p95_is_that_of_the_master"
TOLERANCE: Final = 0.01
"""How far the two may lie apart [%]."""
_ROUNDING: Final = 1e-4
"""What single precision and decimals may add to that [%]."""
_MOST: Final = 0.5
"""From this share of all values on, differences are those of other settings, not of single hosts."""


def master_p95(master: Path, day: dt.date) -> pl.DataFrame | None:
    """Return the P95 of a day by the master: host_id and a column a resource [%], null = a gap.

    Only the row groups of that month are read.

    Returns:
        None if the master does not reach the day.

    Raises:
        MasterError: If the master is missing or torn, or has not each host of the day in every resource.
    """
    opened = MasterFile(master)
    if not opened.footer.start <= day <= opened.footer.end:
        return None
    columns = [_of_resource(opened, day, resource) for resource in Resource]
    found = columns[0]
    for column in columns[1:]:
        found = found.join(column, on="host_id", how="inner", validate="1:1")
    if any(column.height != opened.footer.hosts for column in (*columns, found)):
        raise MasterError(
            f"{master} has not the {opened.footer.hosts:,} hosts of its footer on {day} in each resource",
            remedy="materialize master_parquet again: capsim run",
        )
    return found


def _of_resource(master: MasterFile, day: dt.date, resource: Resource) -> pl.DataFrame:
    """Return a resource's values of a day under its name."""
    months = [
        piece.filter(pl.col("date") == day).select(pl.col("host_id").cast(pl.String), p95_util=pl.col("p95_util"))
        for piece in master.month(yearmonth(day), resource)
    ]
    empty = pl.DataFrame(schema={"host_id": pl.String, "p95_util": pl.Float32})
    return pl.concat([empty, *months]).rename({"p95_util": resource.value})


def unlike_master(master: Path, manifest: DayManifest) -> Finding | None:
    """Return why a published day cannot be compared with a master; None = it can.

    The seed is all that both name: the settings hash of a manifest covers more than that of a master.

    Raises:
        MasterError: If the master is missing or torn.
    """
    footer = MasterFile(master).footer
    if footer.seed != manifest.seed:
        said = (
            f"not compared: the master is of another fleet, of seed {footer.seed} ({footer.hosts:,} hosts from"
            f" {footer.start}); the manifest says seed {manifest.seed} ({manifest.hosts:,} hosts): {master}"
        )
        return claim(CLAIM, [said])
    if not footer.start <= manifest.day <= footer.end:
        said = f"not judged: the master reaches from {footer.start} to {footer.end}, not to {manifest.day}: {master}"
        return not_judged(CLAIM, said)
    return None


def with_finding(found: Findings, finding: Finding) -> Findings:
    """Return findings with another one in the place of the one on the same claim, if that was judged."""
    return replace(found, findings=[finding if each.claim == finding.claim else each for each in found.findings])


def p95_problems(data: Path, p95: pl.DataFrame) -> Sequence[str]:
    """Return in words where the samples of a complete day and the master, by `master_p95`, differ, gaps included.

    P95 is the nearest rank, as in `simulation.samples`: of n sorted samples the one at place ceil(0.95 n). Where most
    values differ, that is one problem.
    """
    ranked = [_nearest_rank(name) for name in UTILIZATIONS]
    found = pl.scan_parquet(data).group_by("host_id").agg(ranked).collect()
    both = found.join(p95.select("host_id", *UTILIZATIONS), on="host_id", suffix="_master").sort("host_id")
    alone = {
        "samples": found.join(p95, on="host_id", how="anti"),
        "master": p95.join(found, on="host_id", how="anti"),
    }
    problems = [
        f"hosts in the {where} alone, {hosts.height:,}: {listed(hosts.get_column('host_id').sort())}"
        for where, hosts in alone.items()
        if hosts.height
    ]
    differing = [problem for name in UTILIZATIONS for problem in _differing(both, name)]
    values = both.height * len(UTILIZATIONS)
    return [*problems, *(differing if len(differing) <= _MOST * values else [_of_other_settings(differing, values)])]


def _differing(both: pl.DataFrame, name: str) -> Sequence[str]:
    """Return in words the hosts of which a resource is not the same by samples and master."""
    ours, master = pl.col(name), pl.col(f"{name}_master").cast(pl.Float64)
    is_far = ((ours - master).abs() > TOLERANCE + _ROUNDING).fill_null(False)
    differs = both.filter((ours.is_null() != master.is_null()) | is_far).select("host_id", ours, master)
    return [
        f"{host} {name}: {_shown(sampled)} by the samples, {_shown(expected)} by the master"
        for host, sampled, expected in differs.iter_rows()
    ]


def _of_other_settings(problems: Sequence[str], values: int) -> str:
    return (
        f"{len(problems):,} of {values:,} values differ, so the two were made with other settings, or are of other"
        f" fleets or days: {listed(problems)}"
    )


def _nearest_rank(name: str) -> pl.Expr:
    place = (pl.col(name).count().cast(pl.Int64) * 95 + 99) // 100 - 1
    return pl.col(name).drop_nulls().sort().get(pl.max_horizontal(place, 0), null_on_oob=True).alias(name)


def _shown(value: float | None) -> str:
    return "a gap" if value is None else f"{value:.2f}"
