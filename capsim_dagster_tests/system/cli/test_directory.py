"""The commands of one data directory work by what it records, and none puts something strange beside it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster.definitions import defs
from capsim_dagster.errors import FeedError, SettingsError, WarehouseError
from capsim_dagster.orchestration.ui import child_environment
from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.directory import write_record
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import RECORD_NAME, Kind, choose_settings, read_record
from capsim_dagster_tests.conftest import SMALL, small_settings
from capsim_dagster_tests.support.foreign_feed import MONTHS, OTHER_TOOL, file_of, write_feed
from capsim_dagster_tests.support.sabotage import change_lines

Refine = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("_opened_once")


def call(*arguments: str, data_dir: Path) -> Result:
    return CliRunner().invoke(capsim, [*arguments, "--data-dir", str(data_dir)])


def loaded(folder: Path) -> Path:
    """Write another tool's feed into a folder, load it, and return the data directory beside it."""
    feed = write_feed(folder / "exports")
    result = call("refine", "--feed", str(feed), "--config", str(OTHER_TOOL), data_dir=folder / "work")
    assert result.exit_code == 0, result.output
    return folder / "work"


@pytest.fixture(scope="module")
def _loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loaded(tmp_path_factory.mktemp("loaded"))


@pytest.fixture
def exports(_loaded: Path) -> Path:
    """Return the feed that was loaded, which no test changes."""
    return _loaded.with_name("exports")


@pytest.fixture
def work(_loaded: Path, tmp_path: Path) -> Path:
    """Return a directory that another tool's feed was loaded into."""
    return Path(shutil.copytree(_loaded, tmp_path / "work"))


def recorded_feed(data_dir: Path) -> str:
    record = read_record(data_dir)
    assert record is not None
    return str(record.settings["refinery", "feed_dir"])


@pytest.mark.parametrize(
    "command",
    [["status"], ["ui"], ["backfill"], ["archive"], ["tier1", "serve"], ["tier2", "export"], ["tier3", "export"]],
)
def test_every_command_refuses_another_fleet_by_the_option_as_typed(platform: Platform, command: list[str]) -> None:
    result = call(*command, "--hosts", "50", data_dir=platform.layout.root)

    assert isinstance(result.exception, SettingsError)
    assert "data_generation.num_servers: recorded 12, given 50 (--hosts)" in result.exception.found


def test_commands_work_on_the_fleet_that_is_there_without_any_option(platform: Platform) -> None:
    root = platform.layout.root

    results = [
        call(*command, data_dir=root)
        for command in (
            ["plot", "9"],
            ["archive", "--date", "2023-01-02"],
            ["tier3", "export", "--date", "2023-01-02"],
            ["panel", "generate"],
            ["panel", "load"],
        )
    ]

    assert [result.exit_code for result in results] == [0] * 5, [result.output for result in results]
    assert "12 servers, 2023-01-01 to 2023-03-31" in results[3].output
    manifest = json.loads((root / "output" / "tier3_daily" / "2023-01-02" / "manifest.json").read_text())
    assert manifest["hosts"] == 12


