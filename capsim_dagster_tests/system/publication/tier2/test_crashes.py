"""An export of an hour that is killed at any instant: no manifest without its data, and a re-run completes it."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.dataset.folder import read_published
from capsim_dagster.publication.tier2.export import pending_hours
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.verify import verify_hour
from capsim_dagster_tests.support.child_process import Nursery, nursery
from capsim_dagster_tests.support.publication.days import DAY, NOW, change_hour, files_in, names_in
from capsim_dagster_tests.support.publication.dying import export_code
from capsim_dagster_tests.support.publication.tier2.hours import HOUR, export, site

KILLS: Final = 8


@pytest.fixture(scope="module")
def exporting() -> Iterator[Nursery]:
    """Yield a process whose children export the hour."""
    with nursery(export_code("capsim_dagster_tests.support.publication.tier2.hours")) as process:
        yield process


def correct(root: Path) -> None:
    change_hour(root, HOUR, lambda lines: [{**each, "cpu": 1.0} for each in lines])


def duration(exporting: Nursery, root: Path) -> float:
    """Return how long a child takes that nobody kills [s]."""
    with exporting.child(root) as child:
        begin = time.monotonic()
        assert child.wait() == 0
        return time.monotonic() - begin


def test_an_export_that_is_killed_leaves_no_manifest_without_its_data_and_a_re_run_completes_it(
    exporting: Nursery, archive: Path, hour: Path, tmp_path: Path
) -> None:
    old = files_in(hour)
    shutil.copytree(hour, tmp_path / "old")
    correct(archive)
    longest = duration(exporting, archive)
    new = files_in(hour)
    draw, seen = np.random.default_rng(11), set()
    for instant in [0.0, *draw.uniform(0, 1.1 * longest, KILLS)]:
        shutil.rmtree(hour)
        shutil.copytree(tmp_path / "old", hour)
        with exporting.child(archive):
            time.sleep(instant)
        left = {name: content for name, content in files_in(hour).items() if not name.startswith(".")}
        seen.add("old" if left == old else "new" if left == new else "between")
        assert left in (old, new) or "manifest.json" not in left
        assert bool(pending_hours(site(archive), [DAY], now=NOW)) == (left != new)
        export(archive)
        assert files_in(hour) == new
        assert names_in(hour) == ["data.parquet", "manifest.json"]

    assert "old" in seen


@pytest.mark.parametrize("step", ["forget_manifest", "write_manifest"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_an_export_that_is_killed_just_before_or_after_a_step_is_completed_by_a_re_run(
    step: str, is_done: bool, exporting: Nursery, archive: Path, hour: Path
) -> None:
    correct(archive)
    with exporting.child(archive, step, int(is_done)) as child:
        child.until_ready()
    has_manifest = "manifest.json" in names_in(hour)

    # The old manifest stands until it is forgotten, the new one from when it is written.
    assert has_manifest == ((step, is_done) in {("forget_manifest", False), ("write_manifest", True)})
    assert (read_published(hour, HourManifest) is not None) == has_manifest
    export(archive)
    assert verify_hour(hour).passed
    assert names_in(hour) == ["data.parquet", "manifest.json"]


def test_of_two_processes_at_once_one_publishes_and_the_other_is_refused(exporting: Nursery, archive: Path) -> None:
    with exporting.child(archive, "forget_manifest", 1) as child:
        child.until_ready()
        with pytest.raises(PublicationError, match="another process is publishing into"):
            export(archive)

    # The kernel let go of the folder with the process.
    assert not export(archive).is_unchanged
