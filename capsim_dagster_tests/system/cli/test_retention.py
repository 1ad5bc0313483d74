"""`capsim retention`: what it says, what it removes, what it ends with; days count back from today, UTC."""

import datetime as dt
import re
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli.retention import retention
from capsim_dagster.orchestration.instance import open_instance
from capsim_dagster.publication.dataset.folder import sole_writer
from capsim_dagster.storage import DataLayout
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.orchestration.aged import age

TODAY = dt.date(2026, 3, 1)
FORMS = {"archive": "archive/%Y%m%d", "tier2": "output/tier2_hourly/%Y-%m-%d", "tier3": "output/tier3_daily/%Y-%m-%d"}
NAMES = {"archive": "07.jsonl.gz", "tier2": "07/data.parquet", "tier3": "data.parquet"}


@pytest.fixture(autouse=True)
def _standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    late = dt.datetime.combine(TODAY, dt.time(23, 59), tzinfo=dt.UTC)
    monkeypatch.setattr("capsim_dagster.publication.dataset.export.now_utc", lambda: late)


def folder(data_dir: Path, dataset: str, day: dt.date) -> Path:
    return data_dir / f"{day:{FORMS[dataset]}}"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return a data directory with three days of each dataset, of one file of half a megabyte a day."""
    for dataset, name in NAMES.items():
        for back in range(3):
            path = folder(tmp_path / "data", dataset, TODAY - dt.timedelta(days=back)) / name
            path.parent.mkdir(parents=True)
            path.write_bytes(bytes(500_000))
    return tmp_path / "data"


def run(data_dir: Path, *arguments: str, **days: int) -> Result:
    settings = data_dir.parent / "settings.yaml"
    limits = ", ".join(f"{name}: {value}" for name, value in days.items())
    settings.write_text(f"base: {CONFIG}\npublication: {{retention: {{{limits}}}}}\n")
    return CliRunner().invoke(retention, [*arguments, "--config", str(settings), "--data-dir", str(data_dir)])


def words(result: Result) -> str:
    """Return the output without the frames of tables."""
    return re.sub(r"[\u2500-\u257f\s]+", " ", result.output)


def left_of(data_dir: Path, dataset: str) -> list[str]:
    return sorted(path.name for path in folder(data_dir, dataset, TODAY).parent.iterdir())


def test_without_a_limit_it_says_that_nothing_is_ever_removed(data_dir: Path) -> None:
    result = run(data_dir)

    assert result.exit_code == 0, result.output
    assert (
        "nothing is ever removed: publication.retention (archive_days, tier2_days, tier3_days) sets no limit"
        in words(result)
    )
    assert "archive 3 2026-02-27 2026-03-01 3 1.5 kept for ever" in words(result)
    assert [len(left_of(data_dir, dataset)) for dataset in FORMS] == [3, 3, 3]


@pytest.mark.parametrize("dataset", sorted(FORMS))
def test_each_setting_removes_days_of_its_dataset_and_no_others(dataset: str, data_dir: Path) -> None:
    result = run(data_dir, "--unpublished", **{f"{dataset}_days": 2})
    name = folder(data_dir, dataset, TODAY).parent.name

    assert result.exit_code == 0, result.output
    assert f"{name} 1 2026-02-27 2026-02-27 1 0.5 removed" in words(result)
    assert f"{name} 2 2026-02-28 2026-03-01 2 1.0 kept: younger than 2 days" in words(result)
    assert {each: len(left_of(data_dir, each)) for each in FORMS} == dict.fromkeys(FORMS, 3) | {dataset: 2}
    assert "nothing is ever removed" not in result.output


def test_a_dry_run_says_what_would_go_and_removes_nothing(data_dir: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    result = run(data_dir, "--dry-run", tier2_days=2, tier3_days=2)

    assert result.exit_code == 0, result.output
    assert "tier2_hourly 1 2026-02-27 2026-02-27 1 0.5 would be removed" in words(result)
    assert "tier3_daily 1 2026-02-27 2026-02-27 1 0.5 would be removed" in words(result)
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]], ids=["removal", "dry run"])
def test_an_archive_day_that_is_not_published_stays_unless_told_and_the_exit_code_is_one(
    arguments: list[str], data_dir: Path
) -> None:
    refused = run(data_dir, *arguments, archive_days=2)
    allowed = run(data_dir, *arguments, "--unpublished", archive_days=2)

    assert (refused.exit_code, allowed.exit_code) == (1, 0)
    assert "archive 1 2026-02-27 2026-02-27 1 0.5 left, see below" in words(refused)
    assert "left 2026-02-27 is not published in tier 3" in words(refused)
    assert "capsim tier3 export --date 2026-02-27" in words(refused)
    assert len(left_of(data_dir, "archive")) == (3 if arguments else 2)


def test_a_busy_day_is_reported_and_the_others_go(data_dir: Path) -> None:
    with sole_writer(folder(data_dir, "tier3", dt.date(2026, 2, 27))):
        result = run(data_dir, tier2_days=2, tier3_days=2)

    assert result.exit_code == 1
    assert "tier3_daily 1 2026-02-27 2026-02-27 1 0.5 left, see below" in words(result)
    assert "is busy: another process is writing into it; nothing of the day was removed" in words(result)
    assert [len(left_of(data_dir, dataset)) for dataset in FORMS] == [3, 2, 3]


def test_of_many_days_that_stay_five_are_shown_and_the_rest_counted(data_dir: Path) -> None:
    for back in range(3, 10):
        path = folder(data_dir, "tier3", TODAY - dt.timedelta(days=back))
        path.mkdir()
        (path / "notes.txt").write_text("mine")
    result = run(data_dir, tier3_days=3)

    assert result.exit_code == 1
    assert words(result).count("holds what capsim does not write: notes.txt") == 5
    assert "and 2 more days that were left" in words(result)


def test_a_data_directory_with_nothing_in_it_is_no_error(tmp_path: Path) -> None:
    result = run(tmp_path / "none", archive_days=2, tier2_days=2, tier3_days=2)

    assert result.exit_code == 0, result.output
    assert "archive 0 0 0.0 kept: younger than 2 days" in words(result)
    assert not (tmp_path / "none").exists()


def test_old_runs_are_shown_and_go_but_not_in_a_dry_run(data_dir: Path) -> None:
    with open_instance(DataLayout(data_dir)) as instance:
        job = dg.GraphDefinition("nothing").to_job()
        runs = [instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS).run_id for _ in range(3)]
        long_ago = (dt.datetime.now(dt.UTC) - dt.datetime(2025, 6, 30, tzinfo=dt.UTC)).days
        age(instance, runs[:2], long_ago)

        told = run(data_dir, "--dry-run")
        assert instance.get_runs_count() == 3
        done = run(data_dir)
        assert [each.run_id for each in instance.get_runs()] == runs[2:]

    assert "runs 2 2025-06-30 2025-06-30 0.0 would be removed" in words(told)
    assert "runs 2 2025-06-30 2025-06-30 0.0 removed" in words(done)
    assert "runs 1 kept: younger than 90 days" in words(done)
