import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import polars as pl
import pytest

from capsim_dagster.errors import WarehouseError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.tables import TABLES
from capsim_dagster.storage import warehouse
from capsim_dagster_tests.support.child_process import OPEN_PLATFORM, READY, kill, let_go, started
from capsim_dagster_tests.support.sabotage import rows_in, run_sql

Opening = Callable[..., AbstractContextManager[duckdb.DuckDBPyConnection]]

BOTH_WAYS = pytest.mark.parametrize("open_warehouse", [warehouse.open_for_reading, warehouse.open_for_writing])
HOLD = f"import duckdb, time\nconnection = duckdb.connect(sys.argv[1])\n{READY}time.sleep(0.3)"
RUIN_FEBRUARY = (
    "DELETE FROM processed_data WHERE month(ds) = 2",
    "INSERT INTO processed_data SELECT ds + INTERVAL 1 MONTH, host_id, resource, 1.0, cap, capacity "
    "FROM processed_data WHERE month(ds) = 1 AND day(ds) < 20",
)
RUIN_WITHOUT_COMMIT = f"""{OPEN_PLATFORM}
from capsim_dagster.storage.warehouse import transaction
with platform.writing() as connection:
    with transaction(connection):
        for statement in {RUIN_FEBRUARY!r}:
            connection.execute(statement).fetchall()
        {READY}
"""
RUIN_AND_COMMIT = f"""{OPEN_PLATFORM}
from capsim_dagster.storage.warehouse import transaction
with platform.writing() as connection:
    with transaction(connection):
        for statement in {RUIN_FEBRUARY!r}:
            connection.execute(statement).fetchall()
    {READY}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "warehouse" / "capsim.duckdb"


@pytest.fixture
def made(path: Path) -> Path:
    with warehouse.open_for_writing(path, lock_timeout_s=0):
        pass
    return path


def test_new_warehouse_has_each_table_with_the_columns_of_its_contract(made: Path) -> None:
    with warehouse.open_for_reading(made, lock_timeout_s=0) as connection:
        found = {table: _columns(connection, table) for table in TABLES}
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
    assert dict(found["hosts"])["storage_mb"] == "BIGINT"
    assert dict(found["time_periods"])["is_weekend"] == "BOOLEAN"


def test_only_value_and_capacity_of_the_table_may_be_null(made: Path) -> None:
    with warehouse.open_for_reading(made, lock_timeout_s=0) as connection:
        rows = connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE table_name = 'processed_data' AND is_nullable"
        ).fetchall()
    assert rows == [("y",), ("capacity",)]


def test_opening_twice_keeps_the_rows(made: Path) -> None:
    with warehouse.open_for_writing(made, lock_timeout_s=0) as connection:
        warehouse.set_fact(connection, "colour", "red")
    with warehouse.open_for_writing(made, lock_timeout_s=0) as connection:
        assert warehouse.fact(connection, "colour") == "red"


def test_fact_is_replaced_and_unknown_ones_are_none(made: Path) -> None:
    with warehouse.open_for_writing(made, lock_timeout_s=0) as connection:
        warehouse.set_fact(connection, "colour", "red")
        warehouse.set_fact(connection, "colour", "blue")
        assert warehouse.fact(connection, "colour") == "blue"
        assert warehouse.fact(connection, "size") is None


def test_reading_a_missing_file_says_what_to_materialize(path: Path) -> None:
    with pytest.raises(WarehouseError) as caught, warehouse.open_for_reading(path, lock_timeout_s=0):
        pass
    assert str(path) in caught.value.found
    assert "capsim run" in caught.value.remedy
    assert not path.exists()


@BOTH_WAYS
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE warehouse_info SET value = '0' WHERE name = 'schema_version'", "schema version 0"),
        ("DELETE FROM warehouse_info", "schema version None"),
        ("DROP TABLE feed_files", "feed_files"),
        ("DROP TABLE warehouse_info", "warehouse_info"),
    ],
)
def test_other_schema_is_refused_with_file_and_remedy(
    made: Path, open_warehouse: Opening, damage: str, named: str
) -> None:
    with duckdb.connect(str(made)) as connection:
        connection.execute(damage).fetchall()
    with pytest.raises(WarehouseError) as caught, open_warehouse(made, lock_timeout_s=0):
        pass
    assert str(made) in caught.value.found
    assert named in caught.value.found
    assert "move the file away" in caught.value.remedy


@BOTH_WAYS
@pytest.mark.parametrize("content", [b"", b"date,host_id\n" * 1_000])
def test_file_of_another_kind_is_refused_and_kept(path: Path, open_warehouse: Opening, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(WarehouseError) as caught, open_warehouse(path, lock_timeout_s=0):
        pass
    assert str(path) in caught.value.found
    assert "restore it" in caught.value.remedy
    assert path.read_bytes() == content


@BOTH_WAYS
@pytest.mark.parametrize("damage", [lambda x: x[:20_000], lambda x: x[:8_192] + b"\xff" * 8_192 + x[16_384:]])
def test_damaged_warehouse_is_refused_at_once_wherever_it_lies(
    made: Path, open_warehouse: Opening, damage: Callable[[bytes], bytes]
) -> None:
    path = made.with_name("blocks of a lock.duckdb")
    path.write_bytes(damage(made.read_bytes()))
    began = time.monotonic()
    with pytest.raises(WarehouseError) as caught, open_warehouse(path, lock_timeout_s=60):
        pass
    assert time.monotonic() - began < 30
    assert f"{path} cannot be opened" in caught.value.found
    assert "restore it" in caught.value.remedy


@BOTH_WAYS
def test_held_warehouse_is_refused_after_the_bounded_wait(made: Path, open_warehouse: Opening) -> None:
    with started(HOLD, made) as holder:
        began = time.monotonic()
        with pytest.raises(WarehouseError) as caught, open_warehouse(made, lock_timeout_s=0.5):
            pass
        waited_s = time.monotonic() - began
    assert f"{made} is held by another process after 0.5 s: process {holder.pid}, '{sys.executable} -c " in (
        caught.value.found
    )
    assert "', running since 2" in caught.value.found
    assert "wait" in caught.value.remedy
    # It ends although the holder stays; how soon it gets its turn on a busy machine says nothing.
    assert 0.5 <= waited_s < 60


@BOTH_WAYS
def test_held_warehouse_opens_when_the_holder_leaves_in_time(made: Path, open_warehouse: Opening) -> None:
    with started(HOLD, made) as holder:
        with pytest.raises(WarehouseError), open_warehouse(made, lock_timeout_s=0):
            pass
        let_go(holder)
        with open_warehouse(made, lock_timeout_s=30) as connection:
            assert warehouse.fact(connection, "schema_version") == warehouse.SCHEMA_VERSION


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_transaction_rolls_back_and_passes_the_failure_on(made: Path, failure: type[BaseException]) -> None:
    with warehouse.open_for_writing(made, lock_timeout_s=0) as connection:
        warehouse.set_fact(connection, "colour", "red")
        with pytest.raises(failure):
            _delete_facts_and_fail(connection, failure)
        assert warehouse.fact(connection, "colour") == "red"


def test_connection_is_free_again_after_a_failed_transaction(made: Path) -> None:
    with warehouse.open_for_writing(made, lock_timeout_s=0) as connection:
        with pytest.raises(duckdb.CatalogException), warehouse.transaction(connection):
            connection.execute("DELETE FROM no_such_table")
        warehouse.set_fact(connection, "colour", "red")
    with warehouse.open_for_reading(made, lock_timeout_s=0) as connection:
        assert warehouse.fact(connection, "colour") == "red"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
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
    ],
)
def test_frame_that_breaks_its_contract_changes_no_table_and_is_told(
    platform: Platform, spoil: Callable[[pl.DataFrame], pl.DataFrame], said: Sequence[str]
) -> None:
    before = rows_in(platform, "hosts"), rows_in(platform, "bank_holidays")
    with platform.writing() as connection:
        hosts = warehouse.read_table(connection, "hosts", order_by="host_id")
        holidays = warehouse.read_table(connection, "bank_holidays", order_by="date").head(0)
        with pytest.raises(WarehouseError) as caught:
            warehouse.replace_tables(connection, {"bank_holidays": holidays, "hosts": spoil(hosts)})
    plural = "" if len(said) == 1 else "s"
    said = [f"hosts.{said[0]}", *said[1:]]
    assert f"break {len(said)} rule{plural} of their columns: {', '.join(said)}" in caught.value.found
    assert "no table has changed" in caught.value.remedy
    assert (rows_in(platform, "hosts"), rows_in(platform, "bank_holidays")) == before


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


@pytest.mark.slow
def test_writer_killed_inside_a_transaction_leaves_the_previous_rows(platform: Platform) -> None:
    before = rows_in(platform, "processed_data")
    with started(RUIN_WITHOUT_COMMIT, platform.settings.model_dump_json()) as writer:
        kill(writer)
    assert rows_in(platform, "processed_data") == before


@pytest.mark.slow
def test_writer_killed_after_its_commit_leaves_the_new_rows(platform: Platform) -> None:
    with started(RUIN_AND_COMMIT, platform.settings.model_dump_json()) as writer:
        kill(writer)
    found = rows_in(platform, "processed_data")
    for statement in RUIN_FEBRUARY:
        run_sql(platform, statement)
    assert found == rows_in(platform, "processed_data")


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [table]
    ).fetchall()
    return rows


def _delete_facts_and_fail(connection: duckdb.DuckDBPyConnection, failure: type[BaseException]) -> None:
    with warehouse.transaction(connection):
        connection.execute("DELETE FROM warehouse_info").fetchall()
        raise failure


MAKER = """
from pathlib import Path
from capsim_dagster.storage import warehouse
create = warehouse._create_tables
def waiting(connection):
    print("ready", flush=True)
    sys.stdin.readline()
    create(connection)
warehouse._create_tables = waiting
with warehouse.open_for_writing(Path(sys.argv[1]), lock_timeout_s=10) as connection:
    warehouse.set_fact(connection, sys.argv[2], "was here")
"""


def test_maker_that_is_killed_before_the_tables_are_there_leaves_no_file(path: Path) -> None:
    with started(MAKER, path, "first") as process:
        kill(process)

    with pytest.raises(WarehouseError, match="no warehouse at"), warehouse.open_for_reading(path, lock_timeout_s=1):
        pass
    assert not path.exists()


def test_of_two_makers_at_once_neither_loses_what_it_wrote(path: Path) -> None:
    with started(MAKER, path, "first") as first, started(MAKER, path, "second") as second:
        for process in (first, second):
            let_go(process)
            assert process.wait() == 0

    with warehouse.open_for_reading(path, lock_timeout_s=1) as connection:
        assert [warehouse.fact(connection, name) for name in ("first", "second")] == ["was here"] * 2
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
