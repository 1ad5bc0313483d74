"""Watching a feed: what counts as a change, what waits, and what is never asked for."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capsim_dagster.errors import FeedError
from capsim_dagster.pipeline import feed_watch
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.support.foreign_feed import file_of, foreign_platform, write_feed
from capsim_dagster_tests.support.pipeline.watching import JUNE, MAY, SHA, Watch, digest, rewrite, touch

MAY_FILES = ["2024-05/CPU.csv", "2024-05/DSK.csv", "2024-05/MEM.csv"]


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    return write_feed(tmp_path / "exports")


@pytest.fixture
def watch(tmp_path: Path, exports: Path) -> Watch:
    return Watch(foreign_platform(tmp_path / "work", exports))


def test_first_look_asks_for_nothing_and_the_second_for_every_month(watch: Watch) -> None:
    first, second, third = watch.look(), watch.look(), watch.look()

    assert (set(first.changed), set(first.waiting)) == (set(), {MAY, JUNE})
    assert (set(second.changed), second.waiting) == ({MAY, JUNE}, {})
    assert second.first_seen == {MAY, JUNE}
    assert (third.changed, third.waiting, third.outside) == ({}, {}, ())


def test_changed_month_comes_with_the_content_of_its_files(watch: Watch, exports: Path) -> None:
    watch.look()

    assert watch.look().changed[MAY] == {name: digest(exports / name) for name in MAY_FILES}


def test_unchanged_feed_is_not_read(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.settle()
    monkeypatch.setattr(feed_watch, "sha256", lambda path: pytest.fail(f"{path} was read"))

    assert watch.look().changed == {}


def test_new_file_asks_for_its_month_alone_once_two_looks_saw_it(watch: Watch, exports: Path) -> None:
    watch.settle()
    write_feed(exports, [202407])

    first, second, third = watch.look(), watch.look(), watch.look()

    assert (set(first.changed), set(first.waiting)) == (set(), {202407})
    assert set(second.changed) == second.first_seen == {202407}
    assert third.changed == {}


def test_changed_file_asks_for_its_month_alone_and_is_the_only_one_read(
    watch: Watch, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.settle()
    rewrite(file_of(exports, JUNE), "other")
    read: list[Path] = []

    def note(path: Path) -> str:
        read.append(path)
        return digest(path)

    monkeypatch.setattr(feed_watch, "sha256", note)

    watch.look()
    found = watch.look()

    assert (set(found.changed), found.first_seen) == ({JUNE}, frozenset())
    assert read == [file_of(exports, JUNE)]


def test_change_that_keeps_the_size_is_seen_by_its_time(watch: Watch, exports: Path) -> None:
    watch.settle()
    path = file_of(exports, MAY)
    rewrite(path, path.read_text().replace("web-017", "web-018"))

    watch.look()

    assert set(watch.look().changed) == {MAY}


def test_file_that_is_still_growing_keeps_its_month_waiting(watch: Watch, exports: Path) -> None:
    watch.settle()
    path = file_of(exports, JUNE)
    for length in (10, 20, 30):
        rewrite(path, "x" * length)
        found = watch.look()
        assert found.changed == {}
        assert found.waiting == {JUNE: "2024-06/CPU.csv: new, changed or gone since the last look"}

    assert watch.look().changed[JUNE]["2024-06/CPU.csv"] == hashlib.sha256(b"x" * 30).hexdigest()


def test_whole_month_waits_for_the_file_that_is_still_being_copied(watch: Watch, exports: Path) -> None:
    watch.settle()
    rewrite(file_of(exports, JUNE), "whole")
    watch.look()
    rewrite(file_of(exports, JUNE, Resource.DISK), "half")

    assert watch.look().changed == {}
    assert set(watch.look().changed) == {JUNE}


def test_file_that_is_written_while_it_is_read_waits(
    watch: Watch, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.settle()
    path = file_of(exports, JUNE)
    rewrite(path, "half")
    watch.look()

    def read_too_early(_path: Path) -> str:
        rewrite(path, "whole")
        return SHA

    with monkeypatch.context() as patch:
        patch.setattr(feed_watch, "sha256", read_too_early)
        assert watch.look().waiting == {JUNE: "2024-06/CPU.csv: it is written at this moment"}

    assert watch.look().changed == {}
    assert watch.look().changed[JUNE]["2024-06/CPU.csv"] == hashlib.sha256(b"whole").hexdigest()


def test_touched_files_ask_for_nothing_and_are_read_once(
    watch: Watch, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.settle()
    for name in MAY_FILES:
        touch(exports / name)

    assert [watch.look().changed for _ in range(2)] == [{}, {}]

    monkeypatch.setattr(feed_watch, "sha256", lambda path: pytest.fail(f"{path} was read"))
    last = watch.look()
    assert (last.changed, last.waiting) == ({}, {})


def test_file_rewritten_with_what_it_held_asks_for_nothing(watch: Watch, exports: Path) -> None:
    watch.settle()
    path = file_of(exports, MAY)
    text = path.read_text()
    rewrite(path, "other")
    watch.look()
    rewrite(path, text)

    assert [watch.look().changed for _ in range(3)] == [{}, {}, {}]


def test_removed_file_asks_for_its_month_and_so_does_its_return(watch: Watch, exports: Path) -> None:
    watch.settle()
    path = file_of(exports, JUNE)
    whole = digest(path)
    path.rename(exports / "away")
    assert watch.look().waiting == {JUNE: "2024-06/CPU.csv: new, changed or gone since the last look"}
    assert set(watch.look().changed[JUNE]) == {"2024-06/DSK.csv", "2024-06/MEM.csv"}
    (exports / "away").rename(path)
    watch.look()

    assert watch.look().changed[JUNE]["2024-06/CPU.csv"] == whole
    assert watch.look().changed == {}


def test_month_that_is_gone_as_a_whole_is_asked_for_once_with_no_file(watch: Watch, exports: Path) -> None:
    watch.settle()
    shutil.rmtree(exports / "2024-06")
    watch.look()

    assert watch.look().changed == {JUNE: {}}
    assert watch.look().changed == {}


def test_file_that_is_away_for_one_look_only_asks_for_nothing(watch: Watch, exports: Path) -> None:
    watch.settle()
    file_of(exports, JUNE).rename(exports / "away")
    watch.look()
    (exports / "away").rename(file_of(exports, JUNE))

    last = watch.look()
    assert (last.changed, last.waiting) == ({}, {})


def test_compressed_twin_of_a_file_is_a_change_of_its_month(watch: Watch, exports: Path) -> None:
    watch.settle()
    (exports / "2024-06" / "CPU.csv.gz").write_bytes(b"twin")
    watch.look()

    assert "2024-06/CPU.csv.gz" in watch.look().changed[JUNE]


def test_files_that_the_refinery_does_not_read_are_not_watched(watch: Watch, exports: Path) -> None:
    watch.settle()
    for name in ("2024-06/NET.csv", "2024-06/readme.txt", "2024-06/.CPU.csv.swp", ".snapshot/2024-05/CPU.csv"):
        (exports / name).parent.mkdir(parents=True, exist_ok=True)
        (exports / name).write_text("not watched")

    assert [watch.look().waiting for _ in range(2)] == [{}, {}]


@pytest.mark.parametrize("is_empty", [False, True])
def test_feed_that_is_gone_or_empty_is_an_error_that_says_what_was_expected(
    watch: Watch, exports: Path, is_empty: bool
) -> None:
    watch.settle()
    exports.rename(exports.with_name("unmounted"))
    if is_empty:
        exports.mkdir()
        (exports / "lost+found").write_text("")

    said = "none of the 1 files .* is in the layout, e.g. 2024-01/CPU.csv; found lost" if is_empty else "no folder "
    with pytest.raises(FeedError, match=said):
        watch.look()


def test_feed_that_comes_back_as_it_was_asks_for_nothing(watch: Watch, exports: Path) -> None:
    watch.settle()
    away = exports.rename(exports.with_name("unmounted"))
    for _ in range(2):
        with pytest.raises(FeedError):
            watch.look()
    away.rename(exports)

    last = watch.look()
    assert (last.changed, last.waiting) == ({}, {})


def test_folder_that_cannot_be_listed_is_an_error_and_its_files_are_not_gone(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.settle()
    real = os.scandir

    def refuse(path: str) -> object:
        if os.fspath(path).endswith("2024-06"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        for _ in range(2):
            with pytest.raises(PermissionError, match="2024-06"):
                watch.look()

    assert watch.look().changed == {}


def test_file_that_is_out_of_reach_is_not_gone(watch: Watch, exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.settle()
    path = file_of(exports, JUNE)
    path.rename(exports / "away")

    def refuse(_self: Path) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "lstat", refuse)
    with pytest.raises(PermissionError):
        watch.look()


def test_file_that_cannot_be_read_keeps_its_month_waiting_and_no_other(
    watch: Watch, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = file_of(exports, MAY)

    def read(path: Path) -> str:
        if path == refused:
            raise PermissionError(13, "Permission denied", str(path))
        return digest(path)

    with monkeypatch.context() as patch:
        patch.setattr(feed_watch, "sha256", read)
        watch.look()
        found = watch.look()
        assert set(found.changed) == {JUNE}
        assert found.waiting == {MAY: f"{refused}: Permission denied"}

    assert set(watch.look().changed) == {MAY}


def test_month_outside_is_not_asked_for_nor_read_until_it_may_be(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.may_ask = lambda month: month != JUNE
    with monkeypatch.context() as patch:
        patch.setattr(
            feed_watch, "sha256", lambda path: digest(path) if "2024-05" in str(path) else pytest.fail("read")
        )
        found = [watch.look() for _ in range(3)]
    assert [set(look.changed) for look in found] == [set(), {MAY}, set()]
    assert {look.outside for look in found} == {(JUNE,)}

    watch.may_ask = lambda _month: True

    assert set(watch.look().changed) == {JUNE}


def test_look_reads_so_many_bytes_and_the_next_one_goes_on(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_watch, "MAX_BYTES_A_LOOK", 1)
    watch.look()

    first, second = watch.look(), watch.look()

    assert (set(first.changed), set(first.waiting)) == ({MAY}, {JUNE})
    assert "one of the next looks" in first.waiting[JUNE]
    assert (set(second.changed), second.waiting) == ({JUNE}, {})


PATHS = tuple(f"2024-0{month}/{prefix}.csv" for month in (5, 6) for prefix in ("CPU", "MEM"))
STEPS = st.one_of(
    st.just("look"),
    st.tuples(st.just("write"), st.sampled_from(PATHS), st.sampled_from(["a", "b", "longer"])),
    st.tuples(st.just("touch"), st.sampled_from(PATHS), st.just("")),
    st.tuples(st.just("remove"), st.sampled_from(PATHS), st.just("")),
)


@settings(max_examples=30)
@given(steps=st.lists(STEPS, max_size=25))
@example(steps=[("write", PATHS[2], "a"), ("write", PATHS[3], "a"), "look", ("remove", PATHS[2], "")])
def test_whatever_happens_to_files_each_month_is_asked_for_when_and_only_when_its_content_rests_and_differs(
    steps: list[str | tuple[str, str, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "exports"
        write_feed(root, [202404])
        watch = Watch(foreign_platform(Path(folder) / "work", root))
        asked: dict[int, Mapping[str, str]] = {}
        seen: dict[int, dict[str, int]] = {}
        for clock, step in enumerate([*steps, "look", "look", "look"]):
            if isinstance(step, tuple):
                apply(root, step, clock)
                continue
            times = {month: times_of(root, month) for month in (202404, MAY, JUNE)}
            for month, content in watch.look().changed.items():
                assert content == content_of(root, month)
                assert content != asked.get(month, {})
                assert times[month] == seen[month]
                asked[month] = content
            seen = times

        there = {month: content_of(root, month) for month in (202404, MAY, JUNE)}
        assert {month: asked.get(month, {}) for month in there} == there


def apply(root: Path, step: tuple[str, str, str], clock: int) -> None:
    """Do one thing to a file; each has a time of its own, as the clock of a file system is too coarse for a test."""
    action, name, text = step
    path = root / name
    if action == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    if action == "remove":
        path.unlink(missing_ok=True)
    elif path.exists():
        os.utime(path, ns=(clock * 10**9, clock * 10**9))


def files_of(root: Path, month: int) -> list[Path]:
    return sorted((root / f"{month // 100}-{month % 100:02d}").glob("*.csv"))


def content_of(root: Path, month: int) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): digest(path) for path in files_of(root, month)}


def times_of(root: Path, month: int) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in files_of(root, month)}
