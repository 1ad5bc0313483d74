"""SIGTERM and Ctrl-C end each command that writes at once, with its exit code and nothing half-written."""

import datetime as dt
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication import hourly_archive
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.commands import Capsim

FLEET = ["--hosts", "60", "--start", "2023-01-01", "--end", "2023-02-28"]


def nothing(_root: Path) -> list[str]:
    return FLEET


def with_archive(root: Path) -> list[str]:
    platform = Platform(small_settings(root, num_servers=60, start_date="2023-01-01", end_date="2023-02-28"))
    hourly_archive(platform, dt.date(2023, 1, 1), today=dt.date(2023, 1, 2))
    return FLEET


def with_feed(root: Path) -> list[str]:
    made = Platform(small_settings(root.parent / "made", num_servers=120, end_date="2023-06-30"))
    if not made.layout.legacy.exists():
        for stage in (stages.host_inventory, stages.time_calendar, stages.master_parquet, stages.ground_truth):
            stage(made)
        list(stages.monthly_csv(made, range(202301, 202307)))
    return ["--feed", str(made.layout.legacy)]


COMMANDS: dict[str, tuple[list[str], Callable[[Path], list[str]], str]] = {
    "archive": (["archive", "--date", "2023-01-01..2023-02-28"], nothing, "archive/20230101/*.gz"),
    "tier3 export": (["tier3", "export", "--date", "2023-01-01"], with_archive, "output/tier3_daily/*/.data.parquet.*"),
    "refine": (["refine"], with_feed, "warehouse/*.duckdb.wal"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_ends_it(command: str, tmp_path: Path, loaded_capsim: Capsim) -> None:
    words, prepare, begun = COMMANDS[command]
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        root = tmp_path / number.name
        with loaded_capsim.started(*words, *prepare(root), "--data-dir", root) as running:
            while not list(root.glob(begun)):
                assert not running.process.is_over(), running.out + running.err
                time.sleep(0.005)
            running.process.send_signal(number)
            assert running.wait() == code, running.out + running.err

        assert "interrupted" in running.err
        assert "Traceback" not in running.out + running.err
        assert list(root.rglob("*.tmp")) == []
