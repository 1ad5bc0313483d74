"""`capsim tier2`: what it publishes and verifies, what it says of hours that are refused, and what it ends with."""

import datetime as dt
import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli.tier2 import tier2
from capsim_dagster.errors import SettingsError
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.publication import days
from capsim_dagster_tests.support.publication.days import (
    DAY,
    HOSTS,
    MINUTES,
    START,
    hour_lines,
    text_of,
    write_day,
    write_hour,
)
from capsim_dagster_tests.support.s3_servers import aws_environment, bucket_name, s3_client, s3_endpoint

__all__ = ["aws_environment", "bucket_name", "s3_endpoint"]

pytestmark = pytest.mark.usefixtures("aws_environment")

HOUR_AGO = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test a configuration directory of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="session")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_day(folder)
    return folder


@pytest.fixture
def data_dir(_archive: Path, tmp_path: Path) -> Path:
    """Return a data directory with a whole day in its archive."""
    shutil.copytree(_archive, tmp_path / "data")
    return tmp_path / "data"


def export(data_dir: Path, *arguments: str, storage: str = "") -> Result:
    options = ["--config", str(settings_file(data_dir.parent, storage)), "--data-dir", str(data_dir)]
    return CliRunner().invoke(tier2, ["export", *arguments, *options])


def settings_file(folder: Path, storage: str = "") -> Path:
    path = folder / "settings.yaml"
    path.write_text(
        f"base: {CONFIG}\n"
        f"data_generation: {{num_servers: {HOSTS}, start_date: {START}, end_date: 2026-01-31}}\n"
        f"archive: {{interval_minutes: {MINUTES}}}\n"
        f"storage: {{{storage}}}\n"
    )
    return path


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(tier2, ["verify", *map(str, arguments)])


def words(result: Result) -> str:
    """Return the output without the frames of tables."""
    return re.sub(r"[\u2500-\u257f\s]+", " ", result.output)


def published(data_dir: Path) -> Path:
    return data_dir / "output" / "tier2_hourly" / str(DAY)


def test_export_publishes_hours_and_verify_passes_them(data_dir: Path) -> None:
    exported = export(data_dir, "--date", str(DAY), "--hour", "1", "--hour", "23")
    verified = verify("--local", published(data_dir))

    assert exported.exit_code == 0, exported.output
    assert re.search(r"2026-01-15 01:00 12 48 92 4 \d+ written 2026-01-15 23:00 12 48 96 0", words(exported))
    assert verified.exit_code == 0, verified.output
    assert verified.output == "".join(
        f"passed {published(data_dir) / name}: 21 of 21 claims hold, 48 rows\n" for name in ("01", "23")
    )


def test_export_of_some_hours_leaves_the_others_and_says_what_is_unchanged(data_dir: Path) -> None:
    first = export(data_dir, "--date", str(DAY), "--hour", "7", "--hour", "3")
    again = export(data_dir, "--date", str(DAY), "--hour", "7", "--hour", "8", "--dry-run")

    assert (first.exit_code, again.exit_code) == (0, 0), first.output + again.output
    assert sorted(path.name for path in published(data_dir).iterdir()) == ["03", "07"]
    assert re.search(r"07:00 [\d ]+ unchanged .* 08:00 [\d ]+ would be written", words(again))


def test_a_dry_run_writes_nothing(data_dir: Path) -> None:
    result = export(data_dir, "--date", str(DAY), "--hour", "7", "--dry-run")

    assert result.exit_code == 0, result.output
    assert "would be written" in words(result)
    assert not (data_dir / "output").exists()


