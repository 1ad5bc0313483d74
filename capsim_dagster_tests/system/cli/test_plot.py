"""`capsim plot` writes one picture, says what it shows, and is clear about what it cannot draw."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster.errors import CapsimError, MasterError, SettingsError, TruthError
from capsim_dagster.orchestration.keys import PICTURES
from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.pictures.views import png_size, texts

pytestmark = pytest.mark.usefixtures("_opened_once")


@pytest.fixture
def small_config(tmp_path: Path) -> Path:
    """Return the shipped settings with the window and fleet of the fixture."""
    text = CONFIG.read_text(encoding="utf-8")
    text = text.replace("num_servers: 2000", "num_servers: 12").replace("end_date: 2025-12-31", "end_date: 2023-03-31")
    path = tmp_path / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def plot(platform: Platform, config: Path, *arguments: str) -> Result:
    data_dir = str(platform.layout.root)
    return CliRunner().invoke(capsim, ["plot", *arguments, "--config", str(config), "--data-dir", data_dir])


def test_plot_writes_the_picture_beside_the_data_and_says_what_it_shows(platform: Platform, small_config: Path) -> None:
    stages.ground_truth(platform)

    result = plot(platform, small_config, "7", "--resource", "network")

    path = platform.layout.root / "plots" / "srv-000007_network.svg"
    assert result.exit_code == 0, result.output
    assert f"wrote {path}" in result.output
    assert "srv-000007 (BURST/MODERATE), network: observed and expected utilization in % of capacity" in result.output
    assert "srv-000007 · BURST/MODERATE · network" in texts(path.read_bytes())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_plot_writes_the_file_that_is_named_in_the_format_of_its_suffix(
    platform: Platform, small_config: Path, tmp_path: Path
) -> None:
    stages.ground_truth(platform)
    path = tmp_path / "deep" / "er" / "picture.png"

    result = plot(platform, small_config, "srv-000009", "--output", str(path))

    assert result.exit_code == 0, result.output
    assert png_size(path.read_bytes())[0] == 1120
    assert not (platform.layout.root / "plots").exists()


def test_plot_of_the_fleet_writes_every_picture_that_the_ui_shows(platform: Platform, small_config: Path) -> None:
    stages.ground_truth(platform)

    result = plot(platform, small_config, "fleet")

    assert result.exit_code == 0, result.output
    written = {path.stem: texts(path.read_bytes()) for path in (platform.layout.root / "plots").iterdir()}
    wanted = {f"{asset.to_user_string()}_{name}" for asset, names in PICTURES.items() for name in names}
    assert set(written) == wanted - {"refinery_audit_check_trends"}
    assert "by server type" in written["host_inventory_fleet_composition"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["99"], SettingsError, "no host 'srv-000099': the inventory holds 12 hosts, srv-000001 to srv-000012"),
        (["1", "--output", "x.pdf"], SettingsError, "expected .svg or .png"),
        (["fleet", "--resource", "cpu"], SettingsError, "are for one host"),
        (["1", "--output", "/dev/null/x.svg"], SettingsError, "cannot write /dev/null/x.svg"),
    ],
)
def test_plot_refuses_what_it_cannot_draw(
    platform: Platform, small_config: Path, arguments: list[str], error: type[CapsimError], message: str
) -> None:
    stages.ground_truth(platform)

    result = plot(platform, small_config, *arguments)

    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert result.exception.remedy


def test_plot_needs_a_master_and_its_truth(platform: Platform, small_config: Path) -> None:
    stages.ground_truth(platform)
    (platform.layout.truth / "events.parquet").unlink()
    assert isinstance(plot(platform, small_config, "1").exception, TruthError)

    platform.layout.master.unlink()
    assert isinstance(plot(platform, small_config, "1").exception, MasterError)


def test_plot_knows_the_four_resources(platform: Platform, small_config: Path) -> None:
    result = plot(platform, small_config, "1", "--resource", "gpu")

    assert result.exit_code == 2
    assert "'cpu', 'memory', 'disk', 'network'" in result.output


def test_the_plotting_library_is_loaded_only_where_something_may_be_drawn() -> None:
    modules = ", ".join(
        f"capsim_dagster.{name}" for name in ("cli", "definitions", "orchestration.findings", "pipeline.refine")
    )
    code = f"import sys, {modules}; sys.exit('matplotlib' in sys.modules or 'PIL' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
