"""What a feed is read by: the contract's labels and formats, the duplicate policy, and the hosts that may occur."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from capsim_dagster.schemas import Resource
from capsim_dagster.settings import LegacyFeed, Refinery

READER_VERSION: Final = "1"
"""Raised when the same file would be read differently: files that are loaded already are then read again."""
_READING: Final = ("conflicting_duplicates", "unterminated_last_line")
"""Settings of the refinery that decide how lines are judged."""


@dataclass(frozen=True)
class ReadRules:
    """How lines become rows.

    Attributes:
        feed: Labels, formats and spellings.
        refinery: Policies.
        hosts: Hosts that may occur; None = any.
    """

    feed: LegacyFeed
    refinery: Refinery
    hosts: frozenset[str] | None = None

    @cached_property
    def null_values(self) -> frozenset[str]:
        """Spellings of no value, folded."""
        return frozenset(text.strip().casefold() for text in self.feed.null_values) | {""}

    def digest(self, resource: Resource) -> str:
        """Return 16 hex digits over all that decides how a resource's files are read."""
        columns = self.feed.resources[resource].model_dump(mode="json")
        feed = self.feed.model_dump(mode="json", exclude={"resources", "defects", "layout"})
        refinery = self.refinery.model_dump(mode="json", include=set(_READING))
        facts = [READER_VERSION, columns, feed, refinery, self._hosts_digest]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def _hosts_digest(self) -> str | None:
        return None if self.hosts is None else _digest(sorted(self.hosts))


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
