"""A backfill that runs: what fails or is interrupted, what is due then, and what stays when its runs are old."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from capsim_dagster.orchestration.keys import PROCESSED_DATA
from capsim_dagster.orchestration.launch import BACKFILL_TAG, Plan, run_backfill
from capsim_dagster.orchestration.months import key_of, month_of
from capsim_dagster.orchestration.run_retention import history_of, prune
from capsim_dagster.orchestration.status import read_status
from capsim_dagster.refinery.load import load_month
from capsim_dagster.settings import Settings
from capsim_dagster_tests.support.foreign_feed import expected_rows, file_of, foreign_platform
from capsim_dagster_tests.support.orchestration.aged import age
from capsim_dagster_tests.support.orchestration.backfills import TODAY, definitions_of, feed_settings, plan
from capsim_dagster_tests.support.orchestration.month_states import partition_states
from capsim_dagster_tests.support.sabotage import rows_in

pytestmark = pytest.mark.usefixtures("_opened_once")


def feed_states(instance: dg.DagsterInstance, settings: Settings, months: Sequence[str]) -> dict[str, str]:
    found = partition_states(instance, definitions_of(settings), "processed_data", [*map(month_of, months)])
    return {key_of(month): state for month, state in found.items()}


def test_a_run_that_fails_keeps_no_other_from_being_tried_and_only_its_months_are_due_then(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    months = ["2023-02-01", "2023-03-01"]
    settings = feed_settings(tmp_path, months)
    lost = file_of(tmp_path / "exports", 202302)
    content = lost.read_bytes()
    lost.unlink()

    summaries = list(run_backfill(definitions_of(settings), instance, plan(instance, settings, max_months_per_run=1)))

    assert [summary.succeeded for summary in summaries] == [False, True]
    assert "2023-02/CPU.csv: no such file" in summaries[0].failures[0]
    runs = instance.get_runs()
    assert {run.job_name for run in runs} == {"refine_feed"}
    assert len({run.tags[BACKFILL_TAG] for run in runs}) == 1
    left = plan(instance, settings)
    assert (left.runs, left.done) == ([["2023-02-01"]], ["2023-03-01"])
    found = read_status(definitions_of(settings), instance, today=TODAY, assets=[PROCESSED_DATA], months=months)
    assert [run.status for run in found.runs] == ["success", "failure"]
    assert found.runs[1].reason.startswith("processed_data: 2023-02: 1 of its files cannot be loaded")

    lost.write_bytes(content)
    (mended,) = run_backfill(definitions_of(settings), instance, left)

    assert mended.succeeded
    assert {run.tags[BACKFILL_TAG] for run in instance.get_runs(limit=1)} != {runs[0].tags[BACKFILL_TAG]}
    assert plan(instance, settings) == Plan(job="refine_feed", runs=[], done=months, running=[])
    assert rows_in(foreign_platform(tmp_path / "work", tmp_path / "exports"), "processed_data") == expected_rows(
        [*map(month_of, months)]
    )


def test_an_interrupt_shows_as_a_cancelled_run_and_fails_no_month(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    months = ["2023-02-01", "2023-03-01", "2023-04-01"]
    settings = feed_settings(tmp_path, months)

    def interrupted(connection: Any, feed: Any, month: int) -> object:  # noqa: ANN401 as they are handed on
        if month == 202303:
            raise KeyboardInterrupt
        return load_month(connection, feed, month)

    monkeypatch.setattr("capsim_dagster.pipeline.refine.load_month", interrupted)

    (summary,) = run_backfill(definitions_of(settings), instance, plan(instance, settings))

    assert summary.interrupted
    assert [run.status.value for run in instance.get_runs()] == ["CANCELED"]
    assert feed_states(instance, settings, months) == {
        "2023-02-01": "MATERIALIZED",
        "2023-03-01": "MISSING",
        "2023-04-01": "MISSING",
    }
    assert plan(instance, settings).runs == [["2023-03-01", "2023-04-01"]]
    monkeypatch.undo()
    (again,) = run_backfill(definitions_of(settings), instance, plan(instance, settings))
    assert again.succeeded


def test_status_is_the_same_after_an_old_run_of_the_feed_went(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    months, now = ["2023-02-01", "2023-03-01"], dt.datetime.now(dt.UTC)
    settings = feed_settings(tmp_path, months)
    for again in (False, True):
        list(run_backfill(definitions_of(settings), instance, plan(instance, settings, months, again=again)))
    age(instance, [run.run_id for run in instance.get_runs()])
    before = read_status(definitions_of(settings), instance, today=TODAY, months=months)

    old = list(history_of(instance, 90, now=now).old)

    # The latest holds the last verdicts, and stays.
    assert prune(instance, old, now=now) == 1
    after = read_status(definitions_of(settings), instance, today=TODAY, months=months)
    assert replace(after, runs=()) == replace(before, runs=())
