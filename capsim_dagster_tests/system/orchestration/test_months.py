"""Each month shows its own state after every kind of ending, and gates bar just the months that failed them."""

import dagster as dg
import polars as pl
import pytest

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.checks import check_trends
from capsim_dagster.orchestration.gates import FEED_GATE, barred
from capsim_dagster.orchestration.instance import open_instance
from capsim_dagster.orchestration.keys import every_check
from capsim_dagster.orchestration.months import key_of
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import MONTHS
from capsim_dagster_tests.support.orchestration.fixtures import QUIET, TODAY, failure_texts, run_job
from capsim_dagster_tests.support.orchestration.month_states import check_states, partition_states
from capsim_dagster_tests.support.orchestration.reported import TABLE_CHECK, asking_for, report_months, report_verdict
from capsim_dagster_tests.support.sabotage import change_lines, feed_file, replace_field, rows_in, run_sql

pytestmark = pytest.mark.usefixtures("_opened_once")

JANUARY, FEBRUARY, MARCH = MONTHS
TABLE_CHECKS = ("reconciliation", "row_parity", "keys_are_unique", "hosts_are_known")
FEED_AND_TABLE = [f"monthly_csv/{name}" for name in ("cpu", "memory", "disk", "network")] + ["processed_data"]
GOOD = dict.fromkeys(MONTHS, "MATERIALIZED")
PASSED = dict.fromkeys(MONTHS, "SUCCEEDED")


def states(platform: Platform, instance: dg.DagsterInstance, asset: str = "processed_data") -> dict[int, str]:
    return partition_states(instance, build_definitions(platform.settings, today=TODAY), asset, MONTHS)


