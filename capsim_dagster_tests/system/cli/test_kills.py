"""Commands that are killed at any instant, in containers of changing host names: the next one repairs, and never waits.

CAPSIM_KILLS sets how often each command is killed; after every five it is let finish, and what it made is compared.
"""

import datetime as dt
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pytest
from dagster import DagsterInstance

from capsim_dagster.orchestration.keys import WAREHOUSE_POOL
from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication import hourly_archive
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.child_process import require_host_names
from capsim_dagster_tests.support.commands import Capsim

KILLS: Final = int(os.environ.get("CAPSIM_KILLS", "3"))
IN_A_ROW: Final = 5
WINDOW: Final = {"num_servers": 12, "start_date": "2023-01-01", "end_date": "2023-02-28"}
FLEET: Final = ["--hosts", "12", "--start", "2023-01-01", "--end", "2023-02-28"]
Facts = dict[str, object]


def digests(root: Path, *folders: str) -> Facts:
    files = sorted(path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def table(root: Path) -> Facts:
    query = (
        "SELECT count(*), sum(y::DECIMAL(18, 4)), count(DISTINCT host_id),"
        " bit_xor(hash(host_id, resource, ds, y, capacity))"
    )
    with duckdb.connect(str(root / "warehouse/capsim.duckdb"), read_only=True) as connection:
        rows = connection.execute(f"{query} FROM processed_data").fetchone()
        files = connection.execute("SELECT count(*), sum(lines) FROM feed_files").fetchone()
    return {"processed_data": rows, "feed_files": files}


def nothing(_root: Path) -> None:
    """Leave the directory empty."""


def archived(root: Path) -> None:
    hourly_archive(Platform(small_settings(root, **WINDOW)), dt.date(2023, 1, 1), today=dt.date(2023, 1, 2))


def fed(root: Path) -> None:
    made = Platform(small_settings(root.parent / "made", **WINDOW))
    if not made.layout.legacy.exists():
        for stage in (stages.host_inventory, stages.time_calendar, stages.master_parquet, stages.ground_truth):
            stage(made)
        list(stages.monthly_csv(made, [202301, 202302]))


def of_run(root: Path) -> Facts:
    return digests(root, "master", "truth", "legacy") | table(root)


def of_export(root: Path) -> Facts:
    folder = root / "output/tier3_daily/2023-01-01"
    return digests(root, "archive") | digests(folder, "data.parquet") | {"verified": verify_dataset(folder).passed}


@dataclass(frozen=True)
class Case:
    """A command, what it needs, and what it makes."""

    words: list[str]
    prepare: Callable[[Path], None]
    facts: Callable[[Path], Facts]

    def line(self, root: Path) -> list[str]:
        """Return what is typed after `capsim`."""
        words = [word.format(made=root.parent / "made") for word in self.words]
        return [*words, "--data-dir", str(root)]


CASES: Final = {
    "run": Case(["run", *FLEET], nothing, of_run),
    "refine": Case(["refine", "--feed", "{made}/legacy"], fed, table),
    "archive": Case(
        ["archive", *FLEET, "--date", "2023-01-01..2023-01-02"], nothing, lambda root: digests(root, "archive")
    ),
    "tier3 export": Case(["tier3", "export", *FLEET, "--date", "2023-01-01"], archived, of_export),
}


def finish(capsim: Capsim, case: Case, root: Path, host: str) -> str:
    """Let the command finish, and return what it printed."""
    done = capsim.done(*case.line(root), host=host)
    assert done.wait() == 0, done.out + done.err
    return done.out + done.err


def kill(capsim: Capsim, case: Case, root: Path, host: str, seconds: float) -> str:
    """Kill the command after some time, and return what it had printed."""
    with capsim.started(*case.line(root), host=host) as running:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not running.process.is_over():
            time.sleep(0.002)
        running.process.kill()
    return running.out + running.err


def rounds(seed: int, longest: float) -> Iterator[list[float]]:
    """Yield the instants of kills in a row."""
    instants = np.random.default_rng(seed).uniform(0, 1.05 * longest, KILLS)
    for first in range(0, KILLS, IN_A_ROW):
        yield [float(instant) for instant in instants[first : first + IN_A_ROW]]


def require_clean_history(root: Path) -> None:
    if not (root / ".dagster").exists():
        return
    with DagsterInstance.from_config(str(root / ".dagster")) as instance:
        assert all(run.is_finished for run in instance.get_runs())
        info = instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL)
        assert not info.claimed_slots
        assert not info.pending_steps
    assert list(root.rglob("*.lock")) in ([], [root / ".dagster/opening.lock"])


@pytest.mark.parametrize("name", CASES)
def test_killed_under_changing_host_names_it_is_repaired_by_the_next_one_without_a_wait(
    name: str, tmp_path: Path, loaded_capsim: Capsim
) -> None:
    require_host_names()
    case, unkilled = CASES[name], tmp_path / "unkilled"
    case.prepare(unkilled)
    began = time.monotonic()
    finish(loaded_capsim, case, unkilled, "first")
    longest, expected = time.monotonic() - began, case.facts(unkilled)

    for number, instants in enumerate(rounds(len(name), longest)):
        root = tmp_path / f"killed {number}"
        case.prepare(root)
        said = [kill(loaded_capsim, case, root, f"host{index}", instant) for index, instant in enumerate(instants)]
        said.append(finish(loaded_capsim, case, root, "last"))

        assert case.facts(root) == expected
        assert not any("waiting for" in text for text in said)
        assert list(root.rglob("*.tmp")) == []
        require_clean_history(root)
