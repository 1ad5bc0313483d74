"""A store that refuses or does not answer: one clear line, nothing half done, and never a word of the credentials."""

import datetime as dt
import json
import logging
import resource
import socket
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import boto3
import pytest

from capsim_dagster.errors import StorageError
from capsim_dagster.storage.bucket import Bucket
from capsim_dagster.storage.connection import Connection
from capsim_dagster_tests.support.s3_servers import (
    ACCESS_KEY,
    SECRET,
    Fault,
    enforced_credentials,
    proxy,
    s3_client,
    silent_server,
)

KEY = "panel/raw/numbers.parquet"
OLD, NEW = b"the last good version\n" * 1_000, b"the next one\n" * 1_000
SERVERS = ("moto", "werkzeug")
"""Loggers of the server, which runs in this process."""
PATIENCE = dt.timedelta(seconds=0.3)
"""With what never answers. What does answer is given more: the machine may have other things to do."""
MORE_PATIENCE = dt.timedelta(seconds=2)

Act = Callable[[Bucket], object]
Way = AbstractContextManager[Bucket]


def write(bucket: Bucket) -> None:
    with bucket.writing(KEY) as path:
        path.write_bytes(NEW)


def read(bucket: Bucket) -> None:
    with bucket.reading(KEY):
        pass


ACTS: dict[str, Act] = {
    "check": lambda bucket: bucket.check(),
    "list": lambda bucket: bucket.list("panel/raw"),
    "read": read,
    "write": write,
    "remove": lambda bucket: bucket.remove(KEY),
}


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aws_environment: None) -> Path:  # noqa: ARG001
    """Return the folder in which temporary files of this test are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def moto_bucket(moto_endpoint: str) -> Bucket:
    """Return a bucket of moto's that holds the old version."""
    name = f"capsim-{time.time_ns()}"
    client = s3_client(moto_endpoint)
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key=KEY, Body=OLD)
    return Bucket(Connection(name, endpoint_url=moto_endpoint))


def toward(bucket: Bucket, endpoint: str, patience: dt.timedelta = PATIENCE) -> Bucket:
    return Bucket(Connection(bucket.connection.bucket, endpoint_url=endpoint, patience=patience))


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def behind(bucket: Bucket, method: str, fault: Fault) -> Iterator[Bucket]:
    with proxy(bucket.connection.endpoint or "", method, fault) as server:
        yield toward(bucket, server.endpoint, MORE_PATIENCE)


@contextmanager
def silent(bucket: Bucket) -> Iterator[Bucket]:
    with silent_server() as endpoint:
        yield toward(bucket, endpoint)


@contextmanager
def unknown_keys(bucket: Bucket) -> Iterator[Bucket]:
    with enforced_credentials(bucket.connection.endpoint or ""):
        yield bucket


def no_bucket(bucket: Bucket) -> Way:
    return nullcontext(Bucket(Connection("capsim-absent", endpoint_url=bucket.connection.endpoint)))


WAYS: dict[str, tuple[Callable[[Bucket], Way], str]] = {
    "a missing bucket": (no_bucket, "has no bucket capsim-absent"),
    "keys that the store does not know": (unknown_keys, "does not accept the credentials (InvalidAccessKeyId)"),
    "a refused connection": (lambda bucket: nullcontext(toward(bucket, closed_port())), ": connection refused"),
    "an unknown host": (lambda bucket: nullcontext(toward(bucket, "http://nowhere.invalid")), ": no such host"),
    "a server that never answers": (silent, ": no answer in time"),
    "connections that are always lost": (
        lambda bucket: behind(bucket, "PUT", Fault.LOST_REQUEST),
        ": the connection is lost",
    ),
    "a server that is busy for ever": (
        lambda bucket: behind(bucket, "PUT", Fault.BUSY),
        "keeps answering 503 SlowDown",
    ),
    "a store without conditions": (
        lambda bucket: behind(bucket, "PUT", Fault.UNKNOWN),
        "does not know conditional writes (501 NotImplemented)",
    ),
    "a clock that is wrong": (
        lambda bucket: behind(bucket, "PUT", Fault.SKEWED),
        "finds the clock of this machine wrong (RequestTimeTooSkewed)",
    ),
}
ALIKE = {"a refused connection", "an unknown host"}
"""Ways to fail that are the same whatever is asked for."""
OF_PUTS_ALONE = {
    "connections that are always lost",
    "a server that is busy for ever",
    "a store without conditions",
    "a clock that is wrong",
}
CASES = [
    (way, act)
    for way in WAYS
    for act in ACTS
    if act == "write" or way not in OF_PUTS_ALONE | ALIKE or (act == "check" and way in ALIKE)
]


