"""`capsim panel generate` and `show`: what a person sees, and the panel of the shipped settings."""

import datetime as dt
import json
import re
from pathlib import Path

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster.errors import PanelError, SettingsError
from capsim_dagster_tests.conftest import CONFIG

SHIPPED = CONFIG.parent / "server_metrics_120.yaml"
NAME = "raw_server_metrics_20220101_to_20251231"


def panel(*arguments: str) -> Result:
    return CliRunner().invoke(capsim, ["panel", *arguments])


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with the panel of the shipped settings."""
    folder = tmp_path_factory.mktemp("panel") / "data"
    result = panel("generate", "--config", str(SHIPPED), "--env", "local", "--data-dir", str(folder))
    assert result.exit_code == 0, result.output
    assert "175,320 rows: 120 servers, 2022-01-01 to 2025-12-31" in result.output
    return folder


def test_the_shipped_settings_make_120_servers_over_four_years_with_one_percent_missing(data_dir: Path) -> None:
    path = data_dir / "panel" / "raw" / f"{NAME}.parquet"

    query = f"""
        SELECT count(*), count(DISTINCT server_id), min(timestamp)::VARCHAR, max(timestamp)::VARCHAR,
               min(server_id), max(server_id)
        FROM '{path}'
    """
    with duckdb.connect() as connection:
        (found,) = connection.execute(query).fetchall()
    summary = json.loads(path.with_name(f"{NAME}_summary.json").read_text(encoding="utf-8"))

    assert found == (175_320, 120, "2022-01-01 00:00:00", "2025-12-31 00:00:00", "SRV-0001", "SRV-0120")
    missing = [metric["missing_percent"] for metric in summary["metrics"].values()]
    assert len(missing) == 5
    # One percent is set; outages of several days make the share of one fleet vary by about a tenth of it.
    assert all(0.85 < share < 1.15 for share in missing)


def test_generate_says_where_everything_lies_and_that_every_gate_holds(tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    small.write_text(f"base: {CONFIG}\ndata_generation: {{end_date: 2023-02-28}}\n", encoding="utf-8")

    result = panel("generate", "--config", str(small), "--hosts", "12", "--data-dir", str(tmp_path / "data"))

    assert result.exit_code == 0, result.output
    raw = tmp_path / "data" / "panel" / "raw"
    assert {path.name for path in raw.iterdir()} == {
        "raw_server_metrics_20230101_to_20230228.parquet",
        "raw_server_metrics_20230101_to_20230228_sample.csv",
        "raw_server_metrics_20230101_to_20230228_summary.json",
    }
    for path in raw.iterdir():
        assert str(path) in result.output
    assert result.output.count("✓") == 4
    assert re.search(r"net_out_p95 +│ +[\d,.]+", result.output)


def test_show_prints_the_spot_check_of_the_newest_panel(data_dir: Path) -> None:
    result = panel("show", "--config", str(SHIPPED), "--data-dir", str(data_dir), "--rows", "2")

    assert result.exit_code == 0, result.output
    assert "175,320 rows, 120 servers, 2022-01-01 to 2025-12-31" in result.output
    for column in ("server_id", "timestamp", "business_unit", "region", "criticality", "cpu_p95", "net_out_p95"):
        assert column in result.output
    assert len(re.findall(r"[▁-█]{60}", result.output)) == 5
    assert result.output.count("SRV-0001") == 2


def test_show_looks_at_any_file_that_is_named(data_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pl.DataFrame({"server_id": ["a"], "date": [dt.date(2024, 1, 1)], "cpu": [1]}).write_parquet(other)

    result = panel("show", str(other), "--data-dir", str(data_dir))

    assert result.exit_code == 0, result.output
    assert "1 row, 1 server, 2024-01-01 to 2024-01-01" in result.output


def test_show_without_a_panel_says_how_to_make_one(tmp_path: Path) -> None:
    result = panel("show", "--data-dir", str(tmp_path))

    assert isinstance(result.exception, PanelError)
    assert "capsim panel generate" in str(result.exception)


def test_a_setting_that_cannot_be_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    result = panel("generate", "--hosts", "3", "--data-dir", str(tmp_path / "data"))

    assert isinstance(result.exception, SettingsError)
    assert "data_generation.num_servers: found 3" in str(result.exception)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["generate", "load", "show"])
def test_each_command_has_help_that_gives_an_example_or_says_what_it_makes(command: str) -> None:
    result = panel(command, "--help")

    assert result.exit_code == 0
    assert "--config" in result.output
    assert "--env [local|sagemaker|lambda]" in result.output
