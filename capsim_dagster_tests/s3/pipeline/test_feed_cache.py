"""A user's feed in a bucket is refined as one on disk: what is new or changed is fetched, what is gone goes."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capsim_dagster.errors import FeedError, SettingsError, StorageError
from capsim_dagster.pipeline import feed_watch, refine
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.remote import refresh_feed, strays_of
from capsim_dagster_tests.support.foreign_feed import (
    LINES,
    expected_rows,
    file_of,
    foreign_platform,
    refined,
    with_refinery,
)
from capsim_dagster_tests.support.pipeline.watching import Watch
from capsim_dagster_tests.support.s3_servers import aws_environment, bucket_name, proxy, s3_client, s3_endpoint
from capsim_dagster_tests.support.sabotage import files_under

__all__ = ["aws_environment", "bucket_name", "s3_endpoint"]

Put = Callable[[str, bytes], None]


@pytest.fixture
def put(bucket_name: str, s3_endpoint: str) -> Put:
    """Return a function that puts an object into the bucket, as another program does."""
    client: Any = s3_client(s3_endpoint)
    return lambda key, content: client.put_object(Bucket=bucket_name, Key=key, Body=content)


@pytest.fixture
def in_bucket(
    tmp_path: Path, feed_dir: Path, put: Put, bucket_name: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> Platform:
    """Return a platform whose feed lies in a bucket, beside other things, and nowhere on its disk."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_endpoint)
    for path, content in files_under(feed_dir).items():
        put(f"exports/{path}", content)
    put("exports2/2024-05/CPU.csv", b"beside")
    put("exports/.snapshot/2024-05/CPU.csv", b"hidden")
    return foreign_platform(tmp_path / "work", Path(f"s3://{bucket_name}/exports"))


def cached(platform: Platform) -> dict[str, bytes]:
    found = files_under(platform.refined.root)
    return {path: content for path, content in found.items() if not path.startswith(".")}


def test_a_feed_in_a_bucket_is_refined_as_one_on_disk(in_bucket: Platform) -> None:
    assert [month.month for month in refined(in_bucket)] == list(LINES)

    with in_bucket.reading() as connection:
        rows = connection.execute(
            "SELECT ds, host_id, resource, y, cap, capacity FROM processed_data ORDER BY ds, host_id, resource"
        ).fetchall()
    assert rows == expected_rows()


def test_the_folder_holds_the_feed_s_files_and_nothing_else(in_bucket: Platform, feed_dir: Path) -> None:
    refresh_feed(in_bucket)

    assert cached(in_bucket) == files_under(feed_dir)
    assert in_bucket.refined.root.is_relative_to(in_bucket.layout.root)


