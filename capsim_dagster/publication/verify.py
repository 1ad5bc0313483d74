"""Verifying a published day: needs nothing but its folder, and trusts nobody who made it.

The bytes come first: the rows of a file that is not the one of the manifest are not looked at.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq

from capsim_dagster.audits.finding import Finding, Severity
from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.columns import HOUR_SCHEMA, SCHEMA
from capsim_dagster.publication.describe import DATASET, name_of, table_schema
from capsim_dagster.publication.examine import TEXTS, Broken, Examination, examine
from capsim_dagster.publication.findings import (
    Verification,
    bytes_claims,
    claim,
    differing_columns,
    files_claim,
    foreign_names,
    unreadable,
)
from capsim_dagster.publication.folder import manifest_text
from capsim_dagster.publication.hour_files import source_path
from capsim_dagster.publication.manifest import DATA_NAME, MANIFEST_NAME, Manifest, parse_manifest
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
_MIXED: Final = (
    "the data are not those of the manifest: either file is damaged or changed, or the day is being replaced at this"
    " moment; fetch both again, and publish the day again if that does not help"
)


@dataclass(frozen=True)
class _Dataset:
    """A dataset whose bytes are those that its manifest says.

    Attributes:
        data: The file with the rows.
        manifest: What its manifest says.
    """

    data: Path
    manifest: Manifest


def verify_dataset(
    folder: Path, *, max_null_share: float = MAX_NULL_SHARE, p95: "pl.DataFrame | None" = None
) -> Verification:
    """Return everything that can be said of a published day.

    Args:
        folder: Where data.parquet and manifest.json lie.
        max_null_share: Share of a column's values that may be missing, 0 to 1.
        p95: The P95 of the day by the master: host_id and a column a resource [%], null = a gap; None = not compared.
    """
    content, findings = _files(folder)
    manifest = None
    if content is not None:
        manifest, about = _manifest(folder, content)
        findings += about
    if manifest is not None and (folder / DATA_NAME).is_file():
        bytes_ = bytes_claims(folder / DATA_NAME, manifest.data, message=_MIXED)
        findings += bytes_
        if all(each.passed for each in bytes_):
            return _rows(_Dataset(folder / DATA_NAME, manifest), findings, max_null_share, p95, folder)
    return Verification(str(folder), [*findings, _not_judged()])


def _files(folder: Path) -> tuple[bytes | None, list[Finding]]:
    """Return the manifest's text, and whether both files are there."""
    return manifest_text(folder), [files_claim(folder)]


def _manifest(folder: Path, content: bytes) -> tuple[Manifest | None, list[Finding]]:
    try:
        manifest = parse_manifest(content, MANIFEST_NAME)
    except PublicationError as error:
        return None, [claim("manifest_follows_its_schema", [error.found])]
    edited = [] if manifest.is_sealed else [f"its hash says {manifest.hash}, its text {manifest.sealed().hash}"]
    if content != manifest.text.encode():
        edited.append("its text is not in the one form that capsim writes")
    return manifest, [
        claim("manifest_follows_its_schema", []),
        claim("manifest_is_as_it_was_written", edited),
        claim("manifest_is_of_this_dataset", _strangers(folder, manifest)),
        claim("manifest_agrees_with_itself", _contradictions(manifest)),
    ]


def _strangers(folder: Path, manifest: Manifest) -> list[str]:
    """Return in words where the manifest speaks of another dataset, file or day."""
    said = foreign_names(manifest, DATASET)
    try:
        day = dt.date.fromisoformat(folder.name)
    except ValueError:
        return said
    return said if day == manifest.day else [*said, f"it is of {manifest.day}, the folder of {day}"]


def _contradictions(manifest: Manifest) -> list[str]:
    """Return in words where parts of the manifest contradict each other."""
    hours, sources = manifest.hours, manifest.sources
    named = sorted([*hours.present, *(absent.hour for absent in hours.missing)])
    is_whole = not (hours.missing or hours.partial or manifest.rejected) and manifest.rows > 0
    claims = {
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
    return [f"not true: {text}" for text, holds in claims.items() if not holds]


def _rows(
    dataset: _Dataset, findings: list[Finding], max_null_share: float, p95: "pl.DataFrame | None", folder: Path
) -> Verification:
    try:
        with opened(dataset.data, dataset.manifest.data, dictionaries=TEXTS) as file:
            differing = differing_columns(file.metadata.schema.to_arrow_schema(), SCHEMA)
            differing = differing or differing_columns(file.schema_arrow, HOUR_SCHEMA)
            findings += [
                claim("columns_are_those_of_the_dataset", differing),
                claim("footer_agrees_with_the_manifest", _footer_differs(file, dataset.manifest)),
            ]
            if differing:
                return Verification(str(folder), [*findings, _not_judged()])
            seen = examine(file, dataset.manifest)
    except UNREADABLE as error:
        return Verification(str(folder), [*findings, unreadable(error), _not_judged()])
    findings += [claim("data_are_readable", []), *_counted(dataset.manifest, seen)]
    findings += [_row_claim(name, seen.broken.get(name, Broken())) for name in ROW_CLAIMS]
    findings += [_nulls(seen, max_null_share), _parity(dataset, p95)]
    return Verification(str(folder), findings, seen.tally.rows)


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


def _parity(dataset: _Dataset, p95: "pl.DataFrame | None") -> Finding:
    name = "p95_is_that_of_the_master"
    if p95 is None:
        return Finding(name, Severity.INFO, passed=True, message="not judged: no master was given")
    if not dataset.manifest.complete:
        return Finding(name, Severity.INFO, passed=False, message="not judged: the day is not complete")
    # Loaded with polars, which takes a quarter of the time of verifying a day.
    from capsim_dagster.publication.parity import p95_problems

    problems: Sequence[str] = p95_problems(dataset.data, p95)
    return claim(name, problems)


def _not_judged() -> Finding:
    return Finding(
        "rows_were_judged", Severity.INFO, passed=False, message="the rows were not looked at: see the errors above"
    )
