"""An export that is killed at any step: what lies there is whole, or is told to be apart, and the next one mends it."""

import hashlib
from typing import Any

import pytest

from capsim_dagster.legacy_feed.export import export_piece
from capsim_dagster.legacy_feed.manifest import list_path
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster_tests.support.child_process import OPEN_PLATFORM, READY, kill, started
from capsim_dagster_tests.support.legacy_feed.dirty_exports import FEBRUARY_CPU, PIECES, dirty, export_all, listed
from capsim_dagster_tests.support.sabotage import feed_file, files_under

MISSING: dict[str, Any] = {"file_share": 1, "file_faults": {"missing": 1}}
LINES: dict[str, Any] = {"line_share": 0.2}
STOP_BEFORE_RENAME = f"""{OPEN_PLATFORM}
from capsim_dagster.legacy_feed import export
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster.schemas import Resource
def stop(*_):
    {READY}
export.inspect_file = stop
export.export_piece(
    MasterFile(platform.layout.master), platform.contract, FeedPiece(202302, Resource.CPU), platform.layout.defects
)
"""
STOP_BEFORE_UNLINK = STOP_BEFORE_RENAME.replace("export.inspect_file = stop", "export.remove_list = stop")
STOP_BETWEEN_LIST_AND_FILE = f"""{OPEN_PLATFORM}
from contextlib import contextmanager
from capsim_dagster.legacy_feed import export
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster.schemas import Resource
write_list = export.staged_list
@contextmanager
def write_list_and_stop(*arguments, **facts):
    with write_list(*arguments, **facts) as stored:
        yield stored
    {READY}
export.staged_list = write_list_and_stop
export.export_piece(
    MasterFile(platform.layout.master), platform.contract, FeedPiece(202302, Resource.CPU), platform.layout.defects
)
"""


@pytest.fixture
def master(platform: Platform) -> MasterFile:
    return MasterFile(platform.layout.master)


def test_export_killed_before_its_end_leaves_the_old_file(platform: Platform, master: MasterFile) -> None:
    whole = files_under(platform.layout.legacy)
    feed_file(platform).write_text("the old file\n")
    with started(STOP_BEFORE_RENAME, platform.settings.model_dump_json()) as exporter:
        kill(exporter)
    assert feed_file(platform).read_text() == "the old file\n"
    assert len(list(platform.contract.files())) == len(PIECES)
    export_piece(master, platform.contract, FEBRUARY_CPU, platform.layout.defects)
    assert files_under(platform.layout.legacy) == whole


def test_dirty_export_killed_between_list_and_file_leaves_them_apart_and_is_repaired_by_the_next(
    platform: Platform, master: MasterFile
) -> None:
    before = feed_file(platform).read_bytes()
    dirtied = dirty(platform, **LINES)
    with started(STOP_BETWEEN_LIST_AND_FILE, dirtied.settings.model_dump_json()) as exporter:
        kill(exporter)
    assert feed_file(platform).read_bytes() == before
    assert listed(platform).sha256 != hashlib.sha256(before).hexdigest()
    written = export_piece(master, dirtied.contract, FEBRUARY_CPU, platform.layout.defects)
    assert listed(platform).sha256 == written.sha256 == hashlib.sha256(feed_file(platform).read_bytes()).hexdigest()
    assert [path.name for path in feed_file(platform).parent.iterdir() if path.name.startswith(".")] == []


def test_file_to_be_missing_killed_before_it_is_removed_is_told_by_its_list(platform: Platform) -> None:
    gone = dirty(platform, **MISSING)
    with started(STOP_BETWEEN_LIST_AND_FILE, gone.settings.model_dump_json()) as exporter:
        kill(exporter)
    assert feed_file(platform).exists()
    assert listed(platform).sha256 == ""
    export_all(gone)
    assert not feed_file(platform).exists()


def test_clean_export_killed_before_the_list_is_removed_leaves_one_that_does_not_match(
    platform: Platform, master: MasterFile
) -> None:
    clean = feed_file(platform).read_bytes()
    export_all(dirty(platform, **LINES))
    with started(STOP_BEFORE_UNLINK, platform.settings.model_dump_json()) as exporter:
        kill(exporter)
    assert feed_file(platform).read_bytes() == clean
    assert listed(platform).sha256 != hashlib.sha256(clean).hexdigest()
    export_piece(master, platform.contract, FEBRUARY_CPU, platform.layout.defects)
    assert not list_path(platform.contract, platform.layout.defects, FEBRUARY_CPU).exists()