def test_without_a_date_the_hours_that_are_new_late_or_corrected_are_published(tmp_path: Path) -> None:
    at = dt.datetime.now(dt.UTC) - 2 * HOUR_AGO
    day, hour = at.date(), at.hour
    write_hour(tmp_path, hour, text_of(hour_lines(hour, day=day)), day)
    write_hour(tmp_path, 5, text_of(hour_lines(5, day=day - dt.timedelta(days=3))), day - dt.timedelta(days=3))
    first, again = export(tmp_path), export(tmp_path)
    write_hour(tmp_path, hour, text_of(hour_lines(hour, HOSTS - 1, day)), day)
    other = export(tmp_path, "--hour", str((hour + 1) % 24))
    corrected = export(tmp_path, "--hour", str(hour))

    assert re.search(rf"{day} {hour:02d}:00 12 48 [\d ]+ written", words(first))
    assert words(first).count("written") == 1
    assert "nothing is pending" in again.output
    assert "nothing is pending" in other.output
    assert re.search(rf"{day} {hour:02d}:00 11 44 [\d ]+ written", words(corrected))
    assert [each.exit_code for each in (first, again, other, corrected)] == [0] * 4


def test_export_goes_on_after_an_hour_that_is_refused_and_ends_with_one(data_dir: Path) -> None:
    days.hour_file(data_dir, 7).write_bytes(b"")
    result = export(data_dir, "--date", str(DAY), "--hour", "6", "--hour", "7", "--hour", "8")

    assert result.exit_code == 1
    assert re.search(r"06:00 [\d ]+ written 2026-01-15 07:00 refused 2026-01-15 08:00 [\d ]+ written", words(result))
    assert "07.jsonl.gz is empty -> write that hour of the archive again" in words(result)


def test_many_refusals_are_shown_by_the_first_of_them(data_dir: Path) -> None:
    result = export(data_dir, "--date", "2026-01-14")

    assert result.exit_code == 1
    assert result.output.count("is missing") == 5
    assert "and 19 more were refused" in result.output
    assert not (data_dir / "output").exists()


@pytest.mark.parametrize("date", ["2999-01-01", "2025-12-31"], ids=["future", "before the window"])
def test_a_day_that_has_no_hours_is_refused(date: str, data_dir: Path) -> None:
    result = export(data_dir, "--date", date, "--hour", "0")

    assert result.exit_code == 1
    assert f"{date} has not come yet" in words(result) or f"{date} lies before the fleet's window" in words(result)


def test_a_future_day_is_refused_once(data_dir: Path) -> None:
    assert export(data_dir, "--date", "2999-01-01").output.count("has not come yet") == 1


def test_verify_ends_with_one_and_names_the_claim_when_a_byte_is_wrong(data_dir: Path) -> None:
    export(data_dir, "--date", str(DAY), "--hour", "7", "--hour", "8")
    path = published(data_dir) / "07" / "data.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    one, both = verify("--local", path.parent), verify("--local", path.parents[1], "--json")
    said = [json.loads(text) for text in re.split(r"(?<=^\})\n", both.output, flags=re.MULTILINE) if text]

    assert (one.exit_code, both.exit_code) == (1, 1)
    assert "error data_has_its_sha256 1" in words(one)
    assert f"failed {path.parent}" in words(one)
    assert [each["passed"] for each in said] == [False, True]


def test_verify_names_the_hours_that_the_daily_dataset_has_and_the_folder_lacks(data_dir: Path) -> None:
    export(data_dir, "--date", str(DAY), "--hour", "7")
    daily = days.export(data_dir).folder
    result = verify("--local", published(data_dir), "--daily", daily)

    assert result.exit_code == 1
    assert "error each_hour_of_the_day_is_published 23 hour 00 is missing hour 01 is missing" in words(result)
    assert f"failed {published(data_dir)} and {daily}: 4 of 5 claims hold, 1 error, 48 rows" in words(result)


def test_all_hours_of_a_day_are_published_and_agree_with_the_daily_dataset(data_dir: Path) -> None:
    exported = export(data_dir, "--date", str(DAY))
    daily = days.export(data_dir).folder
    result = verify("--local", published(data_dir), "--daily", daily)

    assert words(exported).count("written") == 24
    assert (exported.exit_code, result.exit_code) == (0, 0), result.output
    assert result.output.count("passed ") == 25
    assert f"{daily}: 5 of 5 claims hold, 1,152 rows" in words(result)


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["verify", "--local", "nowhere", "--remote"],
        ["verify", "--local", "nowhere", "--daily", "nowhere"],
        ["verify", "--remote", "--daily", "nowhere"],
        ["export", "--hour", "24"],
    ],
    ids=[
        "no folder",
        "here and there",
        "a daily dataset but no hours",
        "a daily dataset but no folder",
        "no such hour",
    ],
)
def test_arguments_that_cannot_be_used_end_with_two(arguments: list[str]) -> None:
    assert CliRunner().invoke(tier2, arguments).exit_code == 2


