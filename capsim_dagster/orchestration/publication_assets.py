"""The assets of publication: archive and daily dataset with a partition a day, hourly dataset with one an hour.

Each partition is written, recorded and checked before the next, and one that is refused keeps none of the others.
"""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from capsim_dagster.errors import CapsimError, PublicationError, listed
from capsim_dagster.orchestration import partition_events
from capsim_dagster.orchestration.check_specs import Days, Hours, archive_checks, tier2_checks, tier3_checks
from capsim_dagster.orchestration.failures import clear_failure, is_interrupted
from capsim_dagster.orchestration.gates import barred_days, require_gates
from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE, MASTER_PARQUET, OWNERS, TIER2_HOURLY, TIER3_DAILY
from capsim_dagster.orchestration.partition_events import PartitionEvent
from capsim_dagster.orchestration.partitions import day_of, hour_of
from capsim_dagster.orchestration.progress import Progress
from capsim_dagster.orchestration.publication_metadata import (
    archived_day,
    dataset_schema,
    published_day,
    published_hour,
)
from capsim_dagster.pipeline import publication as stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication_checks import DAILY_CLAIMS, HOURLY_CLAIMS, reports_of
from capsim_dagster.pipeline.publication_hours import hours_of_day_agree
from capsim_dagster.pipeline.publication_hours import tier2_hourly as publish_hour
from capsim_dagster.publication.columns import COLUMNS
from capsim_dagster.publication.export import now_utc
from capsim_dagster.publication.tier2.columns import COLUMNS as HOUR_COLUMNS
from capsim_dagster.publication.tier2.site import DayHour
from capsim_dagster.simulation.telemetry import MODEL_VERSION

_GROUP: Final = "publication"
_TAGS: Final = {"cadence": "daily"}
_RANGE_IS_ONE_RUN: Final = dg.BackfillPolicy.single_run()


def build_publication_assets(days: Days, hours: Hours) -> list[dg.AssetsDefinition]:
    """Return the assets of publication.

    Args:
        days: Partitions of archive and daily dataset.
        hours: Partitions of the hourly dataset.
    """
    return [hourly_archive(days), tier3_daily(days), tier2_hourly(hours)]


class Refusals:
    """The partitions of a step that were refused; the others go on."""

    def __init__(self) -> None:
        """Start with none."""
        self._errors: dict[str, CapsimError] = {}

    def add(self, key: str, error: CapsimError) -> None:
        """Keep why a partition was refused.

        Raises:
            CapsimError: If it was not: the run is being cancelled.
        """
        if is_interrupted(error):
            raise error
        self._errors[key] = error

    def raise_first(self) -> None:
        """End the step if any was refused.

        Raises:
            PublicationError: Naming the partitions, with the reason of the first.
        """
        if not self._errors:
            return
        first = next(iter(self._errors.values()))
        if len(self._errors) == 1:
            raise first
        raise PublicationError(
            f"{len(self._errors):,} partitions were refused ({listed(self._errors)}), the first because {first.found}",
            remedy=first.remedy,
        ) from first


def hourly_archive(days: Days) -> dg.AssetsDefinition:
    """Return the asset `hourly_archive`.

    Args:
        days: Its partitions.
    """
    checks = archive_checks(days)

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                HOURLY_ARCHIVE,
                deps=[MASTER_PARQUET],
                group_name=_GROUP,
                kinds={"json"},
                owners=OWNERS,
                tags=_TAGS,
                code_version=MODEL_VERSION,
                description=(
                    "The samples of a UTC day as agents report them: archive/YYYYMMDD/HH.jsonl.gz, one JSON object a "
                    "line.\n\nThe P95 of a host's samples is its value of the day in the master."
                ),
            )
        ],
        check_specs=checks,
        name="hourly_archive",
        partitions_def=days,
        can_subset=True,
        backfill_policy=_RANGE_IS_ONE_RUN,
    )
    def hourly_archive(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], progress: dg.ResourceParam[Progress]
    ) -> Iterator[PartitionEvent]:
        keys, today, refused = context.partition_keys, now_utc().date(), Refusals()
        # Where the daily dataset follows in this run, it refuses the days that failed, and only those.
        is_last = TIER3_DAILY not in context.job_def.asset_layer.selected_asset_keys
        with (
            clear_failure(),
            progress.stage(context, name="hourly_archive", total=len(keys), unit="days") as advance,
        ):
            require_gates(context.instance, [MASTER_PARQUET])
            for key in keys:
                try:
                    made = stages.hourly_archive(platform, day_of(key), today=today)
                except CapsimError as error:
                    refused.add(key, error)
                    continue
                facts = archived_day(platform.layout.archive, made)
                yield partition_events.materialized(context, HOURLY_ARCHIVE, key, facts, version=made.sha256)
                report = {"row_parity": stages.archive_parity(platform, made)}
                yield from partition_events.evaluated(context, checks, key, {HOURLY_ARCHIVE: report}, stops_run=is_last)
                advance(1, key)
            refused.raise_first()
        yield from partition_events.finished(context, [HOURLY_ARCHIVE], checks)

    return hourly_archive


