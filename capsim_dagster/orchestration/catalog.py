"""The assets and their checks by name, as plain text: Dagster's definitions cost seconds to load.

A test compares them with the definitions.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class KnownAsset:
    """An asset.

    Attributes:
        name: Its name.
        gates: Checks that block.
        warnings: Checks that warn.
        unit: What it has a partition for: months, days, hours; empty = it has none.
        is_on_demand: Whether no refresh makes it.
    """

    name: str
    gates: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    unit: str = ""
    is_on_demand: bool = False

    @property
    def checks(self) -> dict[str, bool]:
        """Whether each check blocks, by name."""
        return dict(sorted([*((name, True) for name in self.gates), *((name, False) for name in self.warnings)]))


CATALOG: Final = (
    KnownAsset("host_inventory", ("behavioral_diversity", "fleet_has_configured_number_of_hosts")),
    KnownAsset("time_dimension", ("calendar_is_contiguous",)),
    KnownAsset(
        "master_parquet",
        ("row_parity", "utilization_is_within_bounds"),
        ("behavioral_diversity", "breach_hosts_reach_threshold_on_date", "calendar_effects_match_settings"),
    ),
    KnownAsset(
        "ground_truth",
        ("breach_dates_lie_within_horizon", "events_explain_differences", "gaps_are_labelled", "row_parity"),
        ("event_rates_match_settings",),
    ),
    *(
        KnownAsset(f"monthly_csv/{each}", ("row_parity",), unit="months")
        for each in ("cpu", "disk", "memory", "network")
    ),
    KnownAsset(
        "server_metrics",
        ("missing_share_is_within_limit", "panel_has_one_row_per_server_day", "row_parity", "values_are_within_range"),
        ("calendar_effects_match_settings",),
        is_on_demand=True,
    ),
    KnownAsset("processed_data", ("hosts_are_known", "keys_are_unique", "reconciliation", "row_parity"), unit="months"),
    KnownAsset(
        "validated_server_metrics",
        (),
        (
            "columns_are_complete",
            "columns_are_known",
            "days_are_contiguous",
            "days_as_expected",
            "expectation_is_known",
            "file_is_readable",
            "folder_holds_panels_only",
            "history_is_long_enough",
            "identity_is_constant",
            "identity_is_filled",
            "keys_are_unique",
            "missing_share_is_within_limit",
            "servers_as_expected",
            "types_are_right_or_repaired",
            "values_are_within_range",
        ),
        is_on_demand=True,
    ),
    KnownAsset(
        "refinery_audit",
        ("injected_defects_are_found", "reconciliation", "row_parity"),
        ("behavioral_diversity", "file_names_follow_convention"),
    ),
)
"""As data flows, those of one level by name; without the live tier, which leaves nothing behind."""
DATED: Final = (
    KnownAsset("hourly_archive", ("row_parity",), unit="days"),
    KnownAsset(
        "tier3_daily",
        (
            "agrees_with_tier2",
            "bytes_are_those_of_the_manifest",
            "manifest_is_sound",
            "null_ratios_are_within_bounds",
            "p95_is_that_of_the_master",
            "rows_are_samples",
            "rows_are_those_of_the_manifest",
        ),
        unit="days",
    ),
    KnownAsset(
        "tier2_hourly",
        (
            "agrees_with_tier3",
            "bytes_are_those_of_the_manifest",
            "manifest_is_sound",
            "rows_are_aggregates",
            "rows_are_those_of_the_manifest",
        ),
        unit="hours",
    ),
)
"""The assets with a partition a day or an hour."""
