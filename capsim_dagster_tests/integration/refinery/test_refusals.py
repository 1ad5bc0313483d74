"""Whole files and months that are refused: named, with the remedy, and the previous rows stay."""

import gzip
import os
from collections.abc import Callable

import duckdb
import pytest

from capsim_dagster.errors import CapsimError, FeedError, GateError, WarehouseError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.load import load_month
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.integration.refinery.test_load import FEED_FILE, feed, load, loaded
from capsim_dagster_tests.support.sabotage import change_lines, feed_file, replace_field, rows_in

Act = Callable[[Platform], object]


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def _write(content: bytes) -> Act:
    return lambda platform: feed_file(platform).write_bytes(content)


def _lines(change: Callable[[list[str]], list[str]]) -> Act:
    return lambda platform: change_lines(feed_file(platform), change)


def _truncated_gzip(platform: Platform) -> None:
    path = feed_file(platform)
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes())[:-20])
    path.unlink()


def _two_claims(platform: Platform) -> None:
    path = feed_file(platform)
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))


def _another_month(platform: Platform) -> None:
    feed_file(platform).write_bytes(feed_file(platform, 202301).read_bytes())


def _another_resource(platform: Platform) -> None:
    feed_file(platform).write_bytes(feed_file(platform, resource=Resource.MEMORY).read_bytes())


def _folder(platform: Platform) -> None:
    feed_file(platform).unlink()
    feed_file(platform).mkdir()


def _pipe(platform: Platform) -> None:
    feed_file(platform).unlink()
    os.mkfifo(feed_file(platform))


def _link_to_nothing(platform: Platform) -> None:
    feed_file(platform).unlink()
    feed_file(platform).symlink_to("gone.csv")


FILES: dict[str, tuple[Act, str, str]] = {
    "missing": (lambda platform: feed_file(platform).unlink(), "missing", "no such file"),
    "renamed": (lambda p: feed_file(p).rename(f"{feed_file(p)}.bak"), "missing", "renamed? the folder holds"),
    "folder": (_folder, "missing", "no such file"),
    "pipe": (_pipe, "unreadable", "a pipe or a device, not a file"),
    "link to nothing": (_link_to_nothing, "unreadable", "a link to gone.csv, which is not there"),
    "empty": (_write(b""), "empty", "no byte"),
    "blank lines": (_write(b"\n\n \n"), "empty", "blank lines only"),
    "header alone": (_lines(lambda x: x[:1]), "empty", "a header and no data line"),
    "truncated gzip": (_truncated_gzip, "unreadable_gzip", "cut off or damaged"),
    "binary": (_write(b"PK\x03\x04\x14\x00\x00\x00"), "not_csv", "no line of text"),
    "other header": (
        _lines(lambda x: ["day,machine,cpu,cores", *x[1:]]),
        "no_usable_header",
        "'day,machine,cpu,cores'",
    ),
    "no header": (_lines(lambda x: x[1:]), "no_usable_header", "no column date or ds"),
    "two claims": (_two_claims, "ambiguous", "both claim to be 2023-02 cpu"),
    "copy of another": (_another_resource, "duplicate_file", "the same as 2023/02/memory_stats_202302.csv"),
    "another month": (_another_month, "another_month", "372 of 372 lines are of 2023-01 under the name of 2023-02"),
}


@pytest.mark.parametrize(("damage", "reason", "says"), FILES.values(), ids=FILES)
def test_unusable_file_is_named_with_its_fault_and_the_month_stays(
    platform: Platform, damage: Act, reason: str, says: str
) -> None:
    before = loaded(platform)
    damage(platform)
    with pytest.raises(FeedError) as caught:
        load(platform)
    assert FEED_FILE in caught.value.found
    assert says in caught.value.found
    assert "2023-02" in caught.value.found
    assert loaded(platform) == before
    refused = [(row[0].removesuffix(".gz"), *row[1:4]) for row in rows_in(platform, "refused_files")]
    assert refused == [(FEED_FILE, 202302, "cpu", reason)]


@pytest.mark.parametrize("name", ["missing", "no header", "copy of another"])
def test_partial_month_loads_the_sound_files_and_keeps_the_rest(platform: Platform, name: str) -> None:
    """Of a file that is not there, one that is refused when it is read, and one that is refused beside another."""
    damage, reason, says = FILES[name]
    before = loaded(platform)
    damage(platform)
    change_lines(feed_file(platform, resource=Resource.DISK), replace_field(6, 2, "20.01"))
    month = load(platform, allow_partial=True)
    assert month.is_partial
    assert [(file.fault.value, says in file.detail) for file in month.refused] == [(reason, True)]
    assert {file.piece.resource for file in month.files} == set(Resource) - {Resource.CPU}
    rows, files = loaded(platform)
    assert {row[2] for row in set(rows) ^ set(before[0])} == {"disk"}
    assert {row[2] for row in set(files) ^ set(before[1])} == {"disk"}


UNLIKE_THE_MASTER: dict[str, tuple[Act, str]] = {
    "value changed within bounds": (_lines(replace_field(6, 2, "20.01")), "other values or capacities"),
    "value changed in a far digit": (
        _lines(lambda x: [*x[:5], x[5].rpartition(",")[0] + "0001," + x[5].rpartition(",")[2], *x[6:]]),
        "other values or capacities",
    ),
    "capacity changed": (_lines(replace_field(6, 3, "65")), "other values or capacities"),
    "value lost": (_lines(replace_field(6, 2, "")), "values instead of"),
    "row lost": (_lines(lambda x: x[:-1]), "335 rows instead of 336"),
    "host of another": (
        _lines(lambda x: [*x[:5], x[5].replace("001,", "002,"), *x[6:]]),
        "334 rows instead of 336; rejected: line 6 conflicting_duplicate",
    ),
    "values of two days swapped": (
        _lines(lambda x: [*x[:1], x[1][:10] + x[2][10:], x[2][:10] + x[1][10:], *x[3:]]),
        "other values",
    ),
    "last line cut off": (
        lambda p: feed_file(p).write_bytes(feed_file(p).read_bytes()[:-9]),
        "line 337 truncated_line",
    ),
}


