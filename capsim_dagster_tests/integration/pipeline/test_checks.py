from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from capsim_dagster.audits.report import Finding
from capsim_dagster.errors import CapsimError, MasterError, WarehouseError
from capsim_dagster.pipeline import checks, stages
from capsim_dagster.pipeline.checks import TableMonths
from capsim_dagster.pipeline.dirt import expected_content
from capsim_dagster.pipeline.feed_checks import FeedMonths
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.conftest import MONTHS, MakeSettings
from capsim_dagster_tests.support.pipeline.sabotages import SABOTAGES, Act, Sabotage, lines
from capsim_dagster_tests.support.sabotage import feed_file, replace_field, rewrite_master, run_sql

DAMAGED: Final = MONTHS[:2]
"""The months whose files are damaged; what is right of one is right of the third."""


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def merged(months: Iterable[Mapping[str, Finding]]) -> Mapping[str, Finding]:
    """Return one report a check, with the problems of all months."""
    whole: dict[str, Finding] = {}
    for reports in months:
        for name, report in reports.items():
            whole[name] = whole[name].with_problems(report.examples) if name in whole else report
    return whole


def feed_reports(platform: Platform, resource: Resource, months: Sequence[int] = DAMAGED) -> Mapping[str, Finding]:
    audits = FeedMonths(platform)
    return merged(audits.audit(month, [resource])[resource] for month in months)


def table_reports(platform: Platform, months: Sequence[int] = MONTHS) -> Mapping[str, Finding]:
    with platform.reading() as connection:
        audits = TableMonths(platform, connection, expected_content(platform, months))
        return merged([audits.audit(month) for month in months])


CHECKS: Final[Mapping[str, Callable[[Platform], Mapping[str, Finding]]]] = {
    "host_inventory": checks.host_inventory,
    "time_dimension": checks.time_dimension,
    "master_parquet": checks.master_parquet,
    "ground_truth": checks.ground_truth,
    **{f"monthly_csv/{resource}": partial(feed_reports, resource=resource) for resource in Resource},
    "processed_data": table_reports,
    "refinery_audit": lambda platform: checks.refinery_audit(platform, MONTHS),
}


def failing(reports: Mapping[str, Finding]) -> dict[str, str]:
    return {name: report.verdict for name, report in reports.items() if not report.passed}


def checks_of(platform: Platform, asset: str) -> Mapping[str, Finding]:
    """Return the reports of one asset's checks."""
    return CHECKS[asset](platform)


def test_every_check_passes_on_what_was_built_and_has_a_test_that_makes_it_fail(platform: Platform) -> None:
    reports = {asset: audit(platform) for asset, audit in CHECKS.items()}
    assert {asset: failing(found) for asset, found in reports.items()} == {asset: {} for asset in CHECKS}

    named = {asset.partition("/")[0]: set(found) for asset, found in reports.items()}
    broken: dict[str, set[str]] = {"master_parquet": {"breach_hosts_reach_threshold_on_date"}}
    for sabotage in SABOTAGES.values():
        broken.setdefault(sabotage.asset.partition("/")[0], set()).update(sabotage.fails)
    assert broken == named


@pytest.mark.parametrize("sabotage", SABOTAGES.values(), ids=SABOTAGES)
def test_sabotage_fails_just_its_check(platform: Platform, sabotage: Sabotage) -> None:
    # That nothing fails before is `test_every_check_passes_on_what_was_built_and_has_a_test_that_makes_it_fail`.
    sabotage.act(platform)
    found = failing(checks_of(platform, sabotage.asset))
    assert found.keys() == sabotage.fails
    assert any(sabotage.says in verdict for verdict in found.values())


def test_damage_of_one_feed_leaves_the_checks_of_the_others(platform: Platform) -> None:
    damages: list[Act] = [lines(replace_field(6, 2, "20.01")), lambda platform: feed_file(platform).unlink()]
    for damage in damages:
        damage(platform)
        assert {resource: set(failing(feed_reports(platform, resource, [202302]))) for resource in Resource} == {
            resource: {"row_parity"} if resource is Resource.CPU else set() for resource in Resource
        }


def test_stray_file_is_told_of_the_whole_feed_and_of_no_month(platform: Platform) -> None:
    strays = ("notes.txt", "2023/02/cpu_utilization_202303.csv", "2023/02/cpu_utilization.csv")
    for name in strays:
        (platform.layout.legacy / name).touch()
    found = failing(checks_of(platform, "refinery_audit"))
    assert found.keys() == {"file_names_follow_convention"}
    for name in strays:
        assert Path(name).name in found["file_names_follow_convention"]
    assert [failing(feed_reports(platform, resource, [202302])) for resource in Resource] == [{}] * 4


def test_breach_hosts_that_stay_below_the_threshold_are_told(make_settings: MakeSettings) -> None:
    platform = Platform(make_settings(scenario_horizon_days=40, end_date="2023-02-28"))
    stages.host_inventory(platform)
    stages.time_calendar(platform)
    stages.master_parquet(platform)
    report = checks.master_parquet(platform)["breach_hosts_reach_threshold_on_date"]
    assert report.passed
    assert report.counts["judged"] == report.counts["on_date"] > 0
    rewrite_master(platform, lambda frame: frame.with_columns(pl.col("p95_util").clip(upper_bound=94.99)))
    found = failing(checks.master_parquet(platform))
    assert found.keys() == {"breach_hosts_reach_threshold_on_date"}
    assert "never reaches 95 %" in found["breach_hosts_reach_threshold_on_date"]


def test_months_not_yet_asked_for_may_be_missing(platform: Platform) -> None:
    for resource in Resource:
        feed_file(platform, 202303, resource).unlink()
    run_sql(platform, "DELETE FROM processed_data WHERE month(ds) = 3")
    run_sql(platform, "DELETE FROM feed_files WHERE yearmonth = 202303")
    assert [failing(feed_reports(platform, resource, [202302])) for resource in Resource] == [{}] * 4
    assert failing(table_reports(platform, MONTHS[:2])) == {}
    assert failing(checks.refinery_audit(platform, MONTHS[:2])) == {}
    assert failing(checks.refinery_audit(platform, MONTHS)).keys() == {"row_parity"}


def test_damage_of_one_month_leaves_the_checks_of_the_others(platform: Platform) -> None:
    lines(replace_field(6, 2, "20.01"))(platform)
    run_sql(platform, "DELETE FROM processed_data WHERE ds = DATE '2023-02-10'")
    assert [set(failing(feed_reports(platform, Resource.CPU, [month]))) for month in MONTHS] == [
        set(),
        {"row_parity"},
        set(),
    ]
    assert [set(failing(table_reports(platform, [month]))) for month in MONTHS] == [
        set(),
        {"reconciliation", "row_parity"},
        set(),
    ]


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda platform: platform.layout.warehouse.unlink(), WarehouseError),
        (lambda platform: platform.layout.master.unlink(), MasterError),
        (lambda platform: platform.layout.master.write_bytes(b"PAR1"), MasterError),
    ],
    ids=["no warehouse", "no master", "torn master"],
)
def test_checks_without_their_input_raise_and_do_not_fail(
    own_platform: Platform, damage: Act, error: type[CapsimError]
) -> None:
    damage(own_platform)
    for audit in (checks.master_parquet, CHECKS["refinery_audit"]):
        with pytest.raises(error):
            audit(own_platform)
