"""What is claimed of each asset.

A check blocks where later assets would be wrong if the claim did not hold; where a person should look, it warns.
"""

from typing import Final

import dagster as dg

from capsim_dagster.orchestration.keys import (
    GROUND_TRUTH,
    HOST_INVENTORY,
    MASTER_PARQUET,
    MONTHLY_CSV,
    PROCESSED_DATA,
    REFINERY_AUDIT,
    TIME_DIMENSION,
)

Months = dg.PartitionsDefinition[str]


def _blocking(asset: dg.AssetKey, name: str, description: str, months: Months | None = None) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=asset, blocking=True, description=description, partitions_def=months)


def _warning(asset: dg.AssetKey, name: str, description: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=asset, description=description)


INVENTORY_CHECKS: Final = (
    _blocking(HOST_INVENTORY, "behavioral_diversity", "The inventory holds all ten behavioural varieties."),
    _blocking(HOST_INVENTORY, "fleet_has_configured_number_of_hosts", "Each configured host is there, once."),
)
CALENDAR_CHECKS: Final = (
    _blocking(TIME_DIMENSION, "calendar_is_contiguous", "Each day of the window is there, once, without a gap."),
)
MASTER_CHECKS: Final = (
    _blocking(MASTER_PARQUET, "row_parity", "Exactly one row for each host x resource x day."),
    _blocking(MASTER_PARQUET, "utilization_is_within_bounds", "Every utilization lies between 0 and 100 percent."),
    _warning(
        MASTER_PARQUET, "behavioral_diversity", "Judged by its telemetry alone, each host behaves as its variety."
    ),
    _warning(
        MASTER_PARQUET,
        "calendar_effects_match_settings",
        "Load on weekends, bank holidays, quarter and month ends is the multiple that is set, by region.",
    ),
    _warning(
        MASTER_PARQUET,
        "breach_hosts_reach_threshold_on_date",
        "Each CAPACITY_BREACH host first reaches the threshold within 7 days of its date.",
    ),
)
TRUTH_CHECKS: Final = (
    _blocking(GROUND_TRUTH, "row_parity", "One expectation for each host x resource x day; one row a series."),
    _blocking(GROUND_TRUTH, "gaps_are_labelled", "The days without a value are exactly those of the gap events."),
    _blocking(
        GROUND_TRUTH,
        "events_explain_differences",
        "Data differ from their twin without events just where an event says so (a sample of hosts).",
    ),
    _warning(GROUND_TRUTH, "event_rates_match_settings", "Missing and anomalous days are as frequent as set."),
    _blocking(
        GROUND_TRUTH, "breach_dates_lie_within_horizon", "Each breach host, and no other, has a date in the horizon."
    ),
)
AUDIT_CHECKS: Final = (
    _blocking(
        REFINERY_AUDIT, "reconciliation", "Every line of every loaded file is in the table or in rejected_lines."
    ),
    _blocking(
        REFINERY_AUDIT,
        "row_parity",
        "All months hold every sound line, with the content of the master.",
    ),
    _blocking(
        REFINERY_AUDIT,
        "injected_defects_are_found",
        "Each defect put into the feed on purpose was found for what it is, and nothing else was rejected.",
    ),
    _warning(REFINERY_AUDIT, "behavioral_diversity", "After the refinery each host still behaves as its variety."),
    _warning(
        REFINERY_AUDIT,
        "file_names_follow_convention",
        "Every file of the feed is named by its layout; what is not is not read.",
    ),
)


_FEED_CLAIMS: Final = {"row_parity": "The month's file carries every row of the master, counts and content."}
_TABLE_CLAIMS: Final = {
    "reconciliation": "Every line of the month's files is in the table or in rejected_lines.",
    "row_parity": "The month holds every sound line, with the content of the master.",
    "keys_are_unique": "Each host, resource and day stands at most once.",
    "hosts_are_known": "Every row belongs to a host of the inventory.",
}


def feed_checks(months: Months) -> tuple[dg.AssetCheckSpec, ...]:
    """Return the checks of each month of the feed, which `processed_data` refuses where they fail."""
    return tuple(
        _blocking(key, name, claim, months) for key in MONTHLY_CSV.values() for name, claim in _FEED_CLAIMS.items()
    )


def table_checks(months: Months) -> tuple[dg.AssetCheckSpec, ...]:
    """Return the checks of each month of the table."""
    return tuple(_blocking(PROCESSED_DATA, name, claim, months) for name, claim in _TABLE_CLAIMS.items())


def every_check() -> list[dg.AssetCheckKey]:
    """Return all checks, in the order of the graph."""
    before = [spec.key for spec in (*INVENTORY_CHECKS, *CALENDAR_CHECKS, *MASTER_CHECKS, *TRUTH_CHECKS)]
    of_feed = [dg.AssetCheckKey(key, name) for key in MONTHLY_CSV.values() for name in _FEED_CLAIMS]
    of_table = [dg.AssetCheckKey(PROCESSED_DATA, name) for name in _TABLE_CLAIMS]
    return [*before, *of_feed, *of_table, *(spec.key for spec in AUDIT_CHECKS)]
