"""The hosts that a feed may hold, each with a number, so that lines compare hosts as integers."""

from functools import cached_property

import polars as pl

from capsim_dagster.refinery.rules import ReadRules
from capsim_dagster.schemas import LineFault, is_readable_host


class HostTable:
    """The hosts met so far; one table serves all files of a load.

    Attributes:
        rules: Which hosts may occur.
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
            self.__dict__.pop("_kind", None)
        return self._codes[host]

    def encode(self, hosts: pl.Series) -> pl.Series:
        """Return the numbers of hosts as they are written; null for one that is not sound just so."""
        codes = hosts.cast(self._kind, strict=False)
        if codes.null_count():
            unseen = hosts.filter(codes.is_null()).unique(maintain_order=True).to_list()
            sound = [host for host in unseen if self.is_sound(host)]
            for host in sound:
                self.code(host)
            if sound:
                codes = hosts.cast(self._kind, strict=False)
        return codes.to_physical().cast(pl.Int32)

    def names(self, codes: pl.Series) -> pl.Series:
        """Return the hosts of some numbers."""
        return pl.Series("host_id", list(self._codes), dtype=self._kind).gather(codes)

    @cached_property
    def _kind(self) -> pl.Enum:
        """An enumeration of the hosts: casting to it looks each text up, three times as fast as a join."""
        return pl.Enum(list(self._codes))
