"""A warehouse that was damaged, or changed by another tool: what opening it says."""

from pathlib import Path

import duckdb
import pytest

from capsim_dagster.errors import WarehouseError
from capsim_dagster.storage import warehouse
from capsim_dagster.storage.warehouse import open_for_reading, open_for_writing


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "capsim.duckdb"
    warehouse._make(path)
    return path


def test_truncated_warehouse_is_told_with_what_to_do(made: Path) -> None:
    with made.open("r+b") as file:
        file.truncate(made.stat().st_size // 3)

    with (
        pytest.raises(WarehouseError, match=r"damaged: .*\n  -> restore it from a copy"),
        open_for_reading(made, lock_timeout_s=1),
    ):
        pass


def test_table_that_another_tool_replaced_is_named_with_its_columns(made: Path) -> None:
    for replacement, lacking in (
        ("DROP TABLE rejected_lines; CREATE TABLE rejected_lines AS SELECT 1 AS line", r"rejected_lines\.\w+ \w+"),
        ("ALTER TABLE hosts RENAME TO others; CREATE VIEW hosts AS SELECT * FROM others", "hosts"),
    ):
        with duckdb.connect(str(made)) as connection:
            connection.execute(replacement)

        with (
            pytest.raises(WarehouseError, match=rf"lacks {lacking}[;,].* needs schema version"),
            open_for_writing(made, lock_timeout_s=1),
        ):
            pass


def test_defect_in_a_statement_stays_what_it_is(made: Path) -> None:
    with pytest.raises(duckdb.BinderException), open_for_reading(made, lock_timeout_s=1) as connection:
        connection.execute("SELECT no_such_column FROM hosts")
