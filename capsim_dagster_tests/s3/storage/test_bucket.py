"""A bucket: objects are whole or absent, one of several writers wins, and nothing is sent twice."""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from capsim_dagster.errors import StorageError
from capsim_dagster.storage import bucket as bucket_module
from capsim_dagster.storage.bucket import Bucket
from capsim_dagster.storage.connection import Connection
from capsim_dagster_tests.support.s3_servers import Fault, proxy, s3_client

KEY = "panel/raw/numbers.parquet"
OLD, NEW = b"the last good version\n" * 1_000, b"the next one\n" * 1_000


def write(bucket: Bucket, content: bytes, key: str = KEY, *, meanwhile: Callable[[], None] = lambda: None) -> None:
    with bucket.writing(key) as path:
        path.write_bytes(content)
        meanwhile()


def read(bucket: Bucket, key: str = KEY) -> bytes:
    with bucket.reading(key) as path:
        return path.read_bytes()


@pytest.fixture
def stored(bucket: Bucket, s3_endpoint: str) -> Callable[[], Any]:
    """Return a function that says what another client finds under the key."""
    return lambda: s3_client(s3_endpoint).get_object(Bucket=bucket.connection.bucket, Key=KEY)


def through(endpoint: str, bucket: Bucket) -> Bucket:
    return Bucket(Connection(bucket.connection.bucket, endpoint_url=endpoint))


def test_what_is_written_is_what_another_client_reads_and_it_carries_its_digest(
    bucket: Bucket, stored: Callable[[], Any]
) -> None:
    write(bucket, NEW)
    found = stored()

    assert found["Body"].read() == NEW
    assert found["Metadata"] == {"sha256": hashlib.sha256(NEW).hexdigest()}


@pytest.mark.parametrize("content", [b"", b"x", NEW])
def test_what_is_written_is_read_back_and_written_again_without_being_sent(bucket: Bucket, content: bytes) -> None:
    write(bucket, content)
    with proxy(bucket.connection.endpoint or "", "PUT", None) as server:
        write(through(server.endpoint, bucket), content)

    assert read(bucket) == content
    assert server.count("PUT") == 0


def test_reading_yields_a_file_of_the_object_s_name_that_is_gone_afterwards(bucket: Bucket) -> None:
    write(bucket, NEW)
    with bucket.reading(KEY) as path:
        assert path.name == "numbers.parquet"

    assert not path.exists()
    assert not path.parent.exists()


def test_an_object_that_another_program_wrote_can_be_read_and_replaced(
    bucket: Bucket, stored: Callable[[], Any], s3_endpoint: str
) -> None:
    s3_client(s3_endpoint).put_object(Bucket=bucket.connection.bucket, Key=KEY, Body=OLD)

    assert read(bucket) == OLD
    write(bucket, NEW)
    assert stored()["Body"].read() == NEW


def test_a_writer_that_fails_leaves_the_object_and_no_temporary_file(bucket: Bucket) -> None:
    write(bucket, OLD)
    paths = []

    def fail() -> None:
        with bucket.writing(KEY) as path:
            paths.append(path)
            path.write_bytes(NEW)
            raise ValueError("half of it")

    with pytest.raises(ValueError, match="half"):
        fail()

    assert not paths[0].parent.exists()
    assert read(bucket) == OLD


def test_put_says_whether_the_file_had_to_be_sent(bucket: Bucket, tmp_path: Path) -> None:
    source = tmp_path / "numbers.parquet"
    source.write_bytes(NEW)

    assert [bucket.put(KEY, source), bucket.put(KEY, source)] == [True, False]
    source.write_bytes(OLD)
    assert bucket.put(KEY, source)
    assert read(bucket) == OLD


def test_list_names_the_objects_of_a_folder_by_key_and_none_of_those_below_or_beside_it(bucket: Bucket) -> None:
    for key in ("panel/raw/b", "panel/raw/a", "panel/raw/deep/c", "panel/raw2/d", "panel/e"):
        write(bucket, NEW, key)

    assert [(facts.key, facts.bytes) for facts in bucket.list("panel/raw")] == [
        ("panel/raw/a", len(NEW)),
        ("panel/raw/b", len(NEW)),
    ]
    assert bucket.list("nothing/here") == []


def test_remove_removes_that_object_alone_and_an_absent_one_is_fine(bucket: Bucket) -> None:
    write(bucket, NEW, "a/one")
    write(bucket, NEW, "a/two")
    bucket.remove("a/one")
    bucket.remove("a/one")

    assert [facts.key for facts in bucket.list("a")] == ["a/two"]


def test_check_passes_for_a_bucket_that_is_there_and_leaves_nothing_in_it(bucket: Bucket) -> None:
    bucket.check()

    assert bucket.list("") == []


