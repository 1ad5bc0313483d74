"""One capsim installation: its settings, where its files lie, and how its warehouse is opened."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import duckdb

from capsim_dagster.errors import SettingsError
from capsim_dagster.legacy_feed.contract import FeedContract
from capsim_dagster.refinery.parsed import ParsedFiles
from capsim_dagster.settings import DataGeneration, Settings
from capsim_dagster.storage import DataLayout, warehouse

_S3_SCHEME: Final = "s3:"
"""First part of s3://bucket/prefix once it is a path."""


class FeedAddress(NamedTuple):
    """Where in which bucket a feed lies; the prefix has no slash at its end."""

    bucket: str
    prefix: str


@dataclass(frozen=True)
class Platform:
    """Settings with the paths and connections that follow from them."""

    settings: Settings
    parsed: ParsedFiles = field(default_factory=ParsedFiles, repr=False, compare=False)
    """Feed files that were read before in this run: by their audit, for the refinery."""

    @property
    def generation(self) -> DataGeneration:
        """The fleet and its window."""
        return self.settings.data_generation

    @property
    def layout(self) -> DataLayout:
        """Where each artifact lies."""
        return DataLayout(self.settings.data_dir.absolute())

    @property
    def contract(self) -> FeedContract:
        """Names and headers of the legacy feed that capsim writes."""
        return FeedContract(self.layout.legacy, self.settings.legacy_feed)

    @property
    def refines_own_feed(self) -> bool:
        """Whether the feed to be refined is capsim's own."""
        return self.settings.refinery.feed_dir is None

    @property
    def feed_address(self) -> FeedAddress | None:
        """Where in a bucket the feed to be refined lies; None = it lies on disk.

        Raises:
            SettingsError: If `refinery.feed_dir` is s3:// without a bucket.
        """
        feed_dir = self.settings.refinery.feed_dir
        if feed_dir is None or feed_dir.parts[:1] != (_S3_SCHEME,):
            return None
        if len(feed_dir.parts) == 1 or ".." in feed_dir.parts:
            raise SettingsError(
                "refinery.feed_dir: s3:// is followed by no bucket, or by ..", remedy="write s3://bucket/prefix"
            )
        return FeedAddress(feed_dir.parts[1], "/".join(feed_dir.parts[2:]))

    @property
    def refined(self) -> FeedContract:
        """Names and headers of the feed to be refined: capsim's own, or the one in `refinery.feed_dir`.

        Of a feed in a bucket, the folder that its files are fetched into.
        """
        feed_dir, address = self.settings.refinery.feed_dir, self.feed_address
        if feed_dir is None:
            return self.contract
        root = self.layout.root / "feed_cache" / address.bucket / address.prefix if address else feed_dir.absolute()
        return FeedContract(root, self.settings.legacy_feed)

    def writing(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse read-write."""
        return warehouse.open_for_writing(
            self.layout.warehouse, lock_timeout_s=self.settings.storage.lock_timeout_seconds
        )

    def reading(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse read-only."""
        return warehouse.open_for_reading(
            self.layout.warehouse, lock_timeout_s=self.settings.storage.lock_timeout_seconds
        )
