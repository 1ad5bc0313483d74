"""What a watch remembers, how its requests are named, and which months are loaded already."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from capsim_dagster.pipeline.feed_watch import FileMark, Snapshot, Stamp, feed_name, loaded_months, read_snapshot
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.support.foreign_feed import file_of, foreign_platform, refined, with_refinery, write_feed
from capsim_dagster_tests.support.pipeline.watching import JUNE, MAY, SHA, Watch, rewrite


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    return write_feed(tmp_path / "exports")


@pytest.fixture
def watch(tmp_path: Path, exports: Path) -> Watch:
    return Watch(foreign_platform(tmp_path / "work", exports))


def test_key_of_a_request_is_the_same_for_the_same_look_and_differs_between_months(watch: Watch) -> None:
    watch.look()
    before = watch.snapshot

    first = watch.look()
    watch.snapshot = before
    second = watch.look()

    assert first.key([MAY, JUNE]) == second.key([JUNE, MAY])
    assert len({first.key([MAY, JUNE]), first.key([MAY]), first.key([JUNE])}) == 3


def test_keys_of_a_file_that_changes_to_and_fro_all_differ(watch: Watch, exports: Path) -> None:
    """Dagster runs a key once: were the same content the same key, a file put back would stay unloaded."""
    watch.settle()
    path = file_of(exports, MAY)
    texts = [path.read_text(), "other"] * 2
    keys = []
    for text in texts[1:]:
        rewrite(path, text)
        watch.look()
        keys.append(watch.look().key([MAY]))

    assert len(set(keys)) == 3


def test_keys_of_two_watches_over_the_same_feed_differ(watch: Watch) -> None:
    watch.look()
    before = watch.snapshot
    keys = set()
    for since in ("2026-01-01", "2026-01-02"):
        watch.snapshot = replace(before, since=since)
        keys.add(watch.look().key([MAY]))

    assert len(keys) == 2


def test_snapshot_is_the_same_after_its_json(watch: Watch) -> None:
    full = Snapshot(
        feed="f",
        since="s",
        changes=3,
        files={"a": FileMark(1, -2, SHA)},
        moving={"b": Stamp(3, 4), "c": None},
    )

    assert read_snapshot(full.as_json()) == full
    assert read_snapshot(watch.settle().snapshot.as_json()) == watch.snapshot


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "not json",
        '{"feed": "f", "since": "s", "version": 2}',
        '{"feed": "f", "since": "s", "unknown": 1}',
        '{"feed": "f", "since": "s", "files": {"a": [1, 2]}}',
        '{"feed": "f", "since": "s", "files": {"a": [1, 2, "short"]}}',
        '{"feed": "f", "since": "s", "changes": -1}',
    ],
)
def test_damaged_snapshot_is_none(text: str) -> None:
    assert read_snapshot(text) is None


def test_snapshot_that_is_cut_off_anywhere_is_none() -> None:
    text = Snapshot(feed="f", since="s", files={"a": FileMark(1, -2, SHA)}, moving={"b": None}).as_json()

    assert [length for length in range(len(text)) if read_snapshot(text[:length]) is not None] == []


def test_files_of_the_snapshot_that_are_not_of_the_layout_are_dropped(watch: Watch) -> None:
    watch.settle()
    watch.snapshot = replace(watch.snapshot, files={**watch.snapshot.files, "old/CPU.csv": FileMark(1, 2, SHA)})

    assert watch.look().changed == {}
    assert "old/CPU.csv" not in watch.snapshot.files


@pytest.mark.parametrize("refinery", [{"feed_dir": Path("/elsewhere")}, {"resources": (Resource.CPU,)}])
def test_feed_of_another_folder_or_other_resources_has_another_name(
    watch: Watch, refinery: Mapping[str, object]
) -> None:
    assert feed_name(with_refinery(watch.platform, **refinery)) != feed_name(watch.platform)


def test_month_is_loaded_if_the_table_holds_just_its_files(watch: Watch) -> None:
    watch.look()
    months = watch.look().changed
    assert loaded_months(watch.platform, months) == set()

    refined(watch.platform, [MAY])

    assert loaded_months(watch.platform, months) == {MAY}
    for other in ({}, {**months[MAY], "2024-05/NET.csv": SHA}, {**months[MAY], "2024-05/CPU.csv": SHA}):
        assert loaded_months(watch.platform, {MAY: other}) == set()


def test_no_month_of_another_feed_is_loaded(watch: Watch, exports: Path, tmp_path: Path) -> None:
    refined(watch.platform, [MAY])
    shutil.copytree(exports, tmp_path / "copy")
    other = Watch(with_refinery(watch.platform, feed_dir=tmp_path / "copy"))
    other.look()

    assert loaded_months(other.platform, other.look().changed) == set()


def test_no_month_is_known_to_be_loaded_where_the_table_cannot_be_read(watch: Watch) -> None:
    refined(watch.platform, [MAY])
    watch.look()
    months = watch.look().changed
    warehouse = watch.platform.layout.warehouse
    whole = warehouse.read_bytes()
    for broken in (b"no database", whole[: len(whole) // 2]):
        warehouse.write_bytes(broken)

        assert loaded_months(watch.platform, months) == set()
