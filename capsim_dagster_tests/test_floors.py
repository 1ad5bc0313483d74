import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW_ORCHESTRATION = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "capsim_dagster").rglob("*.py")
    if not {"orchestration", "cli"} & set(path.parts) and path.name not in ("definitions.py", "__init__.py")
)


def test_every_floor_below_orchestration_loads_without_dagster() -> None:
    code = f"import sys, importlib; [importlib.import_module(m) for m in {BELOW_ORCHESTRATION!r}]"
    code += "; sys.exit(any(m == 'dagster' or m.startswith('dagster.') for m in sys.modules))"

    finished = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert finished.returncode == 0, finished.stderr or "dagster was loaded"


def test_floors_go_one_way_down() -> None:
    finished = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, check=False, capture_output=True, text=True
    )

    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize("name", ["capsim_dagster.definitions", "capsim_dagster.cli"])
def test_importing_does_nothing_but_define(name: str, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=tmp_path, check=False, capture_output=True, text=True
    )

    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    long = {
        path.name: count
        for path in (ROOT / "capsim_dagster").rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }

    assert long == {}
