"""A warehouse that stays open from test to test is, for each of them, as it was built."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capsim_dagster.errors import WarehouseError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.kept_open import KeptOpen, kept_open
from capsim_dagster_tests.support.sabotage import feed_file, files_under, rows_in, run_sql


@pytest.fixture(scope="module")
def directory(_built_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptOpen]:
    with kept_open(_built_data, tmp_path_factory.mktemp("kept") / "data") as kept:
        yield kept


def _pipe_in_place_of_a_file(platform: Platform) -> None:
    feed_file(platform).unlink()
    os.mkfifo(feed_file(platform))


def _folder_in_place_of_a_file(platform: Platform) -> None:
    feed_file(platform).unlink()
    feed_file(platform).mkdir()
    (feed_file(platform) / "inside").touch()


def _files_and_links_too_many(platform: Platform) -> None:
    (platform.layout.root / "new" / "folder").mkdir(parents=True)
    (platform.layout.root / "new" / "folder" / "file").write_text("text")
    (platform.layout.root / "link").symlink_to("nowhere")


CHANGES: dict[str, Callable[[Platform], object]] = {
    "row changed": lambda platform: run_sql(platform, "UPDATE processed_data SET y = 1 WHERE host_id = 'srv-000003'"),
    "rows lost": lambda platform: run_sql(platform, "DELETE FROM hosts"),
    "fact changed": lambda platform: run_sql(platform, "UPDATE warehouse_info SET value = 'other'"),
    "file changed": lambda platform: feed_file(platform).write_bytes(feed_file(platform).read_bytes()[::-1]),
    "feed lost": lambda platform: shutil.rmtree(platform.layout.legacy),
    "pipe": _pipe_in_place_of_a_file,
    "folder": _folder_in_place_of_a_file,
    "too many": _files_and_links_too_many,
    "warehouse lost": lambda platform: platform.layout.warehouse.unlink(),
}
TOGETHER = (
    ("row changed", "rows lost", "fact changed", "file changed", "too many"),
    ("feed lost",),
    ("folder", "warehouse lost"),
    ("pipe",),
)
"""Which of them one test makes; together they are all."""


def test_every_change_is_made() -> None:
    assert sorted(CHANGES) == sorted(name for changes in TOGETHER for name in changes)


def everything_in(root: Path) -> dict[str, object]:
    platform = Platform(small_settings(root))
    found: dict[str, object] = {part: files_under(root / part) for part in ("legacy", "master", "truth")}
    found |= {table: rows_in(platform, table) for table in ("processed_data", "hosts", "warehouse_info", "feed_files")}
    return found | {"names": {path.name for path in root.iterdir()}}


def test_what_a_test_changed_is_as_before_for_the_next(directory: KeptOpen, own_platform: Platform) -> None:
    expected = everything_in(own_platform.layout.root)
    for changes in TOGETHER:
        with directory.lent() as root:
            for name in changes:
                CHANGES[name](Platform(small_settings(root)))
        with directory.lent() as root:
            found = everything_in(root)
        assert [part for part in expected if found[part] != expected[part]] == [], changes


def test_a_warehouse_that_is_gone_is_missed(directory: KeptOpen) -> None:
    with directory.lent() as root:
        platform = Platform(small_settings(root))
        platform.layout.warehouse.unlink()
        with pytest.raises(WarehouseError, match="no warehouse at"), platform.reading():
            pass


def test_a_warehouse_is_not_written_while_it_is_read(open_platform: Platform) -> None:
    with (
        open_platform.reading(),
        pytest.raises(AssertionError, match="is opened for writing while it is open for reading"),
        open_platform.writing(),
    ):
        pass


def test_what_is_not_committed_is_not_seen_by_another(open_platform: Platform) -> None:
    with open_platform.writing() as one, open_platform.writing() as other:
        one.execute("BEGIN")
        one.execute("DELETE FROM hosts")
        assert other.execute("SELECT count(*) FROM hosts").fetchall() == [(12,)]
        one.execute("ROLLBACK")
