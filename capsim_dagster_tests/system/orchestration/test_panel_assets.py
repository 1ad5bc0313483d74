"""The panel by its job: made of the master, judged by 20 checks, staged if it passes, else the one before stays."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pyarrow.parquet as pq
import pytest

from capsim_dagster.orchestration.keys import MASTER_PARQUET, SERVER_METRICS, VALIDATED_SERVER_METRICS, specs_of
from capsim_dagster.pipeline import panel as stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.storage import sha256
from capsim_dagster_tests.support.orchestration.fixtures import failure_texts
from capsim_dagster_tests.support.orchestration.memory import Kept
from capsim_dagster_tests.support.orchestration.panel_site import (
    VALIDATED,
    PanelSite,
    failed_checks,
    panel_platform,
    panel_site,
    restored,
)
from capsim_dagster_tests.support.orchestration.reported import report_asset, report_verdict
from capsim_dagster_tests.support.pipeline.panel_sabotages import ONE_ROW, ONE_SERVER, raw_panel, rewrite_panel, value

STEM = "server_metrics_20230101_to_20230331"
STAGED = f"staged/validated_{STEM}.parquet"
UNREAD = {spec.name for spec in specs_of(VALIDATED_SERVER_METRICS)} - {"folder_holds_panels_only"}
"""Checks that fail of a file that cannot be read: one says so, the others were not judged."""

pytestmark = pytest.mark.usefixtures("_opened_once")


@pytest.fixture(scope="module")
def _refreshed(_built_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PanelSite, Kept]]:
    data_dir = tmp_path_factory.mktemp("panel") / "data"
    shutil.copytree(_built_data, data_dir)
    with panel_site(panel_platform(data_dir)) as site:
        assert site.refresh().success
        yield site, site.memory.keep()


@pytest.fixture
def site(_refreshed: tuple[PanelSite, Kept]) -> Iterator[PanelSite]:
    """Return a place where the job has run once, and passed."""
    site, records = _refreshed
    with restored(site, site.panels(), records) as made:
        yield made


def test_panel_refresh_makes_both_assets_and_all_20_checks_pass_and_twice_changes_no_byte(site: PanelSite) -> None:
    before = site.panels()

    result = site.refresh()

    assert result.success
    found = result.get_asset_check_evaluations()
    assert {(check.asset_key, check.check_name) for check in found if check.passed} == {
        (spec.asset_key, spec.name) for spec in (*specs_of(SERVER_METRICS), *specs_of(VALIDATED_SERVER_METRICS))
    }
    assert len(found) == 20
    assert {event.asset_key for event in result.get_asset_materialization_events()} == {
        SERVER_METRICS,
        VALIDATED_SERVER_METRICS,
    }
    assert sorted(before) == [
        f"raw/raw_{STEM}.parquet",
        f"raw/raw_{STEM}_sample.csv",
        f"raw/raw_{STEM}_summary.json",
        STAGED,
        f"staged/validated_{STEM}_report.json",
    ]
    assert site.panels() == before


@pytest.mark.parametrize(
    ("asset", "folder", "kind"), [("server_metrics", "raw", "raw"), (VALIDATED, "staged", "validated")]
)
def test_metadata_say_where_a_panel_lies_and_what_it_holds(site: PanelSite, asset: str, folder: str, kind: str) -> None:
    path = site.platform.layout.root / "panel" / folder / f"{kind}_{STEM}.parquet"

    made = site.latest(asset)

    says = {name: value.value for name, value in made.metadata.items()}
    assert (says["path"], says["bytes"], says["sha256"]) == (str(path), path.stat().st_size, sha256(path))
    assert says["dagster/row_count"] == pq.read_metadata(path).num_rows == 12 * 90
    assert (says["servers"], says["first_day"], says["last_day"]) == (12, "2023-01-01", "2023-03-31")
    assert made.tags is not None
    assert made.tags["dagster/data_version"] == says["sha256"]


@pytest.mark.parametrize("asset", ["server_metrics", VALIDATED])
def test_the_columns_of_the_panel_stand_in_the_catalogue_with_their_units(site: PanelSite, asset: str) -> None:
    schema = site.definitions.resolve_asset_graph().get(dg.AssetKey(asset)).metadata["dagster/column_schema"]

    assert isinstance(schema, dg.TableSchema)
    columns = {column.name: column for column in schema.columns}
    assert list(columns) == pq.read_schema(raw_panel(site.platform)).names
    assert columns["cpu_p95"].description == "Daily P95 of cpu load; null = no value. Unit: % of capacity."
    assert str(columns["net_in_p95"].description).endswith("Unit: Mbps.")
    assert {name for name, column in columns.items() if column.constraints.nullable} == {
        name for name in columns if name.endswith("_p95")
    }


# Gates.


@pytest.mark.parametrize("spec", specs_of(SERVER_METRICS), ids=lambda spec: spec.name)
def test_the_panel_is_validated_only_while_no_blocking_check_of_it_fails(
    site: PanelSite, spec: dg.AssetCheckSpec
) -> None:
    before = site.panels()
    report_verdict(site.instance, spec.key, passed=False, detail="it is wrong", blocking=spec.blocking)

    result = site.refresh(VALIDATED)

    assert result.success is not spec.blocking
    refused = [f"server_metrics: {spec.name} failed (it is wrong)"] if spec.blocking else []
    assert [text for text in refused if text not in failure_texts(result)[0]] == []
    assert site.panels() == before


def test_a_panel_that_fails_a_blocking_check_is_not_validated_in_the_same_run(
    site: PanelSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged, make = site.panels()[STAGED], stages.server_metrics

    def make_and_damage(platform: Platform, **given: Callable[[int], None]) -> object:
        made = make(platform, **given)
        value("cpu_p95", 12.34)(platform)
        return made

    monkeypatch.setattr(stages, "server_metrics", make_and_damage)

    result = site.refresh()

    assert not result.success
    assert failed_checks(result) == {"row_parity": True}
    assert [event.asset_key for event in result.get_asset_materialization_events()] == [SERVER_METRICS]
    assert site.panels()[STAGED] == staged


def test_the_panel_is_not_made_of_a_master_that_failed_its_gate(site: PanelSite) -> None:
    before = site.panels()
    report_asset(site.instance, MASTER_PARQUET)
    report_verdict(site.instance, dg.AssetCheckKey(MASTER_PARQUET, "row_parity"), passed=False, detail="it is wrong")

    result = site.refresh()

    assert not result.success
    assert "master_parquet: row_parity failed (it is wrong)" in failure_texts(result)[0]
    assert result.get_asset_materialization_events() == []
    assert site.panels() == before


def test_without_a_master_the_job_says_what_to_do_first(tmp_path: Path) -> None:
    with panel_site(panel_platform(tmp_path / "data")) as site:
        result = site.refresh()

        assert not result.success
        assert "master_parquet" in failure_texts(result)[0]
        assert "->" in failure_texts(result)[0]
        assert site.panels() == {}


# Files that are validated: those that deserve it show red, and leave the good one.


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def wrong_values(path: Path) -> None:
    """Let a panel hold 150, text, nothing in 60 % of a metric, a day twice, and a server without a region."""
    frame = pl.read_parquet(path).with_columns(
        cpu_p95=pl.when(ONE_ROW).then(150.0).otherwise("cpu_p95"),
        mem_p95=pl.when(ONE_ROW).then(pl.lit("broken")).otherwise(pl.col("mem_p95").cast(pl.String)),
        disk_p95=pl.when(pl.int_range(pl.len()) % 5 < 3).then(None).otherwise("disk_p95"),
        region=pl.when(ONE_SERVER).then(None).otherwise("region"),
    )
    again = frame[:1].with_columns(net_in_p95=pl.lit(1.0))
    pl.concat([frame[:1], again, frame[1:]]).write_parquet(path)


def rows_gone(path: Path) -> None:
    """Let a panel lack half of its servers, all days after the fortieth, and ten days in a row of one server."""
    gap = ONE_SERVER & pl.col("timestamp").is_between(pl.datetime(2023, 1, 11), pl.datetime(2023, 1, 20))
    rewrite_panel(
        path,
        lambda frame: frame.filter(
            pl.col("server_id") > "SRV-0006", pl.col("timestamp") < pl.datetime(2023, 2, 10), ~gap
        ),
    )


def column_gone(path: Path) -> None:
    pl.read_parquet(path).drop("cpu_p95").write_parquet(path)


def doubtful(path: Path) -> None:
    """Let a server change its region, a column be unknown, a row stand twice, and a newer file lie beside the panel."""
    frame = pl.read_parquet(path).with_columns(
        rack=pl.lit("r1"), region=pl.when(ONE_ROW).then(pl.lit("elsewhere")).otherwise("region")
    )
    pl.concat([frame[:1], frame]).write_parquet(path)
    (path.parent / "copy of panel.parquet").write_bytes(path.read_bytes())


FAULTY: dict[str, tuple[Callable[[Path], None], set[str], str]] = {
    "torn": (torn, UNREAD, "file_is_readable: "),
    "wrong values": (
        wrong_values,
        {
            "keys_are_unique",
            "identity_is_filled",
            "values_are_within_range",
            "missing_share_is_within_limit",
            "types_are_right_or_repaired",
        },
        "SRV-0012 2023-02-05 cpu_p95 = 150",
    ),
    "rows gone": (
        rows_gone,
        {"servers_as_expected", "history_is_long_enough", "days_as_expected", "days_are_contiguous"},
        "servers_as_expected: found 6, expected 12",
    ),
    "column gone": (column_gone, {"columns_are_complete"}, "columns_are_complete: cpu_p95 is absent"),
}
DOUBTS = {"folder_holds_panels_only", "columns_are_known", "identity_is_constant"}


@pytest.mark.parametrize(("damage", "fails", "says"), FAULTY.values(), ids=FAULTY)
def test_a_faulty_panel_shows_red_fails_its_run_and_leaves_the_validated_one_of_before(
    site: PanelSite, damage: Callable[[Path], None], fails: set[str], says: str
) -> None:
    staged, version = site.panels()[STAGED], site.latest(VALIDATED).tags
    damage(raw_panel(site.platform))

    result = site.refresh(VALIDATED)

    assert not result.success
    assert failed_checks(result) == dict.fromkeys(fails, True)
    assert len(result.get_asset_check_evaluations()) == 15
    assert result.get_asset_materialization_events() == []
    (told,) = failure_texts(result)
    assert f"raw_{STEM}.parquet does not pass its validation: " in told
    assert says in told
    assert "the validated panel of before is untouched" in told
    assert site.panels()[STAGED] == staged
    assert site.latest(VALIDATED).tags == version
    (report,) = {path for path in told.split() if path.endswith("_report.json;")}
    assert json.loads(Path(report.removesuffix(";")).read_text(encoding="utf-8"))["validation_passed"] is False


def test_a_doubtful_panel_is_staged_with_warnings_and_its_repairs_are_told(site: PanelSite) -> None:
    doubtful(raw_panel(site.platform))

    result = site.refresh(VALIDATED)

    assert result.success
    assert failed_checks(result) == dict.fromkeys(DOUBTS, False)
    says = site.latest(VALIDATED).metadata
    assert "- exact_duplicates_are_dropped: 1" in str(says["repairs"].value).splitlines()
    assert says["dagster/row_count"].value == 12 * 90
    assert "rack" in pq.read_schema(site.platform.layout.root / "panel" / STAGED).names


def test_every_check_of_the_validated_panel_is_shown_red_by_some_file() -> None:
    red = {name for _, fails, _ in FAULTY.values() for name in fails} | DOUBTS

    assert red == {spec.name for spec in specs_of(VALIDATED_SERVER_METRICS)}
