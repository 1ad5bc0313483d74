"""The assets of publication: archive and daily dataset with a partition a day, hourly dataset with one an hour."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import dagster as dg

from capsim_dagster.audits.report import by_claim
from capsim_dagster.errors import GateError
from capsim_dagster.orchestration.check_specs import Days, Hours, specs_of
from capsim_dagster.orchestration.gates import ARCHIVE_GATE, barred, require_gates
from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE, MASTER_PARQUET, OWNERS, TIER2_HOURLY, TIER3_DAILY
from capsim_dagster.orchestration.metadata import Metadata, column_schema
from capsim_dagster.orchestration.months import day_of, hour_of
from capsim_dagster.orchestration.partitioned import Asked, Made, Part, Partitioned, each_alone, partitioned
from capsim_dagster.orchestration.publication_metadata import archived_day, published_day, published_hour
from capsim_dagster.pipeline import publication
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication import DAILY_CLAIMS, HOURLY_CLAIMS, Claims, reports_of
from capsim_dagster.publication.dataset.export import Exported, now_utc
from capsim_dagster.publication.dataset.manifest import AnyManifest
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.schemas import Column
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


def build_publication_assets(days: Days, hours: Hours) -> list[dg.AssetsDefinition]:
    """Return the assets of publication.

    Args:
        days: Partitions of archive and daily dataset.
        hours: Partitions of the hourly dataset.
    """
    archive = _spec(HOURLY_ARCHIVE, MASTER_PARQUET, _ARCHIVE, "json")
    tier3 = _spec(TIER3_DAILY, HOURLY_ARCHIVE, _TIER3, "parquet", DayManifest.COLUMNS)
    tier2 = _spec(TIER2_HOURLY, HOURLY_ARCHIVE, _TIER2, "parquet", HourManifest.COLUMNS)
    return [
        _asset(archive, days, "days", each_alone(HOURLY_ARCHIVE, _archived, _master_gate), follower=TIER3_DAILY),
        _asset(tier3, days, "days", each_alone(TIER3_DAILY, _published_day, partial(barred, ARCHIVE_GATE))),
        # No gate: each hour is made of its file alone, and one that is not whole is refused.
        _asset(tier2, hours, "hours", each_alone(TIER2_HOURLY, _published_hour)),
    ]


def _asset(
    spec: dg.AssetSpec,
    partitions: Days | Hours,
    unit: str,
    make: Callable[[Asked], Iterator[Part]],
    *,
    follower: dg.AssetKey | None = None,
) -> dg.AssetsDefinition:
    return partitioned(
        Partitioned(
            name=spec.key.to_python_identifier(),
            specs=[spec],
            checks=specs_of(spec.key, partitions),
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
        owners=OWNERS,
        tags={"cadence": "hourly" if key == TIER2_HOURLY else "daily"},
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
    """Bar no day alone: a master that failed its gates bars them all.

    Raises:
        GateError: If it did.
    """
    require_gates(instance, [MASTER_PARQUET])
    return {}
