"""Replacing what was looked at, and only that: in a folder and in a bucket alike."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from capsim_dagster.errors import StorageError
from capsim_dagster.storage import Folder, Held, Store
from capsim_dagster.storage.bucket import Bucket

KEY = "tier3/daily/manifest.json"


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Folder(tmp_path / "there")
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket


def source(folder: Path, content: bytes) -> Path:
    path = folder / hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    return path


def read(store: Store) -> bytes:
    with store.reading(KEY) as path:
        return path.read_bytes()


def test_look_tells_size_and_digest_and_that_there_is_nothing(store: Store, tmp_path: Path) -> None:
    assert store.look(KEY) is None
    store.put(KEY, source(tmp_path, b"old"))
    held = store.look(KEY)

    assert held is not None
    assert (held.bytes, held.digest) == (3, hashlib.sha256(b"old").hexdigest())
    assert store.look(KEY) == held


def test_what_was_looked_at_is_replaced_and_the_same_content_is_not_written(store: Store, tmp_path: Path) -> None:
    old, new = source(tmp_path, b"old"), source(tmp_path, b"new")

    assert store.replace(KEY, old, None)
    assert not store.replace(KEY, old, store.look(KEY))
    assert store.replace(KEY, new, store.look(KEY))
    assert read(store) == b"new"


@pytest.mark.parametrize("before", [None, b"old"], ids=["nothing", "another version"])
def test_what_is_no_longer_as_it_was_looked_at_is_not_replaced(
    before: bytes | None, store: Store, tmp_path: Path
) -> None:
    if before is not None:
        store.put(KEY, source(tmp_path, before))
    held = store.look(KEY)
    store.put(KEY, source(tmp_path, b"another's"))
    with pytest.raises(StorageError, match="another writer replaced it meanwhile"):
        store.replace(KEY, source(tmp_path, b"mine"), held)

    assert read(store) == b"another's"
    store.replace(KEY, source(tmp_path, b"another's"), held)
    assert read(store) == b"another's"


def test_what_was_removed_meanwhile_is_not_brought_back(store: Store, tmp_path: Path) -> None:
    store.put(KEY, source(tmp_path, b"old"))
    held = store.look(KEY)
    store.remove(KEY)
    with pytest.raises(StorageError, match="another writer replaced it meanwhile"):
        store.replace(KEY, source(tmp_path, b"new"), held)

    assert store.look(KEY) is None


def test_of_eight_writers_of_a_folder_at_once_one_wins(tmp_path: Path) -> None:
    store, barrier = Folder(tmp_path / "there"), threading.Barrier(8)

    def attempt(number: int) -> bool:
        path = source(tmp_path, f"writer {number}".encode())
        barrier.wait(timeout=30)
        try:
            return store.replace(KEY, path, None)
        except StorageError:
            return False

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(8)))

    assert won.count(True) == 1
    assert read(store) == f"writer {won.index(True)}".encode()


def test_contents_without_a_known_digest_equal_nothing() -> None:
    assert not Held(3, None).equals(Held(3, None))
    assert Held(3, "a", "x").equals(Held(3, "a", "y"))
