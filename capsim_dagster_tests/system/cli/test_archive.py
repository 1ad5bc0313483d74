"""`capsim archive`: the days asked for, refused days by their own line, and what is there is not written again."""

import datetime as dt
from pathlib import Path

from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim


def archive(data_dir: Path, *arguments: str) -> Result:
    fleet = ["--hosts", "10", "--start", "2023-01-01", "--end", "2023-03-31", "--data-dir", str(data_dir)]
    return CliRunner().invoke(capsim, ["archive", *arguments, *fleet])


def hours(data_dir: Path) -> list[str]:
    return sorted(path.relative_to(data_dir / "archive").as_posix() for path in (data_dir / "archive").rglob("*.gz"))


def test_each_day_is_24_files_and_a_second_time_unchanged(tmp_path: Path) -> None:
    first = archive(tmp_path, "--date", "2023-01-05")
    before = {path: (tmp_path / "archive" / path).stat().st_mtime_ns for path in hours(tmp_path)}
    second = archive(tmp_path, "--date", "2023-01-05")

    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert hours(tmp_path) == [f"20230105/{hour:02d}.jsonl.gz" for hour in range(24)]
    assert "2,880" in first.output
    assert "24 written" in first.output
    assert "unchanged" in second.output
    assert {path: (tmp_path / "archive" / path).stat().st_mtime_ns for path in hours(tmp_path)} == before


def test_yesterday_is_the_day_that_is_meant_without_one(tmp_path: Path) -> None:
    before = dt.datetime.now(dt.UTC).date()

    result = archive(tmp_path)

    days = {path.split("/")[0] for path in hours(tmp_path)}
    assert result.exit_code == 0, result.output
    # Midnight may pass meanwhile.
    assert days <= {f"{before + dt.timedelta(days=offset):%Y%m%d}" for offset in (-1, 0)}
    assert len(days) == 1


def test_a_day_before_the_window_and_one_that_is_not_over_are_refused_and_the_others_written(tmp_path: Path) -> None:
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)

    result = archive(tmp_path, "--date", "2022-12-31", "--date", f"{tomorrow}", "--date", "2023-01-01")

    assert result.exit_code == 1
    assert "2022-12-31 lies before the window, which begins on 2023-01-01" in result.output
    assert f"{tomorrow} is not over" in result.output
    assert {path.split("/")[0] for path in hours(tmp_path)} == {"20230101"}


def test_a_range_of_days_is_every_day_of_it(tmp_path: Path) -> None:
    result = archive(tmp_path, "--date", "2023-01-30..2023-02-01", "--date", "2023-01-31")

    assert result.exit_code == 0, result.output
    assert {path.split("/")[0] for path in hours(tmp_path)} == {"20230130", "20230131", "20230201"}


def test_a_range_that_ends_before_it_begins_is_a_usage_error(tmp_path: Path) -> None:
    result = archive(tmp_path, "--date", "2023-02-01..2023-01-30")

    assert result.exit_code == 2
    assert "ends before it begins" in result.output
    assert not tmp_path.joinpath("archive").exists()
