"""Old runs go, with their files; what is there, what failed and what was judged shows as before."""

import datetime as dt
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from capsim_dagster.orchestration.event_log import EngineReusingEventLog
from capsim_dagster.orchestration.run_retention import history_of, history_sensor, prune
from capsim_dagster_tests.support.orchestration.aged import age

NOW = dt.datetime.now(dt.UTC)
DAYS = dg.StaticPartitionsDefinition(["one", "two", "three"])


class Outcome(dg.Config):
    """What a run is to do."""

    fails: bool = False


@dg.asset(partitions_def=DAYS)
def thing(config: Outcome) -> dg.MaterializeResult[Any]:
    if config.fails:
        raise dg.Failure(description="told to fail")
    return dg.MaterializeResult(metadata={"rows": 1})


@dg.asset_check(asset=thing)
def holds(config: Outcome) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=not config.fails)


def make(instance: dg.DagsterInstance, partition: str, *, fails: bool = False) -> str:
    """Make a partition, and return the run."""
    result = dg.materialize(
        [thing, holds],
        instance=instance,
        partition_key=partition,
        raise_on_error=False,
        run_config={
            "ops": {name: {"config": {"fails": fails}} for name in ("thing", "thing_holds")},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )
    return result.run_id


def facts(instance: dg.DagsterInstance) -> list[object]:
    """Return what Dagster's pages say of the asset and its check."""
    storage, checks = instance.event_log_storage, [dg.AssetCheckKey(thing.key, "holds")]
    (record,) = instance.get_asset_records([thing.key])
    return [
        storage.get_materialized_partitions(thing.key),
        storage.get_latest_storage_id_by_partition(thing.key, dg.DagsterEventType.ASSET_MATERIALIZATION),
        storage.get_latest_asset_partition_materialization_attempts_without_materializations(thing.key),
        storage.get_latest_tags_by_partition(
            thing.key, dg.DagsterEventType.ASSET_MATERIALIZATION, ["dagster/data_version"]
        ),
        record.asset_entry.last_materialization,
        storage.get_asset_check_partition_info(checks),
        {key: found.event for key, found in storage.get_latest_asset_check_execution_by_key(checks).items()},
    ]


def logs(instance: dg.DagsterInstance) -> set[str]:
    storage = instance.event_log_storage
    assert isinstance(storage, EngineReusingEventLog)
    return set(storage.get_all_run_ids())


def pruned(instance: dg.DagsterInstance, keep_days: int | None = 90) -> set[str]:
    old = list(history_of(instance, keep_days, now=NOW).old)
    assert prune(instance, old, now=NOW) == len(old)
    return set(old)


def test_old_runs_go_with_their_files_and_what_they_made_stays_as_it_shows(instance: dg.DagsterInstance) -> None:
    replaced, latest = make(instance, "one"), make(instance, "one")
    alone, recent = make(instance, "two"), make(instance, "three")
    age(instance, [replaced, latest, alone])
    captured = Path(instance.root_directory) / "logs" / replaced
    captured.mkdir(parents=True)
    before = facts(instance)

    assert pruned(instance) == {replaced, latest, alone}
    assert facts(instance) == before
    assert {run.run_id for run in instance.get_runs()} == logs(instance) == {recent}
    assert not captured.exists()
    assert len(instance.fetch_materializations(thing.key, limit=9).records) == 3


def test_a_run_that_was_the_last_to_fail_at_something_stays_whole(instance: dg.DagsterInstance) -> None:
    mended, made = make(instance, "one", fails=True), make(instance, "one")
    failed, recent = make(instance, "two", fails=True), make(instance, "three")
    age(instance, [mended, made, failed])
    before = facts(instance)

    assert pruned(instance) == {mended, made}
    assert facts(instance) == before
    assert logs(instance) == {failed, recent}


def test_a_run_that_goes_on_and_one_that_is_young_stay(instance: dg.DagsterInstance) -> None:
    young, last = make(instance, "one"), make(instance, "two")
    age(instance, [young], days=89)
    under_way = instance.create_run_for_job(dg.GraphDefinition("slow").to_job(), status=dg.DagsterRunStatus.STARTED)
    age(instance, [under_way.run_id])

    assert pruned(instance) == set()
    assert pruned(instance, None) == set()
    assert {run.run_id for run in instance.get_runs()} == {young, last, under_way.run_id}


def test_a_removal_that_is_cut_short_is_gone_on_with(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, recent = make(instance, "one"), make(instance, "two")
    age(instance, [old])
    before = facts(instance)

    def interrupt(_run_id: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(instance.run_storage, "delete_run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pruned(instance)
    monkeypatch.undo()

    assert facts(instance) == before
    assert pruned(instance) == {old}
    assert facts(instance) == before
    assert logs(instance) == {recent}


def test_a_log_without_a_run_goes_once_it_is_a_day_old(instance: dg.DagsterInstance) -> None:
    folder = Path(instance.root_directory) / "storage/history/runs"
    for name, hours in {"lost": 25, "new": 23}.items():
        (folder / f"{name}.db").touch()
        os.utime(folder / f"{name}.db", ((NOW - dt.timedelta(hours=hours)).timestamp(),) * 2)

    pruned(instance)

    assert logs(instance) == {"new"}


def test_the_sensor_removes_a_bounded_number_a_tick(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capsim_dagster.orchestration.run_retention._MOST_RUNS", 2)
    runs = [make(instance, "one") for _ in range(4)]
    age(instance, runs[:3])
    sensor = history_sensor(90)

    ticks = [sensor(dg.build_sensor_context(instance=instance)) for _ in range(3)]

    assert [tick.skip_message for tick in ticks if isinstance(tick, dg.SkipReason)] == [
        "removed 2 of 3 old runs",
        "removed 1 of 1 old runs",
        "no run is older than it is kept",
    ]
    assert logs(instance) == {runs[3]}
