import datetime as dt
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from capsim_dagster.errors import CapsimError, GateError, MasterError, PartitionError, WarehouseError
from capsim_dagster.pipeline import refine, stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster.simulation import fleet, time_dimension
from capsim_dagster.storage import warehouse
from capsim_dagster_tests.conftest import MONTHS, MakeSettings, small_settings
from capsim_dagster_tests.support.sabotage import feed_file, files_under, rows_in, run_sql

HOST_DAYS = 12 * 90
Stage = Callable[[Platform], object]

pytestmark = pytest.mark.usefixtures("_opened_once")


def build_fleet(platform: Platform) -> None:
    stages.host_inventory(platform)
    stages.time_calendar(platform)
    stages.master_parquet(platform)


def export(platform: Platform, *months: int) -> None:
    list(stages.monthly_csv(platform, months))


def load(platform: Platform, *months: int) -> None:
    list(refine.processed_data(platform, months, run="test"))


def with_seed(platform: Platform, make_settings: MakeSettings, seed: int) -> Platform:
    other = Platform(make_settings(random_seed=seed))
    assert other.layout == platform.layout
    return other


def contents(platform: Platform) -> dict[str, bytes]:
    return files_under(platform.layout.master.parent) | files_under(platform.layout.legacy)


def days(platform: Platform) -> list[dt.date]:
    return [row[0] for row in rows_in(platform, "time_periods")]


def test_pipeline_carries_every_host_resource_and_day_and_gives_the_same_bytes_elsewhere(
    platform: Platform, tmp_path: Path
) -> None:
    elsewhere = Platform(small_settings(tmp_path / "elsewhere"))
    inventory = stages.host_inventory(elsewhere)
    calendar = stages.time_calendar(elsewhere)
    steps: list[int] = []
    master = stages.master_parquet(elsewhere, advance=steps.append)
    files = list(stages.monthly_csv(elsewhere, MONTHS[::-1]))
    months = list(refine.processed_data(elsewhere, MONTHS[::-1], run="test"))

    assert inventory.hosts.height == 12
    assert inventory.varieties.passed
    assert (calendar.start, calendar.end, calendar.days) == (dt.date(2023, 1, 1), dt.date(2023, 3, 31), 90)
    assert master.rows == stages.master_rows(elsewhere) == sum(steps) == HOST_DAYS * 4
    assert len(steps) > 1
    assert sum(file.lines for file in files) == sum(month.rows for month in months) == HOST_DAYS * 4
    assert sorted(month.month for month in months) == stages.calendar_months(elsewhere) == MONTHS
    assert contents(elsewhere) == contents(platform)
    assert rows_in(elsewhere, "processed_data") == rows_in(platform, "processed_data")


def test_second_run_changes_nothing(platform: Platform) -> None:
    tables = ("hosts", "business_hierarchy", "time_periods", "bank_holidays", "processed_data", "feed_files")
    before, rows = contents(platform), [rows_in(platform, table) for table in tables]
    build_fleet(platform)
    export(platform, *MONTHS)
    load(platform, *MONTHS)
    assert contents(platform) == before
    assert [rows_in(platform, table) for table in tables] == rows


def test_extension_by_a_month_adds_just_that_month_and_keeps_every_older_value(platform: Platform) -> None:
    feed, rows = files_under(platform.layout.legacy), rows_in(platform, "processed_data")
    before = pl.read_parquet(platform.layout.master)
    stages.time_calendar(platform, through=202304)
    stages.master_parquet(platform)
    export(platform, 202304)
    load(platform, 202304)
    after = pl.read_parquet(platform.layout.master)
    assert after.filter(pl.col("date") <= dt.date(2023, 3, 31)).equals(before)
    assert after.height - before.height == 12 * 30 * 4
    new_feed, new_rows = files_under(platform.layout.legacy), rows_in(platform, "processed_data")
    assert {name: new_feed[name] for name in feed} == feed
    assert {name[:8] for name in new_feed.keys() - feed.keys()} == {"2023/04/"}
    assert [row for row in new_rows if row[0].month < 4] == rows
    assert len(new_rows) - len(rows) == 12 * 30 * 4


def test_calendar_reaches_the_month_asked_for_and_never_shrinks(
    platform: Platform, make_settings: MakeSettings
) -> None:
    assert stages.time_calendar(platform, through=202402).end == dt.date(2024, 2, 29)
    assert stages.time_calendar(platform, through=202302).end == dt.date(2024, 2, 29)
    assert stages.time_calendar(Platform(make_settings(end_date="2023-01-31"))).end == dt.date(2024, 2, 29)
    assert days(platform)[-1] == dt.date(2024, 2, 29)


def test_calendar_of_other_settings_starts_afresh(platform: Platform, make_settings: MakeSettings) -> None:
    stages.time_calendar(platform, through=202402)
    other = with_seed(platform, make_settings, 7)
    assert stages.time_calendar(other).end == dt.date(2023, 3, 31)
    assert days(other)[-1] == dt.date(2023, 3, 31)


def test_months_that_left_the_calendar_are_retired(platform: Platform, make_settings: MakeSettings) -> None:
    stages.time_calendar(platform, through=202304)
    stages.master_parquet(platform)
    export(platform, 202304)
    load(platform, 202304)
    other = with_seed(platform, make_settings, 7)
    build_fleet(other)
    export(other, *MONTHS)
    assert {piece.month for piece in other.contract.pieces()} == set(MONTHS)
    load(other, *MONTHS)
    assert {row[0].month for row in rows_in(other, "processed_data")} == {1, 2, 3}
    assert {row[1] for row in rows_in(other, "feed_files")} == set(MONTHS)


