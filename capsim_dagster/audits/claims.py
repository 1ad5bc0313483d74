"""The assets, and what is claimed of each: the one place with the name and the sentence of every check.

Dagster's checks, reports, commands and README's table say it as it stands here. Dagster is not needed to read it, whose
definitions cost seconds to load; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from capsim_dagster.audits.report import Finding
from capsim_dagster.schemas.resources import RESOURCE_COUNT, Resource


@dataclass(frozen=True)
class KnownAsset:
    """An asset.

    Attributes:
        name: Its name.
        gates: Claims that block: later assets would be wrong if they did not hold. Sentences by name.
        warnings: Claims that warn: a person should look. Likewise.
        unit: What it has a partition for: months, days, hours; empty = it has none.
        is_on_demand: Whether no refresh makes it.
    """

    name: str
    gates: Mapping[str, str] = field(default_factory=dict, hash=False)
    warnings: Mapping[str, str] = field(default_factory=dict, hash=False)
    unit: str = ""
    is_on_demand: bool = False

    @property
    def checks(self) -> dict[str, bool]:
        """Whether each check blocks, by name."""
        return {name: name in self.gates for name in sorted({**self.gates, **self.warnings})}


_SOUND_MANIFEST: Final = "The manifest follows its schema, was not edited, is of this {} and agrees with itself."
_PROMISED_BYTES: Final = "Both files are there; the data have the size and SHA-256 of the manifest."
_CALENDAR_EFFECTS: Final = (
    "Load on weekends, bank holidays, quarter and month ends is the multiple of ordinary days that is set."
)

_WITHIN_RANGE: Final = "Every value is a finite number within the range of its metric."
_MISSING_SHARE: Final = "No metric lacks more of its values than it may."
CATALOG: Final = (
    KnownAsset(
        "host_inventory",
        {
            "behavioral_diversity": "The inventory holds all 10 behavioural varieties.",
            "fleet_has_configured_number_of_hosts": "The inventory holds the configured number of hosts, each once.",
        },
    ),
    KnownAsset("time_dimension", {"calendar_is_contiguous": "Each day of the window is there, once, without a gap."}),
    KnownAsset(
        "master_parquet",
        {
            "row_parity": "Exactly one row for each host x resource x day.",
            "utilization_is_within_bounds": "Every utilization lies between 0 and 100 percent.",
        },
        {
            "behavioral_diversity": "Judged by its telemetry alone, each host behaves as its variety.",
            "calendar_effects_match_settings": _CALENDAR_EFFECTS,
            "breach_hosts_reach_threshold_on_date": (
                "Each CAPACITY_BREACH host first reaches the threshold on its date, within what its noise explains."
            ),
        },
    ),
    KnownAsset(
        "ground_truth",
        {
            "row_parity": "One expectation for each host x resource x day; one row a series.",
            "gaps_are_labelled": "The days without a value are exactly those that a gap event covers.",
            "events_explain_differences": (
                "Data differ from their twin without events just where an event says so, on a sample of the hosts."
            ),
            "breach_dates_lie_within_horizon": "Each breach host, and no other, has one breach date, in the horizon.",
        },
        {"event_rates_match_settings": "Missing and anomalous days are as frequent as set, within sampling error."},
    ),
    *(
        KnownAsset(
            f"monthly_csv/{each}",
            {"row_parity": "The month's file carries every row of the master, counts and content."},
            unit="months",
        )
        for each in sorted(Resource)
    ),
    KnownAsset(
        "server_metrics",
        {
            "panel_has_one_row_per_server_day": "The panel has one row for each server x day.",
            "missing_share_is_within_limit": _MISSING_SHARE,
            "values_are_within_range": _WITHIN_RANGE,
            "row_parity": "Each metric of the panel that shows a resource has the content of the master.",
        },
        {"calendar_effects_match_settings": _CALENDAR_EFFECTS},
        is_on_demand=True,
    ),
    KnownAsset(
        "processed_data",
        {
            "reconciliation": "Every line of the month's files is in the table or in rejected_lines.",
            "row_parity": "The month holds every sound line, with the content of the master.",
            "keys_are_unique": "Each host, resource and day stands at most once.",
            "hosts_are_known": "Every row belongs to a host of the inventory.",
        },
        unit="months",
    ),
    KnownAsset(
        "validated_server_metrics",
        # No gate: the step itself publishes nothing where one fails that must hold.
        warnings={
            "file_is_readable": "The file is whole, and Parquet.",
            "folder_holds_panels_only": "Beside it lie panels only; a stray file is not read, whatever its age.",
            "columns_are_complete": "It has every column that the settings name.",
            "columns_are_known": "It has no further columns; those are kept.",
            "expectation_is_known": "Its footer, its name or the settings say what it must hold.",
            "types_are_right_or_repaired": "Each column has its type, or could be given it without loss.",
            "keys_are_unique": "Each server has each day at most once; exact copies are dropped.",
            "identity_is_filled": "Each row says which server, day, business unit, region and criticality.",
            "identity_is_constant": "No server changes its business unit, region or criticality.",
            "values_are_within_range": _WITHIN_RANGE,
            "missing_share_is_within_limit": _MISSING_SHARE,
            "servers_as_expected": "Every server that it must hold is there.",
            "history_is_long_enough": "It spans as many days as it must.",
            "days_as_expected": "It reaches from the first to the last day that it must hold.",
            "days_are_contiguous": "No server lacks more days, or more in a row, than it may.",
        },
        is_on_demand=True,
    ),
    KnownAsset(
        "refinery_audit",
        {
            "reconciliation": "Every line of every loaded file is in the table or in rejected_lines.",
            "row_parity": "All months hold every sound line, with the content of the master.",
            "injected_defects_are_found": "Every injected defect is found, and nothing else is.",
        },
        {
            "behavioral_diversity": "After the refinery each host still behaves as its variety.",
            "file_names_follow_convention": "Every file of the feed is named by its layout; what is not is not read.",
        },
    ),
)
"""As data flows, those of one level by name; without the live tier, which leaves nothing behind."""
DATED: Final = (
    KnownAsset(
        "hourly_archive",
        {"row_parity": "24 whole hour files hold one line for each host and interval, as they were written."},
        unit="days",
    ),
    KnownAsset(
        "tier3_daily",
        {
            "manifest_is_sound": _SOUND_MANIFEST.format("day"),
            "bytes_are_those_of_the_manifest": _PROMISED_BYTES,
            "rows_are_those_of_the_manifest": "Columns, rows, hosts, hours and nulls are those that the manifest says.",
            "rows_are_samples": (
                "Keys are unique, values within bounds; network, traffic, time and number of a row agree."
            ),
            "null_ratios_are_within_bounds": "No column lacks more of its values than publication.max_null_share.",
            "p95_is_that_of_the_master": (
                "The P95 of each host's samples is the master's value of the day, gaps included."
            ),
            "agrees_with_tier2": "Computed from its rows, the hours that tier 2 has published are the same.",
        },
        unit="days",
    ),
    KnownAsset(
        "tier2_hourly",
        {
            "manifest_is_sound": _SOUND_MANIFEST.format("hour"),
            "bytes_are_those_of_the_manifest": _PROMISED_BYTES,
            "rows_are_those_of_the_manifest": "Columns, rows, hosts and nulls are those that the manifest says.",
            "rows_are_aggregates": f"Each host has its {RESOURCE_COUNT} rows; "
            "mean, P50, P95 and maximum of a row are in order.",
            "agrees_with_tier3": "Computed from the day in tier 3, where that is published, the hour is the same.",
        },
        unit="hours",
    ),
)
"""The assets with a partition a day or an hour."""
KNOWN: Final = {known.name: known for known in (*CATALOG, *DATED)}


def sentence(asset: str, claim: str) -> str:
    """Return what is claimed, to go on within a line.

    >>> sentence("time_dimension", "calendar_is_contiguous")
    'each day of the window is there, once, without a gap'
    """
    said = {**KNOWN[asset].gates, **KNOWN[asset].warnings}[claim]
    return f"{said[0].lower()}{said[1:]}".removesuffix(".")


def told(asset: str, finding: Finding) -> str:
    """Return what is claimed of an asset, and whether it holds with the verdict behind it."""
    holds = "holds" if finding.passed else "does not hold"
    return f"{sentence(asset, finding.claim)}: {holds} ({finding.verdict})"
