import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import duckdb
import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster.errors import SettingsError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import ROOT
from capsim_dagster_tests.support.commands import Capsim

STAGES = [
    "host_inventory",
    "time_dimension",
    "fleet checks",
    "master_parquet",
    "master checks",
    "ground_truth",
    "truth checks",
    "monthly_csv",
    "feed checks",
    "processed_data",
    "processed_data, again",
    "table checks",
    "audit checks",
    "all stages",
]
"""The stages that are measured, and their total."""
SMALL = ["--hosts", "12", "--end", "2023-02-28"]


def run_capsim(*arguments: str, data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "capsim_dagster.cli", *arguments, "--data-dir", str(data_dir)],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
    )


def run_here(*arguments: str, data_dir: Path) -> Result:
    """Run the main job in this process."""
    return CliRunner().invoke(capsim, ["run", *arguments, "--data-dir", str(data_dir)])


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def made_in(data_dir: Path) -> tuple[dict[str, str], dict[str, str], dict[str, str], list[tuple[object, ...]]]:
    """Return digests of feed, master and truth, and the rows of the table."""
    with duckdb.connect(str(data_dir / "warehouse" / "capsim.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT * FROM processed_data ORDER BY ALL").fetchall()
    return digests(data_dir / "legacy"), digests(data_dir / "master"), digests(data_dir / "truth"), rows


@pytest.mark.parametrize("command", capsim.list_commands(click.Context(capsim)))
def test_each_command_has_help_and_stands_in_the_readme(command: str) -> None:
    result = CliRunner().invoke(capsim, [command, "--help"])

    assert result.exit_code == 0
    assert capsim.commands[command].help
    assert f"capsim {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_each_option_has_help() -> None:
    context = click.Context(capsim)
    silent = [
        f"{name} {option.opts[0]}"
        for name in capsim.list_commands(context)
        for option in getattr(capsim.get_command(context, name), "params", ())
        if not getattr(option, "help", None)
    ]

    assert silent == []


def test_run_builds_audits_warns_and_summarizes_and_a_second_run_changes_no_byte_and_no_row(
    tmp_path: Path, loaded_capsim: Capsim
) -> None:
    stray = tmp_path / "legacy" / "notes.txt"
    stray.parent.mkdir()
    stray.write_text("not a feed file")
    first = run_capsim("run", *SMALL, data_dir=tmp_path)
    stray.unlink()
    before = made_in(tmp_path)

    second = loaded_capsim.done("run", *SMALL, "--data-dir", tmp_path)

    assert (first.returncode, first.stderr) == (0, ""), first.stdout
    assert (second.wait(), second.err) == (0, ""), second.out
    assert "25 of 26 checks passed, 1 warning; all gates hold" in first.stdout
    said = re.sub(r"[│\s]+", " ", first.stdout)
    assert "notes.txt is not in the layout {year}/{month}/{prefix}_{yearmonth}.csv" in said
    assert "26 of 26 checks passed; all gates hold" in second.out
    assert re.search(r"processed_data\s+│\s+2 │ 2,832 │", first.stdout)
    assert made_in(tmp_path) == before
    assert (len(before[0]), len(before[-1])) == (8, 2_832)


def test_run_ends_with_one_when_a_gate_fails_says_why_and_writes_the_audit_page_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSIM__REFINERY__MAX_REJECTED_SHARE", "0")

    finished = run_here(*SMALL, "--dirty", data_dir=tmp_path)

    assert finished.exit_code == 1
    assert "a gate failed" in finished.stdout
    assert "lines are rejected" in finished.stdout
    page = tmp_path / "audit" / "refinery.html"
    assert f"audit page: {page}" in finished.stdout
    assert page.is_file()


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--hosts", "9"], {}, "data_generation.num_servers: found 9"),
        (["--hosts", "9"], {}, "(given by --hosts)"),
        (["--end", "2023-02-30"], {}, "expected a date that exists, as YYYY-MM-DD"),
        (["--end", "2022-12-31"], {}, "end_date 2022-12-31 must not be before start_date 2023-01-01"),
        ([], {"CAPSIM__DATA_GENERATION__NUM_SERVER": "50"}, "data_generation.num_server: no such setting"),
        (["--config", "nowhere.yaml"], {}, "settings file nowhere.yaml not found"),
    ],
)
def test_run_refuses_bad_settings_before_anything_is_written(
    arguments: list[str], environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    finished = run_capsim("run", *arguments, data_dir=tmp_path / "data", **environment)

    assert finished.returncode == 2
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "data").exists()


