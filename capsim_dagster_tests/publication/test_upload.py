"""Uploading a day: content first, manifest last; other content only if told so; one of two uploaders wins."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication import upload as upload_module
from capsim_dagster.publication.export import fetched_day
from capsim_dagster.publication.folder import read_local
from capsim_dagster.publication.manifest import Manifest, digest_of, parse_manifest
from capsim_dagster.publication.upload import Outcome, Uploaded, upload_day
from capsim_dagster.publication.verify import verify_dataset
from capsim_dagster.storage import Folder, Held, Store
from capsim_dagster.storage.bucket import Bucket
from capsim_dagster.storage.connection import Connection
from capsim_dagster_tests.publication.days import DAY
from capsim_dagster_tests.s3_servers import Fault, proxy, s3_client

PREFIX = "tier3/daily"
KEY = f"{PREFIX}/{DAY}"


def manifest_of(folder: Path) -> Manifest:
    return parse_manifest((folder / "manifest.json").read_bytes(), "")


@pytest.fixture
def other(published: Path, tmp_path: Path) -> Path:
    """Return the day with other content: its rows with one byte more behind them, and a manifest for that."""
    folder = tmp_path / "other"
    shutil.copytree(published, folder)
    return with_data(folder, (published / "data.parquet").read_bytes() + b"\0")


def with_data(folder: Path, content: bytes) -> Path:
    (folder / "data.parquet").write_bytes(content)
    manifest = manifest_of(folder)
    data = manifest.data.model_copy(update={"bytes": len(content), "hash": digest_of(content)})
    sealed = manifest.model_copy(update={"resources": (data,)}).sealed()
    (folder / "manifest.json").write_text(sealed.text)
    return folder


@pytest.fixture(params=["folder", pytest.param("bucket", marks=[pytest.mark.s3, pytest.mark.slow])])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return an empty place: a folder, or a bucket."""
    if request.param == "folder":
        return Folder(tmp_path / "there")
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket


def content_of(store: Store, name: str) -> bytes:
    with store.reading(f"{KEY}/{name}") as path:
        return path.read_bytes()


def is_whole(store: Store) -> bool:
    """Whether both files are there, and the data are those of the manifest."""
    with fetched_day(store, KEY) as folder:
        return read_local(folder) is not None


def test_a_day_that_was_uploaded_is_verified_where_it_is_and_holds_the_same_bytes(
    store: Store, published: Path
) -> None:
    done = upload_day(published, store, PREFIX)

    assert (done.outcome, done.url) == (Outcome.PUBLISHED, store.url(KEY))
    for name in ("data.parquet", "manifest.json"):
        assert content_of(store, name) == (published / name).read_bytes()
    with fetched_day(store, KEY) as folder:
        assert folder.name == str(DAY)
        assert verify_dataset(folder).passed


def test_the_same_content_again_is_unchanged_whenever_it_was_made(store: Store, published: Path) -> None:
    upload_day(published, store, PREFIX)
    before = content_of(store, "manifest.json")
    later = manifest_of(published)
    later = later.model_copy(update={"created": later.created.replace(year=2030)}).sealed()
    (published / "manifest.json").write_text(later.text)
    done = upload_day(published, store, PREFIX)

    assert (done.outcome, done.manifest.created.year) == (Outcome.UNCHANGED, 2026)
    assert content_of(store, "manifest.json") == before


def test_other_content_is_refused_and_nothing_is_changed(store: Store, published: Path, other: Path) -> None:
    upload_day(published, store, PREFIX)
    with pytest.raises(PublicationError, match="is published with other content, made 2026-01-16 00:05 UTC") as raised:
        upload_day(other, store, PREFIX)

    assert "--replace" in raised.value.remedy
    for name in ("data.parquet", "manifest.json"):
        assert content_of(store, name) == (published / name).read_bytes()


def test_replacing_records_the_manifest_of_before(store: Store, published: Path, other: Path) -> None:
    upload_day(published, store, PREFIX)
    old = content_of(store, "manifest.json")
    done = upload_day(other, store, PREFIX, replace=True)

    assert (done.outcome, done.manifest.supersedes) == (Outcome.REPLACED, digest_of(old))
    assert done.manifest.content == manifest_of(other).content
    assert content_of(store, "manifest.json") == done.manifest.text.encode()
    assert content_of(store, "data.parquet") == (other / "data.parquet").read_bytes()
    assert is_whole(store)
    assert upload_day(other, store, PREFIX).outcome is Outcome.UNCHANGED


def test_data_whose_manifest_never_came_are_completed_by_the_same_content(store: Store, published: Path) -> None:
    store.put(f"{KEY}/data.parquet", published / "data.parquet")

    assert upload_day(published, store, PREFIX).outcome is Outcome.PUBLISHED
    assert is_whole(store)


def test_data_of_another_upload_without_a_manifest_are_left_alone_unless_told(
    store: Store, published: Path, other: Path
) -> None:
    store.put(f"{KEY}/data.parquet", other / "data.parquet")
    with pytest.raises(PublicationError, match="another uploader is at work, or one was killed"):
        upload_day(published, store, PREFIX)

    assert content_of(store, "data.parquet") == (other / "data.parquet").read_bytes()
    assert upload_day(published, store, PREFIX, replace=True).outcome is Outcome.PUBLISHED
    assert is_whole(store)


