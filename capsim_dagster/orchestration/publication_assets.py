"""The assets of publication: archive and daily dataset with a partition a day, hourly dataset with one an hour.

Beside them the live fleet: served by `capsim tier1 serve`, and observed here by what it archives.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import dagster as dg

from capsim_dagster.audits.report import by_claim
from capsim_dagster.errors import GateError
from capsim_dagster.orchestration import keys
from capsim_dagster.orchestration.gates import ARCHIVE_GATE, barred, require_gates
from capsim_dagster.orchestration.metadata import Metadata, column_schema, table
from capsim_dagster.orchestration.months import day_of, hour_key, hour_of
from capsim_dagster.orchestration.partitioned import Asked, Made, Part, Partitioned, each_alone, partitioned
from capsim_dagster.orchestration.progress import clear_failure
from capsim_dagster.pipeline import publication
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication import (
    DAILY_CLAIMS,
    HOURLY_CLAIMS,
    ArchivedDay,
    Claims,
    Published,
    reports_of,
)
from capsim_dagster.publication.dataset.export import Exported, now_utc
from capsim_dagster.publication.dataset.manifest import AnyManifest
from capsim_dagster.publication.hour_files import DayHour, hour_path
from capsim_dagster.publication.live.open_hour import latest_interval
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.schemas import Column
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation.telemetry import MODEL_VERSION

_ARCHIVE: Final = (
    "The samples of a UTC day as agents report them: archive/YYYYMMDD/HH.jsonl.gz, one JSON object a line.\n\n"
    "The P95 of a host's samples is its value of the day in the master."
)
_TIER3: Final = (
    "A UTC day of the archive as one Parquet file, with a manifest by which anyone can verify it: "
    "output/tier3_daily/YYYY-MM-DD, and the bucket if there is one.\n\n"
    "Refused are a day that is not over, fewer than 24 whole hours, and samples whose P95 is not the master's."
)
_TIER2: Final = (
    "An hour of the archive by host and resource: mean, P50, P95, maximum and number of samples, as one Parquet file "
    "with a manifest by which anyone can verify it: output/tier2_hourly/YYYY-MM-DD/HH, and the bucket if there is "
    "one.\n\n"
    "An hour can be published once its file is whole."
)
_TIER1: Final = dg.AssetSpec(
    keys.TIER1_REALTIME,
    deps=[keys.HOURLY_ARCHIVE],
    group_name="publication",
    owners=keys.OWNERS,
    tags={"cadence": "live"},
    kinds={"http"},
    description=(
        "The fleet as it is now: `capsim tier1 serve` emits the samples of each interval, appends them to the open "
        "hour of the archive, and serves them as OpenMetrics, JSON lines and server-sent events.\n\nObserving it "
        "shows the latest interval that was archived, and how long ago that was."
    ),
)
"""It is observed, and never materialized."""


def build_publication_assets(generation: DataGeneration) -> list[dg.AssetsDefinition]:
    """Return the assets of publication; days and hours exist from the window's start on, once each is over, in UTC."""
    days = dg.DailyPartitionsDefinition(start_date=generation.start_date.isoformat())
    hours = dg.HourlyPartitionsDefinition(start_date=hour_key(generation.start_date, 0))
    archive = _spec(keys.HOURLY_ARCHIVE, keys.MASTER_PARQUET, _ARCHIVE, "json")
    tier3 = _spec(keys.TIER3_DAILY, keys.HOURLY_ARCHIVE, _TIER3, "parquet", DayManifest.COLUMNS)
    tier2 = _spec(keys.TIER2_HOURLY, keys.HOURLY_ARCHIVE, _TIER2, "parquet", HourManifest.COLUMNS)
    return [
        _asset(
            archive, days, "days", each_alone(keys.HOURLY_ARCHIVE, _archived, _master_gate), follower=keys.TIER3_DAILY
        ),
        _asset(tier3, days, "days", each_alone(keys.TIER3_DAILY, _published_day, partial(barred, ARCHIVE_GATE))),
        # No gate: each hour is made of its file alone, and one that is not whole is refused.
        _asset(tier2, hours, "hours", each_alone(keys.TIER2_HOURLY, _published_hour)),
        dg.multi_observable_source_asset(specs=[_TIER1], name="tier1_realtime")(_observe),
    ]


