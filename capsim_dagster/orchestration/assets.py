"""The assets of the main job, in the order of the graph. Each calls one stage and says what it wrote."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import dagster as dg

from capsim_dagster.audits.report import Reports
from capsim_dagster.errors import CapsimError, FeedError, GateError
from capsim_dagster.legacy_feed.contract import FeedContract, written_columns
from capsim_dagster.orchestration import keys, metadata
from capsim_dagster.orchestration.dagster_private import disable_dagster_warnings
from capsim_dagster.orchestration.feed import FeedResource
from capsim_dagster.orchestration.gates import FEED_GATE, barred, require_gates
from capsim_dagster.orchestration.months import dates_asked, key_of, last_month_asked, month_of
from capsim_dagster.orchestration.partitioned import Asked, Made, Part, Partitioned, partitioned
from capsim_dagster.orchestration.partitions import forget, replace_span
from capsim_dagster.orchestration.progress import Progress, clear_failure
from capsim_dagster.orchestration.status import is_of_other_fleet
from capsim_dagster.pipeline import refine, stages
from capsim_dagster.pipeline.feed_checks import FeedMonths
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.load import LoadedMonth
from capsim_dagster.refinery.rules import READER_VERSION
from capsim_dagster.schemas.fleet import EXPECTED_UTILIZATION, HOSTS, MASTER, TIME_PERIODS, TRUTH_EVENTS, TRUTH_SERIES
from capsim_dagster.schemas.tables import TABLES
from capsim_dagster.simulation.telemetry import MODEL_VERSION, fleet_hash

_REPORT_IS_DUE: Final = dg.FreshnessPolicy.time_window(
    warn_window=dt.timedelta(days=35), fail_window=dt.timedelta(days=62)
)
"""A month and a few days; two months without a report is one that nobody makes any more."""
_TAGS: Final = {"cadence": "monthly"}
_COMMON: Final[Mapping[str, Any]] = {
    "owners": keys.OWNERS,
    "tags": {"cadence": "on_demand"},
    "pool": keys.WAREHOUSE_POOL,
    "code_version": MODEL_VERSION,
    # Without it a backfill over all assets would be a run a month.
    "backfill_policy": dg.BackfillPolicy.single_run(),
}
"""What the assets here have in common, but for what one of them says."""


def _asset(**own: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:  # noqa: ANN401 Dagster's options

    def decorate(make: Callable[..., Any]) -> dg.AssetsDefinition:
        with disable_dagster_warnings():  # backfill policies are beta in name: what they do is asserted by tests
            made: dg.AssetsDefinition = dg.asset(**{**_COMMON, **own})(make)
        return made

    return decorate


@_asset(group_name="fleet", kinds={"duckdb"}, metadata={"dagster/column_schema": metadata.column_schema(HOSTS)})
def host_inventory(
    context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]
) -> dg.MaterializeResult[None]:
    """One row a host: identity, organization, capacity and behaviour (tables hosts, business_hierarchy)."""
    is_other = is_of_other_fleet(context.instance, platform.generation)
    with clear_failure():
        inventory = stages.host_inventory(platform)
    if is_other:
        forgotten = forget(context.instance, keys.MONTHLY, context.run.tags)
        dates = forget(context.instance, keys.DATED)
        replace_span(platform.layout, dates_asked(context.run.tags) or ())
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
            **metadata.pictures(keys.HOST_INVENTORY),
        },
    )


@_asset(group_name="fleet", kinds={"duckdb"}, metadata={"dagster/column_schema": metadata.column_schema(TIME_PERIODS)})
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


@_asset(
    group_name="simulation",
    kinds={"parquet"},
    deps=[keys.HOST_INVENTORY, keys.TIME_DIMENSION],
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
        require_gates(context.instance, [keys.HOST_INVENTORY, keys.TIME_DIMENSION])
        stored = stages.master_parquet(platform, advance=advance)
    facts = {**metadata.stored_file(stored), **metadata.footer(stored.path)}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fleet_hash(platform.generation)),
        metadata={**facts, **metadata.pictures(keys.MASTER_PARQUET)},
    )


@_asset(
    group_name="simulation",
    kinds={"parquet"},
    deps=[keys.MASTER_PARQUET],
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
        require_gates(context.instance, [keys.MASTER_PARQUET])
        stored = stages.ground_truth(platform, advance=advance)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fleet_hash(platform.generation)),
        metadata={**metadata.stored_truth(stored), **metadata.pictures(keys.GROUND_TRUTH)},
    )


@_asset(group_name="refinery", tags=_TAGS, kinds={"html"}, deps=[keys.PROCESSED_DATA], freshness_policy=_REPORT_IS_DUE)
def refinery_audit(platform: dg.ResourceParam[Platform], feed: FeedResource) -> dg.MaterializeResult[None]:
    """What became of every feed file and line: the audit page, one HTML file that needs nothing else.

    The checks here look at all months at once; each can be run again by its button.
    """
    with clear_failure():
        refining = feed.refining(platform)
        page = refine.write_audit_page(refining)
    facts = metadata.audit_page(page, refining.refined.root)
    return dg.MaterializeResult(metadata={**facts, **metadata.pictures(keys.REFINERY_AUDIT)})


def monthly_csv(months: keys.Partitions, contract: FeedContract, policy: dg.BackfillPolicy) -> dg.AssetsDefinition:
    """Return the assets `monthly_csv/<resource>`."""
    specs = [
        dg.AssetSpec(
            key,
            deps=[keys.MASTER_PARQUET],
            group_name="legacy_feed",
            kinds={"csv"},
            owners=keys.OWNERS,
            tags=_TAGS,
            code_version=MODEL_VERSION,
            description=f"Legacy feed of {resource}: one CSV a month, as such shops receive it.",
            metadata={"dagster/column_schema": metadata.column_schema(written_columns(contract.settings, resource))},
        )
        for resource, key in keys.MONTHLY_CSV.items()
    ]
    return partitioned(
        Partitioned(
            name="monthly_csv",
            specs=specs,
            checks=[spec for key in keys.MONTHLY_CSV.values() for spec in keys.specs_of(key, months)],
            partitions=months,
            unit="months",
            make=_written_files,
            follower=keys.PROCESSED_DATA,
            policy=policy,
            pool=keys.WAREHOUSE_POOL,
        )
    )


def _written_files(asked: Asked) -> Iterator[Part]:
    require_gates(asked.instance, [keys.MASTER_PARQUET])
    wanted = {resource: key for resource, key in keys.MONTHLY_CSV.items() if key in asked.assets}
    audits = FeedMonths(asked.platform)
    for file in stages.monthly_csv(asked.platform, asked.months, list(wanted)):
        month, resource = file.piece.month, file.piece.resource
        made = Made(metadata.feed_file(file), file.sha256 or "missing")
        yield Part(key_of(month), {wanted[resource]: made}, is_done=False)
        if resource == list(wanted)[-1]:
            yield Part(key_of(month), reports={wanted[r]: found for r, found in audits.audit(month, wanted).items()})


def processed_data(months: keys.Partitions, policy: dg.BackfillPolicy) -> dg.AssetsDefinition:
    """Return the asset `processed_data`."""
    spec = dg.AssetSpec(
        keys.PROCESSED_DATA,
        deps=list(keys.MONTHLY_CSV.values()),
        group_name="refinery",
        kinds={"duckdb"},
        owners=keys.OWNERS,
        tags=_TAGS,
        code_version=f"{MODEL_VERSION}.{READER_VERSION}",
        description=(
            "The table for forecasting: one row a host, resource and day, loaded a month at a time or not at all.\n\n"
            "Lines that are not sound are in rejected_lines, with the reason; feed_files accounts for each file. The "
            "feed is capsim's own, or the one that the resource `feed` names."
        ),
        metadata={"dagster/column_schema": metadata.column_schema(TABLES["processed_data"])},
    )
    return partitioned(
        Partitioned(
            name="processed_data",
            specs=[spec],
            checks=keys.specs_of(keys.PROCESSED_DATA, months),
            partitions=months,
            unit="months",
            make=_loaded_months,
            policy=policy,
            pool=keys.WAREHOUSE_POOL,
            refines_feed=True,
        )
    )


def _loaded_months(asked: Asked) -> Iterator[Part]:
    refining, months = asked.platform, asked.months
    with _page_of_failure(refining):
        bars = barred(FEED_GATE, asked.instance, asked.keys) if refining.refines_own_feed else {}
        by_month = {month_of(key): error for key, error in bars.items()}
        for month in refine.refined_months(refining, months, run=asked.run_id, barred=by_month):
            made = {keys.PROCESSED_DATA: month_of_table(refining, month.loaded, month.reports)} if month.loaded else {}
            yield Part(key_of(month.month), made, {keys.PROCESSED_DATA: month.reports})


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
            refine.write_audit_page(refining)
        raise


def build_assets(
    months: keys.Partitions, contract: FeedContract, policy: dg.BackfillPolicy
) -> list[dg.AssetsDefinition]:
    """Return the assets of the main job."""
    return [
        host_inventory,
        time_dimension,
        master_parquet,
        ground_truth,
        monthly_csv(months, contract, policy),
        processed_data(months, policy),
        refinery_audit,
    ]
