"""The bucket as the place of finished files: what stages put there, take away there and fetch from there.

The data directory stays the working place, as readers and writers need local files; a file has the same relative path
in both. Without a bucket nothing here does anything.
"""

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.simulated.master import MasterFile, open_master
from capsim_dagster.storage import Store, atomic_path, store_of


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
