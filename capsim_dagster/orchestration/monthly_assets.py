"""The assets with a partition a month: feed and table."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import dagster as dg

from capsim_dagster.audits.report import Reports
from capsim_dagster.errors import CapsimError, FeedError, GateError
from capsim_dagster.legacy_feed.contract import FeedContract, written_columns
from capsim_dagster.orchestration import metadata
from capsim_dagster.orchestration.check_specs import Months, specs_of
from capsim_dagster.orchestration.gates import FEED_GATE, barred, require_gates
from capsim_dagster.orchestration.keys import MASTER_PARQUET, MONTHLY_CSV, OWNERS, PROCESSED_DATA, WAREHOUSE_POOL
from capsim_dagster.orchestration.months import key_of, month_of
from capsim_dagster.orchestration.partitioned import Asked, Made, Part, Partitioned, partitioned
from capsim_dagster.pipeline import refine, stages
from capsim_dagster.pipeline.checks import FeedMonths
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.load import LoadedMonth
from capsim_dagster.refinery.rules import READER_VERSION
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
    specs = [
        dg.AssetSpec(
            key,
            deps=[MASTER_PARQUET],
            group_name="legacy_feed",
            kinds={"csv"},
            owners=OWNERS,
            tags=_TAGS,
            code_version=MODEL_VERSION,
            description=f"Legacy feed of {resource}: one CSV a month, as such shops receive it.",
            metadata={"dagster/column_schema": metadata.column_schema(written_columns(contract.settings, resource))},
        )
        for resource, key in MONTHLY_CSV.items()
    ]
    return partitioned(
        Partitioned(
            name="monthly_csv",
            specs=specs,
            checks=[spec for key in MONTHLY_CSV.values() for spec in specs_of(key, months)],
            partitions=months,
            unit="months",
            make=_written_files,
            follower=PROCESSED_DATA,
            policy=policy,
            pool=WAREHOUSE_POOL,
        )
    )


def _written_files(asked: Asked) -> Iterator[Part]:
    require_gates(asked.instance, [MASTER_PARQUET])
    keys = {resource: key for resource, key in MONTHLY_CSV.items() if key in asked.assets}
    audits = FeedMonths(asked.platform)
    for file in stages.monthly_csv(asked.platform, asked.months, list(keys)):
        month, resource = file.piece.month, file.piece.resource
        made = Made(metadata.feed_file(file), file.sha256 or "missing")
        yield Part(key_of(month), {keys[resource]: made}, is_done=False)
        if resource == list(keys)[-1]:
            yield Part(key_of(month), reports={keys[r]: found for r, found in audits.audit(month, keys).items()})


def processed_data(months: Months, policy: dg.BackfillPolicy) -> dg.AssetsDefinition:
    """Return the asset `processed_data`.

    Args:
        months: Its partitions.
        policy: How a range of months is cut into runs.
    """
    spec = dg.AssetSpec(
        PROCESSED_DATA,
        deps=list(MONTHLY_CSV.values()),
        group_name="refinery",
        kinds={"duckdb"},
        owners=OWNERS,
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
            checks=specs_of(PROCESSED_DATA, months),
            partitions=months,
            unit="months",
            make=_loaded_months,
            policy=policy,
            pool=WAREHOUSE_POOL,
            refines_feed=True,
        )
    )


def _loaded_months(asked: Asked) -> Iterator[Part]:
    refining, months = asked.platform, asked.months
    with _page_of_failure(refining):
        bars = barred(FEED_GATE, asked.instance, asked.keys) if refining.refines_own_feed else {}
        by_month = {month_of(key): error for key, error in bars.items()}
        for month in refine.refined_months(refining, months, run=asked.run_id, barred=by_month):
            made = {PROCESSED_DATA: month_of_table(refining, month.loaded, month.reports)} if month.loaded else {}
            yield Part(key_of(month.month), made, {PROCESSED_DATA: month.reports})


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
