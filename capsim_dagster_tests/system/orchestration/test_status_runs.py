"""The last runs are told with their months, how they ended, and why they failed."""

from collections.abc import Iterator

import dagster as dg
import pytest

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.keys import HOST_INVENTORY, MASTER_PARQUET, TIME_DIMENSION
from capsim_dagster.orchestration.states import RunStatus
from capsim_dagster.orchestration.status import read_status
from capsim_dagster_tests.conftest import MakeSettings, small_settings
from capsim_dagster_tests.support.orchestration.fixtures import QUIET, TODAY
from capsim_dagster_tests.support.orchestration.memory import MemoryInstance, in_memory
from capsim_dagster_tests.support.orchestration.reported import run_under_way

MONTHS = ["2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01", "2023-06-01"]

pytestmark = pytest.mark.usefixtures("_opened_once")


@pytest.fixture(scope="module")
def memory() -> Iterator[MemoryInstance]:
    with in_memory() as made:
        yield made


@pytest.fixture
def instance(memory: MemoryInstance) -> dg.DagsterInstance:
    return memory.put_back()


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(small_settings(tmp_path_factory.mktemp("runs") / "data"), today=TODAY)


def runs_of(instance: dg.DagsterInstance, definitions: dg.Definitions) -> list[RunStatus]:
    return list(read_status(definitions, instance, today=TODAY, assets=[]).runs)


def test_the_last_five_runs_are_told_the_latest_first(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    made = [run_under_way(instance, definitions, MONTHS[: number + 1]).run_id for number in range(6)]

    found = runs_of(instance, definitions)

    assert [run.run_id for run in found] == made[:0:-1]
    assert [run.months for run in found][:2] == [("2023-01-01", "2023-06-01"), ("2023-01-01", "2023-05-01")]
    assert {(run.job, run.status, run.started, run.seconds, run.reason) for run in found} == {
        ("monthly_refresh", "not_started", None, None, "")
    }


def test_a_run_of_chosen_assets_is_told_by_their_names_and_one_without_months_by_none(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    job = definitions.resolve_implicit_global_asset_job_def()
    chosen = frozenset([TIME_DIMENSION, HOST_INVENTORY])
    instance.create_run_for_job(job.get_subset(asset_selection=chosen), asset_selection=chosen)

    (run,) = runs_of(instance, definitions)

    assert (run.job, run.months) == ("host_inventory, time_dimension", None)


def test_a_single_month_is_told_as_its_own_first_and_last(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    job = definitions.resolve_job_def("monthly_refresh")
    instance.create_run_for_job(job, tags={"dagster/partition": "2023-02-01"})

    (run,) = runs_of(instance, definitions)

    assert run.months == ("2023-02-01", "2023-02-01")


def test_a_run_that_was_killed_tells_why_it_failed(instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
    instance.report_run_failed(run_under_way(instance, definitions, ["2023-01-01"]), "its process is gone")

    (run,) = runs_of(instance, definitions)

    assert (run.status, run.reason) == ("failure", "its process is gone")


def test_a_run_whose_step_failed_tells_what_the_step_said(
    instance: dg.DagsterInstance, make_settings: MakeSettings
) -> None:
    settings = make_settings()
    definitions = build_definitions(settings, today=TODAY)
    definitions.resolve_job_def("monthly_refresh").execute_in_process(
        instance=instance,
        asset_selection=[MASTER_PARQUET],
        raise_on_error=False,
        run_config=QUIET,
    )

    (run,) = runs_of(instance, definitions)

    assert run.status == "failure"
    assert run.reason.startswith("master_parquet: ")
    assert "materialize host_inventory and time_dimension first" in run.reason
    assert run.started is not None
    assert run.seconds is not None
    assert 0 <= run.seconds < 60
