"""A load that is killed or runs out of disk at any instant: every month is old or new, and a re-run repairs it."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest

from capsim_dagster.audits.fingerprints import fingerprints, rows_of, view_table
from capsim_dagster.pipeline import refine, stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import Settings, load_settings
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.child_process import FORK, nursery

KILLS: Final = 8
MONTHS: Final = [202300 + month for month in range(1, 7)]
DIRT: Final = {"line_share": 0.05, "truncated_share": 0.3, "dialect_share": 0.5}
LOAD: Final = f"""
import json, sys
from capsim_dagster.pipeline import refine
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.errors import WarehouseError
from capsim_dagster.settings import Settings
{FORK}
platform, months = Platform(Settings.model_validate(json.loads(sys.argv[1]))), json.loads(sys.argv[2])
"""
LOAD_ALL: Final = LOAD + 'list(refine.processed_data(platform, months, run="child"))\n'
LOAD_UNTIL_FULL: Final = (
    LOAD.replace(FORK, "")
    + """
try:
    list(refine.processed_data(platform, months, run="child"))
    print("loaded")
except WarehouseError as error:
    print(error)
"""
)
LIMIT_FILES: Final = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
"""

State = dict[int, tuple[Any, ...]]


class Feeds(NamedTuple):
    """A fleet whose clean feed is loaded and whose feed on disk is a dirty one by now.

    Attributes:
        platform: Settings and paths; its warehouse may be broken by a test.
        warehouse: The warehouse with the clean feed, to start from.
        old: What it holds.
        new: What it holds once the dirty feed is loaded without disturbance.
    """

    platform: Platform
    warehouse: Path
    old: State
    new: State


def settings(folder: Path, **defects: float) -> Settings:
    fleet = {"num_servers": 60, "start_date": "2023-01-01", "end_date": "2023-06-30"}
    return load_settings(
        CONFIG,
        {
            "data_generation": fleet,
            "storage": {"local_base_path": folder, "lock_timeout_seconds": 20},
            "legacy_feed": {"defects": defects},
            "refinery": {"max_rejected_share": 0.5},
        },
    )


def state(platform: Platform) -> State:
    """Return by month what the table holds, with the accounts but for run and time."""
    with platform.reading() as connection:
        view_table(connection)
        found = fingerprints(connection, "table_rows")
        files = rows_of(connection, "SELECT * EXCLUDE (run, loaded_at) FROM feed_files ORDER BY ALL")
        rejected = rows_of(connection, "SELECT * EXCLUDE (run) FROM rejected_lines ORDER BY ALL")
    return {
        month: (
            sorted((key, rows) for key, rows in found.items() if key[0] == month),
            [row for row in files if row[1] == month],
            [row for row in rejected if row[1] == month],
        )
        for month in MONTHS
    }


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Feeds:
    folder = tmp_path_factory.mktemp("crashes")
    clean, dirty = Platform(settings(folder)), Platform(settings(folder, **DIRT))
    stages.host_inventory(clean)
    stages.time_calendar(clean)
    stages.master_parquet(clean)
    list(stages.monthly_csv(clean, MONTHS))
    list(refine.processed_data(clean, MONTHS, run="old"))
    old, kept = state(clean), folder / "old.duckdb"
    shutil.copy(clean.layout.warehouse, kept)
    list(stages.monthly_csv(dirty, MONTHS))
    list(refine.processed_data(dirty, MONTHS, run="new"))
    return Feeds(dirty, kept, old, state(dirty))


def go_back(feeds: Feeds) -> None:
    """Put the warehouse with the clean feed back."""
    shutil.rmtree(feeds.platform.layout.warehouse.parent)
    feeds.platform.layout.warehouse.parent.mkdir()
    shutil.copy(feeds.warehouse, feeds.platform.layout.warehouse)


def new_months(feeds: Feeds) -> int:
    """Return how many months are new, having made sure that each of the others is old."""
    found = state(feeds.platform)
    new = [month for month in MONTHS if found[month] == feeds.new[month]]
    assert {month: found[month] for month in MONTHS if month not in new} == {
        month: feeds.old[month] for month in MONTHS if month not in new
    }
    return len(new)


def require_repair(feeds: Feeds) -> None:
    list(refine.processed_data(feeds.platform, MONTHS, run="again"))
    assert state(feeds.platform) == feeds.new


def arguments(feeds: Feeds) -> tuple[str, str]:
    return feeds.platform.settings.model_dump_json(), json.dumps(MONTHS)


def test_old_and_new_state_differ_in_every_month(feeds: Feeds) -> None:
    assert all(feeds.old[month] != feeds.new[month] for month in MONTHS)
    assert all(feeds.new[month][2] for month in MONTHS)


def test_a_load_killed_at_any_instant_leaves_each_month_old_or_new_and_a_rerun_repairs_the_rest(feeds: Feeds) -> None:
    go_back(feeds)
    done = []
    with nursery(LOAD_ALL) as loading:
        with loading.child(*arguments(feeds)) as child:
            began = time.monotonic()
            assert child.wait() == 0
            duration_s = time.monotonic() - began
        assert new_months(feeds) == len(MONTHS)
        for instant in np.random.default_rng(20).uniform(0, duration_s, KILLS).tolist():
            go_back(feeds)
            with loading.child(*arguments(feeds)):
                time.sleep(instant)
            done.append(new_months(feeds))
            require_repair(feeds)
    # The kills did fall into the load: some months were new, others were not.
    assert sum(0 < months < len(MONTHS) for months in done) >= KILLS // 4


def test_a_load_that_meets_its_file_size_limit_leaves_each_month_old_or_new(feeds: Feeds) -> None:
    go_back(feeds)
    limit = feeds.platform.layout.warehouse.stat().st_size // 4
    said = subprocess.run(
        [sys.executable, "-c", f"import sys\n{LIMIT_FILES}{LOAD_UNTIL_FULL}", *arguments(feeds), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot be written" in said.stdout, said.stderr
    assert "check disk and memory" in said.stdout
    assert new_months(feeds) < len(MONTHS)
    require_repair(feeds)


def on_a_small_disk(folder: Path, size: int, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with a small file system at a folder, in a mount namespace of its own."""
    script = f'mount -t tmpfs -o size={size} tmpfs {folder} && exec "$@"'
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *command],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )


def _can_mount(folder: Path) -> bool:
    return shutil.which("unshare") is not None and on_a_small_disk(folder, 65_536, "true").returncode == 0


def test_a_load_on_a_full_disk_leaves_each_month_old_or_new(feeds: Feeds, tmp_path: Path) -> None:
    if not _can_mount(tmp_path):
        pytest.skip("this system lets nobody mount a small file system")
    go_back(feeds)
    # The warehouse moves to the small disk, is loaded there until it is full, and comes back as it was left.
    disk, home = tmp_path / "disk", feeds.platform.layout.warehouse.parent
    disk.mkdir()
    size = feeds.warehouse.stat().st_size + 300_000
    script = f'cp {feeds.warehouse} {disk}/capsim.duckdb && mount --bind {disk} {home} && "$@"; cp {disk}/* {tmp_path}'
    command = [sys.executable, "-c", f"import sys\n{LOAD_UNTIL_FULL}", *arguments(feeds)]
    said = on_a_small_disk(disk, size, "sh", "-c", script, "sh", *command)
    assert "cannot be written" in said.stdout, said.stdout + said.stderr
    assert "No space left" in said.stdout
    for left in tmp_path.glob("capsim.duckdb*"):
        shutil.copy(left, home / left.name)
    assert new_months(feeds) < len(MONTHS)
    require_repair(feeds)
