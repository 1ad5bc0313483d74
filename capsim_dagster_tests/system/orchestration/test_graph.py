import dagster as dg
import duckdb
import pytest
from dagster_duckdb import DuckDBResource

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.launch import run_job as run_in_terminal
from capsim_dagster.orchestration.months import key_of
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import MONTHS
from capsim_dagster_tests.support.orchestration.fixtures import QUIET, TODAY, failure_texts, run_job


def table_rows(platform: Platform) -> list[tuple[object, ...]]:
    with duckdb.connect(str(platform.layout.warehouse), read_only=True) as connection:
        return connection.execute("SELECT * FROM processed_data ORDER BY ALL").fetchall()


def materialized(instance: dg.DagsterInstance, asset: str) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey(asset.split("/"))))


@pytest.mark.usefixtures("instance")
def test_definitions_load_without_a_warning(platform: Platform) -> None:
    definitions = build_definitions(platform.settings, today=TODAY)

    dg.Definitions.validate_loadable(definitions)


def test_an_asset_of_ones_own_reads_the_warehouse_by_the_duckdb_resource(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    @dg.asset(deps=["processed_data"])
    def busiest(duckdb: DuckDBResource) -> dg.MaterializeResult[None]:
        with duckdb.get_connection() as connection:
            ((peak,),) = connection.execute("SELECT max(y) FROM processed_data").fetchall()
        return dg.MaterializeResult(metadata={"peak": peak})

    definitions = dg.Definitions.merge(
        build_definitions(platform.settings, today=TODAY), dg.Definitions(assets=[busiest])
    )

    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, asset_selection=[busiest.key], run_config=QUIET
    )

    (event,) = result.get_asset_materialization_events()
    assert event.step_materialization_data.materialization.metadata["peak"].value == pytest.approx(
        max(y for _, _, _, y, _, _ in table_rows(platform) if isinstance(y, float))
    )


def test_full_refresh_builds_everything_in_one_run_and_every_check_passes(
    empty_platform: Platform, instance: dg.DagsterInstance
) -> None:
    definitions = build_definitions(empty_platform.settings, today=TODAY)

    summary = run_in_terminal(definitions, instance, "full_refresh", [*map(key_of, MONTHS)])

    assert summary.succeeded, summary.failures
    assert {check.check for check in summary.checks if not check.passed} == set()
    assert len(summary.checks) == 26
    assert {check.months for check in summary.checks} == {0, 3}
    rows = {asset.asset: asset.rows for asset in summary.assets}
    assert rows["master_parquet"] == rows["processed_data"] == 12 * 4 * 90
    assert rows["monthly_csv/cpu"] == 12 * 90
    for asset in ("monthly_csv/cpu", "monthly_csv/network", "processed_data"):
        assert materialized(instance, asset) == {key_of(month) for month in MONTHS}
    assert instance.get_runs_count() == 1


def test_a_bad_file_fails_its_month_with_a_remedy_and_keeps_the_rows(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    path = platform.layout.legacy / "2023" / "02" / "memory_stats_202302.csv"
    path.write_text(path.read_text().replace(",memory_p95,", ",mem,"))
    before = table_rows(platform)

    result = run_job(platform, instance, "monthly_refresh", {"dagster/partition": "2023-02-01"}, ["processed_data"])

    assert not result.success
    assert "memory_stats_202302.csv: the header is" in failure_texts(result)[0]
    assert "->" in failure_texts(result)[0]
    assert table_rows(platform) == before


def test_an_asset_without_its_inputs_says_what_to_do_first(
    empty_platform: Platform, instance: dg.DagsterInstance
) -> None:
    result = run_job(empty_platform, instance, "full_refresh", {}, ["master_parquet"])

    assert not result.success
    assert "materialize host_inventory and time_dimension first" in failure_texts(result)[0]


def test_a_month_outside_the_calendar_is_refused(platform: Platform, instance: dg.DagsterInstance) -> None:
    result = run_job(platform, instance, "monthly_refresh", {"dagster/partition": "2023-06-01"}, ["monthly_csv/cpu"])

    assert not result.success
    assert "2023-06 lies outside the calendar" in failure_texts(result)[0]
