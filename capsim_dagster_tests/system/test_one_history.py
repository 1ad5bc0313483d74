"""After each command the UI and `status` know what lies on the disk: every partition, and how its checks ended."""

import json
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import duckdb
import pytest
from click.testing import CliRunner

from capsim_dagster.cli import capsim
from capsim_dagster.orchestration.instance import COMMAND_TAG, open_instance
from capsim_dagster.storage import DataLayout
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.commands import Capsim
from capsim_dagster_tests.support.foreign_feed import OTHER_TOOL, write_feed
from capsim_dagster_tests.support.orchestration.ui_queries import SeenAsset, open_ui

FLEET: Final = {"NUM_SERVERS": "12", "START_DATE": "2023-01-01", "END_DATE": "2023-02-28"}
UNJUDGED: Final = {"server_metrics": {"row_parity"}}
"""Checks that need what is not there: parity of a panel needs a master."""
STORIES: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "the fleet": (
        ("run", "full_refresh"),
        ("panel generate", "panel_refresh"),
        ("panel load", "panel_refresh"),
        ("panel show", ""),
        ("refine --month 2023-02", ""),
        ("audit", "refine_feed"),
        ("backfill 2023-03", "monthly_refresh"),
    ),
    "publication": (
        ("archive --date 2023-01-05 --date 2023-01-07", "daily_publication"),
        ("tier2 export --date 2023-01-05 --hour 0 --hour 7", "hourly_publication"),
        ("tier2 verify --local {data}/output/tier2_hourly/2023-01-05", ""),
        ("tier3 export --date 2023-01-05", "daily_publication"),
        ("tier3 verify --local {data}/output/tier3_daily/2023-01-05", ""),
        ("retention --dry-run", ""),
        ("retention", "retention"),
    ),
    "a panel alone": (("panel generate", "panel_refresh"), ("panel load", "panel_refresh")),
    "a feed": (("refine --feed {feed}", "refine_feed"),),
}
"""Commands, one after the other in a directory of their own, and the job among whose runs each is listed; empty = it
makes nothing, is none, and another one follows."""


def on_disk(layout: DataLayout) -> dict[str, set[str]]:
    """Return what lies in a data directory: partitions by asset, of one without partitions its own name."""
    found = {
        "hourly_archive": {
            f"{day.name[:4]}-{day.name[4:6]}-{day.name[6:]}"
            for day in layout.archive.glob("*")
            if len([*day.glob("*.jsonl.gz")]) == 24
        },
        "tier3_daily": {path.parent.name for path in layout.output.glob("tier3_daily/*/manifest.json")},
        "tier2_hourly": {
            f"{path.parents[1].name}-{path.parent.name}:00"
            for path in layout.output.glob("tier2_hourly/*/*/manifest.json")
        },
        "monthly_csv/cpu": {f"{path.stem[-6:-2]}-{path.stem[-2:]}-01" for path in layout.legacy.glob("*/*/cpu*.csv")},
        "processed_data": months_of_table(layout),
    }
    for asset, pattern in {
        "master_parquet": "master/*.parquet",
        "ground_truth": "truth/events.parquet",
        "refinery_audit": "audit/*.html",
        "server_metrics": "panel/raw/*.parquet",
        "validated_server_metrics": "panel/staged/*.parquet",
    }.items():
        found[asset] = {asset for _ in layout.root.glob(pattern)}
    return found


def months_of_table(layout: DataLayout) -> set[str]:
    if not layout.warehouse.is_file():
        return set()
    with duckdb.connect(layout.warehouse, read_only=True) as connection:
        rows = connection.execute("SELECT DISTINCT strftime(ds, '%Y-%m-01') FROM processed_data").fetchall()
    return {month for (month,) in rows}


