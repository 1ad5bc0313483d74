"""The stages of the panel: made of the master's hosts and days, judged as it lies there, and never of another fleet."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from capsim_dagster.audits.report import Finding
from capsim_dagster.errors import MasterError, PanelError, StorageError
from capsim_dagster.panel import build
from capsim_dagster.panel.contract import FOOTER_KEY
from capsim_dagster.pipeline import panel as stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.pipeline.panel_sabotages import PANEL_SABOTAGES, ROWS_OF_THREE_SERVERS, raw_panel
from capsim_dagster_tests.support.pipeline.sabotages import Sabotage


@pytest.fixture(scope="module")
def _made(_built_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Make the panel of the small fleet once: in four row groups, as that of a large fleet has many."""
    data_dir = tmp_path_factory.mktemp("paneled") / "data"
    shutil.copytree(_built_data, data_dir)
    platform = Platform(small_settings(data_dir))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build, "ROWS_AT_ONCE", ROWS_OF_THREE_SERVERS)
        stages.server_metrics(platform)
        yield platform


@pytest.fixture
def paneled(_made: Platform) -> Iterator[Platform]:
    """Return a platform with everything built, whose panel a test may damage."""
    content = raw_panel(_made).read_bytes()
    yield _made
    raw_panel(_made).write_bytes(content)


def change_seed(path: Path) -> None:
    """Let the footer of a panel say that it was made with another seed, and so by other settings."""
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[FOOTER_KEY.encode()]) | {"seed": 7, "panel_hash": "0" * 16}
    pq.write_table(table.replace_schema_metadata({FOOTER_KEY: json.dumps(facts)}), path)


def failing(reports: Mapping[str, Finding]) -> dict[str, str]:
    return {name: report.verdict for name, report in reports.items() if not report.passed}


def test_every_check_of_the_panel_passes_and_has_a_test_that_makes_it_fail(paneled: Platform) -> None:
    reports = stages.server_metrics_checks(paneled)

    assert failing(reports) == {}
    assert {name for sabotage in PANEL_SABOTAGES.values() for name in sabotage.fails} == set(reports)


@pytest.mark.parametrize("sabotage", PANEL_SABOTAGES.values(), ids=PANEL_SABOTAGES)
def test_damage_of_a_panel_fails_just_the_checks_that_it_is_for(paneled: Platform, sabotage: Sabotage) -> None:
    sabotage.act(paneled)

    found = failing(stages.server_metrics_checks(paneled))

    assert found.keys() == sabotage.fails
    assert any(sabotage.says in verdict for verdict in found.values()), found


def test_a_panel_of_another_fleet_is_refused_and_nothing_is_staged(paneled: Platform, tmp_path: Path) -> None:
    shutil.copytree(paneled.layout.root, tmp_path / "data")
    here = Platform(small_settings(tmp_path / "data"))
    change_seed(raw_panel(here))

    with pytest.raises(PanelError, match="was made with other settings than these: 12 servers") as caught:
        stages.validated_server_metrics(here)

    assert str(raw_panel(here)) in caught.value.found
    assert "materialize server_metrics again" in caught.value.remedy
    assert list(here.layout.root.rglob("validated_*.parquet")) == []


def test_a_panel_of_another_window_that_ends_later_is_not_taken_for_that_of_this_fleet(
    paneled: Platform, tmp_path: Path
) -> None:
    shutil.copytree(paneled.layout.root, tmp_path / "data")
    here = Platform(small_settings(tmp_path / "data"))
    later = raw_panel(Platform(small_settings(tmp_path / "data", end_date="2023-06-30")))
    raw_panel(here).rename(later)
    change_seed(later)
    stages.server_metrics(here)

    report = stages.validated_server_metrics(here).report

    assert report.source.url == str(raw_panel(here))


@pytest.mark.parametrize("change", [{"server_digits": 6}, {"inbound_share": [0.2, 0.7]}], ids=str)
def test_a_panel_with_other_columns_or_shares_than_are_set_is_refused(
    paneled: Platform, change: dict[str, object]
) -> None:
    settings = paneled.settings
    panel = type(settings.panel).model_validate({**settings.panel.model_dump(mode="json"), **change})

    with pytest.raises(PanelError, match="was made with other settings"):
        stages.validated_server_metrics(Platform(settings.model_copy(update={"panel": panel})))


@pytest.mark.parametrize("content", [b"PAR1", b"not a panel"], ids=str)
def test_a_panel_that_is_torn_is_told_by_its_report(paneled: Platform, content: bytes) -> None:
    raw_panel(paneled).write_bytes(content)

    report = stages.validated_server_metrics(paneled).report

    assert [finding.claim for finding in report.failed] == ["file_is_readable"]
    assert report.staged is None


def test_without_a_panel_checks_and_validation_say_how_to_make_one(platform: Platform) -> None:
    with pytest.raises(StorageError, match=r"raw_server_metrics_20230101_to_20230331\.parquet"):
        stages.server_metrics_checks(platform)
    with pytest.raises(PanelError) as caught:
        stages.validated_server_metrics(platform)
    assert "capsim panel generate" in caught.value.remedy


def test_a_panel_needs_the_master_of_its_fleet(platform: Platform) -> None:
    other = Platform(small_settings(platform.layout.root, num_servers=13))

    for stage in (stages.server_metrics, stages.server_metrics_checks, stages.panel_rows):
        with pytest.raises(MasterError):
            stage(other)

    assert not (platform.layout.root / "panel").exists()


def test_a_panel_reaches_as_far_as_the_master_and_not_as_far_as_the_settings(platform: Platform) -> None:
    longer = Platform(small_settings(platform.layout.root, end_date="2023-06-30"))

    made = stages.server_metrics(longer)

    assert made.url == str(raw_panel(platform))
    assert made.rows == stages.panel_rows(longer) == 12 * 90
