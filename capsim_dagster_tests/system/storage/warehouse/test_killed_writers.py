"""A writer of the warehouse that is killed: all of its transaction is there, or nothing."""

from typing import Final

from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.support.child_process import OPEN_PLATFORM, READY, kill, started
from capsim_dagster_tests.support.sabotage import rows_in, run_sql

RUIN_FEBRUARY: Final = (
    "DELETE FROM processed_data WHERE month(ds) = 2",
    "INSERT INTO processed_data SELECT ds + INTERVAL 1 MONTH, host_id, resource, 1.0, cap, capacity "
    "FROM processed_data WHERE month(ds) = 1 AND day(ds) < 20",
)
RUIN_WITHOUT_COMMIT: Final = f"""{OPEN_PLATFORM}
from capsim_dagster.storage.warehouse import transaction
with platform.writing() as connection:
    with transaction(connection):
        for statement in {RUIN_FEBRUARY!r}:
            connection.execute(statement).fetchall()
        {READY}
"""
RUIN_AND_COMMIT: Final = f"""{OPEN_PLATFORM}
from capsim_dagster.storage.warehouse import transaction
with platform.writing() as connection:
    with transaction(connection):
        for statement in {RUIN_FEBRUARY!r}:
            connection.execute(statement).fetchall()
    {READY}
"""


def test_writer_killed_inside_a_transaction_leaves_the_previous_rows(platform: Platform) -> None:
    before = rows_in(platform, "processed_data")
    with started(RUIN_WITHOUT_COMMIT, platform.settings.model_dump_json()) as writer:
        kill(writer)
    assert rows_in(platform, "processed_data") == before


def test_writer_killed_after_its_commit_leaves_the_new_rows(platform: Platform) -> None:
    with started(RUIN_AND_COMMIT, platform.settings.model_dump_json()) as writer:
        kill(writer)
    found = rows_in(platform, "processed_data")
    for statement in RUIN_FEBRUARY:
        run_sql(platform, statement)
    assert found == rows_in(platform, "processed_data")
