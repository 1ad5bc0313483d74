"""Verifying a published hour: needs nothing but its folder, and trusts nobody who made it.

As for days (`publication.verify`) the bytes come first: the rows of a file that is not the one of the manifest are not
looked at.
"""

import datetime as dt
import re
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from capsim_dagster.audits.finding import Finding, Severity
from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.describe import Provenance
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
from capsim_dagster.publication.hour_files import HOUR_NUMBER, DayHour, source_path
from capsim_dagster.publication.manifest import DATA_NAME, MANIFEST_NAME, PRODUCER, parse_as
from capsim_dagster.publication.tally import SECONDS_PER_HOUR
from capsim_dagster.publication.tier2.columns import DATASET, RESOURCES, SCHEMA
from capsim_dagster.publication.tier2.describe import described_rows, footer_of, name_of
from capsim_dagster.publication.tier2.examine import examine_rows
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.untrusted import UNREADABLE, footer_text, opened, row_groups

_MIXED: Final = (
    "the data are not those of the manifest: either file is damaged or changed, or the hour is being replaced at this"
    " moment; fetch both again, and publish the hour again if that does not help"
)


def hour_folders(day_folder: Path) -> list[Path]:
    """Return the folders of hours in the folder of a day, in order."""
    found = sorted(day_folder.iterdir()) if day_folder.is_dir() else []
    return [path for path in found if path.is_dir() and re.fullmatch(HOUR_NUMBER, path.name)]


def verify_hour(folder: Path) -> Verification:
    """Return everything that can be said of a published hour.

    Args:
        folder: Where data.parquet and manifest.json lie.
    """
    findings = [files_claim(folder)]
    manifest = None
    if (content := manifest_text(folder)) is not None:
        manifest, about = _manifest(folder, content)
        findings += about
    if manifest is not None and (folder / DATA_NAME).is_file():
        of_bytes = bytes_claims(folder / DATA_NAME, manifest.data, message=_MIXED)
        findings += of_bytes
        if all(each.passed for each in of_bytes):
            return _rows(folder, manifest, findings)
    return Verification(str(folder), [*findings, _not_judged()])


def _manifest(folder: Path, content: bytes) -> tuple[HourManifest | None, list[Finding]]:
    try:
        manifest = parse_as(HourManifest, content, MANIFEST_NAME)
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


def _strangers(folder: Path, manifest: HourManifest) -> list[str]:
    """Return in words where the manifest speaks of another dataset, file or hour."""
    hour = DayHour(manifest.day, manifest.hour)
    said = foreign_names(manifest, DATASET)
    place = folder.absolute()
    if re.fullmatch(HOUR_NUMBER, place.name) and int(place.name) != hour.hour:
        said.append(f"it is of hour {hour.hour:02d}, the folder of {place.name}")
    if (day := _day_of(place.parent.name)) is not None and day != hour.day:
        said.append(f"it is of {hour.day}, the folder of {day}")
    return said


def _day_of(name: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(name)
    except ValueError:
        return None


def _contradictions(manifest: HourManifest) -> list[str]:
    """Return in words where parts of the manifest contradict each other."""
    hour, source = DayHour(manifest.day, manifest.hour), manifest.source
    intervals = SECONDS_PER_HOUR / manifest.interval_s
    claims = {
        "the name is that of the hour": manifest.name == name_of(hour),
        "the source is the file of the hour": source.hour == hour.hour
        and source.path == source_path(hour.day, hour.hour)
        and (source.bytes > 0 or not source.lines),
        "every line of the source was a sample": source.lines == source.rows and not source.rejected,
        "the source has a line a host and interval": source.rows == manifest.hosts * intervals,
        "samples and gaps are the values of the source": manifest.samples + manifest.gaps
        == source.rows * len(RESOURCES),
        "there are four rows a host": manifest.rows == manifest.data.rows == manifest.hosts * len(RESOURCES),
        "there is a host": manifest.hosts > 0,
        "lines that are astray are lines": manifest.astray <= source.lines,
    }
    return [f"not true: {text}" for text, holds in claims.items() if not holds]


def _rows(folder: Path, manifest: HourManifest, findings: list[Finding]) -> Verification:
    try:
        with opened(folder / DATA_NAME, manifest.data) as file:
            differing, footer = differing_columns(file.schema_arrow, SCHEMA), footer_text(file)
            rows = pa.concat_tables([SCHEMA.empty_table(), *([] if differing else row_groups(file))])
    except UNREADABLE as error:
        return Verification(str(folder), [*findings, unreadable(error), _not_judged()])
    found = [
        *findings,
        claim("data_are_readable", []),
        claim("columns_are_those_of_the_dataset", differing),
        claim("footer_agrees_with_the_manifest", _footer_differs(footer, manifest)),
    ]
    if differing:
        return Verification(str(folder), [*found, _not_judged()])
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 a table is no series
    return Verification(str(folder), [*found, *_counted(rows, manifest), *examine_rows(frame, manifest)], rows.num_rows)


def _footer_differs(footer: bytes, manifest: HourManifest) -> list[str]:
    provenance = Provenance(manifest.seed, manifest.settings_hash, manifest.producer.version)
    expected = footer_of(DayHour(manifest.day, manifest.hour), provenance)
    if footer == expected.encode() and manifest.producer.name == PRODUCER:
        return []
    return [f"the footer says {footer.decode(errors='replace')}, the manifest {expected}"]


def _counted(rows: pa.Table, manifest: HourManifest) -> list[Finding]:
    """Return whether the manifest says what the rows show."""
    samples = pc.sum(rows["samples"].cast(pa.int64())).as_py() or 0
    facts = {
        "rows": (manifest.rows, rows.num_rows),
        "hosts": (manifest.hosts, pc.count_distinct(rows["host_id"]).as_py()),
        "samples": (manifest.samples, samples),
    }
    said = [f"{name}: manifest {ours:,}, data {theirs:,}" for name, (ours, theirs) in facts.items() if ours != theirs]
    described = [] if manifest.data.table == described_rows(rows) else ["columns, units or counts of nulls differ"]
    return [
        claim("counts_are_those_of_the_manifest", said),
        claim("columns_are_described_as_they_are", described),
    ]


def _not_judged() -> Finding:
    return Finding(
        "rows_were_judged", Severity.INFO, passed=False, message="the rows were not looked at: see the errors above"
    )
