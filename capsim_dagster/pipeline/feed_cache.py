"""A user's feed in a bucket: its files are kept in a folder under the data directory, which the refinery reads.

Only files that are new or changed since the last time are fetched; those that are gone from the bucket go from the
folder.
"""

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final
from zlib import crc32

from capsim_dagster.errors import FeedError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.storage import ObjectFacts, Store, atomic_path, bucket_of
from capsim_dagster.storage.store import local_disk

_INDEX: Final = ".fetched.json"
"""Which version of each object a file is; hidden, so that it is no file of the feed."""
_NS_A_SECOND: Final = 1_000_000_000

Index = dict[str, list[int | str]]
"""Size [bytes] and ETag of the objects that were fetched, by path under the feed."""


def refresh_feed(platform: Platform) -> None:
    """Make the folder of a feed that lies in a bucket like the bucket; any other feed is left alone.

    Raises:
        FeedError: If nothing lies there: the folder is left as it was.
        StorageError: If the bucket cannot be reached or read, or the disk is full.
    """
    address = platform.feed_address
    if address is None:
        return
    store = bucket_of(platform.settings, address.bucket)
    root = platform.refined.root
    present = _present(store, address.prefix)
    if not present:
        raise FeedError(
            f"no files under {store.url(address.prefix)}",
            remedy="name the prefix below which the feed's months lie: capsim refine --feed s3://BUCKET/PREFIX",
        )
    with local_disk(root, "written"):
        versions: Index = {path: [facts.bytes, facts.e_tag] for path, facts in present.items()}
        kept = {path: version for path, version in _fetched(root).items() if versions.get(path) == version}
        _remove_gone(root, present.keys())
        _write_index(root, kept)
    for path in present.keys() - kept.keys():
        _fetch(store, present[path], root / path)
    with local_disk(root, "written"):
        _write_index(root, versions)


def _present(store: Store, prefix: str) -> dict[str, ObjectFacts]:
    """Return the objects of the feed by path under it; hidden ones, and such as would lie elsewhere, are left out."""
    start = f"{prefix}/" if prefix else ""
    found = {facts.key.removeprefix(start): facts for facts in store.walk(prefix)}
    return {path: facts for path, facts in found.items() if not any(p[:1] in (".", "") for p in path.split("/"))}


def _fetched(root: Path) -> Index:
    """Return which files are those of the last time; none where that cannot be told."""
    try:
        index: Index = json.loads((root / _INDEX).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {path: version for path, version in index.items() if _size(root / path) == version[0]}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _write_index(root: Path, index: Index) -> None:
    with atomic_path(root / _INDEX) as temporary:
        temporary.write_text(json.dumps(index, sort_keys=True))


def _remove_gone(root: Path, present: Collection[str]) -> None:
    """Remove the files that the bucket has no more."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if path.is_file() and relative not in present and relative != _INDEX:
            path.unlink()


def _fetch(store: Store, facts: ObjectFacts, path: Path) -> None:
    """Fetch an object, with its time: a file that is fetched twice is no change.

    Stores tell times in seconds. What they call the version fills up the nanoseconds, so that of two versions of one
    size within a second a watch sees both.
    """
    time_ns = int(facts.modified.timestamp()) * _NS_A_SECOND + crc32(facts.e_tag.encode()) % _NS_A_SECOND
    with store.reading(facts.key) as fetched, local_disk(path, "written"), atomic_path(path) as temporary:
        shutil.copyfile(fetched, temporary)
        os.utime(temporary, ns=(time_ns, time_ns))
