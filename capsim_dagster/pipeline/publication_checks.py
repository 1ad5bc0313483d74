"""What is claimed of published datasets in the UI: the findings of the verifier, a few of them to a check."""

from collections.abc import Mapping, Sequence
from typing import Final

from capsim_dagster.audits.report import Finding, Findings, Reports, Severity, by_claim
from capsim_dagster.publication.tier2 import verify as tier2
from capsim_dagster.publication.tier3 import verify as tier3

Claims = Mapping[str, Sequence[str]]
"""The claims of a verifier by the check that shows them."""

_COUNTED: Final = (
    "data_are_readable",
    "columns_are_those_of_the_dataset",
    "footer_agrees_with_the_manifest",
    "counts_are_those_of_the_manifest",
    "columns_are_described_as_they_are",
)
DAILY_CLAIMS: Final[Claims] = {
    "manifest_is_sound": (
        "manifest_follows_its_schema",
        "manifest_is_as_it_was_written",
        "manifest_is_of_this_dataset",
        "manifest_agrees_with_itself",
    ),
    "bytes_are_those_of_the_manifest": ("files_are_there", "data_has_its_size", "data_has_its_sha256"),
    "rows_are_those_of_the_manifest": (
        *_COUNTED,
        "hours_are_those_of_the_manifest",
        "each_host_has_every_interval",
        "the_day_is_complete",
    ),
    "rows_are_samples": tier3.ROW_CLAIMS,
    "null_ratios_are_within_bounds": ("null_ratios_are_within_bounds",),
    "p95_is_that_of_the_master": ("p95_is_that_of_the_master",),
}
"""Of `tier3_daily`."""
HOURLY_CLAIMS: Final[Claims] = {
    "manifest_is_sound": DAILY_CLAIMS["manifest_is_sound"],
    "bytes_are_those_of_the_manifest": DAILY_CLAIMS["bytes_are_those_of_the_manifest"],
    "rows_are_those_of_the_manifest": _COUNTED,
    "rows_are_aggregates": tier2.ROW_CLAIMS,
}
"""Of `tier2_hourly`."""


def reports_of(found: Findings, claims: Claims) -> Reports:
    """Return what a verification found as a finding a check; a claim that could not be judged does not hold.

    Args:
        found: All findings on a dataset.
        claims: Which of them each check shows.
    """
    judged = by_claim(*found.findings)
    return by_claim(*(_together(check, {name: judged.get(name) for name in names}) for check, names in claims.items()))


def _together(check: str, judged: Mapping[str, Finding | None]) -> Finding:
    problems: list[str] = []
    notes: list[str] = []
    for name, finding in judged.items():
        if finding is None:
            problems.append(f"{name}: not judged, see the other checks")
        elif finding.fails(strict=False):
            problems += [f"{name}: {example}" for example in finding.examples or [finding.message]]
        elif not finding.passed or (finding.severity is Severity.INFO and finding.message):
            notes.append(f"{name}: {finding.message}")
    return Finding(
        check,
        examples=problems,
        counts={
            "claims": len(judged),
            "claims_that_hold": sum(finding is not None and finding.passed for finding in judged.values()),
            "found_against_them": sum(finding.total for finding in judged.values() if finding is not None),
        },
        note="; ".join(notes),
    )
