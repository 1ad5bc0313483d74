"""Verifying a published day: what its rows must say; the rest is in `dataset.verify`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from capsim_dagster.audits.report import Finding, Findings, Severity
from capsim_dagster.publication.dataset.manifest import DATA_NAME
from capsim_dagster.publication.dataset.rules import MICROS, Judgement, Rows, claims_of
from capsim_dagster.publication.dataset.verify import claim, counted, not_judged, row_groups, verify
from capsim_dagster.publication.tier3.columns import KEY
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.publication.tier3.rules import SAMPLE_RULES, LineRule
from capsim_dagster.publication.tier3.tally import SECONDS_PER_HOUR, DayTally

if TYPE_CHECKING:
    import polars as pl

MAX_NULL_SHARE: Final = 0.05
"""Share of a column's values that may be missing, unless told otherwise."""
_OF_THE_HOUR: Final = "timestamps_are_of_the_hour"
ROW_CLAIMS: Final = ("keys_are_unique", *claims_of(SAMPLE_RULES), _OF_THE_HOUR)
"""What is claimed of every row."""


def verify_dataset(
    folder: Path, *, max_null_share: float = MAX_NULL_SHARE, p95: "pl.DataFrame | None" = None
) -> Findings:
    """Return all that can be said of a published day; of each column a share, 0 to 1, may be missing.

    `p95` is that of the day by the master, as `parity.master_p95` has it; None = not compared.
    """

    def judge(file: pq.ParquetFile, manifest: DayManifest) -> tuple[int, list[Finding]]:
        tally, of_rows = _examined(file, manifest)
        found = [*_counted(manifest, tally), *of_rows, _nulls(tally, max_null_share)]
        return tally.rows, [*found, _parity(folder / DATA_NAME, manifest, p95)]

    return verify(folder, DayManifest, judge)


def _examined(file: pq.ParquetFile, manifest: DayManifest) -> tuple[DayTally, list[Finding]]:
    """Look once at every row of a file; return the counts, and what breaks a rule."""
    tally, judgement = DayTally(manifest.day), Judgement(ROW_CLAIMS, KEY)
    rule: LineRule | None = None
    for hour, table in _pieces(file):
        rows = Rows(table)
        if rule is None:
            first_s = int(rows["ts"][0]) // MICROS
            rule = LineRule(manifest.interval_s, first_s - int(rows["seq"][0]) * manifest.interval_s)
        judgement.add("keys_are_unique", rows, tally.repeats(table, hour))
        tally.add(table, hour)
        judgement.judge(SAMPLE_RULES, rows, rule)
        judgement.add(_OF_THE_HOUR, rows, tally.is_astray(rows["ts"] // MICROS, hour), "archive_hour")
    return tally, judgement.findings(warnings=[_OF_THE_HOUR])


def _pieces(file: pq.ParquetFile) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of each hour file, texts as dictionaries."""
    for rows in row_groups(file):
        hours = pc.unique(rows["archive_hour"]).to_pylist()
        for hour in hours:
            yield hour, rows if len(hours) == 1 else rows.filter(pc.equal(rows["archive_hour"], hour))


def _counted(manifest: DayManifest, tally: DayTally) -> list[Finding]:
    """Return whether the manifest says what the rows show."""
    said = {source.hour: source.rows for source in manifest.sources}
    hours = {
        hour: (said.get(hour, 0), tally.rows_by_hour.get(hour, 0)) for hour in sorted({*said, *tally.rows_by_hour})
    }
    wrong = [f"hour {hour}: manifest {n:,} rows, data {m:,}" for hour, (n, m) in hours.items() if n != m]
    samples = SECONDS_PER_HOUR // manifest.interval_s
    lacking = {hour: tally.hosts_lacking(hour, samples) for hour in manifest.hours.present}
    partial = tuple(hour for hour in lacking if lacking[hour])
    other = [f"partial hours: manifest {manifest.hours.partial}, data {partial}"]
    gaps = [f"hour {hour}: {host}" for hour, hosts in lacking.items() for host in hosts]
    whole = Severity.ERROR if manifest.complete else Severity.WARNING
    return [
        *counted(
            manifest,
            manifest.described(tally.nulls, tally.rows),
            *(other if manifest.hours.partial != partial else []),
            rows=tally.rows,
            hosts=tally.hosts,
            first_ts=tally.first_ts,
            last_ts=tally.last_ts,
            astray=tally.astray,
        ),
        claim("hours_are_those_of_the_manifest", wrong),
        claim("each_host_has_every_interval", gaps, severity=whole),
        claim("the_day_is_complete", _shortfalls(manifest), severity=Severity.WARNING),
    ]


def _shortfalls(manifest: DayManifest) -> list[str]:
    said = [f"hour {absent.hour} is {absent.state}" for absent in manifest.hours.missing]
    said += [f"hour {hour} lacks samples" for hour in manifest.hours.partial]
    return [*said, f"{manifest.rejected:,} lines were rejected"] if manifest.rejected else said


def _nulls(tally: DayTally, max_null_share: float) -> Finding:
    shares = {name: count / max(tally.rows, 1) for name, count in tally.nulls.items()}
    return claim(
        "null_ratios_are_within_bounds",
        [
            f"{name}: {share:.2%}, at most {max_null_share:.2%}"
            for name, share in shares.items()
            if share > max_null_share
        ],
    )


def _parity(data: Path, manifest: DayManifest, p95: "pl.DataFrame | None") -> Finding:
    name = "p95_is_that_of_the_master"
    if p95 is None:
        return Finding(name, Severity.INFO, message="not judged: no master was given")
    if not manifest.complete:
        return not_judged(name, "not judged: the day is not complete")
    # Loaded with polars, which takes a quarter of the time of verifying a day.
    from capsim_dagster.publication.tier3.parity import p95_problems

    return claim(name, p95_problems(data, p95))
