"""What a person sees beside a day or an hour of publication."""

from pathlib import Path

import dagster as dg

from capsim_dagster.orchestration.metadata import Metadata, table
from capsim_dagster.pipeline.publication import ArchivedDay, Published
from capsim_dagster.publication.hour_files import hour_path
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier3.manifest import DayManifest


def archived_day(root: Path, made: ArchivedDay) -> Metadata:
    """Return the files of a day of the archive, its lines and size."""
    return {
        "path": dg.MetadataValue.path(hour_path(root, made.day, 0).parent),
        "dagster/partition_row_count": dg.MetadataValue.int(made.lines),
        "bytes": dg.MetadataValue.int(made.bytes),
        "sha256": dg.MetadataValue.text(made.sha256),
        "hours_written": dg.MetadataValue.int(sum(not file.is_unchanged for file in made.files)),
        "files": table(
            [
                {"hour": file.hour, "lines": file.lines, "bytes": file.bytes, "sha256": file.sha256}
                for file in made.files
            ]
        ),
    }


def published_day(made: Published[DayManifest]) -> Metadata:
    """Return where a published day lies, its size and digests, the nulls of its columns, and what was verified."""
    manifest = made.exported.manifest
    return {
        **_published(made),
        "first_ts": dg.MetadataValue.text(str(manifest.first_ts)),
        "last_ts": dg.MetadataValue.text(str(manifest.last_ts)),
        "p95_compared_with": dg.MetadataValue.text(made.source),
        "columns": table(
            [
                {"column": field.name, "nulls": field.nulls, "null_percent": round(100 * field.null_ratio, 4)}
                for field in manifest.data.table.fields
            ]
        ),
    }


def published_hour(made: Published[HourManifest]) -> Metadata:
    """Return where a published hour lies, its size and digests."""
    manifest = made.exported.manifest
    counts = {"samples": dg.MetadataValue.int(manifest.samples), "gaps": dg.MetadataValue.int(manifest.gaps)}
    return {**_published(made), **counts}


def _published(made: Published[DayManifest] | Published[HourManifest]) -> Metadata:
    manifest, folder, uploaded = made.exported.manifest, made.exported.folder, made.uploaded
    tier = manifest.DATASET.partition("_")[0]
    return {
        "path": dg.MetadataValue.path(folder),
        "dagster/partition_row_count": dg.MetadataValue.int(manifest.rows),
        "bytes": dg.MetadataValue.int(manifest.data.bytes),
        "sha256": dg.MetadataValue.text(manifest.data.hash),
        "manifest_sha256": dg.MetadataValue.text(manifest.hash),
        "hosts": dg.MetadataValue.int(manifest.hosts),
        "is_unchanged": dg.MetadataValue.bool(made.exported.is_unchanged),
        "bucket": dg.MetadataValue.text(f"{uploaded.url}: {uploaded.outcome}" if uploaded else "not uploaded"),
        "verify": dg.MetadataValue.text(f"capsim {tier} verify --local {folder}"),
    }
