import subprocess
import sys
from pathlib import Path

from capsim_dagster_tests.conftest import ROOT


def test_floors_go_one_way_down() -> None:
    finished = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, check=False, capture_output=True, text=True
    )

    assert finished.returncode == 0, finished.stdout


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    long = {
        path.name: count
        for path in (ROOT / "capsim_dagster").rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }

    assert long == {}