def test_verify_of_a_folder_that_is_not_there_ends_with_one(tmp_path: Path) -> None:
    assert verify("--local", tmp_path / "none").exit_code == 1


def test_verify_of_days_and_hours_by_their_names_is_of_their_folders(data_dir: Path) -> None:
    export(data_dir, "--date", str(DAY), "--hour", "7", "--hour", "8")
    one = verify("--local", published(data_dir).parent, "--date", DAY, "--hour", "8")

    assert one.output == f"passed {published(data_dir) / '08'}: 21 of 21 claims hold, 48 rows\n"


def test_upload_without_a_bucket_names_the_command_that_stores_one(data_dir: Path) -> None:
    result = export(data_dir, "--date", str(DAY), "--hour", "7", "--upload")

    assert isinstance(result.exception, SettingsError)
    assert "capsim tier3 configure" in result.exception.remedy


def test_hours_go_to_the_bucket_as_they_lie_on_disk_and_are_verified_there(
    data_dir: Path, bucket_name: str, s3_endpoint: str
) -> None:
    storage = f"bucket_name: {bucket_name}, endpoint_url: '{s3_endpoint}'"
    hours, there = ("--date", str(DAY), "--hour", "7", "--hour", "8"), f"s3://{bucket_name}/tier2_hourly/{DAY}"
    first, again = (export(data_dir, *hours, "--upload", storage=storage) for _ in range(2))
    config = ("--config", settings_file(data_dir.parent, storage), "--remote", "--date", DAY)
    both, missing = verify(*config), verify(*config, "--hour", "9")
    keys = [each["Key"] for each in s3_client(s3_endpoint).list_objects_v2(Bucket=bucket_name)["Contents"]]

    for hour in ("07", "08"):
        assert f"written; {there}/{hour} published" in words(first)
        assert f"unchanged; {there}/{hour} unchanged" in words(again)
        assert f"passed {there}/{hour}: 21 of 21 claims hold, 48 rows" in words(both)
    assert [each.exit_code for each in (first, again, both, missing)] == [0, 0, 0, 1]
    assert "data.parquet is missing" in words(missing)
    assert keys == [
        f"tier2_hourly/{DAY}/{h}/{name}" for h in ("07", "08") for name in ("data.parquet", "manifest.json")
    ]


def test_another_hour_in_the_bucket_is_refused_and_replaced_if_told(
    data_dir: Path, bucket_name: str, s3_endpoint: str
) -> None:
    storage = f"bucket_name: {bucket_name}, endpoint_url: '{s3_endpoint}'"
    hour = ("--date", str(DAY), "--hour", "7", "--upload")
    export(data_dir, *hour, storage=storage)
    write_hour(data_dir, 7, text_of(hour_lines(7, HOSTS - 1)))
    refused = export(data_dir, *hour, storage=storage)
    replaced = export(data_dir, *hour, "--replace", storage=storage)
    verified = verify("--config", settings_file(data_dir.parent, storage), "--remote", "--date", DAY)

    assert (refused.exit_code, replaced.exit_code, verified.exit_code) == (1, 0, 0)
    assert "upload refused" in words(refused)
    assert "is published with other content" in words(refused)
    assert f"s3://{bucket_name}/tier2_hourly/{DAY}/07 replaced" in words(replaced)


def test_a_bucket_without_any_hour_of_a_day_fails(tmp_path: Path, bucket_name: str, s3_endpoint: str) -> None:
    config = settings_file(tmp_path, f"bucket_name: {bucket_name}, endpoint_url: '{s3_endpoint}'")
    result = verify("--config", config, "--remote")

    assert result.exit_code == 1
    assert "data.parquet is missing" in words(result)
