import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from capsim_dagster.audits.fingerprints import master_fingerprints
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery import load as load_module
from capsim_dagster.refinery.accounts import replace_rows, retire_months
from capsim_dagster.refinery.load import Feed, LoadedMonth, load_month
from capsim_dagster.refinery.rules import HostTable, ReadRules
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.conftest import MONTHS
from capsim_dagster_tests.support.sabotage import (
    change_lines,
    feed_file,
    files_under,
    replace_field,
    rows_in,
    run_sql,
)

FEED_FILE = "2023/02/cpu_utilization_202302.csv"


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def feed(platform: Platform, *, with_master: bool = False, **refinery: object) -> Feed:
    """Return the feed of a platform as somebody else's, or with what the master says of it."""
    hosts = frozenset(row[0] for row in rows_in(platform, "hosts"))
    settings = platform.settings.refinery.model_copy(update=refinery)
    rules = ReadRules(platform.settings.legacy_feed, settings, hosts)
    source = master_fingerprints(platform.layout.master) if with_master else None
    return Feed(platform.contract, HostTable(rules), "test", source)


def load(platform: Platform, month: int = 202302, *, with_master: bool = False, **refinery: object) -> LoadedMonth:
    chosen = feed(platform, with_master=with_master, **refinery)
    with platform.writing() as connection:
        return load_month(connection, chosen, month)


