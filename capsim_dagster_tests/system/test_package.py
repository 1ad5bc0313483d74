"""The wheel, in an environment that holds nothing else and far from any checkout."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from capsim_dagster_tests.conftest import ROOT

UV = os.environ.get("UV") or shutil.which("uv") or shutil.which(ROOT / ".uv" / "bin" / "uv")
FIRST_SCREEN = 25


def test_wheel_brings_all_that_the_main_job_needs(tmp_path: Path) -> None:
    if UV is None:
        pytest.skip("no uv is on the path, nor in .uv as README's commands put it there")

    def done(*command: str | Path) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CAPSIM", "VIRTUAL_ENV"))}
        finished = subprocess.run(command, cwd=tmp_path, env=kept, check=False, capture_output=True, text=True)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    done(UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    done(UV, "venv", "--quiet", tmp_path / "empty")
    done(UV, "pip", "install", "--quiet", "--python", tmp_path / "empty", wheel)
    capsim = tmp_path / "empty" / "bin" / "capsim"

    version = done(capsim, "--version")
    run = done(capsim, "run", "--hosts", "10", "--end", "2023-01-31")
    status = done(capsim, "status", "--hosts", "10", "--end", "2023-01-31")

    assert "capsim, version" in version
    assert "all gates hold" in run
    assert "everything of the window is there" in status
    assert "telemetry" in (tmp_path / "data" / ".dagster" / "dagster.yaml").read_text(encoding="utf-8")


def test_ci_runs_the_readmes_second_command_to_the_letter() -> None:
    screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:FIRST_SCREEN]
    commands = [line.partition("  #")[0].rstrip() for line in screen if "uv run" in line and "#" in line]

    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_what_users_install_holds_no_development_tools_and_has_a_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert project["tool"]["uv"]["default-groups"] == []
    assert project["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
