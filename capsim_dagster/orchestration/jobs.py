"""The jobs that a person launches: what each makes, and for which partitions."""

from typing import Final

import dagster as dg

from capsim_dagster.orchestration import keys
from capsim_dagster.orchestration.dagster_private import UnresolvedAssetJobDefinition

FULL_REFRESH: Final = "full_refresh"
MONTHLY_REFRESH: Final = "monthly_refresh"
REFINE_FEED: Final = "refine_feed"
PANEL_REFRESH: Final = "panel_refresh"
DAILY_PUBLICATION: Final = "daily_publication"
HOURLY_PUBLICATION: Final = "hourly_publication"
LOADING_JOBS: Final = (FULL_REFRESH, MONTHLY_REFRESH, REFINE_FEED)
"""The jobs that load months into `processed_data`."""


def build_jobs() -> list[UnresolvedAssetJobDefinition]:
    """Return all jobs."""
    made_of, on_demand = dg.AssetSelection.assets, dg.AssetSelection.assets(*keys.ON_DEMAND)
    feed = (*keys.MONTHLY_CSV.values(), keys.PROCESSED_DATA, keys.REFINERY_AUDIT)
    return [
        dg.define_asset_job(
            FULL_REFRESH,
            dg.AssetSelection.all() - on_demand - made_of(*keys.DATED, keys.TIER1_REALTIME),
            description="Everything, for the months chosen, as one run: inventory, calendar, master, truth, feed, "
            "table.",
        ),
        dg.define_asset_job(
            MONTHLY_REFRESH,
            made_of(keys.TIME_DIMENSION, keys.MASTER_PARQUET, keys.GROUND_TRUTH, *feed),
            description="One month or a range: extends calendar, master and truth as far as asked, then feed and "
            "table.",
        ),
        dg.define_asset_job(
            REFINE_FEED,
            made_of(keys.PROCESSED_DATA, keys.REFINERY_AUDIT),
            description="Months of the feed into the table, and the audit page; nothing is simulated or written into "
            "the feed. Which feed: refinery.feed_dir, or the resource `feed` of the run.",
        ),
        dg.define_asset_job(
            PANEL_REFRESH,
            on_demand,
            description="The server-metrics panel: the master as one wide Parquet file, and its validated copy.",
        ),
        dg.define_asset_job(
            DAILY_PUBLICATION,
            made_of(keys.HOURLY_ARCHIVE, keys.TIER3_DAILY),
            description="Days of the archive, and the daily dataset (tier 3) of them: one day, or a range as one run.",
        ),
        dg.define_asset_job(
            HOURLY_PUBLICATION,
            made_of(keys.TIER2_HOURLY),
            description="The hourly dataset (tier 2) of hours that are whole in the archive: one hour, or a range.",
        ),
    ]
