import datetime as dt
from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsim_dagster.audits.fingerprints import (
    Fingerprint,
    PieceKey,
    feed_fingerprints,
    fingerprints,
    master_fingerprints,
    table_month_fingerprints,
    view_table,
)
from capsim_dagster.errors import MasterError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.conftest import MONTHS
from capsim_dagster_tests.support.audits.relations_of_rows import RELATION, Row, show
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.sabotage import change_lines, feed_file, replace_field, rewrite_master

DAYS = st.dates(dt.date(2023, 1, 30), dt.date(2023, 2, 2))
HOSTS = st.sampled_from(["srv-000001", "srv-000002", "srv-1000000"])
VALUES = st.none() | st.integers(0, 10_000).map(lambda hundredths: hundredths / 100)
ROWS = st.builds(Row, DAYS, HOSTS, st.sampled_from(["cpu", "disk"]), VALUES, st.sampled_from([1.0, 64.0]))
FEW = settings(deadline=None, max_examples=12)
"""For laws that every example tries whole, whatever its rows: one that is broken shows in the first few."""
CONTENT = ("rows", "reported", "key_checksum", "checksum")


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


def fingerprinted(connection: duckdb.DuckDBPyConnection, rows: list[Row]) -> dict[PieceKey, Fingerprint]:
    show(connection, rows)
    return fingerprints(connection, RELATION)


def multisets(rows: list[Row]) -> dict[PieceKey, Counter[Row]]:
    found: dict[PieceKey, Counter[Row]] = {}
    for row in rows:
        found.setdefault((row.date.year * 100 + row.date.month, row.resource), Counter())[row] += 1
    return found


def content(found: dict[PieceKey, Fingerprint]) -> dict[PieceKey, tuple[object, ...]]:
    return {piece: tuple(getattr(f, name) for name in CONTENT) for piece, f in found.items()}


@FEW
@given(st.lists(ROWS, max_size=12).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_fingerprint_does_not_depend_on_order(
    connection: duckdb.DuckDBPyConnection, both: tuple[list[Row], list[Row]]
) -> None:
    rows, permuted = both
    assert fingerprinted(connection, rows) == fingerprinted(connection, permuted)


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(ROWS, min_size=1, max_size=8), other=ROWS, index=st.integers(0, 7))
def test_fingerprint_is_equal_just_when_the_rows_are(
    connection: duckdb.DuckDBPyConnection, rows: list[Row], other: Row, index: int
) -> None:
    changed = list(rows)
    changed[index % len(rows)] = other
    equal = fingerprinted(connection, rows) == fingerprinted(connection, changed)
    assert equal == (multisets(rows) == multisets(changed))


@FEW
@given(rows=st.lists(ROWS, min_size=1, max_size=8), which=st.sampled_from(Row._fields), index=st.integers(0, 7))
def test_fingerprint_changes_with_any_single_field(
    connection: duckdb.DuckDBPyConnection, rows: list[Row], which: str, index: int
) -> None:
    row = rows[index % len(rows)]
    new: Any = {
        "date": row.date + dt.timedelta(1),
        "host_id": row.host_id + "0",
        "resource": "memory",
        "util": 0.01 if row.util is None else None,
        "capacity": row.capacity + 1,
    }[which]
    changed = [*rows[: index % len(rows)], row._replace(**{which: new}), *rows[index % len(rows) + 1 :]]
    assert fingerprinted(connection, rows) != fingerprinted(connection, changed)


@FEW
@given(rows=st.lists(ROWS, min_size=2, max_size=8, unique=True))
def test_fingerprint_sees_a_duplicate_in_place_of_a_missing_row(
    connection: duckdb.DuckDBPyConnection, rows: list[Row]
) -> None:
    assert fingerprinted(connection, [rows[1], *rows[1:]]) != fingerprinted(connection, rows)