def test_dirty_run_finds_every_defect_and_one_with_other_settings_replaces_the_fleet_and_its_months(
    tmp_path: Path,
) -> None:
    dirty = run_here("--dirty", "--checks", *SMALL, data_dir=tmp_path)

    refused = run_here("--hosts", "10", "--end", "2023-01-31", data_dir=tmp_path)
    finished = run_here("--hosts", "10", "--end", "2023-01-31", "--replace", data_dir=tmp_path)

    assert dirty.exit_code == 0, dirty.output
    assert "26 of 26 checks passed; all gates hold" in dirty.stdout
    said = re.sub(r"[│\s]+", " ", dirty.stdout)
    counted = re.search(r"injected_defects_are_found (\d+) injected, (\d+) found, 0 missed, 0 false alarms", said)
    assert counted is not None
    assert int(counted[1]) == int(counted[2]) > 0
    assert isinstance(refused.exception, SettingsError)
    assert re.search(r"monthly_csv: 2 months, \d+ files", str(refused.exception))
    assert finished.exit_code == 0, finished.stdout
    assert sorted(digests(tmp_path / "legacy")) == [
        f"2023/01/{prefix}_202301.csv"
        for prefix in ("cpu_utilization", "memory_stats", "net_throughput", "storage_usage")
    ]


def test_run_ends_within_seconds_on_a_signal_and_a_later_run_repairs(tmp_path: Path, loaded_capsim: Capsim) -> None:
    arguments = ["--hosts", "60", "--end", "2023-06-30"]
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with loaded_capsim.started("run", *arguments, "--data-dir", tmp_path) as running:
            running.until_it_says("master_parquet:")

            running.process.send_signal(number)
            began = time.monotonic()

            assert running.wait() == code, running.out + running.err
        assert time.monotonic() - began < 60
        assert "interrupted: what was complete stays" in running.err
        assert "Traceback" not in running.out + running.err
        assert list(tmp_path.rglob("*.tmp")) == []
    assert run_here(*arguments, data_dir=tmp_path).exit_code == 0


def test_bench_measures_every_stage_and_its_floor_and_says_nothing_else() -> None:
    options = ["--hosts", "10", "--end", "2023-01-31", "--json", "--without-dagster"]
    finished = subprocess.run(
        [sys.executable, "-m", "capsim_dagster.cli", "bench", *options],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (finished.returncode, finished.stderr) == (0, "")
    measured = {row["stage"]: row for row in json.loads(finished.stdout)["10"]}
    rows = {"host_inventory": 10, "time_dimension": 31, "fleet checks": 10} | dict.fromkeys(STAGES[3:], 10 * 4 * 31)
    days = ["hourly_archive, a day", "tier3_daily, a day", "tier3 verify, a day"]
    parts = [name for name in measured if name.startswith("floor: ")]
    assert list(measured) == [*STAGES, "pictures", *parts, "floor", *days]
    assert {name: measured[name]["rows"] for name in STAGES} == rows
    assert {measured[name]["rows"] for name in [*parts, "floor"]} == {10 * 4 * 31}
    assert {measured[name]["rows"] for name in days} == {10 * 288}
    for *summed, total in (STAGES, [*parts, "floor"]):
        for column, whole in (("cpu_s", sum), ("wall_s", sum), ("peak_rss_mib", max)):
            assert measured[total][column] == pytest.approx(whole(measured[name][column] for name in summed))
    assert measured["all stages"]["x_floor"] == pytest.approx(
        measured["all stages"]["cpu_s"] / measured["floor"]["cpu_s"]
    )
    assert all(row["wall_s"] > 0 and row["peak_rss_mib"] > 10 for row in measured.values())


def test_run_reports_a_locked_warehouse_after_a_bounded_wait(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSIM__STORAGE__LOCK_TIMEOUT_SECONDS", "0.5")
    warehouse = platform.layout.warehouse
    code = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(warehouse)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        finished = run_here(data_dir=platform.layout.root)
    finally:
        holder.kill()
        holder.communicate()

    assert finished.exit_code == 1
    assert "is held by another process after 0.5 s" in finished.stdout
    assert "close that connection" in finished.stdout
