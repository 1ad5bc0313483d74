"""Runs made older than they are."""

import datetime as dt
import sqlite3
from pathlib import Path

import dagster as dg


def age(instance: dg.DagsterInstance, runs: list[str], days: float = 100) -> None:
    """Let runs have begun so many days ago."""
    began = (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).replace(tzinfo=None)
    with sqlite3.connect(Path(instance.root_directory) / "storage/history/runs.db") as database:
        database.executemany(
            "UPDATE runs SET create_timestamp = ? WHERE run_id = ?", [(str(began), run) for run in runs]
        )