def test_code_location_of_a_directory_takes_what_it_records(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in child_environment(None, platform.layout.root, {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    found = defs().resources

    assert found is not None
    assert found["platform"].settings.data_generation == platform.generation


def test_run_with_other_settings_says_what_would_go_and_leaves_it(platform: Platform) -> None:
    before = platform.layout.master.read_bytes()

    result = call("run", "--hosts", "50", data_dir=platform.layout.root)

    assert isinstance(result.exception, SettingsError)
    assert "recorded 12, given 50 (--hosts)" in result.exception.found
    assert "master_parquet: 12 hosts from 2023-01-01 to 2023-03-31" in result.exception.found
    assert "--replace" in result.exception.remedy
    assert platform.layout.master.read_bytes() == before


def test_run_in_a_directory_of_before_replaces_no_other_fleet_either(platform: Platform) -> None:
    (platform.layout.root / RECORD_NAME).unlink()

    result = call("run", "--hosts", "50", data_dir=platform.layout.root)

    assert isinstance(result.exception, SettingsError)
    assert "was made with other settings" in result.exception.found
    assert "--replace" in result.exception.remedy


@pytest.mark.parametrize(
    "command", [["run"], ["run", "--replace"], ["archive"], ["panel", "generate"], ["tier1", "serve", "--port", "0"]]
)
def test_no_fleet_goes_beside_a_feed_that_was_loaded(work: Path, command: list[str]) -> None:
    for _ in ("recorded", "of before"):
        result = call(*command, data_dir=work)

        assert isinstance(result.exception, SettingsError)
        assert "that capsim did not make; a simulated fleet does not go beside it" in result.exception.found
        assert "another --data-dir" in result.exception.remedy
        (work / RECORD_NAME).unlink(missing_ok=True)


def test_no_feed_goes_beside_a_fleet(platform: Platform, tmp_path: Path) -> None:
    result = call("refine", "--feed", str(write_feed(tmp_path / "exports")), data_dir=platform.layout.root)

    assert isinstance(result.exception, SettingsError)
    assert "holds simulated data" in result.exception.found


def test_refine_and_audit_of_a_loaded_feed_need_no_further_option(work: Path, exports: Path) -> None:
    for command in ("refine", "audit"):
        result = call(command, data_dir=work)

        assert result.exit_code == 0, result.output
    assert recorded_feed(work) == str(exports)


def test_feed_in_another_folder_is_the_same_feed_and_is_recorded_there(tmp_path: Path) -> None:
    work, moved = loaded(tmp_path), tmp_path / "moved"
    shutil.move(tmp_path / "exports", moved)
    change_lines(file_of(moved, MONTHS[0]), lambda lines: lines[:-1])

    result = call("refine", "--feed", str(moved), data_dir=work)

    assert result.exit_code == 0, result.output
    assert recorded_feed(work) == str(moved)
    assert call("audit", data_dir=work).exit_code == 0


def test_folder_with_other_content_is_another_feed(work: Path, exports: Path, tmp_path: Path) -> None:
    other = write_feed(tmp_path / "other")
    for path in other.rglob("*.csv"):
        change_lines(path, lambda lines: lines[:-1])

    result = call("refine", "--feed", str(other), data_dir=work)

    assert isinstance(result.exception, WarehouseError)
    assert "one table holds one feed" in result.exception.remedy
    assert recorded_feed(work) == str(exports)


def test_refine_may_read_its_feed_by_other_rules_and_records_them(work: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"base": str(OTHER_TOOL), "legacy_feed": {"null_values": ["", "n/a", "-", "?"]}}))

    assert call("refine", "--config", str(path), data_dir=work).exit_code == 0

    record = read_record(work)
    assert record is not None
    assert record.settings["legacy_feed", "null_values"] == ["", "n/a", "-", "?"]
    assert call("audit", data_dir=work).exit_code == 0


def test_foreign_panel_makes_a_directory_of_its_own_kind(platform: Platform, tmp_path: Path) -> None:
    panels = platform.layout.root / "panel" / "raw"
    assert call("panel", "generate", data_dir=platform.layout.root).exit_code == 0
    theirs = shutil.copy(next(panels.glob("*.parquet")), tmp_path / "theirs.parquet")

    loaded = call("panel", "load", "--input", str(theirs), data_dir=tmp_path / "work")
    refused = call("run", data_dir=tmp_path / "work")

    record = read_record(tmp_path / "work")
    assert record is not None, loaded.output
    assert record.kind is Kind.PANEL
    assert isinstance(refused.exception, SettingsError)


@pytest.mark.parametrize("name", ["/dev/zero", "pipe"])
def test_inventory_that_never_ends_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    feed = write_feed(tmp_path / "exports")

    result = call("refine", "--feed", str(feed), "--inventory", str(tmp_path / name), data_dir=tmp_path / "work")

    assert isinstance(result.exception, FeedError)
    assert "is no regular file" in result.exception.found


def test_work_whose_fleet_was_replaced_meanwhile_names_the_cause(platform: Platform) -> None:
    other = {"storage": {"local_base_path": platform.layout.root}, "data_generation": {**SMALL, "random_seed": 7}}
    write_record(choose_settings(None, other, adopts_edits=True), Kind.SIMULATED)
    stages.host_inventory(Platform(small_settings(platform.layout.root, random_seed=7)))

    with pytest.raises(WarehouseError, match="now records 12 hosts, seed 7: another capsim run has replaced the fleet"):
        stages.master_parquet(platform)
