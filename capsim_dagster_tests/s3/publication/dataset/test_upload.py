"""Uploading a day or an hour: content first, manifest last; other content only if told so; of two at once one wins."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capsim_dagster.audits.report import Findings
from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.dataset import upload as upload_module
from capsim_dagster.publication.dataset.folder import read_published
from capsim_dagster.publication.dataset.manifest import Manifest, digest_of, parse_manifest
from capsim_dagster.publication.dataset.upload import Outcome, Uploaded, fetched, upload
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.verify import verify_hour
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster.storage import Folder, Held, Store
from capsim_dagster.storage.bucket import Bucket
from capsim_dagster.storage.connection import Connection
from capsim_dagster_tests.support.publication.days import DAY
from capsim_dagster_tests.support.publication.tier2.fixtures import _built_hour, archive, hour
from capsim_dagster_tests.support.s3_servers import Fault, proxy, s3_client

__all__ = ["_built_hour", "archive", "hour"]

PREFIX = "fleet/published"
PLACES = {"day": str(DAY), "hour": f"{DAY}/01"}
FORMS: dict[str, type[Manifest]] = {"day": DayManifest, "hour": HourManifest}
VERIFIERS: dict[str, Callable[[Path], Findings]] = {"day": verify_dataset, "hour": verify_hour}


class Tier:
    """A published dataset of a tier, and how it is read and verified."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.form, self.verify = kind, folder, FORMS[kind], VERIFIERS[kind]
        self.key = f"{PREFIX}/{PLACES[kind]}"

    def manifest(self, folder: Path | None = None) -> Any:  # noqa: ANN401 that of either tier
        return parse_manifest(self.form, ((folder or self.folder) / "manifest.json").read_bytes(), "")

    def upload(self, store: Store, folder: Path | None = None, *, replace: bool = False) -> Uploaded[Any]:
        return upload(folder or self.folder, self.form, store, PREFIX, replace=replace)

    def with_data(self, folder: Path, content: bytes) -> Path:
        """Write other data, and a manifest that bears them out."""
        (folder / "data.parquet").write_bytes(content)
        manifest = self.manifest(folder)
        data = manifest.data.model_copy(update={"bytes": len(content), "hash": digest_of(content)})
        sealed = manifest.model_copy(update={"resources": (data,)}).sealed()
        (folder / "manifest.json").write_text(sealed.text)
        return folder

    def content(self, store: Store, name: str) -> bytes:
        with store.reading(f"{self.key}/{name}") as path:
            return path.read_bytes()

    def is_whole(self, store: Store) -> bool:
        """Whether both files are there, and the data are those of the manifest."""
        with fetched(store, self.key) as folder:
            return read_published(folder, self.form) is not None


@pytest.fixture(params=["day", "hour"])
def tier(request: pytest.FixtureRequest) -> Tier:
    """Return a published dataset of each tier."""
    return Tier(request.param, request.getfixturevalue({"day": "published", "hour": "hour"}[request.param]))


