"""What assets, checks and pools are called, and what is claimed of each asset, so that all name the same thing.

The claims are in `audits.claims`.
"""

from typing import Final

import dagster as dg

from capsim_dagster.audits import claims
from capsim_dagster.schemas import Resource

HOST_INVENTORY: Final = dg.AssetKey("host_inventory")
TIME_DIMENSION: Final = dg.AssetKey("time_dimension")
MASTER_PARQUET: Final = dg.AssetKey("master_parquet")
GROUND_TRUTH: Final = dg.AssetKey("ground_truth")
MONTHLY_CSV: Final = {resource: dg.AssetKey(["monthly_csv", resource.value]) for resource in Resource}
"""One asset key a resource."""
PROCESSED_DATA: Final = dg.AssetKey("processed_data")
REFINERY_AUDIT: Final = dg.AssetKey("refinery_audit")
SERVER_METRICS: Final = dg.AssetKey("server_metrics")
VALIDATED_SERVER_METRICS: Final = dg.AssetKey("validated_server_metrics")
HOURLY_ARCHIVE: Final = dg.AssetKey("hourly_archive")
TIER3_DAILY: Final = dg.AssetKey("tier3_daily")
TIER2_HOURLY: Final = dg.AssetKey("tier2_hourly")
TIER1_REALTIME: Final = dg.AssetKey("tier1_realtime")

MONTHLY: Final = (*MONTHLY_CSV.values(), PROCESSED_DATA)
"""The assets with a partition a month."""
ON_DEMAND: Final = (SERVER_METRICS, VALIDATED_SERVER_METRICS)
"""The assets that no refresh makes, and no backfill of months: the job `panel_refresh` does, when somebody asks."""
DATED: Final = (HOURLY_ARCHIVE, TIER3_DAILY, TIER2_HOURLY)
"""The assets of publication with a partition a day or an hour: jobs and schedules of their own make them."""

WAREHOUSE_POOL: Final = "warehouse"
"""Steps that open the warehouse or write the master run one at a time, over all runs: DuckDB takes one writer, which
excludes every reader, and of two masters written at once the shorter one might stay. dagster.yaml has the limit.
"""
OWNERS: Final = ("team:capacity-engineering",)
AUDIT_URL: Final = "/capsim/audit"
"""Where the audit page is served; it stands in the metadata of an asset without a host, as the port may change."""
PICTURES_URL: Final = "/capsim/pictures"
"""Where the pictures of assets are served, by asset and name; they are drawn when somebody looks."""
PICTURES: Final = {
    HOST_INVENTORY: ("fleet_composition",),
    MASTER_PARQUET: ("weekly_profile", "quarter_end_effect", "utilization_by_region", "varieties"),
    GROUND_TRUTH: ("varieties",),
    REFINERY_AUDIT: ("monthly_file_sizes", "lines_by_month", "check_trends"),
}
"""Those that there are, as `pictures.gallery` draws them."""
Partitions = dg.PartitionsDefinition[str]
"""Of months, days or hours."""


def specs_of(asset: dg.AssetKey, partitions: Partitions | None = None) -> tuple[dg.AssetCheckSpec, ...]:
    """Return the checks of an asset, or of each of its partitions."""
    known = claims.KNOWN[asset.to_user_string()]
    return tuple(
        dg.AssetCheckSpec(name, asset=asset, blocking=name in known.gates, description=said, partitions_def=partitions)
        for name, said in {**known.gates, **known.warnings}.items()
    )


def every_check() -> list[dg.AssetCheckKey]:
    """Return all checks, in the order of the graph."""
    return [
        dg.AssetCheckKey(dg.AssetKey(known.name.split("/")), name)
        for known in (*claims.CATALOG, *claims.DATED)
        for name in {**known.gates, **known.warnings}
    ]