def require_agreement(disk: Mapping[str, set[str]], seen: Mapping[str, SeenAsset]) -> None:
    """Make sure that the UI shows just what lies on the disk, with a verdict of each check."""
    for asset, there in disk.items():
        shown = seen[asset]
        if shown.partitions is None:
            assert shown.is_there == bool(there), asset
        else:
            assert shown.partitions[:3] == (len(there), 0, 0), asset
            assert all(shown.has(partition) for partition in there), asset
        if there:
            unjudged = {name for name, status in shown.checks.items() if status != "SUCCEEDED"}
            assert unjudged <= UNJUDGED.get(asset, set()), (asset, shown.checks)


def require_status(disk: Mapping[str, set[str]]) -> None:
    """Make sure that `status` shows just what lies on the disk, and nothing that failed or is gone."""
    done = CliRunner().invoke(capsim, ["status", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    whole = {asset["asset"]: asset for asset in found["assets"]}
    dated = {asset["asset"]: asset for asset in found["publication"]}
    for asset, there in disk.items():
        if asset in dated or asset not in whole:
            assert dated.get(asset, {"there": 0})["there"] == len(there), asset
        elif (months := whole[asset]["months"]) is None:
            assert (whole[asset]["state"] == "materialized") == bool(there), asset
        else:
            shown = {f"{month[:4]}-{month[4:]}-01" for month, state in months.items() if state == "materialized"}
            assert shown == there, asset


@pytest.mark.parametrize("story", STORIES)
def test_ui_and_disk_agree_after_each_command(story: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, feed = DataLayout(tmp_path / "work"), tmp_path / "exports"
    monkeypatch.setenv("CAPSIM__STORAGE__LOCAL_BASE_PATH", str(layout.root))
    monkeypatch.setenv("CAPSIM_CONFIG", str(CONFIG if story != "a feed" else OTHER_TOOL))
    for name, value in FLEET.items():
        monkeypatch.setenv(f"CAPSIM__DATA_GENERATION__{name}", value)
    # Before the window: such months are no partitions until the feed is there.
    write_feed(feed, [202211, 202212])
    asked = []
    for command, job in STORIES[story]:
        if command == "retention":
            monkeypatch.setenv("CAPSIM__PUBLICATION__RETENTION__TIER2_DAYS", "30")
        line = command.format(feed=feed, data=layout.root)

        done = CliRunner().invoke(capsim, line.split())

        assert done.exit_code == 0, done.output
        if not job:
            # What it must not record would be seen after the next command.
            continue
        asked.append((job, "SUCCESS", f"capsim {line}"))
        require_status(on_disk(layout))
        with open_ui(layout) as ui:
            require_agreement(on_disk(layout), ui.assets())
            listed = [(run.job, run.status, run.tags[COMMAND_TAG]) for run in ui.runs()]
            assert listed[::-1] == asked
            assert len(ui.runs(job)) == len([each for each in asked if each[0] == job])
            assert all(not key.startswith("capsim/process") for run in ui.runs() for key in run.tags)


def test_days_that_the_live_server_made_whole_are_recorded_once_and_by_the_next_start_if_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded_capsim: Capsim
) -> None:
    layout, day = DataLayout(tmp_path / "work"), "2023-01-04"
    monkeypatch.setenv("CAPSIM__STORAGE__LOCAL_BASE_PATH", str(layout.root))
    monkeypatch.setenv("CAPSIM_CONFIG", str(CONFIG))
    for name, value in FLEET.items():
        monkeypatch.setenv(f"CAPSIM__DATA_GENERATION__{name}", value)

    def serve_until(end: str, number: signal.Signals) -> None:
        words = ["tier1", "serve", "--from", f"{day}T00:00", "--speed", "30000", "--port", "0"]
        with loaded_capsim.started(*words) as server:
            deadline = time.monotonic() + 120
            while not [*layout.archive.glob(end)] and time.monotonic() < deadline:
                time.sleep(0.02)
            server.process.send_signal(number)
            assert server.wait() in (0, -signal.SIGKILL), server.err

    serve_until("20230105/00.*", signal.SIGKILL)
    serve_until("20230105/03.*", signal.SIGINT)
    serve_until("20230105/05.*", signal.SIGINT)

    require_status(on_disk(layout))
    with open_ui(layout) as ui:
        require_agreement(on_disk(layout), ui.assets())
        (run,) = [run for run in ui.runs() if run.status == "SUCCESS"]
    assert on_disk(layout)["hourly_archive"] == {day}
    assert run.job == "daily_publication"
    assert run.tags[COMMAND_TAG].startswith("capsim tier1 serve --from")


def test_what_is_refused_fails_its_partition_and_the_run_and_the_rest_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = DataLayout(tmp_path / "work")
    monkeypatch.setenv("CAPSIM__STORAGE__LOCAL_BASE_PATH", str(layout.root))
    for name, value in FLEET.items():
        monkeypatch.setenv(f"CAPSIM__DATA_GENERATION__{name}", value)
    assert CliRunner().invoke(capsim, ["archive", "--date", "2023-01-05"]).exit_code == 0

    refused = CliRunner().invoke(capsim, ["tier3", "export", "--date", "2023-01-04..2023-01-05"])

    assert refused.exit_code == 1
    with open_ui(layout) as ui:
        seen = ui.assets()["tier3_daily"]
        assert seen.partitions is not None
        assert (seen.partitions[:3], seen.ranges) == ((1, 1, 0), [("2023-01-05", "2023-01-05")])
        assert [run.status for run in ui.runs("daily_publication")] == ["FAILURE", "SUCCESS"]


def test_without_a_history_the_work_is_done_and_a_line_says_so(tmp_path: Path) -> None:
    (tmp_path / ".dagster").write_text("no folder")
    options = ["--hosts", "12", "--start", "2023-01-01", "--end", "2023-02-28", "--data-dir", str(tmp_path)]

    done = CliRunner().invoke(capsim, ["archive", "--date", "2023-01-05", *options])

    assert done.exit_code == 0, done.output
    assert len([*tmp_path.glob("archive/20230105/*.gz")]) == 24
    assert done.stderr.startswith("the run history cannot be written, so the UI does not show this command: ")
    assert done.stderr.count("\n") == 1


def test_a_dry_run_records_nothing(tmp_path: Path) -> None:
    options = ["--hosts", "12", "--start", "2023-01-01", "--end", "2023-02-28", "--data-dir", str(tmp_path)]

    CliRunner().invoke(capsim, ["tier3", "export", "--date", "2023-01-05", "--dry-run", *options])

    assert not (tmp_path / ".dagster").exists()


def test_an_interrupted_command_is_a_cancelled_run_with_what_was_made_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from capsim_dagster.pipeline import publication

    made = publication.hourly_archive

    def interrupted(platform: object, day: object, **options: object) -> publication.ArchivedDay:
        if str(day) == "2023-01-06":
            raise KeyboardInterrupt
        return made(platform, day, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(publication, "hourly_archive", interrupted)
    options = ["--hosts", "12", "--start", "2023-01-01", "--end", "2023-02-28", "--data-dir", str(tmp_path)]

    CliRunner().invoke(capsim, ["archive", "--date", "2023-01-05..2023-01-07", *options])

    with open_instance(DataLayout(tmp_path)) as instance:
        assert [run.status.value for run in instance.get_runs()] == ["CANCELED"]
        (key,) = instance.all_asset_keys()
        assert instance.get_materialized_partitions(key) == {"2023-01-05"}


def test_the_command_that_is_recorded_holds_no_secret_of_a_url(tmp_path: Path) -> None:
    source = "s3://key:p4ss@bucket/panel.parquet?X-Amz-Signature=s1gned"
    done = CliRunner().invoke(capsim, ["panel", "load", "--input", source, "--data-dir", str(tmp_path)])

    assert done.exit_code != 0
    with open_instance(DataLayout(tmp_path)) as instance:
        (run,) = instance.get_runs()
        said = json.dumps([run.tags, [str(entry.dagster_event) for entry in instance.all_logs(run.run_id)]])
    assert "s3://…@bucket/panel.parquet" in run.tags[COMMAND_TAG]
    assert "p4ss" not in said
    assert "s1gned" not in said
