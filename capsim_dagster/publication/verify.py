"""Verifying a published day: what its manifest and its rows must say; the rest is in `findings`."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq

from capsim_dagster.audits.report import Finding, Findings, Severity
from capsim_dagster.publication.columns import HOUR_SCHEMA, SCHEMA
from capsim_dagster.publication.describe import DATASET, name_of, table_schema
from capsim_dagster.publication.examine import TEXTS, Broken, Examination, examine
from capsim_dagster.publication.findings import (
    claim,
    differing_columns,
    foreign_names,
    not_judged,
    unreadable,
    verify_folder,
)
from capsim_dagster.publication.hour_files import source_path
from capsim_dagster.publication.manifest import DATA_NAME, Manifest
from capsim_dagster.publication.untrusted import UNREADABLE, footer_facts, opened
from capsim_dagster.simulation.samples import HOURS_PER_DAY

if TYPE_CHECKING:
    import polars as pl

MAX_NULL_SHARE: Final = 0.05
"""Share of a column's values that may be missing, unless told otherwise."""
_WARNINGS: Final = ("timestamps_are_of_the_hour",)
ROW_CLAIMS: Final = (
    "keys_are_unique",
    "percent_is_within_bounds",
    "traffic_is_not_negative",
    "traffic_is_null_where_network_is",
    "interval_is_that_of_the_day",
    "seq_follows_the_time",
    "timestamps_are_of_the_hour",
    "sampled_rows_are_samples",
)
"""What is claimed of every row."""


def verify_dataset(
    folder: Path, *, max_null_share: float = MAX_NULL_SHARE, p95: "pl.DataFrame | None" = None
) -> Findings:
    """Return everything that can be said of a published day.

    Args:
        folder: Where data.parquet and manifest.json lie.
        max_null_share: Share of a column's values that may be missing, 0 to 1.
        p95: The P95 of the day by the master: host_id and a column a resource [%], null = a gap; None = not compared.
    """

    def rows(manifest: Manifest, found: list[Finding]) -> int | None:
        try:
            with opened(folder / DATA_NAME, manifest.data, dictionaries=TEXTS) as file:
                differing = differing_columns(file.metadata.schema.to_arrow_schema(), SCHEMA)
                differing = differing or differing_columns(file.schema_arrow, HOUR_SCHEMA)
                found += [
                    claim("columns_are_those_of_the_dataset", differing),
                    claim("footer_agrees_with_the_manifest", _footer_differs(file, manifest)),
                ]
                if differing:
                    return None
                seen = examine(file, manifest)
        except UNREADABLE as error:
            found.append(unreadable(error))
            return None
        found += [claim("data_are_readable", []), *_counted(manifest, seen)]
        found += [_row_claim(name, seen.broken.get(name, Broken())) for name in ROW_CLAIMS]
        found += [_nulls(seen, max_null_share), _parity(folder / DATA_NAME, manifest, p95)]
        return seen.tally.rows

    return verify_folder(folder, Manifest, "day", lambda found: (_strangers(folder, found), _parts(found)), rows)


def _strangers(folder: Path, manifest: Manifest) -> list[str]:
    """Return in words where the manifest speaks of another dataset, file or day."""
    said = foreign_names(manifest, DATASET)
    try:
        day = dt.date.fromisoformat(folder.name)
    except ValueError:
        return said
    return said if day == manifest.day else [*said, f"it is of {manifest.day}, the folder of {day}"]


def _parts(manifest: Manifest) -> Mapping[str, bool]:
    """Return what parts of the manifest say of each other, and whether it is true."""
    hours, sources = manifest.hours, manifest.sources
    named = sorted([*hours.present, *(absent.hour for absent in hours.missing)])
    is_whole = not (hours.missing or hours.partial or manifest.rejected) and manifest.rows > 0
    return {
        "the name is that of the day": manifest.name == name_of(manifest.day),
        "each source is the file of its hour": all(s.path == source_path(manifest.day, s.hour) for s in sources),
        "sources with lines have bytes": all(s.bytes > 0 for s in sources if s.lines),
        "lines of each source are its rows and its rejected lines": all(
            s.lines == s.rows + s.rejected for s in sources
        ),
        "rows are those of the sources": manifest.rows == sum(s.rows for s in sources) == manifest.data.rows,
        "rejected lines are those of the sources": manifest.rejected == sum(s.rejected for s in sources),
        "hours that are present have a source": hours.present == tuple(s.hour for s in sources),
        "each hour of the day is present or missing": named == list(range(HOURS_PER_DAY)),
        "partial hours are present": set(hours.partial) <= set(hours.present),
        "complete says whether anything is missing": manifest.complete == is_whole,
    }