def _asset(
    spec: dg.AssetSpec,
    partitions: keys.Partitions,
    unit: str,
    make: Callable[[Asked], Iterator[Part]],
    *,
    follower: dg.AssetKey | None = None,
) -> dg.AssetsDefinition:
    return partitioned(
        Partitioned(
            name=spec.key.to_python_identifier(),
            specs=[spec],
            checks=keys.specs_of(spec.key, partitions),
            partitions=partitions,
            unit=unit,
            make=make,
            follower=follower,
        )
    )


def _spec(
    key: dg.AssetKey, upstream: dg.AssetKey, description: str, kind: str, columns: Sequence[Column] = ()
) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=[upstream],
        group_name="publication",
        kinds={kind},
        owners=keys.OWNERS,
        tags={"cadence": "hourly" if key == keys.TIER2_HOURLY else "daily"},
        code_version=MODEL_VERSION,
        description=description,
        metadata={"dagster/column_schema": column_schema(columns)} if columns else {},
    )


def _archived(platform: Platform, key: str) -> Made:
    return day_of_archive(platform, publication.hourly_archive(platform, day_of(key), today=now_utc().date()))


def _published_day(platform: Platform, key: str) -> Made:
    return _day(publication.tier3_daily(platform, day_of(key), today=now_utc().date()))


def _published_hour(platform: Platform, key: str) -> Made:
    return _hour(publication.tier2_hourly(platform, DayHour(day_of(key), hour_of(key)), now=now_utc()))


def day_of_archive(platform: Platform, made: publication.ArchivedDay) -> Made:
    """Return what is recorded of a day of the archive."""
    reports = by_claim(publication.archive_parity(platform, made))
    return Made(archived_day(platform.layout.archive, made), made.sha256, reports)


def made_of(platform: Platform, exported: Exported[DayManifest] | Exported[HourManifest]) -> Made:
    """Return what is recorded of a day or hour that lies on disk: it is looked at as a consumer would."""
    if isinstance(exported.manifest, DayManifest):
        return _day(publication.verified_day(platform, exported))
    return _hour(publication.verified_hour(platform, exported))


def _day(made: publication.Published[DayManifest]) -> Made:
    return _recorded(made, published_day(made), DAILY_CLAIMS)


def _hour(made: publication.Published[HourManifest]) -> Made:
    return _recorded(made, published_hour(made), HOURLY_CLAIMS)


def _recorded(made: publication.Published[AnyManifest], facts: Metadata, claims: Claims) -> Made:
    reports = reports_of(made.verification, claims) | by_claim(made.agreement)
    return Made(facts, made.exported.manifest.data.hash, reports)


def _master_gate(instance: dg.DagsterInstance, _keys: Sequence[str]) -> Mapping[str, GateError]:
    """Bar no day alone: a master that failed its gates bars them all."""
    require_gates(instance, [keys.MASTER_PARQUET])
    return {}


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


def _observe(platform: dg.ResourceParam[Platform]) -> dg.ObserveResult:
    with clear_failure():
        latest = latest_interval(platform.layout.archive)
    if latest is None:
        return dg.ObserveResult(metadata={"state": "nothing is archived yet: capsim tier1 serve"})
    return dg.ObserveResult(
        data_version=dg.DataVersion(latest.ts.isoformat()),
        metadata={
            "state": "an hour is open" if latest.is_open else "no hour is open: capsim tier1 serve is not running",
            "latest_interval": dg.MetadataValue.timestamp(latest.ts),
            "seconds_ago": round((now_utc() - latest.ts).total_seconds()),
            "hosts": latest.hosts,
            "intervals_in_the_hour": latest.intervals,
            "path": dg.MetadataValue.path(latest.path),
        },
    )
