"""An export or an upload that is killed at any instant: no manifest without its data, and a re-run completes it."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from capsim_dagster.publication.dataset.folder import read_published
from capsim_dagster.publication.dataset.upload import Outcome, fetched, upload
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster.storage.bucket import Bucket
from capsim_dagster_tests.support.child_process import FORK, Nursery, nursery
from capsim_dagster_tests.support.publication.days import DAY, change_hour, export, files_in, names_in
from capsim_dagster_tests.support.publication.dying import export_code

KILLS: Final = 8
UPLOAD: Final = f"""
from pathlib import Path
from capsim_dagster.publication.dataset.upload import upload
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.storage.bucket import Bucket
from capsim_dagster.storage.connection import Connection
{FORK}
upload(Path(sys.argv[1]), DayManifest, Bucket(Connection(sys.argv[2], endpoint_url=sys.argv[3])), sys.argv[4])
"""


@pytest.fixture(scope="module")
def exporting() -> Iterator[Nursery]:
    """Yield a process whose children export the day."""
    with nursery(export_code("capsim_dagster_tests.support.publication.days")) as process:
        yield process


def duration(processes: Nursery, *arguments: object) -> float:
    """Return how long a child takes that nobody kills [s]."""
    with processes.child(*arguments) as child:
        begin = time.monotonic()
        assert child.wait() == 0
        return time.monotonic() - begin


def kill_after(seconds: float, processes: Nursery, *arguments: object) -> None:
    with processes.child(*arguments) as child:
        time.sleep(seconds)
        child.kill()


def test_an_export_that_is_killed_leaves_no_manifest_without_its_data_and_a_re_run_completes_it(
    exporting: Nursery, root: Path, published: Path, tmp_path: Path
) -> None:
    old = files_in(published)
    change_hour(root, 7, lambda lines: [{**each, "cpu": 1.0} for each in lines])
    shutil.copytree(published, tmp_path / "old")
    longest = duration(exporting, root)
    new = files_in(published)
    draw, seen = np.random.default_rng(11), set()
    for instant in draw.uniform(0, 1.1 * longest, KILLS):
        shutil.rmtree(published)
        shutil.copytree(tmp_path / "old", published)
        kill_after(instant, exporting, root)
        left = {name: content for name, content in files_in(published).items() if not name.startswith(".")}
        seen.add("old" if left == old else "new" if left == new else "between")
        assert left in (old, new) or "manifest.json" not in left
        export(root)
        assert files_in(published) == new
        assert names_in(published) == ["data.parquet", "manifest.json"]

    assert new != old
    assert {"old"} <= seen


@pytest.mark.parametrize("step", ["forget_manifest", "write_manifest"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_an_export_that_is_killed_just_before_or_after_a_step_is_completed_by_a_re_run(
    step: str, is_done: bool, exporting: Nursery, root: Path, published: Path
) -> None:
    change_hour(root, 7, lambda lines: [{**each, "cpu": 1.0} for each in lines])
    with exporting.child(root, step, int(is_done)) as child:
        child.until_ready()
    has_manifest = "manifest.json" in names_in(published)

    # The old manifest stands until it is forgotten, the new one from when it is written.
    assert has_manifest == ((step, is_done) in {("forget_manifest", False), ("write_manifest", True)})
    assert (read_published(published, DayManifest) is not None) == has_manifest
    export(root)
    assert verify_dataset(published).passed
    assert names_in(published) == ["data.parquet", "manifest.json"]


def test_an_upload_that_is_killed_leaves_no_manifest_without_its_data_and_a_re_run_completes_it(
    bucket: Bucket, s3_endpoint: str, published: Path
) -> None:
    name = bucket.connection.bucket
    with nursery(UPLOAD) as uploading:
        longest = duration(uploading, published, name, s3_endpoint, "first")
        draw, left = np.random.default_rng(12), set()
        for number, instant in enumerate(draw.uniform(0, 1.1 * longest, KILLS)):
            prefix = f"killed/{number}"
            kill_after(instant, uploading, published, name, s3_endpoint, prefix)
            with fetched(bucket, f"{prefix}/{DAY}") as folder:
                left.add(len(names_in(folder)))
                assert read_published(folder, DayManifest) is not None or "manifest.json" not in names_in(folder)
            assert upload(published, DayManifest, bucket, prefix).outcome in (Outcome.PUBLISHED, Outcome.UNCHANGED)
            with fetched(bucket, f"{prefix}/{DAY}") as folder:
                assert verify_dataset(folder).passed

    assert 0 in left
