"""The stages of publication: what a day's P95 is compared with, and what of it goes to the bucket."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from capsim_dagster.errors import MasterError
from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.publication import archive_parity, expected_p95, hourly_archive, tier2_hourly, tier3_daily
from capsim_dagster.publication.dataset.upload import Outcome
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster_tests.conftest import SMALL
from capsim_dagster_tests.support.orchestration.published_days import DAY, publishing_platform
from capsim_dagster_tests.support.s3_servers import aws_environment, bucket_name, s3_client, s3_endpoint

__all__ = ["aws_environment", "bucket_name", "s3_endpoint"]

A_DAY = dt.date.fromisoformat(DAY)
TODAY = dt.date(2023, 8, 1)
LATER = dt.date(2023, 4, 15)
"""After the small fleet's window."""


@pytest.fixture
def objects(bucket_name: str, s3_endpoint: str) -> Callable[[], dict[str, bytes]]:
    """Return a function that says what another client finds in the bucket."""
    client = s3_client(s3_endpoint)

    def found() -> dict[str, bytes]:
        listed = client.list_objects_v2(Bucket=bucket_name).get("Contents", [])
        return {o["Key"]: client.get_object(Bucket=bucket_name, Key=o["Key"])["Body"].read() for o in listed}

    return found


def with_bucket(tmp_path: Path, bucket: str, endpoint: str, **publication: object) -> Platform:
    storage = {
        "local_base_path": tmp_path / "data",
        "use_s3": True,
        "bucket_name": bucket,
        "endpoint_url": endpoint,
    }
    return publishing_platform(tmp_path / "data", storage=storage, publication={"max_null_share": 0.5, **publication})


def test_p95_is_expected_by_the_master_and_beyond_it_as_the_master_will_have_it(platform: Platform) -> None:
    by_master = expected_p95(platform, A_DAY)
    beyond = expected_p95(platform, LATER)
    longer = publishing_platform(platform.layout.root, data_generation={**SMALL, "end_date": "2023-04-30"})
    stages.time_calendar(longer)
    stages.master_parquet(longer)
    extended = expected_p95(longer, LATER)

    assert (by_master.source, extended.source) == ("master_parquet", "master_parquet")
    assert "does not reach this day" in beyond.source
    assert_frame_equal(beyond.frame, extended.frame, check_row_order=False, check_column_order=False)


def test_p95_without_a_master_is_what_the_master_would_have(platform: Platform) -> None:
    by_master = expected_p95(platform, A_DAY)
    platform.layout.master.unlink()

    without = expected_p95(platform, A_DAY)

    assert_frame_equal(without.frame, by_master.frame, check_row_order=False, check_column_order=False)


def test_a_master_of_other_settings_is_refused(platform: Platform) -> None:
    other = publishing_platform(platform.layout.root, data_generation={**SMALL, "random_seed": 7})

    with pytest.raises(MasterError):
        expected_p95(other, A_DAY)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "05.jsonl.gz is missing"),
        (lambda path: path.write_bytes(b""), "05.jsonl.gz is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "05.jsonl.gz is truncated"),
        (lambda path: path.write_bytes(path.read_bytes() * 2), "05.jsonl.gz holds 48 lines, not 24"),
        (
            lambda path: path.write_bytes(path.with_name("06.jsonl.gz").read_bytes()),
            "05.jsonl.gz is not as it was written",
        ),
    ],
    ids=["missing", "empty", "truncated", "twice", "of another hour"],
)
def test_an_archive_that_is_not_as_it_was_written_fails_its_parity(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    platform = publishing_platform(tmp_path / "data")
    archived = hourly_archive(platform, A_DAY, today=TODAY)
    assert archive_parity(platform, archived).passed

    damage(archived.files[5].path)

    assert said in archive_parity(platform, archived).examples


def test_a_day_that_passed_goes_to_the_bucket_and_is_unchanged_there_the_second_time(
    tmp_path: Path, bucket_name: str, s3_endpoint: str, objects: Callable[[], dict[str, bytes]]
) -> None:
    platform = with_bucket(tmp_path, bucket_name, s3_endpoint, tier3_prefix="fleet/daily")
    hourly_archive(platform, A_DAY, today=TODAY)

    first, second = (tier3_daily(platform, A_DAY, today=TODAY) for _ in range(2))

    assert first.uploaded is not None
    assert second.uploaded is not None
    assert (first.uploaded.outcome, second.uploaded.outcome) == (Outcome.PUBLISHED, Outcome.UNCHANGED)
    folder = first.exported.folder
    assert objects() == {
        f"fleet/daily/{DAY}/{name}": (folder / name).read_bytes() for name in ("data.parquet", "manifest.json")
    }


def test_an_hour_that_passed_goes_to_the_bucket_and_is_unchanged_there_the_second_time(
    tmp_path: Path, bucket_name: str, s3_endpoint: str, objects: Callable[[], dict[str, bytes]]
) -> None:
    platform, hour = with_bucket(tmp_path, bucket_name, s3_endpoint, tier2_prefix="fleet/hourly"), DayHour(A_DAY, 7)
    hourly_archive(platform, A_DAY, today=TODAY)
    now = dt.datetime.combine(TODAY, dt.time(), tzinfo=dt.UTC)

    first, second = (tier2_hourly(platform, hour, now=now) for _ in range(2))

    assert first.uploaded is not None
    assert second.uploaded is not None
    assert (first.uploaded.outcome, second.uploaded.outcome) == (Outcome.PUBLISHED, Outcome.UNCHANGED)
    folder = first.exported.folder
    assert objects() == {
        f"fleet/hourly/{DAY}/07/{name}": (folder / name).read_bytes() for name in ("data.parquet", "manifest.json")
    }


def test_a_day_that_did_not_pass_stays_on_disk_alone(
    tmp_path: Path, bucket_name: str, s3_endpoint: str, objects: Callable[[], dict[str, bytes]]
) -> None:
    platform = with_bucket(tmp_path, bucket_name, s3_endpoint, max_null_share=0.0)
    hourly_archive(platform, A_DAY, today=TODAY)

    made = tier3_daily(platform, A_DAY, today=TODAY)

    assert [finding.claim for finding in made.verification.errors] == ["null_ratios_are_within_bounds"]
    assert made.uploaded is None
    assert objects() == {}
