"""What is there is read as it is: every state of assets and months, every verdict, the last runs, and what is open."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import pytest

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.keys import (
    HOST_INVENTORY,
    MASTER_PARQUET,
    MONTHLY_CSV,
    PROCESSED_DATA,
    REFINERY_AUDIT,
    SERVER_METRICS,
    TIME_DIMENSION,
    specs_of,
)
from capsim_dagster.orchestration.months import key_of
from capsim_dagster.orchestration.states import AssetStatus, CheckStatus, State, Status, Verdict
from capsim_dagster.orchestration.status import is_of_other_fleet, read_status
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import Settings
from capsim_dagster.simulation.telemetry import fleet_hash
from capsim_dagster_tests.conftest import MONTHS as NUMBERS
from capsim_dagster_tests.conftest import MakeSettings, small_settings
from capsim_dagster_tests.support.orchestration.fixtures import TODAY
from capsim_dagster_tests.support.orchestration.memory import Kept, MemoryInstance, in_memory
from capsim_dagster_tests.support.orchestration.reported import (
    TABLE_CHECK,
    report_all,
    report_asset,
    report_months,
    report_verdict,
    run_under_way,
)

MONTHS = [*map(key_of, NUMBERS)]
JANUARY, FEBRUARY, MARCH = MONTHS
POSSIBLE = ["2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01", "2023-06-01", "2023-07-01"]
CPU = MONTHLY_CSV[Resource.CPU]
CALENDAR_CHECK = dg.AssetCheckKey(TIME_DIMENSION, "calendar_is_contiguous")
EFFECTS_CHECK = dg.AssetCheckKey(MASTER_PARQUET, "calendar_effects_match_settings")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return small_settings(tmp_path_factory.mktemp("status") / "data")


@pytest.fixture(scope="module")
def definitions(settings: Settings) -> dg.Definitions:
    return build_definitions(settings, today=TODAY)


@pytest.fixture(scope="module")
def memory() -> Iterator[MemoryInstance]:
    with in_memory() as made:
        yield made


@pytest.fixture(scope="module")
def _full(memory: MemoryInstance, definitions: dg.Definitions, settings: Settings) -> Kept:
    report_all(memory.put_back(), definitions, settings, MONTHS)
    return memory.keep()


@pytest.fixture
def instance(memory: MemoryInstance) -> dg.DagsterInstance:
    return memory.put_back()


@pytest.fixture
def full(memory: MemoryInstance, _full: Kept) -> dg.DagsterInstance:
    """Return an instance on which everything is there for January to March, and passed every check."""
    return memory.put_back(_full)


def read(instance: dg.DagsterInstance, definitions: dg.Definitions, *, today: dt.date = TODAY) -> Status:
    return read_status(definitions, instance, today=today)


def asset_of(found: Status, key: dg.AssetKey = PROCESSED_DATA) -> AssetStatus:
    return next(asset for asset in found.assets if asset.asset == key.to_user_string())


def check_of(found: Status, key: dg.AssetCheckKey = TABLE_CHECK) -> CheckStatus:
    name = key.asset_key.to_user_string(), key.name
    return next(check for check in found.checks if (check.asset, check.check) == name)


def states(*found: tuple[State, int]) -> dict[str, State]:
    """Return states by month: so many months in a row of each."""
    row = [state for state, count in found for _ in range(count)]
    return dict(zip(POSSIBLE, row, strict=True))


# Assets and months.


def test_where_nothing_was_ever_made_everything_is_missing_and_nothing_failed(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    found = read(instance, definitions)

    assert {asset.state for asset in found.assets} == {State.MISSING}
    assert asset_of(found).partitions == states((State.MISSING, 7))
    assert {check.verdict for check in found.checks} == {None}
    assert (found.is_empty, found.has_failures, found.is_busy, found.runs) == (True, False, False, [])
    assert found.open_months == POSSIBLE
    assert found.never_demanded == ["server_metrics", "validated_server_metrics"]
    assert found.open_assets == [a.asset for a in found.assets if a.partitions is None and not a.is_on_demand]


def test_what_was_made_and_judged_is_materialized_and_passed(
    full: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    found = read(full, definitions)

    table, inventory = asset_of(found), asset_of(found, HOST_INVENTORY)
    assert (table.state, table.rows) == (State.MATERIALIZED, 30)
    assert table.partitions == states((State.MATERIALIZED, 3), (State.MISSING, 4))
    assert (inventory.state, inventory.partitions, inventory.rows) == (State.MATERIALIZED, None, 10)
    for asset in found.assets:
        assert asset.last is not None
        assert dt.datetime.now(dt.UTC) - asset.last < dt.timedelta(minutes=10)
    assert {check.verdict for check in found.checks} == {Verdict.PASSED}
    assert check_of(found).keys_with(Verdict.PASSED) == MONTHS
    assert (found.open_months, found.open_assets, found.has_failures, found.is_empty) == (
        POSSIBLE[3:],
        [],
        False,
        False,
    )


def test_assets_and_checks_stand_in_the_order_of_the_graph(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    found = read(instance, definitions)

    assert [asset.asset for asset in found.assets] == [
        "host_inventory",
        "time_dimension",
        "master_parquet",
        "ground_truth",
        "monthly_csv/cpu",
        "monthly_csv/disk",
        "monthly_csv/memory",
        "monthly_csv/network",
        "server_metrics",
        "processed_data",
        "validated_server_metrics",
        "refinery_audit",
    ]
    assert len(found.checks) == 26 + 5 + 15
    assert list(dict.fromkeys(check.asset for check in found.checks)) == [asset.asset for asset in found.assets]


@pytest.mark.parametrize("passed", [None, True, False])
def test_a_panel_that_was_asked_for_is_open_apart_from_what_a_refresh_makes_until_it_passes(
    full: dg.DagsterInstance, definitions: dg.Definitions, passed: bool | None
) -> None:
    report_asset(full, SERVER_METRICS)
    for spec in specs_of(SERVER_METRICS) if passed is not None else ():
        report_verdict(full, spec.key, passed=bool(passed), blocking=spec.blocking)

    found = read(full, definitions)

    assert (found.open_assets, found.failed_on_demand) == ([], [] if passed else ["server_metrics"])
    assert found.has_failures is (passed is False)


def test_months_of_a_failed_run_are_failed_until_they_are_made(
    full: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    full.report_run_failed(run_under_way(full, definitions, [MARCH, "2023-04-01"]))

    found = read(full, definitions)

    assert asset_of(found).partitions == states((State.MATERIALIZED, 2), (State.FAILED, 2), (State.MISSING, 3))
    assert asset_of(found).state is State.FAILED
    assert asset_of(found, MASTER_PARQUET).state is State.FAILED
    assert asset_of(found, HOST_INVENTORY).state is State.MATERIALIZED
    assert found.failed_months == [MARCH, "2023-04-01"]
    assert found.has_failures

    report_months(full, [MARCH, "2023-04-01"])

    assert asset_of(read(full, definitions)).partitions == states((State.MATERIALIZED, 4), (State.MISSING, 3))


def test_months_that_a_run_is_at_are_running_and_neither_open_nor_failed(
    full: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    full.report_run_failed(run_under_way(full, definitions, [MARCH]))
    run_under_way(full, definitions, [MARCH, "2023-04-01"])

    found = read(full, definitions)

    assert asset_of(found).partitions == states((State.MATERIALIZED, 2), (State.RUNNING, 2), (State.MISSING, 3))
    assert asset_of(found).state is State.RUNNING
    assert asset_of(found, MASTER_PARQUET).state is State.RUNNING
    assert check_of(found).keys_with(*Verdict) == [JANUARY, FEBRUARY]
    assert (found.months_in(State.RUNNING), found.open_months) == (
        [MARCH, "2023-04-01"],
        ["2023-05-01", "2023-06-01", "2023-07-01"],
    )
    assert (found.is_busy, found.has_failures) == (True, False)


def test_a_run_that_was_cancelled_leaves_what_was_there_and_what_was_not(
    full: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    full.report_run_canceled(run_under_way(full, definitions, [MARCH, "2023-04-01"]))

    found = read(full, definitions)

    assert asset_of(found).partitions == states((State.MATERIALIZED, 3), (State.MISSING, 4))
    assert asset_of(found, MASTER_PARQUET).state is State.MATERIALIZED


def test_an_asset_that_was_made_again_after_its_failure_is_materialized(
    full: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    full.report_run_failed(run_under_way(full, definitions, [JANUARY]))
    report_asset(full, MASTER_PARQUET)

    found = read(full, definitions)

    assert asset_of(found, MASTER_PARQUET).state is State.MATERIALIZED
    assert asset_of(found, REFINERY_AUDIT).state is State.FAILED


def test_rows_are_those_of_the_latest_materialization_of_each_month(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    report_months(instance, MONTHS, rows=100)
    report_months(instance, [FEBRUARY], rows=7)

    assert asset_of(read(instance, definitions)).rows == 207


def test_months_that_are_not_over_are_none(instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
    assert read(instance, definitions, today=dt.date(2023, 5, 31)).months == POSSIBLE[:4]


def test_status_of_some_assets_and_months_leaves_the_others_out(
    full: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    report_verdict(full, TABLE_CHECK, month=JANUARY, passed=False)
    wanted = [FEBRUARY, "2023-04-01"]

    found = read_status(definitions, full, today=TODAY, assets=[PROCESSED_DATA, REFINERY_AUDIT], months=wanted)

    assert [asset.asset for asset in found.assets] == ["processed_data", "refinery_audit"]
    assert {check.asset for check in found.checks} == {"processed_data", "refinery_audit"}
    assert asset_of(found).partitions == {FEBRUARY: State.MATERIALIZED, "2023-04-01": State.MISSING}
    assert asset_of(found).rows == 10
    assert check_of(found).partitions == {FEBRUARY: Verdict.PASSED}
    assert not found.has_failures


def test_status_of_no_month_shows_none(full: dg.DagsterInstance, definitions: dg.Definitions) -> None:
    found = read_status(definitions, full, today=TODAY, months=[])

    assert (asset_of(found).partitions, asset_of(found).rows, asset_of(found).last) == ({}, 0, None)


# A fleet that was replaced.


def test_months_of_a_fleet_that_was_replaced_are_missing(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    report_asset(instance, HOST_INVENTORY, version="old")
    report_months(instance, MONTHS)
    report_verdict(instance, TABLE_CHECK, month=MARCH, passed=False)
    report_asset(instance, HOST_INVENTORY, version="new")
    report_months(instance, [JANUARY])

    found = read(instance, definitions)

    assert asset_of(found).partitions == states((State.MATERIALIZED, 1), (State.MISSING, 6))
    assert asset_of(found).rows == 10
    assert check_of(found).partitions == {JANUARY: Verdict.NOT_JUDGED}


def test_an_inventory_that_is_made_again_replaces_no_month(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    report_asset(instance, HOST_INVENTORY, version="same")
    report_months(instance, MONTHS)
    report_asset(instance, HOST_INVENTORY, version="same")

    assert asset_of(read(instance, definitions)).keys_in(State.MATERIALIZED) == MONTHS


@pytest.mark.parametrize(
    ("made_with", "expected"), [({}, False), ({"end_date": "2024-12-31"}, False), ({"num_servers": 13}, True)]
)
def test_a_fleet_is_another_where_settings_differ_that_decide_its_values(
    instance: dg.DagsterInstance, make_settings: MakeSettings, made_with: dict[str, object], expected: bool
) -> None:
    report_asset(instance, HOST_INVENTORY, version=fleet_hash(make_settings(**made_with).data_generation))

    assert is_of_other_fleet(instance, make_settings().data_generation) is expected


def test_a_fleet_that_is_not_there_or_of_unknown_origin_is_no_other(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    assert not is_of_other_fleet(instance, settings.data_generation)
    report_asset(instance, HOST_INVENTORY)
    assert not is_of_other_fleet(instance, settings.data_generation)


# Checks.


def test_a_month_that_failed_a_check_is_failed_and_open_though_it_is_there(
    full: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    report_verdict(full, TABLE_CHECK, month=FEBRUARY, passed=False, detail="3 lines are lost")
    report_verdict(full, TABLE_CHECK, month=MARCH, passed=False, detail="9 lines are lost")

    found = read(full, definitions)

    check = check_of(found)
    assert (check.verdict, check.detail) == (Verdict.FAILED, "3 lines are lost")
    assert check.partitions == {JANUARY: Verdict.PASSED, FEBRUARY: Verdict.FAILED, MARCH: Verdict.FAILED}
    assert asset_of(found).keys_in(State.MATERIALIZED) == MONTHS
    assert found.failed_months == [FEBRUARY, MARCH]
    assert found.open_months == [FEBRUARY, MARCH, *POSSIBLE[3:]]
    assert found.has_failures


@pytest.mark.parametrize(("check", "is_failure"), [(CALENDAR_CHECK, True), (EFFECTS_CHECK, False)])
def test_a_check_that_only_warns_is_no_failure_when_it_fails(
    full: dg.DagsterInstance, definitions: dg.Definitions, check: dg.AssetCheckKey, is_failure: bool
) -> None:
    report_verdict(full, check, passed=False, detail="a day is missing", blocking=is_failure)

    found = read(full, definitions)

    assert (check_of(found, check).verdict, check_of(found, check).detail) == (Verdict.FAILED, "a day is missing")
    assert check_of(found, check).is_blocking is is_failure
    assert found.has_failures is is_failure
    assert found.open_assets == ([check.asset_key.to_user_string()] if is_failure else [])


def test_what_was_made_since_it_was_judged_is_not_judged(full: dg.DagsterInstance, definitions: dg.Definitions) -> None:
    report_months(full, [FEBRUARY])
    report_asset(full, TIME_DIMENSION)

    found = read(full, definitions)

    assert check_of(found).verdict is Verdict.NOT_JUDGED
    assert check_of(found).keys_with(Verdict.NOT_JUDGED) == [FEBRUARY]
    assert check_of(found, CALENDAR_CHECK).verdict is Verdict.NOT_JUDGED
    assert (found.open_months, found.open_assets) == ([FEBRUARY, *POSSIBLE[3:]], ["time_dimension"])
    assert not found.has_failures


def test_what_was_never_judged_is_not_judged(instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
    report_months(instance, [JANUARY])
    report_asset(instance, TIME_DIMENSION)

    found = read(instance, definitions)

    assert check_of(found).partitions == {JANUARY: Verdict.NOT_JUDGED}
    assert check_of(found, CALENDAR_CHECK).verdict is Verdict.NOT_JUDGED


def test_while_a_run_is_under_way_what_is_not_judged_yet_is_not_open(
    full: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    report_asset(full, TIME_DIMENSION)
    run_under_way(full, definitions, [MARCH], assets=[MASTER_PARQUET])

    found = read(full, definitions)

    assert check_of(found, CALENDAR_CHECK).verdict is Verdict.NOT_JUDGED
    assert (found.is_busy, found.open_assets) == (True, [])


# What is over since the window ended.


@pytest.mark.parametrize(
    ("there", "end", "expected"),
    [
        ([], "2023-03-01", ["2023-04-01", "2023-05-01", "2023-06-01", "2023-07-01"]),
        (["2023-01-01", "2023-05-01"], "2023-03-01", ["2023-06-01", "2023-07-01"]),
        (["2023-01-01"], "2023-07-01", []),
        ([], "2024-01-01", []),
    ],
)
def test_months_after_the_window_and_after_the_last_that_was_asked_for_are_later(
    instance: dg.DagsterInstance, definitions: dg.Definitions, there: list[str], end: str, expected: list[str]
) -> None:
    report_months(instance, there)

    assert read(instance, definitions).months_after(end) == expected
