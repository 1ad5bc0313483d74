"""What a feed is read by: contract, duplicate policy and the hosts that may occur; and what a refusal of a file is."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from capsim_dagster.errors import FeedError
from capsim_dagster.schemas import FileFault, Resource
from capsim_dagster.settings import LegacyFeed, Refinery

READER_VERSION: Final = "1"
"""Raised when the same file would be read differently: files that are loaded already are then read again."""
_READING: Final = ("conflicting_duplicates", "unterminated_last_line")
"""Settings of the refinery that decide how lines are judged."""
REMEDIES: Final[dict[FileFault, str]] = {
    FileFault.MISSING: "fetch the file, or take its resource out of refinery.resources",
    FileFault.UNREADABLE: "let this user read the file, or fetch it again",
    FileFault.EMPTY: "fetch the file again",
    FileFault.UNREADABLE_GZIP: "fetch the file again: a part of it is missing",
    FileFault.NOT_CSV: "save it as text (CSV), not as a spreadsheet or archive",
    FileFault.NO_USABLE_HEADER: "mend the header, delete what stands before it, or name its labels in legacy_feed",
    FileFault.AMBIGUOUS: "keep one of them and move the other out of the feed",
    FileFault.DUPLICATE_FILE: "put the right file in place of the copy",
    FileFault.ANOTHER_MONTH: "put the file under the name of its own month",
    FileFault.UNLIKE_MASTER: "write the feed again by materializing monthly_csv for this month; where "
    "it is dirty on purpose, let conflicting_duplicates and unterminated_last_line of refinery reject",
    FileFault.TOO_MANY_REJECTED: "mend the file, or load its sound lines: --allow-partial, or a higher "
    "refinery.max_rejected_share or max_rejected_lines",
    FileFault.TOO_LARGE: "look what the file is; if it is right, set refinery.max_text_mb higher, or unpack it",
    FileFault.CHANGED: "wait until nobody writes it, and run it again",
}
"""What to do about each fault."""


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


class FileRefused(FeedError):  # noqa: N818 what happened to the file; the month's error is a FeedError
    """A feed file cannot be used as a whole.

    Attributes:
        fault: What is wrong with it.
    """

    def __init__(self, fault: FileFault, found: str) -> None:
        """Join what was found and the remedy for such a fault."""
        super().__init__(found, remedy=REMEDIES[fault])
        self.fault = fault
