"""The bucket: what stages put there, take away there and fetch from there, and a user's feed that lies in one.

The data directory stays the working place, as readers and writers need local files; a file has the same relative path
in both. Without a bucket nothing here does anything. Of a user's feed only files that the layout names, and that are
new or changed since the last time, are fetched into a folder there, which the refinery reads; those that are gone from
the bucket go from it. What else lies there is counted, and some of it named.
"""

import json
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from capsim_dagster.errors import FeedError
from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.simulated.master import MasterFile, open_master
from capsim_dagster.storage import ObjectFacts, Store, atomic_path, bucket_of, local_disk, store_of

_INDEX: Final = ".fetched.json"
"""Which version of each object a file is; hidden, so that it is no file of the feed."""
_STRAYS: Final = ".strays.json"
"""What else lies there: how many objects, and the first names; hidden, too."""
_NAMES_KEPT: Final = 1_000
_NS_A_SECOND: Final = 1_000_000_000

Index = dict[str, list[int | str]]
"""Size [bytes] and ETag of the objects that were fetched, by path under the feed."""


@dataclass(frozen=True)
class Remote:
    """The bucket of an installation, if it has one.

    Every method raises StorageError where the bucket cannot be reached, listed, read or written; the files on disk
    stay, and running the stage again repeats what failed.
    """

    platform: Platform

    def check(self) -> None:
        """Make sure that the bucket can be reached, before long work starts."""
        if self._bucket:
            self._bucket.check()

    def held(self, folder: Path) -> frozenset[Path]:
        """Return where the bucket's files of a folder, and of those below it, lie on disk, or would."""
        found = self._bucket.walk(self._key(folder)) if self._bucket else []
        return frozenset(self.platform.layout.root / facts.key for facts in found)

    def publish(self, path: Path) -> None:
        """Put a finished file into the bucket, unless it holds the same already."""
        if self._bucket:
            self._bucket.put(self._key(path), path)

    def remove(self, path: Path) -> None:
        """Remove a file from the bucket."""
        if self._bucket:
            self._bucket.remove(self._key(path))

    def fetch_missing(self, path: Path) -> None:
        """Fetch a file that the bucket has and this machine has not: another one made it."""
        if self._bucket and not path.exists() and path in self.held(path.parent):
            with self._bucket.reading(self._key(path)) as fetched, atomic_path(path) as temporary:
                shutil.copyfile(fetched, temporary)

    def retire_feed(self, months: Collection[int]) -> None:
        """Remove the feed files of months that the master does not hold, as `retire_strays` does on disk."""
        for path in sorted(self._feed):
            piece = self.platform.contract.piece(path)
            if piece and piece.month not in months:
                self.remove(path)

    def publish_piece(self, piece: FeedPiece) -> None:
        """Put the feed file of a piece into the bucket, and remove one in another form, or one that is gone on disk."""
        for path in self.platform.contract.candidates(piece):
            if path.is_file():
                self.publish(path)
            elif path in self._feed:
                self.remove(path)

    @cached_property
    def _feed(self) -> frozenset[Path]:
        return self.held(self.platform.contract.root)

    def _key(self, path: Path) -> str:
        return path.relative_to(self.platform.layout.root).as_posix()

    @cached_property
    def _bucket(self) -> Store | None:
        return store_of(self.platform.settings) if self.platform.settings.uses_s3 else None


def own_master(platform: Platform) -> MasterFile:
    """Open the master that these settings made; one that another machine made is fetched first.

    Raises:
        MasterError: If it is missing, torn, or made with other settings.
        StorageError: If it lies in the bucket alone and cannot be fetched.
    """
    Remote(platform).fetch_missing(platform.layout.master)
    return open_master(platform.layout.master, platform.generation)


class Strays(NamedTuple):
    """What lies in a feed and is no file of its layout: how many, and the first of them, by path under it."""

    total: int
    names: Sequence[str]


def strays_of(platform: Platform) -> Strays:
    """Return what is no file of the feed to be refined, as it was when the feed was last looked at."""
    if platform.feed_address is None:
        names = platform.refined.strays()
        return Strays(len(names), names)
    path = platform.refined.root / _STRAYS
    return Strays(*json.loads(path.read_text())) if path.is_file() else Strays(0, [])


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
    present, strays = _present(store.every(address.prefix), address.prefix, platform.refined)
    if not present and not strays.total:
        raise FeedError(
            f"no files under {store.url(address.prefix)}",
            remedy="name the prefix below which the feed's months lie: capsim refine --feed s3://BUCKET/PREFIX",
        )
    with local_disk(root, "written"):
        versions: Index = {path: [facts.bytes, facts.e_tag] for path, facts in present.items()}
        kept = {path: version for path, version in _fetched(root).items() if versions.get(path) == version}
        _remove_gone(root, present.keys())
        _write(root / _STRAYS, strays)
        _write(root / _INDEX, kept)
    for path in present.keys() - kept.keys():
        _fetch(store, present[path], root / path)
    with local_disk(root, "written"):
        _write(root / _INDEX, versions)


def _present(
    objects: Iterable[ObjectFacts], prefix: str, contract: FeedContract
) -> tuple[dict[str, ObjectFacts], Strays]:
    """Return the objects of the feed by path under it, and the others, but hidden ones and markers of folders."""
    start = f"{prefix}/" if prefix else ""
    present: dict[str, ObjectFacts] = {}
    names: list[str] = []
    count = 0
    for facts in objects:
        path = facts.key.removeprefix(start)
        if contract.named(path) is not None:
            present[path] = facts
        elif not (_is_hidden(path) or (path[-1:] in ("", "/") and not facts.bytes)):
            count += 1
            names += [path] if count <= _NAMES_KEPT else []
    return present, Strays(count, names)


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") and part.strip(".") for part in path.split("/"))


def _fetched(root: Path) -> Index:
    """Return which files are those of the last time; none where that cannot be told."""
    try:
        index: Index = json.loads((root / _INDEX).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {path: version for path, version in index.items() if _size(root / path) == version[0]}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _write(path: Path, content: Index | Strays) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, sort_keys=True))


def _remove_gone(root: Path, present: Collection[str]) -> None:
    """Remove the files that the bucket has no more."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if path.is_file() and relative not in {*present, _INDEX, _STRAYS}:
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
