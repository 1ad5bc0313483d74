import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import duckdb
import polars as pl
import pytest

from capsim_dagster.errors import WarehouseError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.tables import TABLES
from capsim_dagster.storage import warehouse
from capsim_dagster_tests.support.child_process import READY, let_go, started
from capsim_dagster_tests.support.ready_warehouse import REAL_MAKE
from capsim_dagster_tests.support.sabotage import rows_in

Opening = Callable[..., AbstractContextManager[duckdb.DuckDBPyConnection]]

BOTH_WAYS: Final[tuple[Opening, ...]] = (warehouse.open_for_reading, warehouse.open_for_writing)
HOLD: Final = f"import duckdb, time\nconnection = duckdb.connect(sys.argv[1])\n{READY}time.sleep(0.3)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "warehouse" / "capsim.duckdb"


@pytest.fixture
def made(path: Path) -> Path:
    warehouse._make(path)
    return path


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def test_new_warehouse_has_each_table_with_the_columns_of_its_contract(made: Path) -> None:
    with warehouse.open_for_reading(made, lock_timeout_s=0) as connection:
        found = {table: _columns(connection, table) for table in TABLES}
        nullable = connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE table_name = 'processed_data' AND is_nullable"
        ).fetchall()
    assert {table: [name for name, _ in columns] for table, columns in found.items()} == {
        table: [column.name for column in columns] for table, columns in TABLES.items()
    }
    assert found["processed_data"] == [
        ("ds", "TIMESTAMP"),
        ("host_id", "VARCHAR"),
        ("resource", "VARCHAR"),
        ("y", "DOUBLE"),
        ("cap", "DOUBLE"),
        ("capacity", "DOUBLE"),
    ]
    assert nullable == [("y",), ("capacity",)]
    assert dict(found["hosts"])["storage_mb"] == "BIGINT"
    assert dict(found["time_periods"])["is_weekend"] == "BOOLEAN"


def test_opening_again_keeps_the_rows_and_a_fact_is_replaced(made: Path) -> None:
    with warehouse.open_for_writing(made, lock_timeout_s=0) as connection:
        warehouse.set_fact(connection, "colour", "red")
        warehouse.set_fact(connection, "colour", "blue")
    with warehouse.open_for_writing(made, lock_timeout_s=0) as connection:
        assert warehouse.fact(connection, "colour") == "blue"
        assert warehouse.fact(connection, "size") is None


def test_reading_a_missing_file_says_what_to_materialize(path: Path) -> None:
    with pytest.raises(WarehouseError) as caught, warehouse.open_for_reading(path, lock_timeout_s=0):
        pass
    assert str(path) in caught.value.found
    assert "capsim run" in caught.value.remedy
    assert not path.exists()


def test_other_schema_is_refused_with_file_and_remedy(made: Path) -> None:
    for damage, named in (
        ("UPDATE warehouse_info SET value = '0' WHERE name = 'schema_version'", "has schema version 0;"),
        ("DELETE FROM warehouse_info", "has schema version None;"),
        ("DROP TABLE feed_files", "lacks feed_files;"),
        ("DROP TABLE warehouse_info", "lacks feed_files, warehouse_info;"),
    ):
        with duckdb.connect(str(made)) as connection:
            connection.execute(damage).fetchall()
        for open_warehouse in BOTH_WAYS:
            with pytest.raises(WarehouseError) as caught, open_warehouse(made, lock_timeout_s=0):
                pass
            assert caught.value.found.startswith(f"{made} {named}"), damage
            assert "move the file away" in caught.value.remedy, damage


def test_file_of_another_kind_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir()
    for content in (b"", b"date,host_id\n" * 1_000):
        path.write_bytes(content)
        for open_warehouse in BOTH_WAYS:
            with pytest.raises(WarehouseError) as caught, open_warehouse(path, lock_timeout_s=0):
                pass
            assert str(path) in caught.value.found
            assert "restore it" in caught.value.remedy
            assert path.read_bytes() == content


def test_damaged_warehouse_is_refused_at_once_wherever_it_lies(made: Path) -> None:
    path = made.with_name("blocks of a lock.duckdb")
    content = made.read_bytes()
    for damaged in (content[:20_000], content[:8_192] + b"\xff" * 8_192 + content[16_384:]):
        for open_warehouse in BOTH_WAYS:
            path.write_bytes(damaged)
            began = time.monotonic()
            with pytest.raises(WarehouseError) as caught, open_warehouse(path, lock_timeout_s=60):
                pass
            assert time.monotonic() - began < 30
            assert f"{path} cannot be opened" in caught.value.found
            assert "restore it" in caught.value.remedy


def test_held_warehouse_is_refused_after_the_bounded_wait_and_opens_when_the_holder_leaves_in_time(made: Path) -> None:
    with started(HOLD, made) as holder:
        for open_warehouse in BOTH_WAYS:
            began = time.monotonic()
            with pytest.raises(WarehouseError) as caught, open_warehouse(made, lock_timeout_s=0.3):
                pass
            # It ends although the holder stays; how soon it gets its turn on a busy machine says nothing.
            assert 0.3 <= time.monotonic() - began < 60
            assert caught.value.found.startswith(
                f"{made} is held by another process after 0.3 s: process {holder.pid}, '{sys.executable} -c "
            )
            assert "', running since 2" in caught.value.found
            assert "wait" in caught.value.remedy
        let_go(holder)
        with warehouse.open_for_reading(made, lock_timeout_s=30) as connection:
            assert warehouse.fact(connection, "schema_version") == warehouse.SCHEMA_VERSION


