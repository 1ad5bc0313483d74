"""With a bucket, master and feed lie there too, under the same relative path, and another machine can go on from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capsim_dagster.errors import MasterError, StorageError
from capsim_dagster.pipeline import refine, stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import load_settings
from capsim_dagster_tests.conftest import CONFIG, SMALL
from capsim_dagster_tests.support.s3_servers import aws_environment, bucket_name, proxy, s3_client, s3_endpoint
from capsim_dagster_tests.support.sabotage import files_under

__all__ = ["aws_environment", "bucket_name", "s3_endpoint"]

MASTER = "master/master_daily.parquet"
JANUARY = {
    f"legacy/2023/01/{prefix}_202301.csv"
    for prefix in ("cpu_utilization", "memory_stats", "storage_usage", "net_throughput")
}


def with_bucket(platform: Platform, bucket: str, endpoint: str) -> Platform:
    """Return a platform on the same data directory, with a bucket."""
    storage = {
        "local_base_path": platform.layout.root,
        "use_s3": True,
        "bucket_name": bucket,
        "endpoint_url": endpoint,
    }
    return Platform(load_settings(CONFIG, {"data_generation": SMALL, "storage": storage}))


@pytest.fixture
def remote_platform(platform: Platform, bucket_name: str, s3_endpoint: str) -> Platform:
    """Return a platform with everything built on disk, and an empty bucket."""
    return with_bucket(platform, bucket_name, s3_endpoint)


@pytest.fixture
def objects(bucket_name: str, s3_endpoint: str) -> Callable[[], dict[str, bytes]]:
    """Return a function that says what another client finds in the bucket."""
    client: Any = s3_client(s3_endpoint)

    def found() -> dict[str, bytes]:
        listed = client.list_objects_v2(Bucket=bucket_name).get("Contents", [])
        return {o["Key"]: client.get_object(Bucket=bucket_name, Key=o["Key"])["Body"].read() for o in listed}

    return found


def export(platform: Platform, *months: int) -> None:
    list(stages.monthly_csv(platform, months))


def test_master_and_feed_lie_in_the_bucket_as_on_disk(
    remote_platform: Platform, objects: Callable[[], dict[str, bytes]]
) -> None:
    stages.master_parquet(remote_platform)
    export(remote_platform, 202301)

    found = objects()
    assert found.keys() == {MASTER, *JANUARY}
    assert found == {key: (remote_platform.layout.root / key).read_bytes() for key in found}


def test_what_has_not_changed_is_not_sent_again(remote_platform: Platform, bucket_name: str, s3_endpoint: str) -> None:
    stages.master_parquet(remote_platform)
    export(remote_platform, 202301)
    with proxy(s3_endpoint, "PUT", None) as server:
        again = with_bucket(remote_platform, bucket_name, server.endpoint)
        stages.master_parquet(again)
        export(again, 202301)

    assert server.count("PUT") == 0
    assert server.count("GET") > 0


def test_files_of_months_that_the_master_does_not_hold_go_and_files_of_others_stay(
    remote_platform: Platform, bucket_name: str, s3_endpoint: str, objects: Callable[[], dict[str, bytes]]
) -> None:
    strays = ["legacy/2030/01/cpu_utilization_203001.csv", "legacy/2023/01/cpu_utilization_202301.csv.gz"]
    others = ["legacy/2030/01/notes.txt", "legacy/2023/02/cpu_utilization_202302.csv", "backup/2030.csv"]
    for key in (*strays, *others):
        s3_client(s3_endpoint).put_object(Bucket=bucket_name, Key=key, Body=b"old")
    export(remote_platform, 202301)

    assert objects().keys() == {*JANUARY, *others}


def written_by_truth(platform: Platform) -> None:
    stages.ground_truth(platform)


def written_by_feed(platform: Platform) -> None:
    export(platform, 202301)


def written_by_refinery(platform: Platform) -> None:
    list(refine.processed_data(platform, [202301], run="test"))


@pytest.mark.parametrize(
    "stage",
    [
        written_by_feed,
        written_by_truth,
        written_by_refinery,
    ],
)
def test_a_machine_without_the_master_fetches_it(remote_platform: Platform, stage: Callable[[Platform], None]) -> None:
    stages.master_parquet(remote_platform)
    master = remote_platform.layout.master
    content = master.read_bytes()
    master.unlink()
    stage(remote_platform)

    assert master.read_bytes() == content
    assert list(files_under(master.parent)) == [master.name]


def test_without_a_master_on_disk_and_in_the_bucket_it_is_said_to_be_missing(remote_platform: Platform) -> None:
    remote_platform.layout.master.unlink()
    with pytest.raises(MasterError, match="no master file at"):
        export(remote_platform, 202301)


def test_a_bucket_that_cannot_be_reached_is_told_before_anything_is_written(
    remote_platform: Platform, s3_endpoint: str
) -> None:
    master = remote_platform.layout.master
    before = master.stat().st_mtime_ns
    with pytest.raises(StorageError, match="has no bucket capsim-absent"):
        stages.master_parquet(with_bucket(remote_platform, "capsim-absent", s3_endpoint))

    assert master.stat().st_mtime_ns == before


def test_without_use_s3_no_bucket_is_asked(platform: Platform, tmp_path: Path) -> None:
    storage = {"local_base_path": platform.layout.root, "bucket_name": "capsim-absent", "use_s3": False}
    local = Platform(load_settings(CONFIG, {"data_generation": SMALL, "storage": storage}))
    stages.master_parquet(local)
    export(local, 202301)

    assert (tmp_path / "data" / MASTER).is_file()
