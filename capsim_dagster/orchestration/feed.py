"""Which feed is refined: a resource that a run may configure, with the settings file as its default."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import Refinery


class FeedResource(dg.ConfigurableResource["FeedResource"]):
    """The feed that `processed_data` is loaded from: capsim's own, or any tree of monthly files."""

    feed_dir: str | None = Field(default=None, description="Root of a feed that capsim did not write; empty = its own.")
    inventory: str | None = Field(default=None, description="CSV of the hosts that may occur; empty = any host.")
    max_rejected_share: float = Field(
        default=0.01, ge=0, le=1, description="Share of a month's lines that may be rejected."
    )
    allow_partial: bool = Field(default=False, description="Load what is sound of a month that is refused otherwise.")

    @classmethod
    def of(cls, refinery: Refinery) -> "FeedResource":
        """Return the resource that does as the settings say."""
        return cls(
            feed_dir=None if refinery.feed_dir is None else str(refinery.feed_dir),
            inventory=None if refinery.inventory is None else str(refinery.inventory),
            max_rejected_share=refinery.max_rejected_share,
            allow_partial=refinery.allow_partial,
        )

    def refining(self, platform: Platform) -> Platform:
        """Return the platform with this feed in its settings."""
        chosen = {
            "feed_dir": Path(self.feed_dir) if self.feed_dir else None,
            "inventory": Path(self.inventory) if self.inventory else None,
            "max_rejected_share": self.max_rejected_share,
            "allow_partial": self.allow_partial,
        }
        settings = platform.settings
        refinery = settings.refinery.model_copy(update=chosen)
        return Platform(settings.model_copy(update={"refinery": refinery}))