@pytest.fixture
def other(tier: Tier, tmp_path: Path) -> Path:
    """Return it with other content: its rows with one byte more behind them, and a manifest for that."""
    folder = shutil.copytree(tier.folder, tmp_path / "other")
    return tier.with_data(folder, (tier.folder / "data.parquet").read_bytes() + b"\0")


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return an empty place: a folder, or a bucket."""
    if request.param == "folder":
        return Folder(tmp_path / "there")
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket


def test_what_was_uploaded_is_verified_where_it_is_and_holds_the_same_bytes(store: Store, tier: Tier) -> None:
    done = tier.upload(store)

    assert (done.outcome, done.url) == (Outcome.PUBLISHED, store.url(tier.key))
    for name in ("data.parquet", "manifest.json"):
        assert tier.content(store, name) == (tier.folder / name).read_bytes()
    with fetched(store, tier.key) as folder:
        assert str(folder).endswith(f"/{PLACES[tier.kind]}")
        assert tier.verify(folder).passed


def test_the_same_content_again_is_unchanged_whenever_it_was_made(store: Store, tier: Tier) -> None:
    tier.upload(store)
    before = tier.content(store, "manifest.json")
    later = tier.manifest()
    later = later.model_copy(update={"created": later.created.replace(year=2030)}).sealed()
    (tier.folder / "manifest.json").write_text(later.text)
    done = tier.upload(store)

    assert (done.outcome, done.manifest.created.year) == (Outcome.UNCHANGED, 2026)
    assert tier.content(store, "manifest.json") == before


def test_other_content_is_refused_and_nothing_is_changed(store: Store, tier: Tier, other: Path) -> None:
    tier.upload(store)
    with pytest.raises(PublicationError, match="is published with other content, made 2026-01-16 00:05 UTC") as raised:
        tier.upload(store, other)

    assert "--replace" in raised.value.remedy
    for name in ("data.parquet", "manifest.json"):
        assert tier.content(store, name) == (tier.folder / name).read_bytes()


def test_replacing_records_the_manifest_of_before(store: Store, tier: Tier, other: Path) -> None:
    tier.upload(store)
    old = tier.content(store, "manifest.json")
    done = tier.upload(store, other, replace=True)

    assert (done.outcome, done.manifest.supersedes) == (Outcome.REPLACED, digest_of(old))
    assert done.manifest.content == tier.manifest(other).content
    assert tier.content(store, "manifest.json") == done.manifest.text.encode()
    assert tier.content(store, "data.parquet") == (other / "data.parquet").read_bytes()
    assert tier.is_whole(store)
    assert tier.upload(store, other).outcome is Outcome.UNCHANGED


def test_data_whose_manifest_never_came_are_completed_by_the_same_content(store: Store, tier: Tier) -> None:
    store.put(f"{tier.key}/data.parquet", tier.folder / "data.parquet")

    assert tier.upload(store).outcome is Outcome.PUBLISHED
    assert tier.is_whole(store)


def test_data_of_another_upload_without_a_manifest_are_left_alone_unless_told(
    store: Store, tier: Tier, other: Path
) -> None:
    store.put(f"{tier.key}/data.parquet", other / "data.parquet")
    with pytest.raises(PublicationError, match="another uploader is at work, or one was killed"):
        tier.upload(store)

    assert tier.content(store, "data.parquet") == (other / "data.parquet").read_bytes()
    assert tier.upload(store, replace=True).outcome is Outcome.PUBLISHED
    assert tier.is_whole(store)


def test_data_that_are_not_those_of_their_manifest_are_put_right_by_the_same_content(
    store: Store, tier: Tier, other: Path
) -> None:
    tier.upload(store)
    store.put(f"{tier.key}/data.parquet", other / "data.parquet")
    with fetched(store, tier.key) as folder:
        assert "being replaced at this moment" in tier.verify(folder).errors[0].message

    assert tier.upload(store).outcome is Outcome.REPAIRED
    assert tier.is_whole(store)


def test_a_damaged_manifest_in_the_store_is_replaced_only_if_told(store: Store, tier: Tier, tmp_path: Path) -> None:
    tier.upload(store)
    (tmp_path / "torn").write_text("{")
    store.put(f"{tier.key}/manifest.json", tmp_path / "torn")
    with pytest.raises(PublicationError, match="whose manifest is damaged"):
        tier.upload(store)

    assert tier.upload(store, replace=True).outcome is Outcome.REPLACED
    assert tier.is_whole(store)


@pytest.mark.parametrize("name", ["data.parquet", "manifest.json"])
def test_what_is_not_whole_on_disk_is_not_uploaded(name: str, tier: Tier, tmp_path: Path) -> None:
    (tier.folder / name).write_bytes((tier.folder / name).read_bytes()[:-1])
    with pytest.raises(PublicationError, match=f"holds no published {tier.kind}"):
        tier.upload(Folder(tmp_path / "there"))

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
    instant: str, replace: bool, store: Store, tier: Tier, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if replace:
        third = shutil.copytree(tier.folder, tier.folder.parent / "third")
        tier.upload(store, tier.with_data(third, b"before"))
    step: Callable[..., object] = getattr(upload_module, instant)
    outcomes: dict[str, Uploaded[Any] | PublicationError] = {}

    def attempt(name: str, folder: Path) -> None:
        try:
            outcomes[name] = tier.upload(store, folder, replace=replace)
        except PublicationError as error:
            outcomes[name] = error

    def interrupted(*arguments: object, **options: object) -> object:
        monkeypatch.setattr(upload_module, instant, step)
        attempt("rival", other)
        return step(*arguments, **options)

    monkeypatch.setattr(upload_module, instant, interrupted)
    attempt("mine", tier.folder)
    losers = [name for name, outcome in outcomes.items() if isinstance(outcome, PublicationError)]
    winner = other if "mine" in losers else tier.folder

    assert losers == ([LOSERS[instant, replace]] if LOSERS[instant, replace] != "none" else [])
    assert tier.content(store, "data.parquet") == (winner / "data.parquet").read_bytes()
    assert tier.is_whole(store)
    if not losers:
        # The rival came and went before my data were sent: it was published, and then replaced, as the manifest says.
        mine, rival = outcomes["mine"], outcomes["rival"]
        assert isinstance(mine, Uploaded)
        assert isinstance(rival, Uploaded)
        assert mine.manifest.supersedes == digest_of(rival.manifest.text.encode())


def test_a_lost_answer_to_the_manifest_is_no_failure(bucket: Bucket, tier: Tier) -> None:
    with proxy(bucket.connection.endpoint or "", "PUT", None, Fault.LOST_ANSWER, None) as flaky:
        through = Bucket(Connection(bucket.connection.bucket, endpoint_url=flaky.endpoint))

        assert tier.upload(through).outcome is Outcome.PUBLISHED
    assert tier.is_whole(bucket)


def test_data_come_first_and_the_manifest_last_on_condition(bucket: Bucket, tier: Tier) -> None:
    with proxy(bucket.connection.endpoint or "", "PUT", None) as watched:
        tier.upload(Bucket(Connection(bucket.connection.bucket, endpoint_url=watched.endpoint)))

    puts = [path.rpartition("/")[2] for method, path in watched.seen if method == "PUT"]
    # The first object is sent once more, to see whether the store heeds conditions.
    assert [name.partition("?")[0] for name in puts] == ["data.parquet", "data.parquet", "manifest.json"]


def test_data_without_a_digest_of_ours_are_fetched_and_compared(
    bucket: Bucket, bucket_name: str, s3_endpoint: str, tier: Tier
) -> None:
    body = (tier.folder / "data.parquet").read_bytes()
    s3_client(s3_endpoint).put_object(Bucket=bucket_name, Key=f"{tier.key}/data.parquet", Body=body)

    assert tier.upload(bucket).outcome is Outcome.PUBLISHED
    assert isinstance(bucket.look(f"{tier.key}/data.parquet"), Held)
