"""A run over months is told in a line an asset and a line a check: sums where all is well, and each failure by name."""

from collections.abc import Callable, Iterator, Mapping

import dagster as dg
import pytest

from capsim_dagster.audits.report import Finding
from capsim_dagster.orchestration.metadata import Metadata
from capsim_dagster.orchestration.months import key_of
from capsim_dagster.orchestration.partitioned import Asked, Made, Part, Partitioned, partitioned
from capsim_dagster.orchestration.progress import LogProgress
from capsim_dagster.orchestration.run_summary import AssetSummary, CheckSummary, RunSummary, summary_of
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import load_settings
from capsim_dagster_tests.conftest import CONFIG, MONTHS
from capsim_dagster_tests.support.orchestration.fixtures import QUIET
from capsim_dagster_tests.support.orchestration.reported import asking_for

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")

TABLE = dg.AssetKey("table")
NAMES = dg.AssetKey("names")
PARTITIONS = dg.MonthlyPartitionsDefinition("2023-01-01")
Reports = Mapping[int, Finding]


def nothing() -> None:
    """Do what a step does that ends well."""


def ran(reports: Reports, *, end: Callable[[], None] = nothing, stops_run: bool = True) -> RunSummary:
    """Run two assets over three months, one month by month, with these reports on its months."""
    spec = dg.AssetCheckSpec("rows_are_sound", asset=TABLE, blocking=True, partitions_def=PARTITIONS)

    @dg.asset
    def names() -> dg.MaterializeResult[None]:
        """Name things."""
        return dg.MaterializeResult(metadata={"dagster/row_count": 12, "bytes": 300})

    def make(asked: Asked) -> Iterator[Part]:
        for number, month in enumerate(asked.months, start=1):
            facts: Metadata = {
                "dagster/partition_row_count": dg.IntMetadataValue(number),
                "bytes": dg.IntMetadataValue(100),
            }
            found = {spec.name: reports[month]} if month in reports else {}
            yield Part(key_of(month), {TABLE: Made(facts, str(month), found)})
        end()

    table = partitioned(
        Partitioned("table", [dg.AssetSpec(TABLE)], [spec], PARTITIONS, "months", make, None if stops_run else NAMES)
    )

    @dg.asset_check(asset=NAMES, description="Names differ.")
    def names_differ() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description="two are the same")

    definitions = dg.Definitions(
        assets=[names, table],
        asset_checks=[names_differ],
        resources={"platform": Platform(load_settings(CONFIG)), "progress": LogProgress()},
        executor=dg.in_process_executor,
    )
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        tags = asking_for(MONTHS)
        return summary_of(job.execute_in_process(instance=instance, tags=tags, run_config=QUIET, raise_on_error=False))


def sound(**counts: int) -> Finding:
    return Finding("rows are sound", counts=counts)


def unsound(problem: str) -> Finding:
    return Finding("rows are sound", examples=[problem], counts={"rows": 9})


def on_months(*reports: Finding) -> dict[int, Finding]:
    return dict(zip(MONTHS, reports, strict=False))


def table_check(summary: RunSummary) -> CheckSummary:
    (found,) = (check for check in summary.checks if check.asset == "table")
    return found


def test_rows_and_bytes_of_an_asset_are_added_up_over_its_months() -> None:
    summary = ran(on_months(sound(rows=1)))

    by_name = {asset.asset: asset for asset in summary.assets}
    assert by_name == {
        "table": AssetSummary(asset="table", partitions=3, rows=1 + 2 + 3, bytes=300),
        "names": AssetSummary(asset="names", partitions=0, rows=12, bytes=300),
    }


def test_numbers_of_a_check_are_added_up_over_its_months_but_for_those_that_mean_nothing_then() -> None:
    summary = ran(on_months(*(sound(rows=1_000, late_rows=number, months=1) for number in range(3))))

    assert table_check(summary) == CheckSummary(
        asset="table",
        check="rows_are_sound",
        months=3,
        passed=True,
        is_warning=False,
        detail="3,000 rows, 3 late rows",
    )
    assert summary.succeeded
    assert (summary.failures, summary.interrupted) == ([], False)


def test_a_check_of_one_month_says_what_its_report_says() -> None:
    check = table_check(ran({202302: Finding("rows are sound", note="too few days to judge")}))

    assert (check.months, check.detail) == (1, "too few days to judge")


def test_a_check_that_failed_in_some_months_names_just_these_failures() -> None:
    reports = on_months(unsound("2023-01: 1 row is lost"), sound(rows=5), unsound("2023-03: 2 rows are lost"))

    summary = ran(reports, stops_run=False)

    check = table_check(summary)
    assert (check.passed, check.months, check.is_warning) == (False, 3, False)
    assert check.detail == "2023-01: 1 row is lost; 2023-03: 2 rows are lost"


def test_a_blocking_check_that_failed_is_told_as_a_failure_without_a_trace() -> None:
    summary = ran(on_months(sound(rows=1), unsound("2023-02: 1 row is lost"), sound(rows=1)))

    assert not summary.succeeded
    (failure,) = summary.failures
    assert failure.startswith("table: ")
    assert "rows_are_sound" in failure
    assert "Traceback" not in failure


def test_a_check_that_warns_fails_no_run() -> None:
    summary = ran(on_months(sound(rows=1)))

    (warning,) = (check for check in summary.checks if check.asset == "names")
    assert (warning.passed, warning.is_warning, warning.months) == (False, True, 0)
    assert warning.detail == "two are the same"
    assert summary.succeeded


def test_a_step_that_failed_on_purpose_is_told_by_its_description() -> None:
    def end() -> None:
        raise dg.Failure("2023-02: no such file\n  -> fetch it", allow_retries=False)

    summary = ran({}, end=end)

    assert summary.failures == ["table: 2023-02: no such file\n  -> fetch it"]
    assert (summary.succeeded, summary.interrupted) == (False, False)
    assert [asset.partitions for asset in summary.assets if asset.asset == "table"] == [3]


def test_a_step_that_crashed_is_told_with_its_trace() -> None:
    def end() -> None:
        raise ZeroDivisionError("nothing to divide by")

    (failure,) = ran({}, end=end).failures

    assert "ZeroDivisionError: nothing to divide by" in failure
    assert "in end" in failure


@pytest.mark.parametrize(
    "interrupt", [KeyboardInterrupt(), RuntimeError("Query interrupted"), dg.DagsterExecutionInterruptedError()]
)
def test_an_interrupt_is_told_as_one_however_it_was_raised(interrupt: BaseException) -> None:
    def end() -> None:
        raise interrupt

    summary = ran({}, end=end)

    assert (summary.interrupted, summary.succeeded) == (True, False)
