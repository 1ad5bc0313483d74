"""The live fleet as Dagster sees it: served by `capsim tier1 serve`, and observed here by what it archives."""

from typing import Final

import dagster as dg

from capsim_dagster.orchestration.failures import clear_failure
from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE, OWNERS, TIER1_REALTIME
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.publication.dataset.export import now_utc
from capsim_dagster.publication.live.open_hour import latest_interval

_SPEC: Final = dg.AssetSpec(
    TIER1_REALTIME,
    deps=[HOURLY_ARCHIVE],
    group_name="publication",
    owners=OWNERS,
    tags={"cadence": "live"},
    kinds={"http"},
    description=(
        "The fleet as it is now: `capsim tier1 serve` emits the samples of each interval, appends them to the open "
        "hour of the archive, and serves them as OpenMetrics, JSON lines and server-sent events.\n\nObserving it "
        "shows the latest interval that was archived, and how long ago that was."
    ),
)


def tier1_realtime() -> dg.AssetsDefinition:
    """Return the asset `tier1_realtime`, which is observed and never materialized."""
    observed: dg.AssetsDefinition = dg.multi_observable_source_asset(specs=[_SPEC], name="tier1_realtime")(_observe)
    return observed


def _observe(platform: dg.ResourceParam[Platform]) -> dg.ObserveResult:
    """Look at the archive for the latest interval."""
    with clear_failure():
        latest = latest_interval(platform.layout.archive)
    if latest is None:
        return dg.ObserveResult(metadata={"state": "nothing is archived yet: capsim tier1 serve"})
    return dg.ObserveResult(
        data_version=dg.DataVersion(latest.ts.isoformat()),
        metadata={
            "state": "an hour is open" if latest.is_open else "no hour is open: capsim tier1 serve is not running",
            "latest_interval": dg.MetadataValue.timestamp(latest.ts),
            "seconds_ago": round((now_utc() - latest.ts).total_seconds()),
            "hosts": latest.hosts,
            "intervals_in_the_hour": latest.intervals,
            "path": dg.MetadataValue.path(latest.path),
        },
    )