def test_data_that_are_not_those_of_their_manifest_are_put_right_by_the_same_content(
    store: Store, published: Path, other: Path
) -> None:
    upload_day(published, store, PREFIX)
    store.put(f"{KEY}/data.parquet", other / "data.parquet")
    with fetched_day(store, KEY) as folder:
        assert "being replaced at this moment" in verify_dataset(folder).errors[0].message

    assert upload_day(published, store, PREFIX).outcome is Outcome.REPAIRED
    assert is_whole(store)


def test_a_damaged_manifest_in_the_store_is_replaced_only_if_told(
    store: Store, published: Path, tmp_path: Path
) -> None:
    upload_day(published, store, PREFIX)
    (tmp_path / "torn").write_text("{")
    store.put(f"{KEY}/manifest.json", tmp_path / "torn")
    with pytest.raises(PublicationError, match="whose manifest is damaged"):
        upload_day(published, store, PREFIX)

    assert upload_day(published, store, PREFIX, replace=True).outcome is Outcome.REPLACED
    assert is_whole(store)


@pytest.mark.parametrize("name", ["data.parquet", "manifest.json"])
def test_a_day_that_is_not_whole_on_disk_is_not_uploaded(name: str, published: Path, tmp_path: Path) -> None:
    (published / name).write_bytes((published / name).read_bytes()[:-1])
    with pytest.raises(PublicationError, match="holds no published day"):
        upload_day(published, Folder(tmp_path / "there"), PREFIX)

    assert not (tmp_path / "there").exists()


LOSERS = {
    ("_send_data", False): "mine",
    ("_send_manifest", False): "rival",
    ("_is_placed", False): "rival",
    ("_send_data", True): "none",
    ("_send_manifest", True): "mine",
    ("_is_placed", True): "mine",
}
"""Who says that another was faster, by where my upload is while the rival runs, and whether both replace."""


@pytest.mark.parametrize(("instant", "replace"), LOSERS)
def test_of_two_uploaders_at_once_one_wins_and_the_other_says_so(
    instant: str, replace: bool, store: Store, published: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if replace:
        upload_day(with_data(shutil.copytree(published, published.parent / "third"), b"before"), store, PREFIX)
    step: Callable[..., object] = getattr(upload_module, instant)
    outcomes: dict[str, Uploaded | PublicationError] = {}

    def attempt(name: str, folder: Path) -> None:
        try:
            outcomes[name] = upload_day(folder, store, PREFIX, replace=replace)
        except PublicationError as error:
            outcomes[name] = error

    def interrupted(*arguments: object, **options: object) -> object:
        monkeypatch.setattr(upload_module, instant, step)
        attempt("rival", other)
        return step(*arguments, **options)

    monkeypatch.setattr(upload_module, instant, interrupted)
    attempt("mine", published)
    losers = [name for name, outcome in outcomes.items() if isinstance(outcome, PublicationError)]
    winner = other if "mine" in losers else published

    assert losers == ([LOSERS[instant, replace]] if LOSERS[instant, replace] != "none" else [])
    assert content_of(store, "data.parquet") == (winner / "data.parquet").read_bytes()
    assert is_whole(store)
    if not losers:
        # The rival came and went before my data were sent: it was published, and then replaced, as the manifest says.
        mine, rival = outcomes["mine"], outcomes["rival"]
        assert isinstance(mine, Uploaded)
        assert isinstance(rival, Uploaded)
        assert mine.manifest.supersedes == digest_of(rival.manifest.text.encode())


@pytest.mark.s3
def test_a_lost_answer_to_the_manifest_is_no_failure(bucket: Bucket, published: Path) -> None:
    with proxy(bucket.connection.endpoint or "", "PUT", None, Fault.LOST_ANSWER, None) as flaky:
        through = Bucket(Connection(bucket.connection.bucket, endpoint_url=flaky.endpoint))

        assert upload_day(published, through, PREFIX).outcome is Outcome.PUBLISHED
    assert is_whole(bucket)


@pytest.mark.s3
def test_data_come_first_and_the_manifest_last_on_condition(bucket: Bucket, published: Path) -> None:
    with proxy(bucket.connection.endpoint or "", "PUT", None) as watched:
        upload_day(published, Bucket(Connection(bucket.connection.bucket, endpoint_url=watched.endpoint)), PREFIX)

    puts = [path.rpartition("/")[2] for method, path in watched.seen if method == "PUT"]
    # The first object is sent once more, to see whether the store heeds conditions.
    assert [name.partition("?")[0] for name in puts] == ["data.parquet", "data.parquet", "manifest.json"]


@pytest.mark.s3
def test_data_without_a_digest_of_ours_are_fetched_and_compared(
    bucket: Bucket, bucket_name: str, s3_endpoint: str, published: Path
) -> None:
    body = (published / "data.parquet").read_bytes()
    s3_client(s3_endpoint).put_object(Bucket=bucket_name, Key=f"{KEY}/data.parquet", Body=body)

    assert upload_day(published, bucket, PREFIX).outcome is Outcome.PUBLISHED
    assert isinstance(bucket.look(f"{KEY}/data.parquet"), Held)