def loaded(platform: Platform) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the rows of the table, and the accounts of the files without run and time."""
    return rows_in(platform, "processed_data"), [row[:-2] for row in rows_in(platform, "feed_files")]


def rejected(platform: Platform) -> list[tuple[Any, ...]]:
    """Return the rejected lines without the run."""
    return [row[:-1] for row in rows_in(platform, "rejected_lines")]


def test_table_holds_each_line_of_each_file(platform: Platform) -> None:
    expected = [
        (dt.datetime.fromisoformat(day), host, resource.value, float(value) if value else None, 100.0, float(capacity))
        for month in MONTHS
        for resource in Resource
        for line in feed_file(platform, month, resource).read_text().splitlines()[1:]
        for day, host, value, capacity in [line.split(",")]
    ]
    assert rows_in(platform, "processed_data") == sorted(expected, key=lambda row: row[:3])


def test_rows_returned_are_the_lines_of_all_files(platform: Platform) -> None:
    month = load(platform)
    assert month.month == 202302
    assert month.rows == month.lines == 28 * 12 * 4
    assert [file.piece for file in month.files] == [FeedPiece(202302, resource) for resource in Resource]


def test_files_are_recorded_with_their_facts(platform: Platform) -> None:
    month = load(platform)
    dialect = '{"encoding": "utf-8", "delimiter": ",", "decimal": ".", "dates": "%Y-%m-%d", "traits": []}'
    recorded = [row for row in loaded(platform)[1] if row[1] == 202302]
    assert recorded == sorted(
        (
            str(path.relative_to(platform.layout.legacy)),
            202302,
            file.piece.resource.value,
            len(path.read_bytes()),
            file.sha256,
            28 * 12,
            28 * 12,
            0,
            file.checksum,
            dialect,
            file.rules,
        )
        for file in month.files
        for path in [platform.contract.path(file.piece)]
    )


def test_a_large_month_is_inserted_in_pieces_and_is_the_same(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loaded(platform)
    run_sql(platform, "DELETE FROM processed_data WHERE month(ds) = 2")
    run_sql(platform, "DELETE FROM feed_files WHERE yearmonth = 202302")
    inserts = list[int]()

    def counted(connection: Any, month: int, frames: Mapping[Resource, pl.DataFrame]) -> None:  # noqa: ANN401
        inserts.append(len(frames))
        replace_rows(connection, month, frames)

    monkeypatch.setattr(load_module, "replace_rows", counted)
    monkeypatch.setattr(load_module, "_ROWS_HELD", 700)  # a file has 336

    assert not load(platform).is_unchanged

    assert inserts == [2, 2]
    assert loaded(platform) == before


@pytest.mark.parametrize("with_master", [True, False])
def test_loading_a_month_again_changes_nothing(platform: Platform, with_master: bool) -> None:
    before = loaded(platform)
    first, second = (load(platform, with_master=with_master) for _ in range(2))
    assert loaded(platform) == before
    assert first.checksum == second.checksum
    assert second.is_unchanged


def test_file_that_has_not_changed_is_not_read_again(platform: Platform) -> None:
    load(platform)
    before = rows_in(platform, "feed_files")
    change_lines(feed_file(platform), replace_field(6, 2, "20.01"))
    month = load(platform)
    assert [file.is_unchanged for file in month.files] == [False, True, True, True]
    assert {row[2] for row in set(rows_in(platform, "feed_files")) - set(before)} == {"cpu"}


def test_unchanged_file_is_read_again_where_its_rows_or_accounts_are_not_what_they_were(platform: Platform) -> None:
    change_lines(feed_file(platform), replace_field(6, 2, "abc"))
    load(platform)
    before = loaded(platform), rejected(platform)
    for damage in (
        "UPDATE processed_data SET y = 20.01 WHERE host_id = 'srv-000001' AND ds = TIMESTAMP '2023-02-05'",
        "DELETE FROM processed_data WHERE host_id = 'srv-000001' AND ds = TIMESTAMP '2023-02-05'",
        "DELETE FROM feed_files WHERE yearmonth = 202302",
        "DELETE FROM rejected_lines",
        "UPDATE feed_files SET rejected = 2, loaded = 334 WHERE yearmonth = 202302",
    ):
        run_sql(platform, damage)
        assert (loaded(platform), rejected(platform)) != before, damage
        assert not load(platform).is_unchanged, damage
        assert (loaded(platform), rejected(platform)) == before, damage


def test_file_is_read_again_where_it_would_be_read_differently(platform: Platform) -> None:
    load(platform)
    assert load(platform).is_unchanged
    assert not load(platform, conflicting_duplicates="first").is_unchanged


def test_corrected_month_replaces_that_month_alone(platform: Platform) -> None:
    rows, files = loaded(platform)
    change_lines(feed_file(platform), replace_field(6, 2, "20.01"))
    old = next(row for row in rows if row[:3] == (dt.datetime(2023, 2, 5), "srv-000001", "cpu"))  # noqa: DTZ001
    load(platform)
    new_rows, new_files = loaded(platform)
    assert set(rows) ^ set(new_rows) == {old, (*old[:3], 20.01, *old[4:])}
    assert len(new_rows) == len(rows)
    assert {row[:3] for row in set(files) ^ set(new_files)} == {(FEED_FILE, 202302, "cpu")}


def test_order_of_lines_does_not_matter(platform: Platform) -> None:
    before = rows_in(platform, "processed_data")
    change_lines(feed_file(platform), lambda lines: [lines[0], *sorted(lines[1:], reverse=True)])
    load(platform, with_master=True)
    assert rows_in(platform, "processed_data") == before


def test_windows_line_ends_load_the_same_rows(platform: Platform) -> None:
    before = rows_in(platform, "processed_data")
    path = feed_file(platform)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    load(platform, with_master=True)
    assert rows_in(platform, "processed_data") == before


def test_empty_field_of_a_foreign_feed_is_a_gap(platform: Platform) -> None:
    change_lines(feed_file(platform), replace_field(6, 2, ""))
    load(platform)
    gap = (dt.datetime(2023, 2, 5), "srv-000001", "cpu", None)  # noqa: DTZ001
    assert gap in [row[:4] for row in rows_in(platform, "processed_data")]


def test_bounds_themselves_are_loaded(platform: Platform) -> None:
    change_lines(feed_file(platform), replace_field(6, 2, "100"))
    change_lines(feed_file(platform), replace_field(7, 2, "0"))
    load(platform)
    assert {0.0, 100.0} <= {row[3] for row in rows_in(platform, "processed_data")}


def test_months_outside_the_calendar_are_retired(platform: Platform) -> None:
    rows, files = loaded(platform)
    feed = files_under(platform.layout.legacy)
    run_sql(platform, "DELETE FROM time_periods WHERE yearmonth = 202303")
    with platform.writing() as connection:
        assert retire_months(connection) == [202303]
    assert loaded(platform) == ([row for row in rows if row[0].month < 3], [row for row in files if row[1] < 202303])
    assert files_under(platform.layout.legacy) == feed


def test_nothing_is_retired_inside_the_calendar(platform: Platform) -> None:
    before = loaded(platform)
    with platform.writing() as connection:
        assert retire_months(connection) == []
    assert loaded(platform) == before
