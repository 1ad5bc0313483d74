"""What every audit returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from capsim_dagster.errors import listed


@dataclass(frozen=True)
class AuditReport:
    """Whether a claim holds.

    Attributes:
        claim: The claim in one sentence.
        problems: Each way in which it does not hold, in words; empty = it holds.
        counts: Numbers behind the verdict.
        table: Rows that a person wants to see beside it.
        note: What the audit could not judge, in words; empty = nothing.
    """

    claim: str
    problems: Sequence[str] = ()
    counts: Mapping[str, int | float] = field(default_factory=dict)
    table: Sequence[Mapping[str, str | int | float]] = ()
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the claim holds."""
        return not self.problems

    def __str__(self) -> str:
        """Return the claim with its verdict: the first problems, or `holds`."""
        return f"{self.claim}: " + (f"{len(self.problems)} problems: {listed(self.problems)}" if self.problems else "holds")