@FEW
@given(rows=st.lists(ROWS, max_size=12))
def test_fingerprint_counts_what_is_there(connection: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    found = fingerprinted(connection, rows)
    for piece, members in multisets(rows).items():
        values = [row.util for row in members.elements() if row.util is not None]
        assert found[piece].rows == members.total()
        assert found[piece].reported == len(values)
        assert (found[piece].low, found[piece].high) == (min(values, default=None), max(values, default=None))
    assert found.keys() == multisets(rows).keys()


@each_case(
    ("other", "difference"),
    [
        (Fingerprint(10, 9, 7, 5), ""),
        (Fingerprint(10, 9, 7, 5, low=1, high=2), ""),
        (Fingerprint(1_011, 9, 7, 5), "10 rows instead of 1,011"),
        (Fingerprint(10, 9, 8, 5), "other hosts or days"),
        (Fingerprint(10, 8, 7, 5), "9 values instead of 8"),
        (Fingerprint(10, 9, 7, 6), "other values or capacities"),
    ],
)
def test_difference_is_said_in_words(other: Fingerprint, difference: str) -> None:
    assert Fingerprint(10, 9, 7, 5).differs_from(other) == difference


def test_master_feed_and_table_of_equal_content_have_equal_fingerprints(platform: Platform) -> None:
    master = content(master_fingerprints(platform.layout.master))
    paths = {path: (piece.month, piece.resource.value) for piece, path in platform.contract.pieces().items()}
    feed, rejected = feed_fingerprints(paths)
    with platform.reading() as connection:
        view_table(connection)
        table = content(fingerprints(connection, "table_rows"))
        february = content(table_month_fingerprints(connection, 202302))
    assert set(master) == {(month, resource.value) for month in MONTHS for resource in Resource}
    assert content({paths[path]: found for path, found in feed.items()}) == master
    assert table == master
    assert february == {piece: found for piece, found in master.items() if piece[0] == 202302}
    assert rejected == {}


def test_gaps_of_master_and_feed_have_equal_fingerprints(platform: Platform) -> None:
    before = master_fingerprints(platform.layout.master)[202302, "cpu"].reported
    change_lines(feed_file(platform), replace_field(2, 2, ""))
    rewrite_master(
        platform, lambda frame: frame.with_columns(p95_util=frame["p95_util"].scatter(0, None).alias("p95_util"))
    )
    feed, _ = feed_fingerprints([feed_file(platform)])
    master = master_fingerprints(platform.layout.master)[202302, "cpu"]
    assert master.reported == before - 1
    assert feed[feed_file(platform)].differs_from(master) == ""


def test_feed_lines_that_do_not_parse_are_told_with_their_line(platform: Platform) -> None:
    path = feed_file(platform)
    change_lines(path, replace_field(6, 2, "n/a"))
    found, rejected = feed_fingerprints([path])
    assert found[path].rows == 28 * 12 - 1
    assert [line.split(":")[0] for line in rejected[path]] == ["line 6, column util"]
    assert "n/a" in rejected[path][0]


def test_no_files_have_no_fingerprints() -> None:
    assert feed_fingerprints([]) == ({}, {})


def test_master_fingerprints_notice_that_the_file_was_rewritten(platform: Platform) -> None:
    before = master_fingerprints(platform.layout.master)
    assert master_fingerprints(platform.layout.master) is before
    rewrite_master(platform, lambda frame: frame.with_columns(capacity=frame["capacity"] + 1))
    after = master_fingerprints(platform.layout.master)
    assert {piece: after[piece].differs_from(before[piece]) for piece in before} == dict.fromkeys(
        before, "other values or capacities"
    )


def test_torn_master_has_no_fingerprints(platform: Platform) -> None:
    path = platform.layout.master
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MasterError) as caught:
        master_fingerprints(path)
    assert str(path) in caught.value.found


def test_path_with_a_quote_is_read(platform: Platform) -> None:
    odd = platform.layout.master.with_name("the host's master.parquet")
    platform.layout.master.rename(odd)
    assert len(master_fingerprints(odd)) == len(MONTHS) * len(Resource)
