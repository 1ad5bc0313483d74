"""`capsim status` compares what is recorded with what lies on disk, and its advice makes whole again what was lost."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import duckdb
import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster_tests.support.foreign_feed import OTHER_TOOL, write_feed

OPTIONS = ["--hosts", "10", "--start", "2024-01-01", "--end", "2024-02-29"]
WAREHOUSE = "warehouse/capsim.duckdb"


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory that a run has filled."""
    folder = tmp_path_factory.mktemp("made") / "data"
    result = run("run", *OPTIONS, "--data-dir", str(folder))
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def data_dir(_made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_made, tmp_path / "data"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(capsim, arguments)


def status(data_dir: Path, *arguments: str) -> Result:
    return run("status", *OPTIONS, "--data-dir", str(data_dir), *arguments)


def advised(output: str, what: str) -> str:
    """Return the command that is advised for something."""
    (line,) = [line for line in output.splitlines() if line.startswith(what) and "→" in line]
    return line.partition("→ ")[2]


def delete(*names: str) -> Callable[[Path], None]:
    def remove(data_dir: Path) -> None:
        for name in names:
            path = data_dir / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def truncate(name: str) -> Callable[[Path], None]:
    def cut(data_dir: Path) -> None:
        content = (data_dir / name).read_bytes()
        (data_dir / name).write_bytes(content[: len(content) * 2 // 3])

    return cut


def sql(statement: str) -> Callable[[Path], None]:
    def execute(data_dir: Path) -> None:
        with duckdb.connect(str(data_dir / WAREHOUSE)) as connection:
            connection.execute(statement)

    return execute


def append(name: str) -> Callable[[Path], None]:
    def add(data_dir: Path) -> None:
        with (data_dir / name).open("a") as file:
            file.write("x\n")

    return add


CSV = "legacy/2024/02/cpu_utilization_202402.csv"
FAULTS = {
    "all": (delete("warehouse", "master", "legacy"), ["host_inventory +\\? gone", "master_parquet +\\? gone"], "gone"),
    "warehouse": (truncate(WAREHOUSE), ["processed_data +! 0 of 2", "host_inventory +! damaged"], "damaged"),
    "no warehouse": (lambda path: (path / WAREHOUSE).write_text("text"), ["processed_data +! 0 of 2"], "damaged"),
    "table": (sql("DROP TABLE rejected_lines"), ["time_dimension +! damaged", "rejected_lines"], "damaged"),
    "rows": (sql("DELETE FROM processed_data WHERE ds < '2024-02-01'"), ["processed_data +! 1 of 2"], "damaged"),
    "hosts": (sql("DELETE FROM hosts WHERE host_id = 'srv-000003'"), ["9 rows instead of 10"], "damaged"),
    "master": (truncate("master/master_daily.parquet"), ["master_parquet +! damaged"], "damaged"),
    "truth": (delete("truth/events.parquet"), ["ground_truth +! damaged"], "damaged"),
    "feed": (delete("legacy/2024/02"), ["monthly_csv/cpu +\\? 1 of 2"], "gone"),
    "file": (append(CSV), ["monthly_csv/cpu +! 1 of 2", "damaged: monthly_csv/cpu: "], "damaged"),
    "page": (delete("audit"), ["refinery_audit +\\? gone"], "gone"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_gone_or_damaged_is_a_failure_and_named_with_the_command(fault: str, data_dir: Path) -> None:
    damage, expected, word = FAULTS[fault]
    damage(data_dir)

    result = status(data_dir)

    assert result.exit_code == 1, result.output
    for pattern in expected:
        assert re.search(pattern, result.output), result.output
    assert advised(result.output, f"{word}: ").startswith(("capsim ", "mv "))


def test_where_nothing_was_touched_the_disk_bears_out_what_is_recorded(data_dir: Path) -> None:
    result = status(data_dir)

    assert result.exit_code == 0
    assert "everything of the window is there" in result.output
    assert "26 passed" in result.output


NOTED: Final = """#!/bin/sh
for word; do printf '%s\\0' "$word"; done >"$NOTE"
"""
"""A command `capsim` that notes how it was called."""


def done_as_advised(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Do what is advised as a shell understands it; where that calls `capsim`, do it in this process."""
    script, note = folder / "bin" / "capsim", folder / "words"
    script.parent.mkdir()
    script.write_text(NOTED)
    script.chmod(0o755)
    monkeypatch.setenv("NOTE", str(note))
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    subprocess.run(["/bin/sh", "-c", line], check=True, capture_output=True)
    return run(*note.read_text().split("\0")[:-1])


@pytest.mark.parametrize("fault", ["all", "warehouse", "file"])
def test_what_is_advised_makes_whole_again_what_was_lost(
    fault: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage, _, word = FAULTS[fault]
    damage(data_dir)

    done = done_as_advised(advised(status(data_dir).output, f"{word}: "), tmp_path, monkeypatch)

    assert done.exit_code == 0, done.output
    result = status(data_dir)
    assert result.exit_code == 0, result.output
    assert "everything of the window is there" in result.output


def test_a_users_feed_that_a_command_loaded_is_shown_and_no_fleet_is_advised(tmp_path: Path) -> None:
    feed, data_dir = tmp_path / "exports", tmp_path / "work"
    write_feed(feed, [202405, 202406])
    where = ["--config", str(OTHER_TOOL), "--data-dir", str(data_dir)]
    assert run("refine", "--feed", str(feed), *where).exit_code == 0

    result = run("status", *where)

    assert result.exit_code == 0, result.output
    assert f"the feed in {feed}" in result.output
    assert re.search(r"processed_data +■ 2 of 2 months +549 ", result.output)
    assert "nothing is here" not in result.output
    assert "capsim run" not in result.output
    assert "capsim audit" in result.output.splitlines()[-1]

    write_feed(feed, [202407])
    more = run("status", *where).output

    assert advised(more, "missing: 2024-07") == f"capsim refine {shlex.join(where)}"


def test_a_panel_that_a_command_made_is_shown_and_no_fleet_is_missed(tmp_path: Path) -> None:
    where = ["--data-dir", str(tmp_path / "work")]
    assert run("panel", "generate", *OPTIONS, *where).exit_code == 0

    result = run("status", *OPTIONS, *where)

    assert result.exit_code == 0, result.output
    assert re.search(r"server_metrics +■ materialized", result.output)
    assert "missing" not in result.output.replace("○ missing", "")
    assert "capsim panel show" in result.output.splitlines()[-1]


def test_days_and_hours_on_disk_are_counted_and_those_gone_are_named(tmp_path: Path) -> None:
    where = ["--data-dir", str(tmp_path / "work")]
    assert run("archive", "--date", "2024-01-15..2024-01-16", *OPTIONS, *where).exit_code == 0

    found = run("status", *OPTIONS, *where)

    assert re.search(r"hourly_archive +2 days +2024-01-15 +2024-01-16", found.output)
    assert "capsim tier3 export --date 2024-01-15..2024-01-16" in found.output.splitlines()[-1]


def test_looking_writes_nothing(data_dir: Path) -> None:
    before = files_of(data_dir)

    status(data_dir)

    assert files_of(data_dir) == before


def files_of(data_dir: Path) -> dict[Path, bytes]:
    # SQLite keeps a log, which is empty, and its index beside a database that is read.
    found = {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file() and path.suffix != ".db-shm"}
    return {path: content for path, content in found.items() if content or path.suffix != ".db-wal"}


def test_a_record_of_runs_that_is_no_database_is_told_with_a_remedy(data_dir: Path) -> None:
    (data_dir / ".dagster/storage/history/runs/index.db").write_bytes(b"no database" * 1000)

    result = status(data_dir)

    assert result.exit_code == 1
    assert "the record of runs" in str(result.exception)
    assert "move" in str(result.exception)


def test_status_loads_no_dagster_where_every_run_is_finished(data_dir: Path) -> None:
    script = """if True:
        import sys
        from capsim_dagster.cli import capsim
        try:
            capsim()
        finally:
            heavy = {"dagster", "matplotlib", "obstore"} & {*sys.modules}
            assert not heavy, heavy
    """
    arguments = ["status", *OPTIONS, "--data-dir", str(data_dir)]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
