"""A backfill asks for what is not whole, in ranges, once; and goes on where it was when something went wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from capsim_dagster.errors import FeedError, PartitionError, SettingsError
from capsim_dagster.orchestration.keys import (
    HOST_INVENTORY,
    MASTER_PARQUET,
    MONTHLY,
    MONTHLY_CSV,
    ON_DEMAND,
    PROCESSED_DATA,
    REFINERY_AUDIT,
    SERVER_METRICS,
    TIME_DIMENSION,
)
from capsim_dagster.orchestration.launch import Plan, months_wanted
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import Settings
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.foreign_feed import foreign_platform
from capsim_dagster_tests.support.orchestration.backfills import TODAY, definitions_of, feed_settings, plan
from capsim_dagster_tests.support.orchestration.memory import Kept, MemoryInstance, in_memory
from capsim_dagster_tests.support.orchestration.reported import (
    TABLE_CHECK,
    report_all,
    report_asset,
    report_months,
    report_verdict,
    report_verdicts,
    run_under_way,
)

ALL = ["2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01"]
FEED_CHECK = dg.AssetCheckKey(MONTHLY_CSV[Resource.DISK], "row_parity")

pytestmark = pytest.mark.usefixtures("_opened_once")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return small_settings(tmp_path_factory.mktemp("backfill") / "data")


@pytest.fixture(scope="module")
def memory() -> Iterator[MemoryInstance]:
    with in_memory() as made:
        yield made


@dataclass(frozen=True)
class Stages:
    """What was recorded as month after month was made and judged, each on top of the one before.

    Attributes:
        two: All whole assets but those that are made on demand, and the months 1 and 2.
        three: Month 5 as well.
        five: Months 3 and 4 as well.
        all: The assets on demand as well.
    """

    two: Kept
    three: Kept
    five: Kept
    all: Kept


@pytest.fixture(scope="module")
def stages(memory: MemoryInstance, settings: Settings) -> Stages:
    instance, definitions = memory.put_back(), definitions_of(settings)
    report_all(instance, definitions, settings, ALL[:2], but=ON_DEMAND)
    two = memory.keep()
    report_months_judged(instance, definitions, ALL[4:])
    three = memory.keep()
    report_months_judged(instance, definitions, ALL[2:4])
    five = memory.keep()
    for asset in ON_DEMAND:
        report_asset(instance, asset)
    report_verdicts(instance, definitions, [], ON_DEMAND)
    return Stages(two, three, five, memory.keep())


def report_months_judged(instance: dg.DagsterInstance, definitions: dg.Definitions, months: Sequence[str]) -> None:
    report_months(instance, months)
    report_verdicts(instance, definitions, months, MONTHLY)


@pytest.fixture
def instance(memory: MemoryInstance) -> dg.DagsterInstance:
    return memory.put_back()


@pytest.fixture
def full(memory: MemoryInstance, stages: Stages) -> dg.DagsterInstance:
    """Return an instance on which every month is there, and passed every check."""
    return memory.put_back(stages.all)


# Which months.


def test_where_nothing_is_there_the_whole_job_runs_every_complete_month_as_one_range(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    assert plan(instance, settings) == Plan(job="full_refresh", runs=[ALL], done=[], running=[])


def test_where_everything_is_there_nothing_runs(full: dg.DagsterInstance, settings: Settings) -> None:
    assert plan(full, settings) == Plan(job="monthly_refresh", runs=[], done=ALL, running=[])


def test_no_month_runs_for_the_sake_of_a_panel_that_was_never_made_or_failed(
    memory: MemoryInstance, stages: Stages, settings: Settings
) -> None:
    instance = memory.put_back(stages.five)
    assert plan(instance, settings) == Plan(job="monthly_refresh", runs=[], done=ALL, running=[])

    report_asset(instance, SERVER_METRICS)
    report_verdict(instance, dg.AssetCheckKey(SERVER_METRICS, "row_parity"), passed=False)

    assert plan(instance, settings) == Plan(job="monthly_refresh", runs=[], done=ALL, running=[])


def test_only_months_that_are_missing_or_failed_run_in_ranges(
    memory: MemoryInstance, stages: Stages, settings: Settings
) -> None:
    instance = memory.put_back(stages.three)
    instance.report_run_failed(run_under_way(instance, definitions_of(settings), ["2023-02-01"]))

    found = plan(instance, settings)

    assert found.runs == [["2023-02-01", "2023-03-01", "2023-04-01"]]
    assert found.months == ["2023-02-01", "2023-03-01", "2023-04-01"]
    assert found.done == ["2023-01-01", "2023-05-01"]
    assert found.job == "monthly_refresh"


def test_a_month_that_one_asset_lacks_is_due(full: dg.DagsterInstance, settings: Settings) -> None:
    full.report_run_failed(
        run_under_way(full, definitions_of(settings), ["2023-04-01"], assets=[MONTHLY_CSV[Resource.NETWORK]])
    )

    assert plan(full, settings).runs == [["2023-04-01"]]


@pytest.mark.parametrize("check", [TABLE_CHECK, FEED_CHECK], ids=str)
def test_a_month_that_failed_a_check_is_due_again_though_it_is_there(
    full: dg.DagsterInstance, settings: Settings, check: dg.AssetCheckKey
) -> None:
    report_verdict(full, check, month="2023-03-01", passed=False)

    found = plan(full, settings)

    assert found.runs == [["2023-03-01"]]
    assert "2023-03-01" not in found.done


def test_a_month_that_was_made_but_not_judged_is_due_again(full: dg.DagsterInstance, settings: Settings) -> None:
    report_months(full, ["2023-05-01"], [PROCESSED_DATA])

    assert plan(full, settings).runs == [["2023-05-01"]]


def test_months_that_another_run_is_at_are_left_out(memory: MemoryInstance, stages: Stages, settings: Settings) -> None:
    instance = memory.put_back(stages.two)
    run_under_way(instance, definitions_of(settings), ["2023-03-01", "2023-04-01"])

    found = plan(instance, settings)

    assert (found.runs, found.running, found.done) == ([ALL[4:]], ["2023-03-01", "2023-04-01"], ALL[:2])


def test_a_range_is_cut_into_runs_of_the_months_that_one_may_have(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    found = plan(instance, settings, max_months_per_run=2)

    assert found.runs == [ALL[:2], ALL[2:4], ALL[4:]]


def test_chosen_months_run_in_ranges_once_each_and_those_that_are_there_do_not(
    memory: MemoryInstance, stages: Stages, settings: Settings
) -> None:
    found = plan(memory.put_back(stages.two), settings, ["2023-05-01", "2023-03-01", "2023-02-01", "2023-05-01"])

    assert found.runs == [["2023-03-01"], ["2023-05-01"]]
    assert found.done == ["2023-02-01"]


def test_again_runs_months_that_are_there_but_none_that_another_run_is_at(
    full: dg.DagsterInstance, settings: Settings
) -> None:
    run_under_way(full, definitions_of(settings), ["2023-02-01"])

    found = plan(full, settings, ["2023-01-01", "2023-02-01", "2023-03-01"], again=True)

    assert (found.runs, found.done, found.running) == ([["2023-01-01"], ["2023-03-01"]], [], ["2023-02-01"])


@pytest.mark.parametrize(
    ("months", "named"),
    [
        (["2022-12-01", "2023-01-01"], "2022-12 cannot be there"),
        (["2023-06-01"], "2023-06 cannot be there"),
        (["2023-05-01", "2023-06-01", "2023-07-01", "2030-01-01"], "2023-06 to 2023-07, 2030-01 cannot be there"),
    ],
)
def test_months_that_cannot_be_there_are_refused_by_name(
    instance: dg.DagsterInstance, settings: Settings, months: list[str], named: str
) -> None:
    with pytest.raises(PartitionError) as caught:
        plan(instance, settings, months)

    assert caught.value.found == f"{named}; months that can: 2023-01 to 2023-05"
    assert "once it is over (UTC) or within end_date" in caught.value.remedy


def test_months_of_the_window_can_be_there_before_they_are_over(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, start_date="2023-05-01", end_date="2023-08-31")

    assert months_wanted(definitions_of(settings), settings, today=TODAY) == [
        "2023-05-01",
        "2023-06-01",
        "2023-07-01",
        "2023-08-01",
    ]


# The whole of it: inventory, other assets, another fleet.


def test_an_inventory_that_is_there_but_not_judged_is_made_anew_with_the_months(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    report_asset(instance, HOST_INVENTORY)

    assert plan(instance, settings).job == "full_refresh"


@pytest.mark.parametrize("asset", [REFINERY_AUDIT, MASTER_PARQUET])
def test_an_asset_that_is_not_whole_has_the_last_month_run_again(
    full: dg.DagsterInstance, settings: Settings, asset: dg.AssetKey
) -> None:
    report_asset(full, asset)

    found = plan(full, settings)

    assert (found.runs, found.assets) == ([["2023-05-01"]], (asset.to_user_string(),))
    assert found.done == ALL[:-1]


def test_a_gate_of_a_whole_asset_that_failed_has_the_last_month_run_again(
    full: dg.DagsterInstance, settings: Settings
) -> None:
    report_verdict(full, dg.AssetCheckKey(TIME_DIMENSION, "calendar_is_contiguous"), passed=False)

    assert plan(full, settings).runs == [["2023-05-01"]]


def test_an_asset_that_is_not_whole_is_left_to_the_months_that_run_and_to_runs_under_way(
    full: dg.DagsterInstance, settings: Settings
) -> None:
    report_asset(full, REFINERY_AUDIT)

    assert plan(full, settings, ["2023-01-01"]).runs == []
    run_under_way(full, definitions_of(settings), ["2023-01-01"])
    assert plan(full, settings).runs == []


def test_months_of_another_fleet_are_refused_before_they_replace_it(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    report_asset(instance, HOST_INVENTORY, version="that of another fleet")

    with pytest.raises(SettingsError) as caught:
        plan(instance, settings, ["2023-01-01"])

    assert caught.value.found == (f"{settings.data_dir} holds another fleet than 12 hosts from 2023-01-01 on, seed 42")
    assert "capsim run --replace replaces it" in caught.value.remedy


# A user's feed.


def test_of_a_users_feed_the_months_that_it_has_run_and_only_the_table_counts(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = feed_settings(tmp_path, ["2023-02-01", "2023-03-01", "2023-05-01"])
    report_months(instance, ["2023-02-01"], [PROCESSED_DATA])

    judged = plan(instance, settings)
    report_verdicts(instance, definitions_of(settings), ["2023-02-01"], [PROCESSED_DATA])

    # From the first month to the last: one without files is a gap that should be seen.
    assert judged == Plan(
        job="refine_feed", runs=[["2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01"]], done=[], running=[]
    )
    assert plan(instance, settings).runs == [["2023-03-01", "2023-04-01", "2023-05-01"]]
    assert plan(instance, settings).done == ["2023-02-01"]


def test_months_of_a_users_feed_before_the_partitions_are_left_out(tmp_path: Path) -> None:
    settings = feed_settings(tmp_path, ["2022-12-01", "2023-01-01"])

    assert months_wanted(definitions_of(settings), settings, today=TODAY) == ["2023-01-01"]


def test_chosen_months_of_a_users_feed_need_no_file(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    settings = feed_settings(tmp_path, ["2023-02-01"])

    assert plan(instance, settings, ["2023-04-01"]).runs == [["2023-04-01"]]


def test_a_users_feed_that_is_not_there_is_refused(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    settings = foreign_platform(tmp_path / "work", tmp_path / "nowhere").settings

    with pytest.raises(FeedError, match="no folder"):
        plan(instance, settings)
