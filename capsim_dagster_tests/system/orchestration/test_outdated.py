"""The UI's "outdated" follows content: neither a new run nor a longer window makes older months outdated."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.months import key_of
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import MONTHS, small_settings
from capsim_dagster_tests.support.orchestration.fixtures import TODAY, run_job
from capsim_dagster_tests.support.orchestration.month_states import partition_states
from capsim_dagster_tests.support.orchestration.reported import asking_for

FLEET = ["host_inventory", "time_dimension", "master_parquet"]


def outdated(platform: Platform, instance: dg.DagsterInstance) -> set[str]:
    """Return the assets that the UI shows as outdated, wholly or in a month."""
    graph = build_definitions(platform.settings, today=TODAY).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))

    def statuses(key: dg.AssetKey) -> Iterator[str]:
        months = [key_of(month) for month in MONTHS] if graph.get(key).partitions_def else [None]
        for month in months:
            yield resolver.get_status(key, month).name

    return {key.to_user_string() for key in graph.get_all_asset_keys() if "STALE" in statuses(key)}


def test_only_other_content_makes_what_depends_on_it_outdated(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    platform = Platform(small_settings(tmp_path / "data"))
    assert run_job(platform, instance, "full_refresh", asking_for(MONTHS)).success
    assert outdated(platform, instance) == set()

    assert run_job(platform, instance, "full_refresh", {}, FLEET).success
    assert run_job(platform, instance, "monthly_refresh", asking_for([202304])).success
    assert outdated(platform, instance) == set()

    other = Platform(small_settings(tmp_path / "data", random_seed=7))
    assert run_job(other, instance, "full_refresh", {}, FLEET).success
    # The months of the fleet before are not outdated, but gone.
    assert outdated(other, instance) == {"ground_truth"}
    definitions = build_definitions(other.settings, today=TODAY)
    assert partition_states(instance, definitions, "monthly_csv/cpu", MONTHS) == dict.fromkeys(MONTHS, "MISSING")