def test_one_resource_alone_is_exported(platform: Platform) -> None:
    before = files_under(platform.layout.legacy)
    for path, _ in platform.contract.files():
        path.unlink()
    list(stages.monthly_csv(platform, [202302], [Resource.DISK]))
    name = "2023/02/storage_usage_202302.csv"
    assert files_under(platform.layout.legacy) == {name: before[name]}


@pytest.mark.parametrize(
    ("prepare", "stage", "error", "remedy"),
    [
        ([], stages.master_parquet, WarehouseError, "materialize host_inventory and time_dimension first"),
        ([], stages.master_rows, WarehouseError, "materialize host_inventory and time_dimension first"),
        ([], lambda p: export(p, 202301), WarehouseError, "materialize host_inventory and time_dimension first"),
        ([], lambda p: load(p, 202301), MasterError, "materialize master_parquet first"),
        ([stages.time_calendar], stages.master_parquet, WarehouseError, "materialize host_inventory first"),
        ([stages.host_inventory], stages.master_parquet, WarehouseError, "materialize time_dimension first"),
        ([stages.host_inventory], stages.calendar_months, WarehouseError, "materialize time_dimension first"),
        (
            [stages.host_inventory, stages.time_calendar],
            lambda p: export(p, 202301),
            MasterError,
            "materialize master_parquet first",
        ),
    ],
)
def test_stage_without_what_it_needs_says_what_to_materialize(
    empty_platform: Platform, prepare: list[Stage], stage: Stage, error: type[CapsimError], remedy: str
) -> None:
    for earlier in prepare:
        earlier(empty_platform)
    with pytest.raises(error) as caught:
        stage(empty_platform)
    assert type(caught.value) is error
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("prepare", "stage", "error", "says"),
    [
        ([], stages.master_parquet, WarehouseError, "the inventory (12 hosts) was made with other settings"),
        ([stages.host_inventory], stages.master_parquet, WarehouseError, "the calendar (2023-01-01 to 2023-03-31)"),
        ([], lambda p: export(p, 202301), WarehouseError, "the calendar (2023-01-01 to 2023-03-31)"),
        ([stages.host_inventory, stages.time_calendar], lambda p: export(p, 202301), MasterError, "(seed 42, 12"),
        ([], lambda p: load(p, 202301), MasterError, "(seed 42, 12 hosts, from 2023-01-01)"),
    ],
)
def test_stage_on_what_other_settings_made_is_refused(
    *,
    platform: Platform,
    make_settings: MakeSettings,
    prepare: list[Stage],
    stage: Stage,
    error: type[CapsimError],
    says: str,
) -> None:
    other = with_seed(platform, make_settings, 7)
    for earlier in prepare:
        earlier(other)
    before = contents(platform)
    with pytest.raises(error) as caught:
        stage(other)
    assert says in caught.value.found
    assert "other settings" in caught.value.found
    assert "--data-dir" in caught.value.remedy
    assert contents(platform) == before


def test_month_outside_the_calendar_is_refused_before_anything_happens(platform: Platform) -> None:
    before, rows = contents(platform), rows_in(platform, "processed_data")
    for stage, month in product((export, load), (202212, 202304)):
        with pytest.raises(PartitionError) as caught:
            stage(platform, 202301, month)
        assert "lies outside the calendar, which holds 2023-01-01 to 2023-03-31" in caught.value.found
        assert "monthly_refresh" in caught.value.remedy
        assert (contents(platform), rows_in(platform, "processed_data")) == (before, rows)


def test_month_that_only_the_calendar_holds_is_refused(platform: Platform) -> None:
    stages.time_calendar(platform, through=202304)
    with pytest.raises(PartitionError, match="lies outside the master"):
        export(platform, 202304)


def test_failing_months_are_named_and_do_not_keep_the_others_from_being_loaded(platform: Platform) -> None:
    rows = rows_in(platform, "processed_data")
    run_sql(platform, "DELETE FROM processed_data")
    for month in MONTHS[:2]:
        feed_file(platform, month).unlink()
    loading = refine.processed_data(platform, MONTHS, run="test")
    assert next(loading).month == 202303
    with pytest.raises(CapsimError, match=r"2 months cannot be loaded: 2023-01.*\n.*2023-02"):
        next(loading)
    assert rows_in(platform, "processed_data") == [row for row in rows if row[0].month == 3]


def test_inventory_that_lacks_a_variety_is_not_published(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    make, before = fleet.host_inventory, rows_in(platform, "hosts")

    def one_variety_short(generation: Any) -> pl.DataFrame:  # noqa: ANN401 handed on as it is
        return make(generation).filter(pl.col("variant") != "SEVERE")

    monkeypatch.setattr(fleet, "host_inventory", one_variety_short)
    with pytest.raises(GateError, match="no host of CAPACITY_BREACH/SEVERE") as caught:
        stages.host_inventory(platform)
    assert "nothing was published" in caught.value.remedy
    assert rows_in(platform, "hosts") == before


@pytest.mark.parametrize("stage", [stages.host_inventory, stages.time_calendar])
def test_interrupted_stage_leaves_what_the_old_settings_made(
    platform: Platform, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    before = contents(platform)
    other = Platform(make_settings(random_seed=7, num_servers=30, end_date="2023-05-31"))
    monkeypatch.setattr(warehouse, "set_fact", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stage(other)
    stages.master_parquet(platform)
    assert contents(platform) == before


def test_calendar_with_a_gap_is_not_published(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    make, before = time_dimension.time_periods, days(platform)
    gap = pl.col("date") != dt.date(2023, 2, 10)
    monkeypatch.setattr(time_dimension, "time_periods", lambda start, end: make(start, end).filter(gap))
    with pytest.raises(GateError, match="1 gaps or repeats: 2023-02-09 to 2023-02-11"):
        stages.time_calendar(platform)
    assert days(platform) == before
