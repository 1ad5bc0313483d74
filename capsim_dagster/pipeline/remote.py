"""The bucket as the place of finished files: what stages put there, take away there and fetch from there.

The data directory stays the working place, as readers and writers need local files; a file has the same relative path
in both. Without a bucket nothing here does anything.
"""

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.simulated.master import MasterFile, open_master
from capsim_dagster.storage import Store, atomic_path, store_of


@dataclass(frozen=True)
class Remote:
    """The bucket of an installation, if it has one.

    Attributes:
        platform: Settings and paths.
    """

    platform: Platform

    def check(self) -> None:
        """Make sure that the bucket can be reached, before long work starts.

        Raises:
            StorageError: If it cannot.
        """
        if self._bucket:
            self._bucket.check()

    def held(self, folder: Path) -> frozenset[Path]:
        """Return where the bucket's files of a folder, and of those below it, lie on disk, or would.

        Raises:
            StorageError: If the bucket cannot be listed.
        """
        found = self._bucket.walk(self._key(folder)) if self._bucket else []
        return frozenset(self.platform.layout.root / facts.key for facts in found)

    def publish(self, path: Path) -> None:
        """Put a finished file into the bucket, unless it holds the same already.

        Raises:
            StorageError: If that fails; the local file stays, and running the stage again repeats it.
        """
        if self._bucket:
            self._bucket.put(self._key(path), path)

    def remove(self, path: Path) -> None:
        """Remove a file from the bucket.

        Raises:
            StorageError: If that fails.
        """
        if self._bucket:
            self._bucket.remove(self._key(path))

    def fetch_missing(self, path: Path) -> None:
        """Fetch a file that the bucket has and this machine has not: another one made it.

        Raises:
            StorageError: If that fails.
        """
        if self._bucket and not path.exists() and path in self.held(path.parent):
            with self._bucket.reading(self._key(path)) as fetched, atomic_path(path) as temporary:
                shutil.copyfile(fetched, temporary)

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


@dataclass(frozen=True)
class RemoteFeed:
    """The feed in the bucket, kept like the one on disk.

    Attributes:
        remote: The bucket, if there is one.
        contract: Names of the feed.
    """

    remote: Remote
    contract: FeedContract

    def retire(self, months: Collection[int]) -> None:
        """Remove the files of months that the master does not hold, as `retire_strays` does on disk.

        Args:
            months: Months that the master holds, as YYYYMM.

        Raises:
            StorageError: If that fails.
        """
        for path in sorted(self._held):
            piece = self.contract.piece(path)
            if piece and piece.month not in months:
                self.remote.remove(path)

    def publish(self, piece: FeedPiece) -> None:
        """Put the file of a piece into the bucket, and remove one in another form, or one that is gone on disk.

        Raises:
            StorageError: If that fails.
        """
        for path in self.contract.candidates(piece):
            if path.is_file():
                self.remote.publish(path)
            elif path in self._held:
                self.remote.remove(path)

    @cached_property
    def _held(self) -> frozenset[Path]:
        return self.remote.held(self.contract.root)
