"""The assets with a partition a month: feed and table. Each month is written, recorded and checked before the next."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import dagster as dg

from capsim_dagster.errors import CapsimError, FeedError, GateError
from capsim_dagster.legacy_feed.contract import FeedContract, written_columns
from capsim_dagster.orchestration import metadata, partition_events
from capsim_dagster.orchestration.check_specs import Months, feed_checks, table_checks
from capsim_dagster.orchestration.failures import clear_failure
from capsim_dagster.orchestration.feed import FeedResource
from capsim_dagster.orchestration.gates import barred_months, require_gates
from capsim_dagster.orchestration.keys import MASTER_PARQUET, MONTHLY_CSV, OWNERS, PROCESSED_DATA, WAREHOUSE_POOL
from capsim_dagster.orchestration.partition_events import Made, PartitionEvent
from capsim_dagster.orchestration.partitions import key_of, month_of
from capsim_dagster.orchestration.progress import Progress
from capsim_dagster.pipeline import audit_page, refine, stages
from capsim_dagster.pipeline.month_checks import FeedMonths, Reports
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.load import LoadedMonth
from capsim_dagster.refinery.rules import READER_VERSION
from capsim_dagster.schemas.months import month_name
from capsim_dagster.schemas.tables import TABLES
from capsim_dagster.simulation.telemetry import MODEL_VERSION

_TAGS: Final = {"cadence": "monthly"}


def monthly_csv(months: Months, contract: FeedContract, policy: dg.BackfillPolicy) -> dg.AssetsDefinition:
    """Return the assets `monthly_csv/<resource>`.

    Args:
        months: Their partitions.
        contract: Their file names and labels.
        policy: How a range of months is cut into runs.
    """
    checks = feed_checks(months)

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                key,
                deps=[MASTER_PARQUET],
                group_name="legacy_feed",
                kinds={"csv"},
                owners=OWNERS,
                tags=_TAGS,
                code_version=MODEL_VERSION,
                description=f"Legacy feed of {resource}: one CSV a month, as such shops receive it.",
                metadata={
                    "dagster/column_schema": metadata.column_schema(written_columns(contract.settings, resource))
                },
            )
            for resource, key in MONTHLY_CSV.items()
        ],
        check_specs=checks,
        name="monthly_csv",
        partitions_def=months,
        can_subset=True,
        backfill_policy=policy,
        pool=WAREHOUSE_POOL,
    )
    def monthly_csv(
        context: dg.AssetExecutionContext,
        platform: dg.ResourceParam[Platform],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[PartitionEvent]:
        keys = {r: key for r, key in MONTHLY_CSV.items() if key in context.selected_asset_keys}
        asked = [month_of(key) for key in context.partition_keys]
        # Where the table follows in this run, it refuses the months that failed, and only those.
        is_last = PROCESSED_DATA not in context.job_def.asset_layer.selected_asset_keys
        with (
            clear_failure(),
            progress.stage(context, name="monthly_csv", total=len(asked), unit="months") as advance,
        ):
            require_gates(context.instance, [MASTER_PARQUET])
            audits = FeedMonths(platform)
            for file in stages.monthly_csv(platform, asked, list(keys)):
                month, resource = file.piece.month, file.piece.resource
                facts = metadata.feed_file(file)
                yield partition_events.materialized(
                    context, keys[resource], key_of(month), facts, version=file.sha256 or "missing"
                )
                if resource == list(keys)[-1]:
                    reports = {keys[r]: found for r, found in audits.audit(month, keys).items()}
                    yield from partition_events.evaluated(context, checks, key_of(month), reports, stops_run=is_last)
                    advance(1, month_name(month))
        yield from partition_events.finished(context, keys.values(), checks)

    return monthly_csv


def processed_data(months: Months, policy: dg.BackfillPolicy) -> dg.AssetsDefinition:
    """Return the asset `processed_data`.

    Args:
        months: Its partitions.
        policy: How a range of months is cut into runs.
    """
    checks = table_checks(months)

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                PROCESSED_DATA,
                deps=list(MONTHLY_CSV.values()),
                group_name="refinery",
                kinds={"duckdb"},
                owners=OWNERS,
                tags=_TAGS,
                code_version=f"{MODEL_VERSION}.{READER_VERSION}",
                description=(
                    "The table for forecasting: one row a host, resource and day, loaded a month at a time or not at "
                    "all.\n\nLines that are not sound are in rejected_lines, with the reason; feed_files accounts for "
                    "each file. The feed is capsim's own, or the one that the resource `feed` names."
                ),
                metadata={"dagster/column_schema": metadata.column_schema(TABLES["processed_data"])},
            )
        ],
        check_specs=checks,
        name="processed_data",
        partitions_def=months,
        can_subset=True,
        backfill_policy=policy,
        pool=WAREHOUSE_POOL,
    )
    def processed_data(
        context: dg.AssetExecutionContext,
        platform: dg.ResourceParam[Platform],
        feed: FeedResource,
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[PartitionEvent]:
        refining = feed.refining(platform)
        asked = [month_of(key) for key in context.partition_keys]
        with (
            clear_failure(),
            _page_of_failure(refining),
            progress.stage(context, name="processed_data", total=len(asked), unit="months") as advance,
        ):
            barred = barred_months(context.instance, asked) if refining.refines_own_feed else {}
            for month in refine.refined_months(refining, asked, run=context.run.run_id, barred=barred):
                if month.loaded:
                    made = month_of_table(refining, month.loaded, month.reports)
                    yield partition_events.materialized(
                        context, PROCESSED_DATA, key_of(month.month), made.facts, version=made.version
                    )
                yield from partition_events.evaluated(
                    context, checks, key_of(month.month), {PROCESSED_DATA: month.reports}
                )
                advance(1, month_name(month.month))
        yield from partition_events.finished(context, [PROCESSED_DATA], checks)

    return processed_data


def month_of_table(platform: Platform, loaded: LoadedMonth, reports: Reports) -> Made:
    """Return what is recorded of a month that was loaded."""
    where = metadata.relation(platform.layout.warehouse, "processed_data")
    return Made({**where, **metadata.loaded_month(loaded)}, f"{loaded.checksum:x}", reports)


@contextmanager
def _page_of_failure(refining: Platform) -> Iterator[None]:
    """Bring the audit page up to date where months are refused: it is wanted most then, and its asset not reached."""
    try:
        yield
    except (FeedError, GateError):
        with suppress(CapsimError):  # what was wrong with the months is to be told, not what is wrong with the page
            audit_page.write_audit_page(refining)
        raise
