"""The warehouse as others open it: clients of DuckDB 1.x, and files that earlier versions of capsim made."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from capsim_dagster.errors import WarehouseError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.tables import TABLES, ddl
from capsim_dagster.storage import warehouse
from capsim_dagster.storage.warehouse import upgrade
from capsim_dagster_tests.support.sabotage import rows_in

OLD_CLIENT = """
import duckdb, json, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
names = [name for (name,) in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()]
counts = {name: len(connection.execute(f'SELECT * FROM "{name}"').fetchall()) for name in names}
print(json.dumps([duckdb.__version__, counts]))
"""
OLD_VIEW = "CREATE VIEW forecast_input AS SELECT if(y > 1, y, 1) AS y FROM processed_data"


def storage(path: Path) -> str:
    with duckdb.connect(str(path), read_only=True) as connection:
        ((found,),) = connection.execute(upgrade._STORAGE).fetchall()
    return str(found)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """Return a warehouse as the version before made it: today's tables in DuckDB's newest storage, and other views."""
    path = tmp_path / 'it\'s a "warehouse".duckdb'
    with duckdb.connect(str(path)) as connection:
        for table in TABLES:
            connection.execute(ddl(table))
        connection.execute(OLD_VIEW)
        connection.execute("INSERT INTO warehouse_info (name, value) VALUES ('schema_version', '3')")
        connection.execute("INSERT INTO processed_data VALUES ('2024-01-01', 'web-1', 'cpu', 5.0, 100.0, NULL)")
    return path


def test_file_of_the_version_before_is_copied_into_old_storage_with_all_it_holds(earlier: Path) -> None:
    assert storage(earlier) == "v2.0.0+"

    with warehouse.open_for_writing(earlier, lock_timeout_s=0) as connection:
        connection.execute("INSERT INTO processed_data VALUES ('2024-01-02', 'web-1', 'cpu', NULL, 100.0, NULL)")
    with warehouse.open_for_reading(earlier, lock_timeout_s=0) as connection:
        found = connection.execute("SELECT y, is_filled FROM forecast_input_marked ORDER BY ds").fetchall()
        version = warehouse.fact(connection, "schema_version")

    assert storage(earlier) == f"{upgrade.STORAGE_VERSION}+"
    assert (found, version) == ([(5.0, False), (5.0, True)], warehouse.SCHEMA_VERSION)
    assert [path.name for path in earlier.parent.iterdir()] == [earlier.name]


def test_readers_take_a_file_of_the_version_before_as_it_is(earlier: Path) -> None:
    before = earlier.read_bytes()

    with warehouse.open_for_reading(earlier, lock_timeout_s=0) as connection:
        assert connection.execute("SELECT count(*) FROM processed_data").fetchall() == [(1,)]

    assert earlier.read_bytes() == before


def test_file_that_cannot_be_copied_stays_as_it_was_and_says_what_is_needed(earlier: Path) -> None:
    before = earlier.read_bytes()
    obstacle = earlier.with_name(f".{earlier.name}.copy.wal")
    obstacle.mkdir()
    (obstacle / "file").touch()

    with pytest.raises(WarehouseError) as caught, warehouse.open_for_writing(earlier, lock_timeout_s=0):
        pass

    assert "cannot be copied" in caught.value.found
    assert "untouched" in caught.value.remedy
    assert earlier.read_bytes() == before


@pytest.mark.parametrize("version", ["1.0.0", "1.4.4"])
def test_older_duckdb_reads_every_table_and_view(platform: Platform, version: str) -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    client = [
        "uv",
        "run",
        "--no-project",
        "--quiet",
        "--python",
        python,
        "--with",
        f"duckdb=={version}",
        "python",
        "-c",
    ]
    if subprocess.run([*client, "import duckdb"], capture_output=True, timeout=300, check=False).returncode:
        pytest.skip(f"the package registry gives no duckdb {version} for Python {python}")

    found = subprocess.run(
        [*client, OLD_CLIENT, str(platform.layout.warehouse)], capture_output=True, text=True, timeout=300, check=False
    )

    assert found.returncode == 0, found.stderr
    release, counts = json.loads(found.stdout)
    assert release == version
    assert counts == {name: len(rows_in(platform, name)) for name in (*TABLES, *upgrade.VIEWS)}
    assert counts["forecast_input"] == 12 * 4 * 90