def test_a_range_run_records_each_month_once_with_its_metadata_and_checks(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    result = run_job(platform, instance, "full_refresh", asking_for(MONTHS), FEED_AND_TABLE)

    assert result.success, failure_texts(result)
    for asset in FEED_AND_TABLE:
        key = dg.AssetKey(asset.split("/"))
        records = instance.fetch_materializations(key, limit=100).records
        assert sorted(str(record.partition_key) for record in records) == ["2023-01-01", "2023-02-01", "2023-03-01"]
        assert states(platform, instance, asset) == GOOD
        for check in TABLE_CHECKS if asset == "processed_data" else ("row_parity",):
            assert check_states(instance, asset, check) == PASSED
    feed = (
        instance.fetch_materializations(dg.AssetKey(["monthly_csv", "cpu"]), limit=1).records[0].asset_materialization
    )
    assert feed is not None
    assert feed.metadata["bytes"].value == feed_file(platform, MARCH).stat().st_size
    assert feed.metadata["dagster/partition_row_count"].value == 12 * 31
    assert feed.tags is not None
    assert feed.tags["dagster/data_version"] == feed.metadata["sha256"].value


def test_an_export_that_breaks_half_way_keeps_the_months_before_it(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    # A folder in the place of a file cannot be replaced.
    feed_file(platform).unlink()
    feed_file(platform).mkdir()

    result = run_job(platform, instance, "full_refresh", asking_for(MONTHS), FEED_AND_TABLE)

    assert not result.success
    for asset in FEED_AND_TABLE[:-1]:
        assert states(platform, instance, asset)[JANUARY] == "MATERIALIZED"
        assert states(platform, instance, asset)[MARCH] == "FAILED"
        assert check_states(instance, asset, "row_parity") == {
            JANUARY: "SUCCEEDED",
            FEBRUARY: "PLANNED",
            MARCH: "PLANNED",
        }
    assert states(platform, instance, "monthly_csv/cpu")[FEBRUARY] == "FAILED"


def test_a_single_month_is_recorded_as_that_month_alone(platform: Platform, instance: dg.DagsterInstance) -> None:
    before = rows_in(platform, "processed_data")

    result = run_job(platform, instance, "full_refresh", {"dagster/partition": "2023-02-01"}, FEED_AND_TABLE)

    assert result.success, failure_texts(result)
    for asset in FEED_AND_TABLE:
        assert states(platform, instance, asset) == {JANUARY: "MISSING", FEBRUARY: "MATERIALIZED", MARCH: "MISSING"}
    assert check_states(instance, "processed_data", "row_parity") == {FEBRUARY: "SUCCEEDED"}
    assert rows_in(platform, "processed_data") == before


def test_a_month_whose_feed_failed_its_check_is_refused_by_the_table_in_another_run_and_no_killed_run_lifts_that(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_after_export(platform, monkeypatch)
    feed = run_job(platform, instance, "full_refresh", asking_for(MONTHS), FEED_AND_TABLE[:-1])
    before = rows_in(platform, "processed_data")

    assert not feed.success
    assert states(platform, instance, "monthly_csv/cpu") == GOOD
    assert check_states(instance, "monthly_csv/cpu", "row_parity") == {**PASSED, FEBRUARY: "FAILED"}
    assert check_states(instance, "monthly_csv/disk", "row_parity") == PASSED

    table = run_job(platform, instance, "full_refresh", asking_for(MONTHS), ["processed_data"])

    assert not table.success
    assert "2023-02: its feed did not pass its checks (monthly_csv/cpu row_parity)" in failure_texts(table)[0]
    assert states(platform, instance) == {**GOOD, FEBRUARY: "FAILED"}
    assert rows_in(platform, "processed_data") == before

    job = build_definitions(platform.settings, today=TODAY).resolve_job_def("full_refresh")
    killed = instance.create_run_for_job(
        job.get_subset(asset_selection={dg.AssetKey(asset.split("/")) for asset in FEED_AND_TABLE[:-1]}),
        tags=asking_for(MONTHS),
    )
    instance.report_run_failed(killed)
    assert check_states(instance, "monthly_csv/cpu", "row_parity")[FEBRUARY] != "FAILED"
    assert set(barred(FEED_GATE, instance, [key_of(month) for month in MONTHS])) == {key_of(FEBRUARY)}


def test_a_month_whose_feed_failed_its_check_is_the_only_one_that_a_joint_run_refuses(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_after_export(platform, monkeypatch)
    result = run_job(platform, instance, "full_refresh", asking_for(MONTHS), FEED_AND_TABLE)

    assert not result.success
    assert states(platform, instance) == {**GOOD, FEBRUARY: "FAILED"}

    monkeypatch.undo()
    assert run_job(platform, instance, "full_refresh", asking_for([FEBRUARY]), FEED_AND_TABLE).success
    assert states(platform, instance) == GOOD
    assert check_states(instance, "monthly_csv/cpu", "row_parity") == PASSED


def test_feed_and_truth_refuse_a_master_whose_check_failed_in_a_run_before(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    # Without a day of the calendar the master has one that nobody asked for, and its gate fails.
    run_sql(platform, "CREATE TABLE kept AS FROM time_periods WHERE date = DATE '2023-02-10'")
    run_sql(platform, "DELETE FROM time_periods WHERE date = DATE '2023-02-10'")
    assert not run_job(platform, instance, "full_refresh", {}, ["master_parquet"]).success
    run_sql(platform, "INSERT INTO time_periods FROM kept")
    (record,) = instance.fetch_materializations(dg.AssetKey("master_parquet"), limit=10).records
    assert record.run_id

    feed = run_job(platform, instance, "full_refresh", asking_for(MONTHS), FEED_AND_TABLE[:-1])
    truth = run_job(platform, instance, "full_refresh", {}, ["ground_truth"])

    for result in (feed, truth):
        assert not result.success
        assert "master_parquet: row_parity failed" in failure_texts(result)[0]
    assert states(platform, instance, "monthly_csv/cpu") == dict.fromkeys(MONTHS, "FAILED")

    assert run_checks(platform, instance, "master_parquet").success
    assert run_job(platform, instance, "full_refresh", asking_for(MONTHS), FEED_AND_TABLE[:-1]).success


def test_checks_of_whole_assets_run_alone_as_by_their_button(platform: Platform, instance: dg.DagsterInstance) -> None:
    for asset in ("host_inventory", "time_dimension", "master_parquet", "ground_truth", "refinery_audit"):
        result = run_checks(platform, instance, asset)
        assert result.success
        assert result.get_asset_check_evaluations()


def test_the_trends_show_every_check_that_there_is(platform: Platform) -> None:
    graph = build_definitions(platform.settings, today=TODAY).resolve_asset_graph()
    assert len(every_check()) == 26 + 5 + 15 + 13
    assert set(every_check()) == set(graph.asset_check_keys)


def test_the_trends_leave_out_what_was_never_evaluated(instance: dg.DagsterInstance) -> None:
    assert check_trends(instance) == []
    report_months(instance, [JANUARY], [dg.AssetKey("processed_data")])
    report_verdict(instance, TABLE_CHECK, month=JANUARY)

    (trend,) = check_trends(instance)

    assert (trend.asset, trend.check, len(trend.evaluations)) == ("processed_data", "reconciliation", 1)


def test_the_ground_truth_shows_the_columns_of_each_of_its_files(platform: Platform) -> None:
    graph = build_definitions(platform.settings, today=TODAY).resolve_asset_graph()
    shown = graph.get(dg.AssetKey("ground_truth")).metadata

    for path in platform.layout.truth.glob("*.parquet"):
        columns = [column.name for column in shown[f"columns_of_{path.stem}"].columns]
        assert columns == list(pl.read_parquet_schema(path))


def test_a_failed_load_brings_the_audit_page_up_to_date(platform: Platform, instance: dg.DagsterInstance) -> None:
    feed_file(platform).unlink()

    assert not run_job(platform, instance, "full_refresh", asking_for([FEBRUARY]), ["processed_data"]).success

    page = (platform.layout.root / "audit" / "refinery.html").read_text(encoding="utf-8")
    assert "cpu_utilization_202302.csv" in page


def test_months_that_a_replaced_fleet_no_longer_has_are_missing(platform: Platform) -> None:
    with open_instance(platform.layout) as instance:
        assert run_job(platform, instance, "full_refresh", asking_for(MONTHS)).success
        generation = platform.generation.model_copy(
            update={"random_seed": 7, "end_date": platform.generation.start_date.replace(day=31)}
        )
        other = Platform(platform.settings.model_copy(update={"data_generation": generation}))

        assert run_job(other, instance, "full_refresh", asking_for([JANUARY])).success

        for asset in FEED_AND_TABLE:
            assert states(other, instance, asset) == {JANUARY: "MATERIALIZED", FEBRUARY: "MISSING", MARCH: "MISSING"}
        assert check_states(instance, "processed_data", "row_parity") == {JANUARY: "SUCCEEDED"}


def run_checks(platform: Platform, instance: dg.DagsterInstance, asset: str) -> dg.ExecuteInProcessResult:
    """Run the checks of an asset alone, as their button in the UI does."""
    definitions = build_definitions(platform.settings, today=TODAY)
    job = definitions.get_repository_def().get_implicit_global_asset_job_def()
    keys = {key for key in definitions.resolve_asset_graph().asset_check_keys if key.asset_key == dg.AssetKey(asset)}
    return job.get_subset(asset_selection=set(), asset_check_selection=keys).execute_in_process(
        instance=instance, raise_on_error=False, run_config=QUIET
    )


def damage_after_export(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something else change February's CPU file after it was written and before it is audited."""
    from capsim_dagster.pipeline.feed_checks import FeedMonths

    audit = FeedMonths.audit

    def damaged(self: FeedMonths, month: int, resources: object) -> object:
        if month == FEBRUARY:
            change_lines(feed_file(platform), replace_field(6, 2, "20.01"))
        return audit(self, month, resources)  # type: ignore[arg-type]

    monkeypatch.setattr(FeedMonths, "audit", damaged)
