"""The resource `feed`: any run may refine another feed, and what it says of the months is what happened."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.feed import FeedResource
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import Refinery, load_settings
from capsim_dagster_tests.support.foreign_feed import (
    LINES,
    OTHER_TOOL,
    expected_rows,
    file_of,
    foreign_platform,
    refined,
    write_feed,
)
from capsim_dagster_tests.support.sabotage import change_lines, rows_in

TODAY = dt.date(2025, 1, 15)
MONTH = "2024-06-01"
CHECKS = {
    "reconciliation",
    "row_parity",
    "keys_are_unique",
    "injected_defects_are_found",
    "hosts_are_known",
    "behavioral_diversity",
    "file_names_follow_convention",
}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    folder = tmp_path / "instance"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as made:
        yield made


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    return write_feed(tmp_path / "exports")


@pytest.fixture
def work(tmp_path: Path) -> Platform:
    return empty_platform_in(tmp_path / "work")


def empty_platform_in(data_dir: Path) -> Platform:
    """Return a platform in an empty folder, whose settings do not say where the other tool's feed is."""
    return Platform(load_settings(OTHER_TOOL, {"storage": {"local_base_path": data_dir}}))


def materialize(
    platform: Platform, instance: dg.DagsterInstance, *assets: str, **feed: object
) -> dg.ExecuteInProcessResult:
    """Materialize assets for June 2024 with the feed resource configured by the run."""
    definitions = build_definitions(platform.settings, today=TODAY)
    return definitions.resolve_job_def("monthly_refresh").execute_in_process(
        instance=instance,
        tags={"dagster/partition": MONTH},
        run_config={
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            "resources": {"feed": {"config": feed}},
        },
        raise_on_error=False,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
    )


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> Mapping[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return event.metadata


def records(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 a table of metadata
    return [dict(record.data) for record in value.records]


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    return str(data.description)


def test_resource_does_as_the_settings_say_unless_a_run_says_otherwise() -> None:
    refinery = Refinery(
        feed_dir=Path("/exports"), inventory=Path("/hosts.csv"), max_rejected_share=0.2, allow_partial=True
    )

    feed = FeedResource.of(refinery)

    assert feed.feed_dir == "/exports"
    assert feed.inventory == "/hosts.csv"
    assert (feed.max_rejected_share, feed.allow_partial) == (0.2, True)


@pytest.mark.parametrize(
    "refinery",
    [
        Refinery(),
        Refinery(feed_dir=Path("/exports"), inventory=Path("/hosts.csv"), max_rejected_share=0.2, allow_partial=True),
        Refinery(feed_dir=Path("/exports"), conflicting_duplicates="last", unterminated_last_line="accept"),
    ],
)
def test_settings_come_through_the_resource_unchanged(work: Platform, refinery: Refinery) -> None:
    platform = Platform(work.settings.model_copy(update={"refinery": refinery}))

    assert FeedResource.of(refinery).refining(platform) == platform


def test_empty_paths_mean_capsims_own_feed_and_any_host(work: Platform) -> None:
    refining = FeedResource(feed_dir="", inventory="").refining(work)

    assert refining.refines_own_feed
    assert refining.settings.refinery.inventory is None


def test_defaults_of_the_resource_are_those_of_the_settings() -> None:
    defaults = Refinery()

    assert FeedResource() == FeedResource.of(defaults)


@dataclass(frozen=True)
class CleanRun:
    """June of the other tool's feed, refined and audited by one run in an empty folder."""

    platform: Platform
    exports: Path
    result: dg.ExecuteInProcessResult


@pytest.fixture(scope="module")
def clean_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CleanRun]:
    folder = tmp_path_factory.mktemp("clean")
    exports = write_feed(folder / "exports")
    platform = empty_platform_in(folder / "work")
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        result = materialize(platform, instance, "processed_data", "refinery_audit", feed_dir=str(exports))
        yield CleanRun(platform, exports, result)


def test_run_refines_one_month_of_a_foreign_feed_without_the_simulator(clean_run: CleanRun) -> None:
    assert clean_run.result.success
    root = clean_run.platform.layout.root
    assert rows_in(foreign_platform(root, clean_run.exports), "processed_data") == expected_rows([202406])
    assert sorted(path.name for path in root.iterdir()) == ["audit", "capsim_settings.yaml", "warehouse"]


def test_metadata_of_a_clean_month_count_its_lines(clean_run: CleanRun) -> None:
    facts = metadata_of(clean_run.result, "processed_data")

    assert facts["dagster/partition_row_count"].value == facts["source_lines"].value == LINES[202406]
    assert facts["rejected_lines"].value == 0
    assert (facts["is_partial"].value, facts["is_unchanged"].value) == (False, False)
    assert "rejected_by_reason" not in facts
    assert "refused_files" not in facts


def test_checks_of_a_foreign_feed_pass_and_say_what_they_did_not_compare(clean_run: CleanRun) -> None:
    assert evaluations(clean_run.result) == dict.fromkeys(CHECKS, True)
    notes = {e.check_name: e.metadata.get("note") for e in clean_run.result.get_asset_check_evaluations()}
    assert notes["reconciliation"] is None
    assert all("not capsim's own" in str(notes[name]) for name in ("row_parity", "injected_defects_are_found"))


def test_audit_of_the_refinery_is_linked_from_its_asset(clean_run: CleanRun) -> None:
    facts = metadata_of(clean_run.result, "refinery_audit")
    page = clean_run.platform.layout.root / "audit" / "refinery.html"

    assert facts["page"].value == "/capsim/audit"
    assert facts["path"].value == str(page)
    assert "270 of 270 lines are in the table" in str(facts["summary"].value)
    assert facts["verdict"].value == "270 of 270 lines are in the table."
    assert (facts["has_problems"].value, facts["rejected"].value) == (False, 0)
    assert facts["rows"].value == facts["lines"].value == facts["dagster/row_count"].value == LINES[202406]
    assert facts["feed"].value == str(clean_run.exports)
    assert str(clean_run.exports) in page.read_text(encoding="utf-8")


def test_metadata_counts_rejected_lines_by_reason(
    work: Platform, instance: dg.DagsterInstance, exports: Path, tmp_path: Path
) -> None:
    change_lines(
        file_of(exports, 202406), lambda lines: [lines[0], lines[1].replace(";FRA", ""), *lines[2:], lines[-2]]
    )
    (tmp_path / "hosts.csv").write_text("node_name\nweb-017\ndb-003\n")
    paths = {"feed_dir": str(exports), "inventory": str(tmp_path / "hosts.csv")}

    result = materialize(work, instance, "processed_data", **paths, max_rejected_share=0.5)

    assert result.success
    assert evaluations(result)["reconciliation"]
    facts = metadata_of(result, "processed_data")
    assert (facts["rejected_lines"].value, facts["source_lines"].value) == (92, LINES[202406] + 1)
    assert facts["dagster/partition_row_count"].value == 179
    assert sorted(records(facts["rejected_by_reason"]), key=lambda row: str(row["reason"])) == [
        {"reason": "exact_duplicate", "lines": 1},
        {"reason": "field_count", "lines": 1},
        {"reason": "unknown_host", "lines": 90},
    ]
    assert not facts["is_partial"].value


def test_month_with_a_refused_file_fails_and_a_partial_one_loads_and_says_so(
    work: Platform, instance: dg.DagsterInstance, exports: Path
) -> None:
    file_of(exports, 202406).write_bytes(b"")

    refused = materialize(work, instance, "processed_data", feed_dir=str(exports))

    assert not refused.success
    assert "2024-06/CPU.csv: the file holds no byte" in failure_text(refused)
    assert "-> fetch the file again" in failure_text(refused)
    assert not instance.get_materialized_partitions(dg.AssetKey("processed_data"))

    partial = materialize(work, instance, "processed_data", feed_dir=str(exports), allow_partial=True)

    assert partial.success
    facts = metadata_of(partial, "processed_data")
    assert facts["is_partial"].value
    assert facts["dagster/partition_row_count"].value == LINES[202406] * 2 // 3
    assert records(facts["refused_files"]) == [
        {"file": "2024-06/CPU.csv", "fault": "empty", "found": "the file holds no byte"}
    ]


def test_month_that_is_too_dirty_is_partial_where_that_is_allowed(
    work: Platform, instance: dg.DagsterInstance, exports: Path
) -> None:
    change_lines(file_of(exports, 202406), lambda lines: [*lines[:80], *(line + ";?" for line in lines[80:])])

    partial = materialize(work, instance, "processed_data", feed_dir=str(exports), allow_partial=True)

    facts = metadata_of(partial, "processed_data")
    assert (facts["is_partial"].value, facts["rejected_lines"].value) == (True, 11)
    assert "refused_files" not in facts


def test_table_that_holds_rows_of_no_file_fails_the_check_over_all_months(
    work: Platform, instance: dg.DagsterInstance, exports: Path
) -> None:
    foreign = foreign_platform(work.layout.root, exports)
    refined(foreign, [202405])
    with foreign.writing() as connection:
        connection.execute("DELETE FROM feed_files WHERE resource = 'disk'")

    result = materialize(work, instance, "refinery_audit", feed_dir=str(exports))

    assert result.success is False
    assert {name for name, passed in evaluations(result).items() if not passed} == {"reconciliation"}


def test_feed_that_cannot_be_read_fails_the_run_with_a_remedy(work: Platform, instance: dg.DagsterInstance) -> None:
    result = materialize(work, instance, "processed_data", feed_dir="/nowhere")

    assert not result.success
    assert "no folder /nowhere\n  -> name the root of a feed" in failure_text(result)


def test_share_beyond_its_range_is_refused_by_the_resource(
    work: Platform, instance: dg.DagsterInstance, exports: Path
) -> None:
    assert not materialize(work, instance, "processed_data", feed_dir=str(exports), max_rejected_share=1.5).success
    assert not work.layout.root.exists()
