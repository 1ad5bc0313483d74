"""What every audit returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

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
        thresholds: Bounds that the verdict hangs on, by name.
    """

    claim: str
    problems: Sequence[str] = ()
    counts: Mapping[str, int | float] = field(default_factory=dict)
    table: Sequence[Mapping[str, str | int | float]] = ()
    note: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the claim holds."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """The first problems in words, or else the note, or the numbers behind the verdict."""
        numbers = ", ".join(f"{count:,} {_named(name, count)}" for name, count in self.counts.items())
        return listed(self.problems) or self.note or numbers

    def with_problems(self, problems: Sequence[str]) -> "AuditReport":
        """Return the report with further problems, which come first."""
        return replace(self, problems=[*problems, *self.problems])

    def __str__(self) -> str:
        """Return the claim, and whether it holds with the verdict behind it."""
        return f"{self.claim}: {'holds' if self.passed else 'does not hold'} ({self.verdict})"


def _named(name: str, count: float) -> str:
    """Return the name of a number, in the singular where it is one.

    >>> _named("rows_of_unknown_hosts", 1), _named("files", 2), _named("series", 1)
    ('row of unknown hosts', 'files', 'series')
    """
    words = name.split("_")
    plurals = [place for place, word in enumerate(words) if word.endswith("s") and word != "series"]
    if count == 1 and plurals:
        words[plurals[0]] = words[plurals[0]].removesuffix("s")
    return " ".join(words)