def test_transaction_rolls_back_passes_the_failure_on_and_leaves_the_connection_free(made: Path) -> None:
    with warehouse.open_for_writing(made, lock_timeout_s=0) as connection:
        warehouse.set_fact(connection, "colour", "red")
        for failure in (RuntimeError, KeyboardInterrupt):
            with pytest.raises(failure):
                _delete_facts_and_fail(connection, failure)
            assert warehouse.fact(connection, "colour") == "red"
        with pytest.raises(duckdb.CatalogException), warehouse.transaction(connection):
            connection.execute("DELETE FROM no_such_table")
        warehouse.set_fact(connection, "colour", "blue")
    with warehouse.open_for_reading(made, lock_timeout_s=0) as connection:
        assert warehouse.fact(connection, "colour") == "blue"


SPOILT: Final[tuple[tuple[Callable[[pl.DataFrame], pl.DataFrame], list[str]], ...]] = (
    (lambda hosts: pl.concat([hosts, hosts.head(1)]), ["host_id is not unique in 2 rows"]),
    (
        lambda hosts: hosts.head(1).with_columns(host_id=pl.lit("server-1")),
        [r"host_id is not like ^srv-\d{6,}$ in 1 row"],
    ),
    (
        lambda hosts: hosts.head(7).with_columns(cpu_cores=0, region=pl.lit("")),
        ["region is not like (?s). in 7 rows", "hosts.cpu_cores is below 1 in 7 rows"],
    ),
    (lambda hosts: hosts.head(2).with_columns(memory_gb=pl.lit(None)), ["memory_gb is null in 2 rows"]),
    (lambda hosts: hosts.head(2).with_columns(memory_gb=pl.lit("much")), ["memory_gb is no INTEGER in 2 rows"]),
    (
        lambda hosts: hosts.head(2).with_columns(classification=pl.lit("cloud")),
        ["classification is none of physical, virtual in 2 rows"],
    ),
    (lambda hosts: hosts.drop("region"), ["column region is missing"]),
)


def test_frame_that_breaks_its_contract_changes_no_table_and_is_told(platform: Platform) -> None:
    before = rows_in(platform, "hosts"), rows_in(platform, "bank_holidays")
    for spoil, said in SPOILT:
        with platform.writing() as connection:
            hosts = warehouse.read_table(connection, "hosts", order_by="host_id")
            holidays = warehouse.read_table(connection, "bank_holidays", order_by="date").head(0)
            with pytest.raises(WarehouseError) as caught:
                warehouse.replace_tables(connection, {"bank_holidays": holidays, "hosts": spoil(hosts)})
        plural = "" if len(said) == 1 else "s"
        told = ", ".join([f"hosts.{said[0]}", *said[1:]])
        assert f"break {len(said)} rule{plural} of their columns: {told}" in caught.value.found
        assert "no table has changed" in caught.value.remedy
        assert (rows_in(platform, "hosts"), rows_in(platform, "bank_holidays")) == before, said


def test_replaced_tables_hold_just_the_new_rows(platform: Platform) -> None:
    with platform.writing() as connection:
        hosts = warehouse.read_table(connection, "hosts", order_by="host_id DESC")
        warehouse.replace_tables(connection, {"hosts": hosts.head(3)})
        kept = warehouse.read_table(connection, "hosts", order_by="host_id DESC")
    assert kept.equals(hosts.head(3))


def test_tables_and_facts_about_them_change_together(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise KeyboardInterrupt

    before = rows_in(platform, "hosts")
    with platform.writing() as connection:
        hosts = warehouse.read_table(connection, "hosts", order_by="host_id")
        warehouse.replace_tables(connection, {"hosts": hosts}, facts={"colour": "red"})
        monkeypatch.setattr(warehouse, "set_fact", fail)
        with pytest.raises(KeyboardInterrupt):
            warehouse.replace_tables(connection, {"hosts": hosts.head(3)}, facts={"colour": "blue"})
        assert warehouse.fact(connection, "colour") == "red"
    assert rows_in(platform, "hosts") == before


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [table]
    ).fetchall()
    return rows


def _delete_facts_and_fail(connection: duckdb.DuckDBPyConnection, failure: type[BaseException]) -> None:
    with warehouse.transaction(connection):
        connection.execute("DELETE FROM warehouse_info").fetchall()
        raise failure


def test_while_one_maker_is_at_the_tables_there_is_no_file_and_another_ones_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = warehouse._create_tables
    seen: list[list[Path]] = []

    def another_is_faster(connection: duckdb.DuckDBPyConnection) -> None:
        monkeypatch.setattr(warehouse, "_create_tables", create)
        # A kill here leaves what is there now.
        seen.append([*path.parent.parent.iterdir()])
        with warehouse.open_for_writing(path, lock_timeout_s=0) as faster:
            warehouse.set_fact(faster, "first", "was here")
        create(connection)

    monkeypatch.setattr(warehouse, "_make", REAL_MAKE)
    monkeypatch.setattr(warehouse, "_create_tables", another_is_faster)
    with warehouse.open_for_writing(path, lock_timeout_s=0) as connection:
        warehouse.set_fact(connection, "second", "was here")

    assert seen == [[]]
    with warehouse.open_for_reading(path, lock_timeout_s=0) as connection:
        assert [warehouse.fact(connection, name) for name in ("first", "second")] == ["was here"] * 2
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
