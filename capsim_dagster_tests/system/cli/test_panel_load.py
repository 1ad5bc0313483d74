"""`capsim panel load`: what it prints, what it ends with, and how it says what is wrong."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli.panel import load
from capsim_dagster.errors import PanelError, SettingsError
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.panel.loading import (
    RAW,
    STAGED,
    Site,
    clean_panel,
    in_turn,
    of_type,
    with_value,
    without_footer,
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "data")


def run(site: Site, *arguments: str) -> Result:
    return CliRunner().invoke(load, ["--config", str(CONFIG), "--data-dir", str(site.folder), *arguments])


def words(result: Result) -> str:
    """Return the output without the frames of tables."""
    return re.sub(r"[\u2500-\u257f\s]+", " ", result.output)


def test_load_says_what_holds_and_where_things_lie(site: Site) -> None:
    path = site.write(clean_panel())

    result = run(site)

    assert result.exit_code == 0, result.output
    assert result.output.startswith(
        f"loaded {path}\n"
        "  15 of 15 claims hold; 4,000 rows, 10 servers, 2024-01-01 to 2025-02-03\n"
        f"report: {site.staged.with_name(STAGED.stem + '_report.json')}\n"
        f"validated panel: {site.staged}\n"
        "passed\n"
        f"next: capsim panel show {site.staged} "
    )


def test_load_shows_repairs_and_what_does_not_hold(site: Site) -> None:
    site.write(in_turn(of_type("cpu_p95", pa.float32()), with_value("region", 9, "[red]"))(clean_panel()))

    result = run(site)

    assert result.exit_code == 0, result.output
    assert "Repairs repair column count examples metrics_are_double cpu_p95 3,960 float -> double" in words(result)
    assert "warning identity_is_constant 1 business unit, region or criticality change of SRV-0001" in words(result)
    assert "passed with 1 warning\n" in result.output
    assert "keys_are_unique" not in result.output


def test_load_ends_with_one_when_the_panel_fails_and_names_the_claims(site: Site) -> None:
    site.write(with_value("cpu_p95", 0, 150.0)(clean_panel()))

    result = run(site)

    assert result.exit_code == 1
    assert "error values_are_within_range 1 SRV-0001 2024-01-01 cpu_p95 = 150" in words(result)
    assert "14 of 15 claims hold" in result.output
    assert "failed: values_are_within_range; nothing was staged" in result.output
    assert "validated panel:" not in result.output


def test_load_strict_fails_by_a_warning(site: Site) -> None:
    site.write(with_value("region", 9, "elsewhere")(clean_panel()))

    assert (run(site).exit_code, run(site, "--strict").exit_code) == (0, 1)


def test_load_prints_the_report_as_json(site: Site) -> None:
    site.write(clean_panel())

    result = run(site, "--json")

    assert result.output == site.staged.with_name(f"{STAGED.stem}_report.json").read_text()
    assert json.loads(result.output)["validation_passed"]


def test_load_prints_the_failed_report_as_json_and_ends_with_one(site: Site) -> None:
    site.write(clean_panel()).write_text("torn")

    result = run(site, "--json")

    assert result.exit_code == 1
    assert json.loads(result.output)["validation_passed"] is False


def test_load_takes_a_panel_from_anywhere(site: Site, tmp_path: Path) -> None:
    path = site.write(without_footer(clean_panel())).rename(tmp_path / "their [panel].parquet")

    result = run(site, "--input", str(path))

    assert result.exit_code == 0, result.output
    assert f"loaded {path}\n" in result.output
    assert "nothing says which servers and days it must hold" in words(result)


def test_load_names_the_command_that_makes_a_panel_where_there_is_none(site: Site) -> None:
    result = run(site)

    assert isinstance(result.exception, PanelError)
    assert "capsim panel generate" in result.exception.remedy


@pytest.mark.parametrize("arguments", [["--env", "moon"], ["--input"]])
def test_load_refuses_arguments_that_cannot_be_used(site: Site, arguments: list[str]) -> None:
    assert run(site, *arguments).exit_code == 2


def test_load_refuses_settings_that_cannot_be_used(site: Site) -> None:
    result = run(site, "--config", "/nowhere.yaml")

    assert isinstance(result.exception, SettingsError)


def test_load_env_selects_the_data_directory(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "capsim_dagster.settings.model._DEFAULT_BASE_PATH", {"local": tmp_path / "none", "lambda": site.folder}
    )
    site.write(clean_panel(), str(RAW))

    result = CliRunner().invoke(load, ["--config", str(CONFIG), "--env", "lambda"])

    assert result.exit_code == 0, result.output
    assert site.staged.is_file()
