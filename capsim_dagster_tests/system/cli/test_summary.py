"""What a run is said to have done: passed checks in a line an asset, the others in full, at any width."""

import io
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from capsim_dagster.audits.report import Finding, Severity
from capsim_dagster.cli import capsim
from capsim_dagster.cli.run import print_summary
from capsim_dagster.cli.terminal import claims_in_words
from capsim_dagster.orchestration.run_summary import AssetSummary, CheckSummary, RunSummary

LONG = "breach_hosts_reach_threshold_on_date"

pytestmark = pytest.mark.usefixtures("_opened_once")


def check(name: str, *, passed: bool = True, is_warning: bool = False, asset: str = "master_parquet") -> CheckSummary:
    return CheckSummary(asset, name, 0, passed, is_warning, "" if passed else "srv-000005 is [red]late")


def told(*checks: CheckSummary, with_checks: bool = False, width: int = 80) -> str:
    run = RunSummary("0123456789", True, False, [AssetSummary("master_parquet", 0, 10, 0)], list(checks), [])
    out = io.StringIO()
    print_summary(run, Console(file=out, width=width), with_checks=with_checks)
    return out.getvalue()


def test_passed_checks_are_a_line_an_asset() -> None:
    output = told(check("row_parity"), check(LONG), check("calendar_is_contiguous", asset="time_dimension"))

    assert (
        "✓ master_parquet: 2 of 2 checks\n✓ time_dimension: 1 of 1 check\n3 of 3 checks passed; all gates hold."
        in output
    )
    assert LONG not in output


def test_a_check_that_does_not_hold_is_told_in_full_in_80_columns() -> None:
    output = told(check("row_parity"), check(LONG, passed=False, is_warning=True))

    names = re.sub(r"[│\s]+", "", output)
    assert LONG in names
    assert "srv-000005is[red]late" in names
    assert "…" not in output
    assert "! master_parquet: 1 of 2 checks" in output
    assert "1 of 2 checks passed, 1 warning; all gates hold." in output


def test_every_check_is_listed_where_that_is_asked_for() -> None:
    output = told(check("row_parity"), check(LONG), with_checks=True, width=120)

    assert f"master_parquet {LONG}" in output
    assert "master_parquet row_parity" in output


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (Severity.WARNING, "1 of 2 claims hold, 1 warning"),
        (Severity.ERROR, "1 of 2 claims hold, 1 error"),
        (Severity.INFO, "1 of 2 claims hold, 1 remark"),
    ],
)
def test_a_claim_that_does_not_hold_is_told_with_what_that_means(severity: Severity, expected: str) -> None:
    findings = [Finding("keys_are_unique"), Finding("is_complete", severity, count=3)]

    assert claims_in_words(findings) == expected


def test_a_panel_that_was_staged_is_told_with_the_command_that_shows_it(tmp_path: Path) -> None:
    place = ["--data-dir", str(tmp_path / "a folder")]
    fleet = ["--hosts", "10", "--start", "2023-01-01", "--end", "2024-02-29"]
    assert CliRunner().invoke(capsim, ["panel", "generate", *fleet, *place]).exit_code == 0

    result = CliRunner().invoke(capsim, ["panel", "load", *place])

    assert result.exit_code == 0, result.output
    last = result.output.splitlines()[-1]
    assert re.fullmatch(rf"next: capsim panel show '.*\.parquet' --data-dir '{tmp_path}/a folder'", last)