def _footer_differs(file: pq.ParquetFile, manifest: Manifest) -> list[str]:
    found = footer_facts(file)
    expected = {
        "dataset": manifest.dataset,
        "day": str(manifest.day),
        "seed": manifest.seed,
        "producer": manifest.producer.name,
        "version": manifest.producer.version,
        "settings_hash": manifest.settings_hash,
    }
    return [
        f"{name} is {found.get(name)} in the footer, {value} in the manifest"
        for name, value in expected.items()
        if found.get(name) != value
    ]


def _counted(manifest: Manifest, seen: Examination) -> list[Finding]:
    """Return whether the manifest says what the rows show."""
    tally, samples = seen.tally, 3_600 // manifest.interval_s
    by_hour = {source.hour: source.rows for source in manifest.sources}
    hours = sorted(set(by_hour) | set(tally.rows_by_hour))
    lacking = {hour: tally.hosts_lacking(hour, samples) for hour in manifest.hours.present}
    facts = {
        "rows": (manifest.rows, tally.rows),
        "hosts": (manifest.hosts, tally.hosts),
        "first_ts": (manifest.first_ts, tally.first_ts),
        "last_ts": (manifest.last_ts, tally.last_ts),
        "astray": (manifest.astray, tally.astray),
        "partial hours": (list(manifest.hours.partial), [hour for hour in lacking if lacking[hour]]),
    }
    said = [f"{name}: manifest {ours}, data {theirs}" for name, (ours, theirs) in facts.items() if ours != theirs]
    described = [] if manifest.data.table == table_schema(tally) else ["columns, units or counts of nulls differ"]
    wrong = [
        f"hour {hour}: manifest {by_hour.get(hour, 0):,} rows, data {tally.rows_by_hour.get(hour, 0):,}"
        for hour in hours
        if by_hour.get(hour, 0) != tally.rows_by_hour.get(hour, 0)
    ]
    gaps = [f"hour {hour}: {host}" for hour, hosts in lacking.items() for host in hosts]
    whole = Severity.ERROR if manifest.complete else Severity.WARNING
    return [
        claim("counts_are_those_of_the_manifest", said),
        claim("columns_are_described_as_they_are", described),
        claim("hours_are_those_of_the_manifest", wrong),
        claim("each_host_has_every_interval", gaps, severity=whole),
        claim("the_day_is_complete", _shortfalls(manifest), severity=Severity.WARNING),
    ]


def _shortfalls(manifest: Manifest) -> list[str]:
    said = [f"hour {absent.hour} is {absent.state}" for absent in manifest.hours.missing]
    said += [f"hour {hour} lacks samples" for hour in manifest.hours.partial]
    return [*said, f"{manifest.rejected:,} lines were rejected"] if manifest.rejected else said


def _row_claim(name: str, broken: Broken) -> Finding:
    severity = Severity.WARNING if name in _WARNINGS else Severity.ERROR
    return claim(name, broken.examples, severity=severity, count=broken.count)


def _nulls(seen: Examination, max_null_share: float) -> Finding:
    nulls: Counter[str] = seen.tally.nulls
    shares = {name: count / max(seen.tally.rows, 1) for name, count in nulls.items()}
    return claim(
        "null_ratios_are_within_bounds",
        [
            f"{name}: {share:.2%}, at most {max_null_share:.2%}"
            for name, share in shares.items()
            if share > max_null_share
        ],
    )


def _parity(data: Path, manifest: Manifest, p95: "pl.DataFrame | None") -> Finding:
    name = "p95_is_that_of_the_master"
    if p95 is None:
        return Finding(name, Severity.INFO, message="not judged: no master was given")
    if not manifest.complete:
        return not_judged(name, "not judged: the day is not complete")
    # Loaded with polars, which takes a quarter of the time of verifying a day.
    from capsim_dagster.publication.parity import p95_problems

    return claim(name, p95_problems(data, p95))
