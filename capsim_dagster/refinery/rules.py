"""What a feed is read by: contract, duplicate policy and the hosts that may occur; and what a refusal of a file is."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl

from capsim_dagster.errors import FeedError
from capsim_dagster.schemas import FileFault, LineFault, Resource, is_readable_host
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
    """How lines become rows: labels, formats and spellings, policies, and the hosts that may occur, None = any."""

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
        if self.hosts is None:
            return None
        lines = "".join(f"{host}\n" for host in sorted(self.hosts))
        return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()


class FileRefused(FeedError):  # noqa: N818 what happened to the file; the month's error is a FeedError
    """A feed file cannot be used as a whole."""

    def __init__(self, fault: FileFault, found: str) -> None:
        """Join what was found and the remedy for such a fault."""
        super().__init__(found, remedy=REMEDIES[fault])
        self.fault = fault


class HostTable:
    """The hosts met so far, each with a number, so that lines compare hosts as integers.

    One table serves all files of a load.
    """

    def __init__(self, rules: ReadRules) -> None:
        """Start with the hosts of the inventory, where there is one."""
        self.rules = rules
        # A host of the inventory that is written like no value, or padded, is not sound in a line either.
        sound = [host for host in sorted(rules.hosts or ()) if self.is_sound(host)]
        self._codes: dict[str, int] = {host: code for code, host in enumerate(sound)}

    def fault(self, host: str) -> LineFault | None:
        """Return why a host without padding cannot be loaded; None = it can."""
        if host.casefold() in self.rules.null_values:
            return LineFault.MISSING_HOST
        if not is_readable_host(host):
            return LineFault.INVALID_ENCODING
        return LineFault.UNKNOWN_HOST if self.rules.hosts is not None and host not in self.rules.hosts else None

    def is_sound(self, host: str) -> bool:
        """Return whether a host can be loaded just as it is written."""
        return host == host.strip() and self.fault(host) is None

    def code(self, host: str) -> int:
        """Return the number of a sound host, a new one where it is met for the first time."""
        if host not in self._codes:
            self._codes[host] = len(self._codes)
            self.__dict__.pop("kind", None)
            self.__dict__.pop("_physical", None)
        return self._codes[host]

    def encode(self, hosts: pl.Series) -> pl.Series:
        """Return the numbers of hosts as they are written; null for one that is not sound just so."""
        codes = hosts.cast(self.kind, strict=False)
        if codes.null_count():
            unseen = hosts.filter(codes.is_null()).unique(maintain_order=True).to_list()
            sound = [host for host in unseen if self.is_sound(host)]
            for host in sound:
                self.code(host)
            if sound:
                codes = hosts.cast(self.kind, strict=False)
        return codes.to_physical().cast(pl.Int32)

    def names(self, codes: pl.Series) -> pl.Series:
        """Return the hosts of some numbers."""
        # To look each number up costs as much as reading the file: an enumeration is numbers already.
        return codes.cast(self._physical).cat.to(self.kind).rename("host_id")

    @cached_property
    def kind(self) -> pl.Enum:
        """An enumeration of the hosts: casting to it looks each text up, three times as fast as a join."""
        return pl.Enum(list(self._codes))

    @cached_property
    def _physical(self) -> pl.DataType:
        """As what kind of numbers the enumeration is held."""
        return pl.Series([], dtype=self.kind).to_physical().dtype