def test_only_what_is_new_or_changed_is_fetched_and_what_is_gone_goes(
    in_bucket: Platform,
    feed_dir: Path,
    put: Put,
    bucket_name: str,
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refresh_feed(in_bucket)
    changed, gone = (file_of(feed_dir, month).relative_to(feed_dir).as_posix() for month in LINES)
    same_size = files_under(feed_dir)[changed].replace(b"0", b"1")
    put(f"exports/{changed}", same_size)
    put("exports/2024-07/CPU.csv", b"new")
    s3_client(s3_endpoint).delete_object(Bucket=bucket_name, Key=f"exports/{gone}")
    with proxy(s3_endpoint, "GET", None) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        refresh_feed(in_bucket)

    fetched = {path for _, path in server.seen if "list-type" not in path}
    assert fetched == {f"/{bucket_name}/exports/{path}" for path in (changed, "2024-07/CPU.csv")}
    expected = {**files_under(feed_dir), changed: same_size, "2024-07/CPU.csv": b"new"}
    del expected[gone]
    assert cached(in_bucket) == expected


def test_a_file_that_was_lost_or_cut_on_disk_is_fetched_again(in_bucket: Platform, feed_dir: Path) -> None:
    refresh_feed(in_bucket)
    root = in_bucket.refined.root
    lost, cut = (file_of(root, month) for month in LINES)
    lost.unlink()
    cut.write_bytes(b"half")
    refresh_feed(in_bucket)

    assert cached(in_bucket) == files_under(feed_dir)


def test_a_file_has_the_time_of_its_object_in_seconds(in_bucket: Platform, bucket_name: str, s3_endpoint: str) -> None:
    refresh_feed(in_bucket)
    path = file_of(in_bucket.refined.root, 202405)
    key = f"exports/{path.relative_to(in_bucket.refined.root).as_posix()}"
    modified = s3_client(s3_endpoint).head_object(Bucket=bucket_name, Key=key)["LastModified"]

    assert dt.datetime.fromtimestamp(int(path.stat().st_mtime), tz=dt.UTC) == modified.replace(microsecond=0)


ODD_KEYS = {
    "2024-05": b"an object beside the folder of its name",
    "2024-05/CPU.csv/inner": b"an object below the name of a file",
    "2024-05//CPU.csv": b"an empty folder",
    "2024-05/./MEM.csv": b"a dot",
    "2024-05/../2024-06/MEM.csv": b"two dots",
    "2024-05/C\x01PU.csv": b"a control character",
    "other/backup.bin": b"of no month",
}
MARKERS = ("", "2024-05/", "2024-07/")


def test_only_what_the_layout_names_is_fetched_and_the_rest_is_counted_whatever_its_keys(
    in_bucket: Platform, feed_dir: Path, put: Put, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, content in ODD_KEYS.items():
        put(f"exports/{key}", content)
    for key in MARKERS:
        put(f"exports/{key}", b"")

    with proxy(s3_endpoint, "GET", None) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", between.endpoint)
        assert [month.month for month in refined(in_bucket)] == list(LINES)

    assert cached(in_bucket) == files_under(feed_dir)
    assert sorted(strays_of(in_bucket).names) == sorted(ODD_KEYS)
    assert strays_of(in_bucket).total == len(ODD_KEYS)
    fetched = {path for method, path in between.seen if method == "GET" and "list-type" not in path}
    assert len(fetched) == len(files_under(feed_dir))


def test_a_prefix_with_nothing_of_the_layout_says_what_lies_there(
    in_bucket: Platform, put: Put, bucket_name: str
) -> None:
    put("elsewhere/notes.txt", b"x")
    elsewhere = with_refinery(in_bucket, feed_dir=Path(f"s3://{bucket_name}/elsewhere"))

    with pytest.raises(FeedError, match=r"none of the 1 files .* is in the layout.*; found notes\.txt"):
        refine.feed_months(elsewhere)


def test_a_listing_that_does_not_end_is_ended(in_bucket: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capsim_dagster.storage.bucket.MAX_LISTED", 3)

    with pytest.raises(StorageError, match="holds more than 3 objects"):
        refresh_feed(in_bucket)


def test_a_prefix_with_nothing_below_it_is_an_error_and_the_folder_stays(
    in_bucket: Platform, bucket_name: str, s3_endpoint: str, feed_dir: Path
) -> None:
    refresh_feed(in_bucket)
    client = s3_client(s3_endpoint)
    for facts in client.list_objects_v2(Bucket=bucket_name)["Contents"]:
        client.delete_object(Bucket=bucket_name, Key=facts["Key"])
    with pytest.raises(FeedError, match=f"no files under s3://{bucket_name}/exports\n"):
        refined(in_bucket)

    assert cached(in_bucket) == files_under(feed_dir)


def test_the_watch_sees_a_changed_object_and_asks_for_its_month_alone(in_bucket: Platform, put: Put) -> None:
    watch = Watch(in_bucket).settle()
    path = file_of(in_bucket.refined.root, 202406)
    same_size = path.read_bytes().replace(b"0", b"1")
    put(f"exports/{path.relative_to(in_bucket.refined.root).as_posix()}", same_size)
    looks = [watch.look(), watch.look()]

    assert [sorted(look.changed) for look in looks] == [[], [202406]]


def test_a_bucket_that_cannot_be_read_leaves_the_watch_as_it_was(in_bucket: Platform) -> None:
    elsewhere = with_refinery(in_bucket, feed_dir=Path("s3://capsim-absent/exports"))
    with pytest.raises(FeedError, match="has no bucket capsim-absent"):
        feed_watch.look(elsewhere, Watch(in_bucket).snapshot, may_ask=lambda _month: True)


@pytest.mark.parametrize("feed_dir", ["s3://", "s3://bucket/../other"])
def test_an_address_without_a_bucket_is_refused(feed_dir: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"refinery\.feed_dir: s3:// is followed by no bucket"):
        refresh_feed(foreign_platform(tmp_path / "work", Path(feed_dir)))
