"""Loading the package in a process of its own: the floors below Dagster stay without it, and nothing else happens."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from capsim_dagster_tests.conftest import ROOT

BELOW_ORCHESTRATION = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "capsim_dagster").rglob("*.py")
    if not {"orchestration", "cli"} & set(path.parts) and path.name not in ("definitions.py", "__init__.py")
)


LOAD = """
import importlib, json, pathlib, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
below = [name for name in sys.modules if name.partition(".")[0] == "dagster"]
import capsim_dagster.cli, capsim_dagster.definitions
pathlib.Path(sys.argv[2]).write_text(json.dumps([below, sorted(sys.modules)]))
"""


class Loading(NamedTuple):
    """A process that has loaded every floor below orchestration, and then the rest.

    Attributes:
        finished: What it ended with and printed.
        below: Modules of Dagster that were there before the rest was loaded.
        modules: All that were loaded.
        files: What lies in its folder afterwards.
    """

    finished: "subprocess.CompletedProcess[str]"
    below: list[str]
    modules: list[str]
    files: list[Path]


@pytest.fixture(scope="module")
def loading(tmp_path_factory: pytest.TempPathFactory) -> Loading:
    folder, said = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("said") / "modules.json"
    command = [sys.executable, "-c", LOAD, json.dumps(BELOW_ORCHESTRATION), str(said)]
    finished = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    below, modules = json.loads(said.read_text())
    return Loading(finished, below, modules, list(folder.iterdir()))


def test_every_floor_below_orchestration_loads_without_dagster(loading: Loading) -> None:
    assert {*BELOW_ORCHESTRATION} <= {*loading.modules}
    assert loading.below == []


def test_importing_does_nothing_but_define(loading: Loading) -> None:
    assert {"capsim_dagster.definitions", "capsim_dagster.cli", "dagster"} <= {*loading.modules}
    assert (loading.finished.stdout, loading.finished.stderr) == ("", "")
    assert loading.files == []