def tier3_daily(days: Days) -> dg.AssetsDefinition:
    """Return the asset `tier3_daily`.

    Args:
        days: Its partitions.
    """
    checks = tier3_checks(days)

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                TIER3_DAILY,
                deps=[HOURLY_ARCHIVE],
                group_name=_GROUP,
                kinds={"parquet"},
                owners=OWNERS,
                tags=_TAGS,
                code_version=MODEL_VERSION,
                description=(
                    "A UTC day of the archive as one Parquet file, with a manifest by which anyone can verify it: "
                    "output/tier3_daily/YYYY-MM-DD, and the bucket if there is one.\n\nRefused are a day that is not "
                    "over, fewer than 24 whole hours, and samples whose P95 is not the master's."
                ),
                metadata={"dagster/column_schema": dataset_schema(COLUMNS)},
            )
        ],
        check_specs=checks,
        name="tier3_daily",
        partitions_def=days,
        can_subset=True,
        backfill_policy=_RANGE_IS_ONE_RUN,
    )
    def tier3_daily(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], progress: dg.ResourceParam[Progress]
    ) -> Iterator[PartitionEvent]:
        keys, today, refused = context.partition_keys, now_utc().date(), Refusals()
        with clear_failure(), progress.stage(context, name="tier3_daily", total=len(keys), unit="days") as advance:
            barred = barred_days(context.instance, keys)
            for key in keys:
                try:
                    if key in barred:
                        raise barred[key]
                    made = stages.tier3_daily(platform, day_of(key), today=today)
                except CapsimError as error:
                    refused.add(key, error)
                    continue
                digest = made.exported.manifest.data.hash
                yield partition_events.materialized(context, TIER3_DAILY, key, published_day(made), version=digest)
                reports = dict(reports_of(made.verification, DAILY_CLAIMS))
                reports["agrees_with_tier2"] = hours_of_day_agree(platform, day_of(key))
                yield from partition_events.evaluated(context, checks, key, {TIER3_DAILY: reports})
                advance(1, key)
            refused.raise_first()
        yield from partition_events.finished(context, [TIER3_DAILY], checks)

    return tier3_daily


def tier2_hourly(hours: Hours) -> dg.AssetsDefinition:
    """Return the asset `tier2_hourly`.

    Args:
        hours: Its partitions.
    """
    checks = tier2_checks(hours)

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                TIER2_HOURLY,
                deps=[HOURLY_ARCHIVE],
                group_name=_GROUP,
                kinds={"parquet"},
                owners=OWNERS,
                tags={"cadence": "hourly"},
                code_version=MODEL_VERSION,
                description=(
                    "An hour of the archive by host and resource: mean, P50, P95, maximum and number of samples, as "
                    "one Parquet file with a manifest by which anyone can verify it: "
                    "output/tier2_hourly/YYYY-MM-DD/HH.\n\nAn hour can be published once its file is whole."
                ),
                metadata={"dagster/column_schema": dataset_schema(HOUR_COLUMNS)},
            )
        ],
        check_specs=checks,
        name="tier2_hourly",
        partitions_def=hours,
        can_subset=True,
        backfill_policy=_RANGE_IS_ONE_RUN,
    )
    def tier2_hourly(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], progress: dg.ResourceParam[Progress]
    ) -> Iterator[PartitionEvent]:
        keys, now, refused = context.partition_keys, now_utc(), Refusals()
        with clear_failure(), progress.stage(context, name="tier2_hourly", total=len(keys), unit="hours") as advance:
            for key in keys:
                try:
                    made = publish_hour(platform, DayHour(day_of(key), hour_of(key)), now=now)
                except CapsimError as error:
                    refused.add(key, error)
                    continue
                digest = made.exported.manifest.data.hash
                yield partition_events.materialized(context, TIER2_HOURLY, key, published_hour(made), version=digest)
                reports = {**reports_of(made.verification, HOURLY_CLAIMS), "agrees_with_tier3": made.agreement}
                yield from partition_events.evaluated(context, checks, key, {TIER2_HOURLY: reports})
                advance(1, key)
            refused.raise_first()
        yield from partition_events.finished(context, [TIER2_HOURLY], checks)

    return tier2_hourly
