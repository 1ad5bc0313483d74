"""The assets of publication: archive and daily dataset with a partition a day, hourly dataset with one an hour.

Each partition is written, recorded and checked before the next, and one that is refused keeps none of the others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg

from capsim_dagster.errors import CapsimError, GateError, PublicationError, listed
from capsim_dagster.orchestration import partition_events
from capsim_dagster.orchestration.check_specs import Days, Hours, archive_checks, tier2_checks, tier3_checks
from capsim_dagster.orchestration.failures import clear_failure
from capsim_dagster.orchestration.gates import barred_days, require_gates
from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE, MASTER_PARQUET, OWNERS, TIER2_HOURLY, TIER3_DAILY
from capsim_dagster.orchestration.metadata import column_schema
from capsim_dagster.orchestration.partition_events import Made, PartitionEvent
from capsim_dagster.orchestration.partitions import day_of, hour_of
from capsim_dagster.orchestration.progress import Progress
from capsim_dagster.orchestration.publication_metadata import archived_day, published_day, published_hour
from capsim_dagster.pipeline import publication, publication_hours
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication_checks import DAILY_CLAIMS, HOURLY_CLAIMS, reports_of
from capsim_dagster.publication.columns import COLUMNS
from capsim_dagster.publication.export import now_utc
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.tier2.columns import COLUMNS as HOUR_COLUMNS
from capsim_dagster.schemas import Column
from capsim_dagster.settings import Automation
from capsim_dagster.simulation.telemetry import MODEL_VERSION
from capsim_dagster.system_errors import is_interrupt

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
    "with a manifest by which anyone can verify it: output/tier2_hourly/YYYY-MM-DD/HH.\n\n"
    "An hour can be published once its file is whole."
)


@dataclass(frozen=True)
class _Dated:
    """An asset with a partition a day or an hour.

    Attributes:
        spec: What it is.
        checks: Of each partition.
        partitions: Its partitions.
        unit: What a partition is, for the log.
        make: Makes a partition by its key.
        bar: Returns partitions that may not be made, and why.
        follower: What is made of it and refuses a partition whose checks failed alone, where it is in the same run.
    """

    spec: dg.AssetSpec
    checks: Sequence[dg.AssetCheckSpec]
    partitions: Days | Hours
    unit: str
    make: Callable[[Platform, str], Made]
    bar: Callable[[dg.DagsterInstance, Sequence[str]], Mapping[str, GateError]]
    follower: dg.AssetKey | None = None


def build_publication_assets(days: Days, hours: Hours) -> list[dg.AssetsDefinition]:
    """Return the assets of publication.

    Args:
        days: Partitions of archive and daily dataset.
        hours: Partitions of the hourly dataset.
    """
    archive = _spec(HOURLY_ARCHIVE, MASTER_PARQUET, _ARCHIVE, "json")
    daily = _spec(TIER3_DAILY, HOURLY_ARCHIVE, _TIER3, "parquet", COLUMNS)
    hourly = _spec(TIER2_HOURLY, HOURLY_ARCHIVE, _TIER2, "parquet", HOUR_COLUMNS)
    return [
        _asset(_Dated(archive, archive_checks(days), days, "days", _archived, _master_gate, TIER3_DAILY)),
        _asset(_Dated(daily, tier3_checks(days), days, "days", _published_day, barred_days)),
        _asset(_Dated(hourly, tier2_checks(hours), hours, "hours", _published_hour, _no_gate)),
    ]


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


def _asset(dated: _Dated) -> dg.AssetsDefinition:
    """Return the asset: a range of its partitions is one run."""
    key = dated.spec.key

    @dg.multi_asset(
        specs=[dated.spec],
        check_specs=dated.checks,
        name=key.to_python_identifier(),
        partitions_def=dated.partitions,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def make_partitions(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], progress: dg.ResourceParam[Progress]
    ) -> Iterator[PartitionEvent]:
        wanted, refused, name = context.partition_keys, Refusals(), key.to_user_string()
        is_last = dated.follower not in context.job_def.asset_layer.selected_asset_keys
        with clear_failure(), progress.stage(context, name=name, total=len(wanted), unit=dated.unit) as advance:
            _require_few(wanted, platform.settings.automation)
            barred = dated.bar(context.instance, wanted)
            for each in wanted:
                try:
                    if each in barred:
                        raise barred[each]
                    made = dated.make(platform, each)
                except CapsimError as error:
                    refused.add(each, error)
                    continue
                yield partition_events.materialized(context, key, each, made.facts, version=made.version)
                yield from partition_events.evaluated(
                    context, dated.checks, each, {key: made.reports}, stops_run=is_last
                )
                advance(1, each)
            refused.raise_first()
        yield from partition_events.finished(context, [key], dated.checks)

    return make_partitions


def _require_few(keys: Sequence[str], automation: Automation) -> None:
    """Make sure that a run does not fill the disk with days that nobody meant: "Materialize all" asks for them all.

    Raises:
        PublicationError: If it asks for more days than one run may make.
    """
    days, most = len({day_of(key) for key in keys}), automation.max_days_per_run
    if days > most:
        raise PublicationError(
            f"this run asks for {days:,} days, {keys[0]} to {keys[-1]}; one makes at most {most:,}, so it made none",
            remedy="choose a shorter range of partitions, or raise automation.max_days_per_run",
        )


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
        if is_interrupt(error):
            raise error
        self._errors[key] = error

    def raise_first(self) -> None:
        """End the step if any was refused.

        Raises:
            CapsimError: The only refusal, or one that names all partitions and the reason of the first.
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


def _archived(platform: Platform, key: str) -> Made:
    return day_of_archive(platform, publication.hourly_archive(platform, day_of(key), today=now_utc().date()))


def _published_day(platform: Platform, key: str) -> Made:
    return day_of_tier3(platform, publication.tier3_daily(platform, day_of(key), today=now_utc().date()))


def _published_hour(platform: Platform, key: str) -> Made:
    return hour_of_tier2(publication_hours.tier2_hourly(platform, DayHour(day_of(key), hour_of(key)), now=now_utc()))


def day_of_archive(platform: Platform, made: publication.ArchivedDay) -> Made:
    """Return what is recorded of a day of the archive."""
    reports = {"row_parity": publication.archive_parity(platform, made)}
    return Made(archived_day(platform.layout.archive, made), made.sha256, reports)


def day_of_tier3(platform: Platform, made: publication.PublishedDay) -> Made:
    """Return what is recorded of a published day."""
    agrees = publication_hours.hours_of_day_agree(platform, made.exported.manifest.day)
    reports = {**reports_of(made.verification, DAILY_CLAIMS), "agrees_with_tier2": agrees}
    return Made(published_day(made), made.exported.manifest.data.hash, reports)


def hour_of_tier2(made: publication_hours.PublishedHour) -> Made:
    """Return what is recorded of a published hour."""
    reports = {**reports_of(made.verification, HOURLY_CLAIMS), "agrees_with_tier3": made.agreement}
    return Made(published_hour(made), made.exported.manifest.data.hash, reports)


def _master_gate(instance: dg.DagsterInstance, _keys: Sequence[str]) -> Mapping[str, GateError]:
    """Bar no day alone: a master that failed its gates bars them all.

    Raises:
        GateError: If it did.
    """
    require_gates(instance, [MASTER_PARQUET])
    return {}


def _no_gate(_instance: dg.DagsterInstance, _keys: Sequence[str]) -> Mapping[str, GateError]:
    """Bar no hour: each is made of its file alone, and refuses one that is not whole."""
    return {}
