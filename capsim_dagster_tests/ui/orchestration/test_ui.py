import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from capsim_dagster.orchestration import ui
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.storage import DataLayout
from capsim_dagster_tests.support.orchestration.server import serving

TEAM = "import dagster as dg\nfrom beside import team\n\ndefs = dg.Definitions(assets=[team])\n"
WORKSPACE = """
load_from:
  - python_module: {module_name: team, location_name: team}
  - python_module: {module_name: nowhere, location_name: broken}
"""
LOCATIONS = """
query { workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } } }"""
ASSETS = "query { assetNodes { assetKey { path } } }"


def test_ui_answers_on_loopback_says_so_and_ends_cleanly(platform: Platform, tmp_path: Path) -> None:
    """A team's own code location is shown beside that of capsim; it may be broken, or need a module beside it."""
    (tmp_path / "beside.py").write_text("import dagster as dg\nteam = dg.AssetSpec('team_asset')\n", encoding="utf-8")
    (tmp_path / "team.py").write_text(TEAM, encoding="utf-8")
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text(WORKSPACE, encoding="utf-8")

    with serving(platform.layout.root, workspace=workspace, num_servers=12, end_date="2023-03-31") as ui:
        assert ui.address.startswith("http://127.0.0.1:")
        assert ui.ask("query { version }")["version"]
        loaded = ui.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
        assert {entry["name"]: entry["locationOrLoadError"]["__typename"] for entry in loaded} == {
            "team": "RepositoryLocation",
            "broken": "PythonError",
            "capsim_dagster": "RepositoryLocation",
        }
        assert ["team_asset"] in [asset["assetKey"]["path"] for asset in ui.ask(ASSETS)["assetNodes"]]

        processes = psutil.Process(ui.process.pid).children(recursive=True)
        ui.process.send_signal(signal.SIGINT)
        assert ui.process.wait(timeout=60) == 0
    assert psutil.wait_procs(processes, timeout=60)[1] == []


def test_ui_that_ends_on_its_own_tells_what_its_log_holds(platform: Platform) -> None:
    with serving(platform.layout.root, num_servers=12, end_date="2023-03-31") as ui:
        for child in psutil.Process(ui.process.pid).children(recursive=True):
            child.kill()

        assert ui.process.wait(timeout=30) == 1
    assert (platform.layout.root / ".dagster" / "ui.log").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ui_kills_what_does_not_end_and_leaves_no_timer_or_handler_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    started = []

    def deaf(*_arguments: object) -> "subprocess.Popen[bytes]":
        code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(60)"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        started.append(process)
        threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
        return process

    monkeypatch.setattr(ui, "_start", deaf)
    monkeypatch.setattr(ui, "_END_SECONDS", 1.0)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]

    assert ui.serve(DataLayout(tmp_path), port=None, environment={}, announce=print) == 0
    assert started[0].returncode == -signal.SIGKILL
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
