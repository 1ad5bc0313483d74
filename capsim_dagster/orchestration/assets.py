"""The assets of the main job, in the order of the graph. Each calls one stage and says what it wrote."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from capsim_dagster.errors import CapsimError
from capsim_dagster.legacy_feed.contract import FeedContract
from capsim_dagster.orchestration import metadata
from capsim_dagster.orchestration.feed import FeedResource
from capsim_dagster.orchestration.partitions import key_of, last_month_asked, month_of
from capsim_dagster.orchestration.progress import Progress
from capsim_dagster.pipeline import audit_page, pictures, refine, stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Hosts, MasterTelemetry, ProcessedData, Resource, TimePeriods, TruthEvents
from capsim_dagster.simulation.telemetry import MODEL_VERSION

WRITE_POOL: Final = "warehouse_write"
"""DuckDB takes one writer at a time; dagster.yaml limits the pool to one step."""
MONTHLY_CSV_KEYS: Final = {resource: dg.AssetKey(["monthly_csv", resource.value]) for resource in Resource}
"""One asset key a resource."""
_ONE_RUN: Final = dg.BackfillPolicy.single_run()
"""A range of months is one run, in order: 36 runs cost ten times as much."""


@contextmanager
def clear_failure() -> Iterator[None]:
    """Show an error that a user can act on as a failure with its remedy instead of a traceback."""
    try:
        yield
    except CapsimError as error:
        raise dg.Failure(description=str(error), metadata={"remedy": error.remedy}, allow_retries=False) from error


def build_assets(months: dg.PartitionsDefinition[str], contract: FeedContract) -> list[dg.AssetsDefinition]:
    """Return the assets of the main job.

    Args:
        months: The monthly partitions of feed and table.
        contract: Names and labels of the feed that capsim writes.
    """
    return [
        host_inventory(),
        time_dimension(),
        master_parquet(),
        ground_truth(),
        monthly_csv(months, contract),
        processed_data(months),
        refinery_audit(),
    ]


def host_inventory() -> dg.AssetsDefinition:
    """Return the asset `host_inventory`."""

    @dg.asset(
        group_name="fleet",
        kinds={"duckdb"},
        pool=WRITE_POOL,
        code_version=MODEL_VERSION,
        backfill_policy=_ONE_RUN,
        metadata={"dagster/column_schema": metadata.column_schema(Hosts)},
    )
    def host_inventory(platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult[None]:
        """One row a host: identity, organization, capacity and behaviour (tables hosts, business_hierarchy)."""
        with clear_failure():
            inventory = stages.host_inventory(platform)
        return dg.MaterializeResult(
            metadata={
                **metadata.relation(platform.layout.warehouse, "hosts"),
                "dagster/row_count": inventory.hosts.height,
                "hosts_by_variety": metadata.table(inventory.varieties.table),
                "sample": metadata.table(inventory.hosts.head(10).to_dicts()),
            }
        )

    return host_inventory


def time_dimension() -> dg.AssetsDefinition:
    """Return the asset `time_dimension`."""

    @dg.asset(
        group_name="fleet",
        kinds={"duckdb"},
        pool=WRITE_POOL,
        code_version=MODEL_VERSION,
        backfill_policy=_ONE_RUN,
        metadata={"dagster/column_schema": metadata.column_schema(TimePeriods)},
    )
    def time_dimension(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> dg.MaterializeResult[None]:
        """One row a day, and bank holidays by region (tables time_periods, region_calendar, bank_holidays).

        Holds the configured window; a run for later months extends it.
        """
        with clear_failure():
            calendar = stages.time_calendar(platform, through=last_month_asked(context.run.tags))
        return dg.MaterializeResult(
            metadata={
                **metadata.relation(platform.layout.warehouse, "time_periods"),
                "dagster/row_count": calendar.days,
                "first_day": calendar.start.isoformat(),
                "last_day": calendar.end.isoformat(),
                "bank_holidays": calendar.bank_holidays,
            }
        )

    return time_dimension


def master_parquet() -> dg.AssetsDefinition:
    """Return the asset `master_parquet`."""

    @dg.asset(
        group_name="simulation",
        kinds={"parquet"},
        deps=["host_inventory", "time_dimension"],
        code_version=MODEL_VERSION,
        backfill_policy=_ONE_RUN,
        metadata={"dagster/column_schema": metadata.column_schema(MasterTelemetry)},
    )
    def master_parquet(
        context: dg.AssetExecutionContext,
        platform: dg.ResourceParam[Platform],
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult[None]:
        """Every host x resource x day: daily P95 utilization, one Parquet file, with its settings in the footer."""
        with (
            clear_failure(),
            progress.stage(context, name="master_parquet", total=stages.master_rows(platform), unit="rows") as advance,
        ):
            stored = stages.master_parquet(platform, advance=advance)
            images = pictures.master_pictures(platform)
        facts = {**metadata.stored_file(stored), **metadata.footer(stored.path)}
        return dg.MaterializeResult(metadata={**facts, **metadata.pictures(images)})

    return master_parquet


def ground_truth() -> dg.AssetsDefinition:
    """Return the asset `ground_truth`."""

    @dg.asset(
        group_name="simulation",
        kinds={"parquet"},
        deps=["master_parquet"],
        code_version=MODEL_VERSION,
        backfill_policy=_ONE_RUN,
        metadata={"dagster/column_schema": metadata.column_schema(TruthEvents)},
    )
    def ground_truth(
        context: dg.AssetExecutionContext,
        platform: dg.ResourceParam[Platform],
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult[None]:
        """What really happened: noise-free expectation, every event, and each series' parameters and breach date.

        Files truth/expected.parquet, truth/events.parquet (whose columns are shown here) and truth/series.parquet.
        """
        with (
            clear_failure(),
            progress.stage(context, name="ground_truth", total=stages.master_rows(platform), unit="rows") as advance,
        ):
            stored = stages.ground_truth(platform, advance=advance)
            images = pictures.truth_pictures(platform)
        return dg.MaterializeResult(metadata={**metadata.stored_truth(stored), **metadata.pictures(images)})

    return ground_truth


def monthly_csv(months: dg.PartitionsDefinition[str], contract: FeedContract) -> dg.AssetsDefinition:
    """Return the assets `monthly_csv/<resource>`.

    Args:
        months: Their partitions.
        contract: Their file names and labels.
    """

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                key,
                deps=["master_parquet"],
                group_name="legacy_feed",
                kinds={"csv"},
                code_version=MODEL_VERSION,
                description=f"Legacy feed of {resource}: one CSV a month, as such shops receive it.",
                metadata={"dagster/column_schema": metadata.feed_schema(contract.header(resource))},
            )
            for resource, key in MONTHLY_CSV_KEYS.items()
        ],
        name="monthly_csv",
        partitions_def=months,
        can_subset=True,
        backfill_policy=_ONE_RUN,
    )
    def monthly_csv(
        context: dg.AssetExecutionContext,
        platform: dg.ResourceParam[Platform],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[None]]:
        keys = context.selected_asset_keys
        resources = [resource for resource, key in MONTHLY_CSV_KEYS.items() if key in keys]
        asked = [month_of(key) for key in context.partition_keys]
        with (
            clear_failure(),
            progress.stage(context, name="monthly_csv", total=len(asked) * len(resources), unit="files") as advance,
        ):
            for file in stages.monthly_csv(platform, asked, resources):
                context.add_asset_metadata(
                    metadata.feed_file(file), MONTHLY_CSV_KEYS[file.piece.resource], key_of(file.piece.month)
                )
                advance(1)
        for resource in resources:
            yield dg.MaterializeResult(asset_key=MONTHLY_CSV_KEYS[resource])

    return monthly_csv


def processed_data(months: dg.PartitionsDefinition[str]) -> dg.AssetsDefinition:
    """Return the asset `processed_data`.

    Args:
        months: Its partitions.
    """

    @dg.asset(
        group_name="refinery",
        kinds={"duckdb"},
        deps=list(MONTHLY_CSV_KEYS.values()),
        partitions_def=months,
        pool=WRITE_POOL,
        code_version=MODEL_VERSION,
        backfill_policy=_ONE_RUN,
        metadata={"dagster/column_schema": metadata.column_schema(ProcessedData)},
    )
    def processed_data(
        context: dg.AssetExecutionContext,
        platform: dg.ResourceParam[Platform],
        feed: FeedResource,
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult[None]:
        """The table for forecasting: one row a host, resource and day, loaded a month at a time or not at all.

        Lines that are not sound are in rejected_lines, with the reason; feed_files accounts for each file. The feed is
        capsim's own, or the one that the resource `feed` names.
        """
        asked = [month_of(key) for key in context.partition_keys]
        with (
            clear_failure(),
            progress.stage(context, name="processed_data", total=len(asked), unit="months") as advance,
        ):
            for month in refine.processed_data(feed.refining(platform), asked, run=context.run.run_id):
                context.add_asset_metadata(metadata.loaded_month(month), partition_key=key_of(month.month))
                advance(1)
        return dg.MaterializeResult(metadata=metadata.relation(platform.layout.warehouse, "processed_data"))

    return processed_data


def refinery_audit() -> dg.AssetsDefinition:
    """Return the asset `refinery_audit`."""

    @dg.asset(
        group_name="refinery",
        kinds={"html"},
        deps=["processed_data"],
        code_version=MODEL_VERSION,
        backfill_policy=_ONE_RUN,
    )
    def refinery_audit(platform: dg.ResourceParam[Platform], feed: FeedResource) -> dg.MaterializeResult[None]:
        """What became of every feed file and line: the audit page, one HTML file that needs nothing else."""
        with clear_failure():
            page = audit_page.write_audit_page(feed.refining(platform))
        return dg.MaterializeResult(metadata=metadata.audit_page(page))

    return refinery_audit