@pytest.mark.parametrize(
    ("writers", "before"),
    [(2, None), (8, OLD), (2, OLD), (8, None)],
    ids=["two of a new object", "eight of a replaced one", "two of a replaced one", "eight of a new object"],
)
def test_of_writers_at_once_one_wins_and_the_others_are_told(
    bucket: Bucket, stored: Callable[[], Any], writers: int, before: bytes | None
) -> None:
    if before is not None:
        write(bucket, before)
    contents = [f"writer {number}\n".encode() * 10_000 for number in range(writers)]
    all_have_entered = threading.Barrier(writers)

    def attempt(content: bytes) -> StorageError | None:
        try:
            with bucket.writing(KEY) as path:
                path.write_bytes(content)
                all_have_entered.wait(timeout=60)
        except StorageError as error:
            return error
        return None

    with ThreadPoolExecutor(writers) as pool:
        outcomes = list(pool.map(attempt, contents))

    winners = [content for content, outcome in zip(contents, outcomes, strict=True) if outcome is None]
    assert [stored()["Body"].read()] == winners
    losers = [outcome for outcome in outcomes if outcome is not None]
    assert len(losers) == writers - 1
    assert {loser.found for loser in losers} == {
        f"{bucket.url(KEY)}: another writer replaced it meanwhile; this one's content was not stored"
    }


def test_writers_of_the_same_content_all_succeed(bucket: Bucket) -> None:
    with bucket.writing(KEY) as first, bucket.writing(KEY) as second:
        first.write_bytes(NEW)
        second.write_bytes(NEW)

    assert read(bucket) == NEW


def test_an_object_that_was_removed_meanwhile_is_not_brought_back(bucket: Bucket) -> None:
    write(bucket, OLD)
    with pytest.raises(StorageError, match="another writer replaced it"):
        write(bucket, NEW, meanwhile=lambda: bucket.remove(KEY))

    assert bucket.list("panel/raw") == []


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.LOST_REQUEST, Fault.LOST_ANSWER])
@pytest.mark.parametrize("before", [None, OLD], ids=["a new object", "a replaced one"])
def test_a_put_that_fails_twice_is_repeated_and_succeeds(
    bucket: Bucket, stored: Callable[[], Any], fault: Fault, before: bytes | None
) -> None:
    if before is not None:
        write(bucket, before)
    with proxy(bucket.connection.endpoint or "", "PUT", fault, fault, None) as server:
        write(through(server.endpoint, bucket), NEW)

    assert stored()["Body"].read() == NEW
    # An object that arrived although the answer was lost is not sent again; the last one asks for conditions.
    assert server.count("PUT") == (1 if fault is Fault.LOST_ANSWER else 3 + 1)


def test_a_store_that_ignores_conditions_is_told_once_and_one_that_heeds_them_never(
    bucket: Bucket, stored: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    write(bucket, OLD)
    assert not any("ignores" in message for message in caplog.messages)

    with proxy(bucket.connection.endpoint or "", "PUT", Fault.UNCONDITIONAL) as server:
        write(through(server.endpoint, bucket), NEW)
        write(through(server.endpoint, bucket), OLD)
    told = [message for message in caplog.messages if "ignores If-None-Match and If-Match" in message]

    assert len(told) == 1
    assert "let one write at a time" in told[0]
    assert server.count("PUT") == 2 + 1
    assert stored()["Body"].read() == OLD


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.LOST_ANSWER, Fault.CUT_ANSWER])
def test_a_download_that_fails_twice_is_repeated_and_whole(bucket: Bucket, fault: Fault) -> None:
    write(bucket, NEW)
    with proxy(bucket.connection.endpoint or "", "GET", None, fault, fault, None) as server:
        assert read(through(server.endpoint, bucket)) == NEW

    assert server.count("GET") >= 4


def test_an_object_whose_bytes_are_not_those_that_were_stored_is_refused(bucket: Bucket, s3_endpoint: str) -> None:
    s3_client(s3_endpoint).put_object(
        Bucket=bucket.connection.bucket, Key=KEY, Body=OLD, Metadata={"sha256": hashlib.sha256(NEW).hexdigest()}
    )
    with pytest.raises(StorageError, match="22,000 bytes arrived, which are not the 22,000 that were stored"):
        read(bucket)


@pytest.mark.parametrize("before", [None, OLD], ids=["a new object", "a replaced one"])
def test_a_large_file_is_sent_in_parts_and_carries_its_digest(
    bucket: Bucket, stored: Callable[[], Any], before: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is not None:
        write(bucket, before)
    monkeypatch.setattr(bucket_module, "LARGE_BYTES", 1 << 20)
    # Five MiB is the least that S3 takes as a part that is not the last.
    monkeypatch.setattr(bucket_module, "_PART_BYTES", 5 << 20)
    content = bytes(range(256)) * (6 << 12)
    with proxy(bucket.connection.endpoint or "", "PUT", Fault.BUSY, None) as server:
        write(through(server.endpoint, bucket), content)

    assert server.count("PUT") == 3
    found = stored()
    assert found["Body"].read() == content
    assert found["Metadata"] == {"sha256": hashlib.sha256(content).hexdigest()}


def test_a_large_file_does_not_replace_what_another_writer_put_there_meanwhile(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "LARGE_BYTES", 1_000)
    with pytest.raises(StorageError, match="another writer replaced it"):
        write(bucket, NEW, meanwhile=lambda: write(bucket, OLD))

    assert read(bucket) == OLD
