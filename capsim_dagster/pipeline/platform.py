"""One capsim installation: its settings, where its files lie, and how its warehouse is opened."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import duckdb

from capsim_dagster import warehouse
from capsim_dagster.legacy_feed.contract import FeedContract
from capsim_dagster.settings import DataGeneration, Settings
from capsim_dagster.storage import DataLayout


@dataclass(frozen=True)
class Platform:
    """Settings with the paths and connections that follow from them.

    Attributes:
        settings: The settings.
    """

    settings: Settings

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
    def refined(self) -> FeedContract:
        """Names and headers of the feed to be refined: capsim's own, or the one in `refinery.feed_dir`."""
        feed_dir = self.settings.refinery.feed_dir
        return self.contract if feed_dir is None else FeedContract(feed_dir.absolute(), self.settings.legacy_feed)

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