@pytest.mark.parametrize(("way", "act"), CASES)
def test_each_failure_is_one_clear_line_without_credentials_and_leaves_everything_as_it_was(
    way: str, act: str, moto_bucket: Bucket, temporary_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    failing, expected = WAYS[way]
    with failing(moto_bucket) as bucket, pytest.raises(StorageError) as raised:
        ACTS[act](bucket)

    assert expected in raised.value.found
    assert "\n" not in raised.value.found
    assert raised.value.remedy
    told = ["".join(traceback.format_exception(raised.value)), repr(raised.value), repr(bucket)]
    told.append(repr(vars(bucket.connection)))
    told += [f"{log.name}: {log.getMessage()}" for log in caplog.records if not log.name.startswith(SERVERS)]
    assert not [text for text in told if SECRET in text or ACCESS_KEY in text]
    assert list(temporary_folder.iterdir()) == []
    client = s3_client(moto_bucket.connection.endpoint or "")
    found = client.list_objects_v2(Bucket=moto_bucket.connection.bucket)["Contents"]
    assert [(entry["Key"], entry["Size"]) for entry in found] == [(KEY, len(OLD))]


def test_an_endpoint_that_cannot_be_reached_fails_within_fifteen_seconds_as_shipped() -> None:
    connection = Connection("capsim-absent", endpoint_url=closed_port())
    started = time.monotonic()
    with pytest.raises(StorageError, match="connection refused"):
        Bucket(connection).check()

    assert time.monotonic() - started < 15


def without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)


@pytest.mark.parametrize("act", ACTS)
def test_no_credentials_at_all_is_one_clear_line_that_says_how_to_give_them(
    act: str, moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_credentials(monkeypatch)
    with pytest.raises(StorageError, match="none of the usual places has any\n  -> set AWS_ACCESS_KEY_ID and AWS_"):
        ACTS[act](moto_bucket)


def test_the_search_for_credentials_does_not_wait_long_for_a_metadata_service_that_never_answers(
    moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_credentials(monkeypatch)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    started = time.monotonic()
    with silent_server() as endpoint:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
        with pytest.raises(StorageError, match="no credentials for bucket"):
            moto_bucket.check()

    assert time.monotonic() - started < 5


def test_half_of_the_credentials_is_told_by_the_name_of_the_other_half(
    moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match="missing: AWS_SECRET_ACCESS_KEY"):
        moto_bucket.check()


def test_a_profile_that_does_not_exist_is_named(moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "night-shift")
    with pytest.raises(StorageError, match="night-shift"):
        moto_bucket.check()


def test_what_a_credential_helper_says_when_it_fails_is_not_repeated(
    moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_credentials(monkeypatch)
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = sh -c 'echo {SECRET} >&2; exit 1'\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(StorageError, match="CredentialRetrievalError") as raised:
        moto_bucket.check()

    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_an_endpoint_of_the_environment_with_a_password_in_it_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://user:{SECRET}@127.0.0.1:9000")
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL_S3 is no address") as raised:
        Bucket(Connection("capsim-absent")).check()

    assert SECRET not in str(raised.value)


def test_credentials_of_a_profile_are_used(
    moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_credentials(monkeypatch)
    shared = tmp_path / "credentials"
    shared.write_text(f"[day-shift]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_PROFILE", "day-shift")

    moto_bucket.check()


def put_only_keys(endpoint: str, bucket: str) -> tuple[str, str]:
    """Create a user that may write objects, and nothing else."""
    iam = boto3.client(
        "iam",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    )
    iam.create_user(UserName=bucket)
    policy = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"},
    }
    iam.put_user_policy(UserName=bucket, PolicyName="put", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=bucket)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def test_credentials_that_may_only_write_pass_the_check_write_a_new_object_and_replace_none(
    moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, name = moto_bucket.connection.endpoint or "", moto_bucket.connection.bucket
    access_key, secret = put_only_keys(endpoint, name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    with enforced_credentials(endpoint):
        moto_bucket.check()
        with moto_bucket.writing("panel/raw/another") as path:
            path.write_bytes(NEW)
        with pytest.raises(StorageError, match="is there already, and the credentials may not read it"):
            write(moto_bucket)
        with pytest.raises(StorageError, match="not allowed"):
            moto_bucket.list("panel/raw")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        with pytest.raises(StorageError, match="SignatureDoesNotMatch"):
            toward(moto_bucket, endpoint).check()

    found = s3_client(endpoint).get_object(Bucket=name, Key=KEY)
    assert found["Body"].read() == OLD


def test_a_full_disk_under_the_file_that_is_written_is_one_clear_line_and_sends_nothing(
    moto_bucket: Bucket, temporary_folder: Path
) -> None:
    def write_to_a_full_disk() -> None:
        with moto_bucket.writing(KEY) as path:
            path.symlink_to("/dev/full")
            path.write_bytes(NEW)

    with pytest.raises(StorageError, match=r"cannot be written: No space left on device\n.*set TMPDIR"):
        write_to_a_full_disk()

    assert list(temporary_folder.iterdir()) == []
    with moto_bucket.reading(KEY) as path:
        assert path.read_bytes() == OLD


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to make a file larger, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_cannot_take_a_download_is_one_clear_line(moto_bucket: Bucket, temporary_folder: Path) -> None:
    s3_client(moto_bucket.connection.endpoint or "").put_object(
        Bucket=moto_bucket.connection.bucket, Key=KEY, Body=bytes(3 << 20)
    )
    with files_of_at_most(1 << 20), pytest.raises(StorageError, match=r"cannot be written: File too large\n.*TMPDIR"):
        read(moto_bucket)

    assert list(temporary_folder.iterdir()) == []


def test_a_machine_without_a_folder_for_temporary_files_is_one_clear_line(
    moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(StorageError, match="a temporary folder cannot be made: No such file or directory"):
        write(moto_bucket)
