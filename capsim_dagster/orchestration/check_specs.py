"""What is claimed of each asset.

A check blocks where later assets would be wrong if the claim did not hold; where a person should look, it warns.
"""

from typing import Final

import dagster as dg

from capsim_dagster.orchestration.keys import (
    GROUND_TRUTH,
    HOST_INVENTORY,
    HOURLY_ARCHIVE,
    MASTER_PARQUET,
    MONTHLY_CSV,
    PROCESSED_DATA,
    REFINERY_AUDIT,
    SERVER_METRICS,
    TIER2_HOURLY,
    TIER3_DAILY,
    TIME_DIMENSION,
    VALIDATED_SERVER_METRICS,
)
from capsim_dagster.panel import claims

Months = dg.PartitionsDefinition[str]
Days = dg.PartitionsDefinition[str]
Hours = dg.PartitionsDefinition[str]


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

PANEL_CHECKS: Final = tuple(
    (_warning if name == claims.CALENDAR else _blocking)(SERVER_METRICS, name, f"{claim}.")
    for name, claim in claims.MADE.items()
)
VALIDATED_CHECKS: Final = tuple(
    dg.AssetCheckSpec(name, asset=VALIDATED_SERVER_METRICS, description=f"{claim}.")
    for name, claim in claims.LOADED.items()
)
"""One a finding of `panel.load`; they are part of the step, which publishes nothing where one fails that must hold."""

_FEED_CLAIMS: Final = {"row_parity": "The month's file carries every row of the master, counts and content."}
_TABLE_CLAIMS: Final = {
    "reconciliation": "Every line of the month's files is in the table or in rejected_lines.",
    "row_parity": "The month holds every sound line, with the content of the master.",
    "keys_are_unique": "Each host, resource and day stands at most once.",
    "hosts_are_known": "Every row belongs to a host of the inventory.",
}
_ARCHIVE_CLAIMS: Final = {
    "row_parity": "24 whole hour files hold one line for each host and interval, as they were written.",
}
_TIER3_CLAIMS: Final = {
    "manifest_is_sound": "The manifest follows its schema, was not edited, is of this day and agrees with itself.",
    "bytes_are_those_of_the_manifest": "Both files are there; the data have the size and SHA-256 of the manifest.",
    "rows_are_those_of_the_manifest": "Columns, rows, hosts, hours and nulls are those that the manifest says.",
    "rows_are_samples": "Keys are unique, values within bounds; network, traffic, time and number of a row agree.",
    "null_ratios_are_within_bounds": "No column lacks more of its values than publication.max_null_share.",
    "p95_is_that_of_the_master": "The P95 of each host's samples is the master's value of the day, gaps included.",
    "agrees_with_tier2": "Computed from its rows, the hours that tier 2 has published are the same.",
}
_TIER2_CLAIMS: Final = {
    "manifest_is_sound": "The manifest follows its schema, was not edited, is of this hour and agrees with itself.",
    "bytes_are_those_of_the_manifest": "Both files are there; the data have the size and SHA-256 of the manifest.",
    "rows_are_those_of_the_manifest": "Columns, rows, hosts and nulls are those that the manifest says.",
    "rows_are_aggregates": "Each host has its four rows; mean, P50, P95 and maximum of a row are in order.",
    "agrees_with_tier3": "Computed from the day in tier 3, where that is published, the hour is the same.",
}


def archive_checks(days: Days) -> tuple[dg.AssetCheckSpec, ...]:
    """Return the checks of each day of the archive, which `tier3_daily` refuses where they fail."""
    return tuple(_blocking(HOURLY_ARCHIVE, name, claim, days) for name, claim in _ARCHIVE_CLAIMS.items())


def tier3_checks(days: Days) -> tuple[dg.AssetCheckSpec, ...]:
    """Return the checks of each published day."""
    return tuple(_blocking(TIER3_DAILY, name, claim, days) for name, claim in _TIER3_CLAIMS.items())


def tier2_checks(hours: Hours) -> tuple[dg.AssetCheckSpec, ...]:
    """Return the checks of each published hour."""
    return tuple(_blocking(TIER2_HOURLY, name, claim, hours) for name, claim in _TIER2_CLAIMS.items())


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
    of_panel = [spec.key for spec in (*PANEL_CHECKS, *VALIDATED_CHECKS)]
    published = ((HOURLY_ARCHIVE, _ARCHIVE_CLAIMS), (TIER3_DAILY, _TIER3_CLAIMS), (TIER2_HOURLY, _TIER2_CLAIMS))
    of_publication = [dg.AssetCheckKey(key, name) for key, claims in published for name in claims]
    return [*before, *of_feed, *of_table, *(spec.key for spec in AUDIT_CHECKS), *of_panel, *of_publication]
