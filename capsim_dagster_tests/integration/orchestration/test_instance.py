from functools import partial
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.workspace.load_target import WorkspaceFileTarget

from capsim_dagster.errors import SettingsError
from capsim_dagster.orchestration.event_log import EngineReusingEventLog
from capsim_dagster.orchestration.instance import open_instance, prepare_home, workspace_files
from capsim_dagster.storage import DataLayout
from capsim_dagster_tests.conftest import ROOT

NAMES = ("journal_mode", "synchronous")


def test_home_keeps_everything_under_the_data_directory(tmp_path: Path) -> None:
    home = prepare_home(DataLayout(tmp_path))

    text = (home / "dagster.yaml").read_text()
    assert "data/.dagster" not in text.replace(str(tmp_path), "")
    config = yaml.safe_load(text)
    assert config["telemetry"] == {"enabled": False}
    assert config["event_log_storage"]["config"]["base_dir"] == str(tmp_path / ".dagster/storage/history/runs")


def test_workspace_gives_the_location_the_name_of_the_checkouts_workspace(tmp_path: Path) -> None:
    *_, own = workspace_files(DataLayout(tmp_path))

    assert yaml.safe_load(own.read_text()) == yaml.safe_load((ROOT / "workspace.yaml").read_text())


def test_locations_of_a_team_are_loaded_beside_that_of_capsim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The team's workspace may hold capsim's location too, as that of the checkout does."""
    text = "load_from:\n- python_module: {module_name: theirs, location_name: capsim_dagster}\n- python_file: team.py\n"
    (tmp_path / "workspace.yaml").write_text(text, encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    named = {}
    for folder, workspace in ((tmp_path, None), (elsewhere, tmp_path / "workspace.yaml")):
        monkeypatch.chdir(folder)
        files = workspace_files(DataLayout(tmp_path / "data"), workspace)
        origins = WorkspaceFileTarget([str(file) for file in files]).create_origins()
        named[folder] = {o.location_name: o.loadable_target_origin for o in origins}

    assert named[tmp_path] == named[elsewhere]
    assert named[tmp_path]["capsim_dagster"].module_name == "capsim_dagster.definitions"
    assert named[tmp_path]["team.py"].python_file == str(tmp_path / "team.py")


@pytest.mark.parametrize("text", ["", "load_from: [", "load_from: 7", "load_from: [{python_modul: team}]"])
def test_workspace_that_is_none_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    workspace = tmp_path / "ours.yaml"
    workspace.write_text(text, encoding="utf-8")

    with pytest.raises(SettingsError, match=r"ours\.yaml is no workspace of code locations: .+") as refused:
        workspace_files(DataLayout(tmp_path / "data"), workspace)

    assert "--workspace" in refused.value.remedy


def test_event_log_writes_what_the_stock_class_reads(tmp_path: Path) -> None:
    with open_instance(DataLayout(tmp_path)) as instance:
        assert isinstance(instance.event_log_storage, EngineReusingEventLog)
        instance.report_runless_asset_event(dg.AssetMaterialization("asset", partition="2023-01-01"))

    stock = SqliteEventLogStorage(str(tmp_path / ".dagster/storage/history/runs"))

    assert stock.get_materialized_partitions(dg.AssetKey("asset")) == {"2023-01-01"}


def test_instance_of_another_project_in_the_current_folder_is_not_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = "storage: {postgres: {postgres_url: postgresql://db.example.com/dagster}}\ntelemetry: {enabled: true}\n"
    (tmp_path / "dagster.yaml").write_text(theirs)
    monkeypatch.chdir(tmp_path)

    text = (prepare_home(DataLayout(tmp_path / "data")) / "dagster.yaml").read_text()

    assert "postgres" not in text
    assert "enabled: false" in text


def test_a_commit_of_the_event_log_is_safe_from_kills_and_waits_for_no_disk(tmp_path: Path) -> None:
    with open_instance(DataLayout(tmp_path)) as instance:
        log = instance.event_log_storage
        assert isinstance(log, EngineReusingEventLog)
        modes = []
        for connected in (log.index_connection, partial(log.run_connection, "a_run")):
            with connected() as connection:
                modes += [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in NAMES]

    # 1 is NORMAL.
    assert modes == ["wal", 1] * 2
