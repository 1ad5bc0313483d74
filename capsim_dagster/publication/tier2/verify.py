"""Verifying a published hour: what its manifest and its rows must say; the rest is in `publication.findings`."""

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from capsim_dagster.audits.report import Finding, Findings
from capsim_dagster.publication.describe import Provenance
from capsim_dagster.publication.findings import claim, differing_columns, foreign_names, unreadable, verify_folder
from capsim_dagster.publication.hour_files import HOUR_NUMBER, DayHour, source_path
from capsim_dagster.publication.manifest import DATA_NAME, PRODUCER
from capsim_dagster.publication.tally import SECONDS_PER_HOUR
from capsim_dagster.publication.tier2.columns import DATASET, RESOURCES, SCHEMA
from capsim_dagster.publication.tier2.describe import HourManifest, described_rows, footer_of, name_of
from capsim_dagster.publication.tier2.examine import examine_rows
from capsim_dagster.publication.untrusted import UNREADABLE, footer_text, opened, row_groups


def hour_folders(day_folder: Path) -> list[Path]:
    """Return the folders of hours in the folder of a day, in order."""
    found = sorted(day_folder.iterdir()) if day_folder.is_dir() else []
    return [path for path in found if path.is_dir() and re.fullmatch(HOUR_NUMBER, path.name)]


def verify_hour(folder: Path) -> Findings:
    """Return everything that can be said of a published hour.

    Args:
        folder: Where data.parquet and manifest.json lie.
    """

    def rows(manifest: HourManifest, found: list[Finding]) -> int | None:
        try:
            with opened(folder / DATA_NAME, manifest.data) as file:
                differing, footer = differing_columns(file.schema_arrow, SCHEMA), footer_text(file)
                table = pa.concat_tables([SCHEMA.empty_table(), *([] if differing else row_groups(file))])
        except UNREADABLE as error:
            found.append(unreadable(error))
            return None
        found += [
            claim("data_are_readable", []),
            claim("columns_are_those_of_the_dataset", differing),
            claim("footer_agrees_with_the_manifest", _footer_differs(footer, manifest)),
        ]
        if differing:
            return None
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 a table is no series
        found += [*_counted(table, manifest), *examine_rows(frame, manifest)]
        return int(table.num_rows)

    return verify_folder(folder, HourManifest, "hour", lambda found: (_strangers(folder, found), _parts(found)), rows)


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


def _parts(manifest: HourManifest) -> Mapping[str, bool]:
    """Return what parts of the manifest say of each other, and whether it is true."""
    hour, source = DayHour(manifest.day, manifest.hour), manifest.source
    intervals = SECONDS_PER_HOUR / manifest.interval_s
    return {
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
