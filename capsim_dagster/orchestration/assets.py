"""The assets of the main job, in the order of the graph. Each calls one stage and says what it wrote."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final

import dagster as dg

from capsim_dagster.legacy_feed.contract import FeedContract
from capsim_dagster.orchestration import metadata
from capsim_dagster.orchestration.check_specs import Months
from capsim_dagster.orchestration.failures import clear_failure
from capsim_dagster.orchestration.feed import FeedResource
from capsim_dagster.orchestration.gates import require_gates
from capsim_dagster.orchestration.keys import (
    DATED,
    HOST_INVENTORY,
    MASTER_PARQUET,
    MONTHLY,
    OWNERS,
    PROCESSED_DATA,
    TIME_DIMENSION,
    WAREHOUSE_POOL,
)
from capsim_dagster.orchestration.month_span import replace_span
from capsim_dagster.orchestration.monthly_assets import monthly_csv, processed_data
from capsim_dagster.orchestration.months import ends_asked, last_month_asked
from capsim_dagster.orchestration.partitions import forget
from capsim_dagster.orchestration.progress import Progress
from capsim_dagster.orchestration.status import is_of_other_fleet
from capsim_dagster.orchestration.trends import check_trends
from capsim_dagster.pictures import of_disk as pictures
from capsim_dagster.pictures.checks import check_trends_picture
from capsim_dagster.pictures.composition import inventory_pictures
from capsim_dagster.pictures.feed import audit_pictures
from capsim_dagster.pipeline import refine, stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.fleet import EXPECTED_UTILIZATION, HOSTS, MASTER, TIME_PERIODS, TRUTH_EVENTS, TRUTH_SERIES
from capsim_dagster.simulation.telemetry import MODEL_VERSION, fleet_hash

_REPORT_IS_DUE: Final = dg.FreshnessPolicy.time_window(
    warn_window=dt.timedelta(days=35), fail_window=dt.timedelta(days=62)
)
"""A month and a few days; two months without a report is one that nobody makes any more."""
_COMMON: Final[Mapping[str, Any]] = {
    "owners": OWNERS,
    "tags": {"cadence": "on_demand"},
    "pool": WAREHOUSE_POOL,
    "code_version": MODEL_VERSION,
    # Without it a backfill over all assets would be a run a month.
    "backfill_policy": dg.BackfillPolicy.single_run(),
}
"""What the assets here have in common, but for what one of them says."""


def build_assets(months: Months, contract: FeedContract, policy: dg.BackfillPolicy) -> list[dg.AssetsDefinition]:
    """Return the assets of the main job.

    Args:
        months: The monthly partitions of feed and table.
        contract: Names and labels of the feed that capsim writes.
        policy: How a range of months is cut into runs.
    """
    return [
        host_inventory(),
        time_dimension(),
        master_parquet(),
        ground_truth(),
        monthly_csv(months, contract, policy),
        processed_data(months, policy),
        refinery_audit(),
    ]


def _asset(**own: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:  # noqa: ANN401 Dagster's options
    """Return the decorator of an asset of the main job."""
    decorator: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(**{**_COMMON, **own})
    return decorator


def host_inventory() -> dg.AssetsDefinition:
    """Return the asset `host_inventory`."""

    @_asset(
        group_name="fleet",
        kinds={"duckdb"},
        metadata={"dagster/column_schema": metadata.column_schema(HOSTS)},
    )
    def host_inventory(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> dg.MaterializeResult[None]:
        """One row a host: identity, organization, capacity and behaviour (tables hosts, business_hierarchy)."""
        is_other = is_of_other_fleet(context.instance, platform.generation)
        with clear_failure():
            inventory = stages.host_inventory(platform)
        if is_other:
            forgotten = forget(context.instance, MONTHLY, context.run.tags)
            dates = forget(context.instance, DATED)
            replace_span(platform.layout, ends_asked(context.run.tags))
            context.log.info(
                f"another fleet: the months of the one before are forgotten, {forgotten} in all, and {dates} of its "
                "days and hours"
            )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(fleet_hash(platform.generation)),
            metadata={
                **metadata.relation(platform.layout.warehouse, "hosts"),
                "dagster/row_count": inventory.hosts.height,
                "hosts_by_variety": metadata.table(inventory.varieties.table),
                "sample": metadata.table(inventory.hosts.head(10).to_dicts()),
                **metadata.pictures(inventory_pictures(inventory.hosts)),
            },
        )

    return host_inventory


def time_dimension() -> dg.AssetsDefinition:
    """Return the asset `time_dimension`."""

    @_asset(
        group_name="fleet",
        kinds={"duckdb"},
        metadata={"dagster/column_schema": metadata.column_schema(TIME_PERIODS)},
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
            data_version=dg.DataVersion(f"{fleet_hash(platform.generation)}.{calendar.end}"),
            metadata={
                **metadata.relation(platform.layout.warehouse, "time_periods"),
                "dagster/row_count": calendar.days,
                "first_day": calendar.start.isoformat(),
                "last_day": calendar.end.isoformat(),
                "bank_holidays": calendar.bank_holidays,
            },
        )

    return time_dimension


def master_parquet() -> dg.AssetsDefinition:
    """Return the asset `master_parquet`."""

    @_asset(
        group_name="simulation",
        kinds={"parquet"},
        deps=[HOST_INVENTORY, TIME_DIMENSION],
        metadata={"dagster/column_schema": metadata.column_schema(MASTER)},
    )
    def master_parquet(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult[None]:
        """Every host x resource x day: daily P95 utilization, one Parquet file, with its settings in the footer."""
        with (
            clear_failure(),
            progress.stage(context, name="master_parquet", total=stages.master_rows(platform), unit="rows") as advance,
        ):
            require_gates(context.instance, [HOST_INVENTORY, TIME_DIMENSION])
            stored = stages.master_parquet(platform, advance=advance)
            images = pictures.master_pictures(platform)
        facts = {**metadata.stored_file(stored), **metadata.footer(stored.path)}
        return dg.MaterializeResult(
            data_version=dg.DataVersion(fleet_hash(platform.generation)),
            metadata={**facts, **metadata.pictures(images)},
        )

    return master_parquet


def ground_truth() -> dg.AssetsDefinition:
    """Return the asset `ground_truth`."""

    @_asset(
        group_name="simulation",
        kinds={"parquet"},
        deps=[MASTER_PARQUET],
        metadata={
            "columns_of_expected": metadata.column_schema(EXPECTED_UTILIZATION),
            "columns_of_events": metadata.column_schema(TRUTH_EVENTS),
            "columns_of_series": metadata.column_schema(TRUTH_SERIES),
        },
    )
    def ground_truth(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult[None]:
        """What really happened: noise-free expectation, every event, and each series' parameters and breach date.

        Files truth/expected.parquet, truth/events.parquet and truth/series.parquet.
        """
        with (
            clear_failure(),
            progress.stage(context, name="ground_truth", total=stages.master_rows(platform), unit="rows") as advance,
        ):
            require_gates(context.instance, [MASTER_PARQUET])
            stored = stages.ground_truth(platform, advance=advance)
            images = pictures.truth_pictures(platform)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(fleet_hash(platform.generation)),
            metadata={**metadata.stored_truth(stored), **metadata.pictures(images)},
        )

    return ground_truth


def refinery_audit() -> dg.AssetsDefinition:
    """Return the asset `refinery_audit`."""

    @_asset(
        group_name="refinery",
        tags={"cadence": "monthly"},
        kinds={"html"},
        deps=[PROCESSED_DATA],
        freshness_policy=_REPORT_IS_DUE,
    )
    def refinery_audit(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], feed: FeedResource
    ) -> dg.MaterializeResult[None]:
        """What became of every feed file and line: the audit page, one HTML file that needs nothing else.

        The checks here look at all months at once; each can be run again by its button.
        """
        with clear_failure():
            refining = feed.refining(platform)
            page = refine.write_audit_page(refining)
            trends = check_trends(context.instance)
            images = {**audit_pictures(refining), "check_trends": check_trends_picture(trends, "the last runs")}
        facts = {**metadata.audit_page(page), **metadata.refined_feed(refining.refined.root, page)}
        return dg.MaterializeResult(metadata={**facts, **metadata.pictures(images)})

    return refinery_audit