@pytest.mark.parametrize(("damage", "says"), UNLIKE_THE_MASTER.values(), ids=UNLIKE_THE_MASTER)
def test_file_unlike_the_master_is_refused_by_name_and_the_table_stays(
    platform: Platform, damage: Act, says: str
) -> None:
    before = loaded(platform)
    damage(platform)
    with pytest.raises(GateError) as caught:
        load(platform, with_master=True)
    assert says in caught.value.found
    assert FEED_FILE in caught.value.found
    assert loaded(platform) == before


def _spoil(platform: Platform, count: int) -> None:
    """Make the values of so many of the 1,344 lines of February unreadable."""
    for line in range(2, 2 + count):
        change_lines(feed_file(platform), replace_field(line, 2, "abc"))


@pytest.mark.parametrize(("count", "is_refused"), [(13, False), (14, True)])
def test_month_with_more_rejected_lines_than_allowed_is_refused(
    platform: Platform, count: int, *, is_refused: bool
) -> None:
    before = loaded(platform)
    _spoil(platform, count)
    if not is_refused:
        assert load(platform).rejected == count
        return
    with pytest.raises(GateError) as caught:
        load(platform)
    assert f"{count} of 336 lines are rejected (unparsable_value {count})" in caught.value.found
    assert "--allow-partial" in caught.value.remedy
    assert loaded(platform) == before
    assert rows_in(platform, "rejected_lines") == []
    assert [row[3] for row in rows_in(platform, "refused_files")] == ["too_many_rejected"]


def test_too_dirty_month_is_loaded_where_a_partial_one_is_allowed_and_says_so(platform: Platform) -> None:
    _spoil(platform, 14)
    month = load(platform, allow_partial=True)
    assert (month.is_partial, month.is_too_dirty, month.rejected) == (True, True, 14)
    assert len(rows_in(platform, "rejected_lines")) == 14


def test_allowed_share_is_a_setting(platform: Platform) -> None:
    _spoil(platform, 14)
    assert load(platform, max_rejected_share=0.02).rejected == 14
    with pytest.raises(GateError):
        load(platform, 202302, max_rejected_share=0.0)


def test_file_that_was_refused_and_is_mended_is_no_longer_refused(platform: Platform) -> None:
    whole = feed_file(platform).read_bytes()
    feed_file(platform).unlink()
    with pytest.raises(FeedError):
        load(platform)
    assert len(rows_in(platform, "refused_files")) == 1
    feed_file(platform).write_bytes(whole)
    load(platform)
    assert rows_in(platform, "refused_files") == []


def test_two_equal_files_are_both_refused_where_nothing_tells_which_is_right(platform: Platform) -> None:
    alike = {
        resource: columns.model_copy(update={"value_column": "value", "capacity_column": "size"})
        for resource, columns in platform.settings.legacy_feed.resources.items()
    }
    contract = platform.settings.legacy_feed.model_copy(update={"resources": alike})
    generic = Platform(platform.settings.model_copy(update={"legacy_feed": contract}))
    for resource in Resource:
        change_lines(feed_file(platform, resource=resource), lambda x: ["date,host_id,value,size", *x[1:]])
    _another_resource(platform)
    month = load(generic, allow_partial=True)
    assert {(file.piece.resource, file.fault.value) for file in month.refused} == {
        (Resource.CPU, "duplicate_file"),
        (Resource.MEMORY, "duplicate_file"),
    }


def test_resources_that_are_not_asked_for_may_be_missing(platform: Platform) -> None:
    feed_file(platform).unlink()
    month = load(platform, resources=(Resource.MEMORY, Resource.DISK))
    assert [file.piece.resource for file in month.files] == [Resource.MEMORY, Resource.DISK]


def test_file_that_cannot_be_read_is_named(platform: Platform) -> None:
    # Opens like any file, for root as well, and fails when it is read.
    feed_file(platform).unlink()
    feed_file(platform).symlink_to("/proc/self/mem")
    with pytest.raises(FeedError, match="it cannot be read: Input/output error"):
        load(platform)
    assert [row[3] for row in rows_in(platform, "refused_files")] == ["unreadable"]


def test_failed_month_does_not_stop_the_next_one(platform: Platform) -> None:
    feed_file(platform).unlink()
    chosen = feed(platform)
    with platform.writing() as connection:
        with pytest.raises(FeedError):
            load_month(connection, chosen, 202302)
        assert load_month(connection, chosen, 202303).rows == 31 * 12 * 4


def test_full_disk_is_not_blamed_on_the_feed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    before = loaded(platform)
    change_lines(feed_file(platform), replace_field(6, 2, "20.01"))

    def full(*_: object) -> None:
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr("capsim_dagster.refinery.load.replace_rows", full)
    with pytest.raises(WarehouseError, match="202302 cannot be written: No space left") as caught:
        load(platform)
    assert "previous rows are untouched" in caught.value.remedy
    assert loaded(platform) == before
    assert not isinstance(caught.value, FeedError)
    assert isinstance(caught.value, CapsimError)
