"""The panel over the life of a fleet: after each refresh it holds what the master holds, and never two fleets."""

from pathlib import Path

import dagster as dg
import polars as pl

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.months import key_of
from capsim_dagster.orchestration.status import read_status
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import MONTHS
from capsim_dagster_tests.support.orchestration.fixtures import TODAY, failure_texts, run_job
from capsim_dagster_tests.support.orchestration.panel_site import VALIDATED, failed_checks, panel_platform
from capsim_dagster_tests.support.orchestration.reported import asking_for
from capsim_dagster_tests.support.sabotage import files_under

MARCH, APRIL = "server_metrics_20230101_to_20230331", "server_metrics_20230101_to_20230430"


def source_of(instance: dg.DagsterInstance) -> str:
    """Return which panel was validated last."""
    event = instance.get_latest_materialization_event(dg.AssetKey(VALIDATED))
    assert event is not None
    assert event.asset_materialization is not None
    return Path(str(event.asset_materialization.metadata["source"].value)).name


def panels(platform: Platform) -> dict[str, bytes]:
    return files_under(platform.layout.root / "panel")


def test_the_panel_alone_is_open_after_full_refresh_then_follows_the_master_and_keeps_the_shorter_one(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    platform = panel_platform(tmp_path / "data")
    full = run_job(platform, instance, "full_refresh", asking_for(MONTHS))
    assert full.success
    assert len({(found.asset_key, found.check_name) for found in full.get_asset_check_evaluations()}) == 26
    assert panels(platform) == {}
    definitions = build_definitions(platform.settings, today=TODAY)
    before = read_status(definitions, instance, today=TODAY, months=[*map(key_of, MONTHS)])
    assert before.never_demanded == ["server_metrics", VALIDATED]
    assert (before.open_months, before.open_assets, before.failed_on_demand) == ([], [], [])

    first = run_job(platform, instance, "panel_refresh", {})

    assert first.success, failure_texts(first)
    assert (failed_checks(first), len(first.get_asset_check_evaluations())) == ({}, 20)
    assert source_of(instance) == f"raw_{MARCH}.parquet"
    of_march = panels(platform)
    after = read_status(definitions, instance, today=TODAY, months=[*map(key_of, MONTHS)])
    assert (after.never_demanded, after.failed_on_demand, after.open_assets, after.has_failures) == ([], [], [], False)
    assert {check.verdict for check in after.checks} == {"passed"}
    assert len(after.checks) == 46

    assert run_job(platform, instance, "monthly_refresh", asking_for([202304])).success
    assert panels(platform) == of_march
    later = run_job(platform, instance, "panel_refresh", {})

    assert later.success, failure_texts(later)
    assert (failed_checks(later), len(later.get_asset_check_evaluations())) == ({}, 20)
    assert source_of(instance) == f"raw_{APRIL}.parquet"
    of_april = panels(platform)
    assert {name: of_april[name] for name in of_march} == of_march
    folder = platform.layout.root / "panel" / "staged"
    longer, shorter = (pl.read_parquet(folder / f"validated_{stem}.parquet") for stem in (APRIL, MARCH))
    assert longer.filter(pl.col("timestamp") < pl.datetime(2023, 4, 1)).equals(shorter, null_equal=True)
    assert longer.height - shorter.height == 12 * 30


def test_a_panel_of_a_fleet_that_was_replaced_is_made_anew_or_refused_and_never_taken_for_the_new_one(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    before = panel_platform(tmp_path / "data")
    assert run_job(before, instance, "full_refresh", asking_for(MONTHS)).success
    assert run_job(before, instance, "panel_refresh", {}).success
    staged = panels(before)[f"staged/validated_{MARCH}.parquet"]
    now = panel_platform(tmp_path / "data", random_seed=7)
    assert run_job(now, instance, "full_refresh", asking_for(MONTHS)).success

    refused = run_job(now, instance, "panel_refresh", {}, [VALIDATED])

    assert not refused.success
    assert (
        "was made with other settings than these: 12 servers from 2023-01-01 on, seed 42" in failure_texts(refused)[0]
    )
    assert panels(now)[f"staged/validated_{MARCH}.parquet"] == staged

    anew = run_job(now, instance, "panel_refresh", {})

    assert anew.success, failure_texts(anew)
    assert (failed_checks(anew), len(anew.get_asset_check_evaluations())) == ({}, 20)
    assert panels(now)[f"staged/validated_{MARCH}.parquet"] != staged
