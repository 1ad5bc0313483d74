"""A panel on an S3-compatible store: the same bytes as on disk, by the same commands, and never half of one."""

import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from capsim_dagster.cli import capsim
from capsim_dagster.errors import GateError, StorageError
from capsim_dagster.panel.generate import GeneratedPanel
from capsim_dagster.storage import sha256
from capsim_dagster.storage.bucket import Bucket
from capsim_dagster.storage.connection import Connection
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.panel.generated import RAW, generation_of, panel_of, save
from capsim_dagster_tests.support.s3_servers import (
    Fault,
    aws_environment,
    bucket,
    bucket_name,
    proxy,
    s3_client,
    s3_endpoint,
)

__all__ = ["aws_environment", "bucket", "bucket_name", "s3_endpoint"]

STEM = "raw_server_metrics_20230101_to_20230331"


def keys(endpoint: str, name: str) -> list[str]:
    """Return the keys that another client finds in a bucket."""
    return [found["Key"] for found in s3_client(endpoint).list_objects_v2(Bucket=name).get("Contents", [])]


def content(endpoint: str, name: str, key: str) -> bytes:
    found: bytes = s3_client(endpoint).get_object(Bucket=name, Key=key)["Body"].read()
    return found


def test_the_bucket_and_the_folder_hold_the_same_bytes(
    bucket: Bucket, bucket_name: str, s3_endpoint: str, tmp_path: Path
) -> None:
    there, here = save(generation_of(), panel_of(), bucket), save(generation_of(), panel_of(), tmp_path)

    assert there.url == f"s3://{bucket_name}/{RAW}/{STEM}.parquet"
    assert there.sha256 == here.sha256
    assert keys(s3_endpoint, bucket_name) == [
        f"{RAW}/{STEM}{end}" for end in (".parquet", "_sample.csv", "_summary.json")
    ]
    for key in keys(s3_endpoint, bucket_name):
        assert content(s3_endpoint, bucket_name, key) == (tmp_path / key).read_bytes()


def command(tmp_path: Path, bucket_name: str, endpoint: str, *arguments: str) -> str:
    """Run a command of the panel with settings that name a bucket; return what it printed."""
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        f"base: {CONFIG}\n"
        "data_generation: {num_servers: 12, end_date: 2024-03-31}\n"
        f"storage: {{bucket_name: {bucket_name}, endpoint_url: '{endpoint}'}}\n",
        encoding="utf-8",
    )
    options = ["--config", str(settings), "--data-dir", str(tmp_path / "data"), "--env", "sagemaker"]
    result = CliRunner().invoke(capsim, ["panel", *arguments, *options])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_the_three_commands_work_on_a_bucket_and_leave_but_their_record_on_disk(
    bucket_name: str, s3_endpoint: str, tmp_path: Path
) -> None:
    raw, staged = (f"{kind}_server_metrics_20230101_to_20240331" for kind in ("raw", "validated"))

    made = command(tmp_path, bucket_name, s3_endpoint, "generate")
    loaded = command(tmp_path, bucket_name, s3_endpoint, "load", "--strict")
    shown = command(tmp_path, bucket_name, s3_endpoint, "show")

    assert f"s3://{bucket_name}/panel/raw/{raw}.parquet" in made
    assert f"s3://{bucket_name}/panel/staged/{staged}.parquet" in loaded
    assert "5,472 rows, 12 servers" in shown
    assert keys(s3_endpoint, bucket_name) == [
        *(f"panel/raw/{raw}{end}" for end in (".parquet", "_sample.csv", "_summary.json")),
        *(f"panel/staged/{staged}{end}" for end in (".parquet", "_report.json")),
    ]
    parquet = [key for key in keys(s3_endpoint, bucket_name) if key.endswith(".parquet")]
    assert len({content(s3_endpoint, bucket_name, key) for key in parquet}) == 1
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [".dagster", "capsim_settings.yaml"]


def test_a_panel_that_fails_its_gate_leaves_the_object_of_before(
    bucket: Bucket, bucket_name: str, s3_endpoint: str
) -> None:
    before = save(generation_of(), panel_of(), bucket)
    strict = panel_of(quality={"max_missing_share": 0.0, "pattern_tolerance": 1})

    with pytest.raises(GateError):
        save(generation_of(random_seed=7), strict, bucket)

    with bucket.reading(f"{RAW}/{STEM}.parquet") as path:
        assert sha256(path) == before.sha256
    assert len(keys(s3_endpoint, bucket_name)) == 3


def test_a_store_that_breaks_while_the_panel_is_sent_leaves_no_part_of_it(bucket_name: str, s3_endpoint: str) -> None:
    with proxy(s3_endpoint, "PUT", Fault.BUSY) as busy:
        broken = Bucket(Connection(bucket_name, busy.endpoint))
        with pytest.raises(StorageError, match="keeps answering 503 SlowDown"):
            save(generation_of(), panel_of(), broken)

    assert keys(s3_endpoint, bucket_name) == []


def test_a_lost_answer_is_no_failure(bucket_name: str, s3_endpoint: str, tmp_path: Path) -> None:
    with proxy(s3_endpoint, "PUT", Fault.LOST_ANSWER, None) as flaky:
        made = save(generation_of(), panel_of(), Bucket(Connection(bucket_name, flaky.endpoint)))

    assert made.sha256 == save(generation_of(), panel_of(), tmp_path).sha256
    assert len(keys(s3_endpoint, bucket_name)) == 3


def test_of_two_writers_of_different_panels_one_wins_and_the_other_says_so(bucket: Bucket) -> None:
    made: list[GeneratedPanel] = []
    refused: list[StorageError] = []
    barrier = threading.Barrier(2)

    def write(seed: int) -> None:
        def meet(rows: int) -> None:
            if rows:
                barrier.wait(timeout=30)

        try:
            made.append(save(generation_of(random_seed=seed), panel_of(), bucket, advance=meet))
        except StorageError as error:
            refused.append(error)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len(made) == len(refused) == 1
    assert "another writer replaced it meanwhile" in str(refused[0])
    with bucket.reading(f"{RAW}/{STEM}.parquet") as path:
        assert sha256(path) == made[0].sha256
