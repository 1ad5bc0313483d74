"""A team's own definitions lie beside those of capsim."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from capsim_dagster_tests.conftest import ROOT


def test_what_dg_scaffolds_is_loaded_beside_the_assets_of_capsim(tmp_path: Path) -> None:
    pytest.importorskip("dagster_dg_cli", reason="the dependency group ui is not installed: uv sync --group ui")
    shutil.copytree(ROOT / "capsim_dagster", tmp_path / "capsim_dagster")
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for name in ("pyproject.toml", "dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    dg = Path(sys.executable).with_name("dg")

    scaffolded = subprocess.run(
        [dg, "scaffold", "defs", "dagster.asset", "their_asset.py"], cwd=tmp_path, env=environment, capture_output=True
    )
    listed = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "dagster", "asset", "list", "-m", "capsim_dagster.definitions"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert scaffolded.returncode == 0, scaffolded.stderr.decode()
    assert {"their_asset", "processed_data"} <= set(listed.stdout.split()), listed.stderr
