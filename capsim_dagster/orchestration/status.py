"""What is there and what is not, as an open instance has recorded it: for what needs Dagster anyhow.

`capsim status` reads the same records without loading Dagster (`history`), and looks at the disk too.
"""

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import dagster as dg
from sqlalchemy import text
from sqlalchemy.engine import Connection

from capsim_dagster.errors import StorageError
from capsim_dagster.orchestration import findings
from capsim_dagster.orchestration.dagster_private import SqlEventLogStorage, SqlRunStorage
from capsim_dagster.orchestration.history import Records
from capsim_dagster.orchestration.keys import PROCESSED_DATA
from capsim_dagster.orchestration.states import Status
from capsim_dagster.settings import DataGeneration


def read_status(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    *,
    today: dt.date,
    assets: Collection[dg.AssetKey] | None = None,
    months: Collection[str] | None = None,
) -> Status:
    """Return what the instance knows of some assets and months; None = of all that could be there.

    Months after `today`, in UTC, cannot be there yet.
    """
    chosen = [month for month in possible_months(definitions, today) if months is None or month in months]
    names = None if assets is None else {key.to_user_string() for key in assets}
    return findings.recorded_status(records_of(instance), names, chosen)


def possible_months(definitions: dg.Definitions, today: dt.date) -> list[str]:
    """Return the months that can be there, ascending: those that are over, and those of the window."""
    partitions = definitions.resolve_asset_graph().get(PROCESSED_DATA).partitions_def
    assert partitions is not None  # noqa: S101 it has months
    return list(partitions.get_partition_keys(dt.datetime.combine(today, dt.time(), dt.UTC)))


def is_of_other_fleet(instance: dg.DagsterInstance, generation: DataGeneration) -> bool:
    """Return whether the inventory that is there was made with other settings than these."""
    return findings.is_of_other_fleet(records_of(instance), generation)


def records_of(instance: dg.DagsterInstance) -> Records:
    """Return the tables of an open instance.

    Raises:
        StorageError: If its storage is none of Dagster's own, which keep them in SQL.
    """
    events, runs = instance.event_log_storage, instance.run_storage
    if not (isinstance(events, SqlEventLogStorage) and isinstance(runs, SqlRunStorage)):
        raise StorageError(
            f"the record of runs is kept in {type(events).__name__}", remedy="use the storage of capsim's dagster.yaml"
        )
    return Records(
        partial(_rows, events.index_connection),
        partial(_rows, runs.connect),
        lambda run_id: partial(_rows, partial(events.run_connection, run_id)),
    )


def _rows(connect: Callable[[], AbstractContextManager[Connection]], sql: str) -> Sequence[tuple[Any, ...]]:
    with connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]
