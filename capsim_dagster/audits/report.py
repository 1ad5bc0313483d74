"""What audits, validations and verifications find: one finding a claim, and all of them on one thing."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from capsim_dagster.errors import listed


class Severity(StrEnum):
    """What it means that a claim does not hold."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """Whether a claim holds.

    Attributes:
        claim: Its name; `claims` has the sentence of those that are checks.
        severity: What it means if it does not hold: an error fails the whole, a warning does where that is strict.
        count: How many things go against it; None = as many as there are examples.
        message: What was found, in words.
        examples: What goes against it, in words: all of it, or the first.
        threshold: Bounds that the verdict hangs on, by name.
        counts: Numbers behind the verdict.
        table: Rows that a person wants to see beside it.
        note: What could not be judged, in words; empty = nothing.
        judged: Whether it could be judged at all; what could not does not hold.
    """

    claim: str
    severity: Severity = Severity.ERROR
    count: int | None = None
    message: str = ""
    examples: Sequence[str] = ()
    threshold: Mapping[str, float | int | str] = field(default_factory=dict)
    counts: Mapping[str, int | float] = field(default_factory=dict)
    table: Sequence[Mapping[str, str | int | float]] = ()
    note: str = ""
    judged: bool = True

    @property
    def total(self) -> int:
        """How many things go against it."""
        return len(self.examples) if self.count is None else self.count

    @property
    def passed(self) -> bool:
        """Whether the claim holds."""
        return self.judged and not self.total

    @property
    def verdict(self) -> str:
        """What was found, or the first examples, or else the note, or the numbers behind the verdict."""
        numbers = ", ".join(f"{count:,} {_named(name, count)}" for name, count in self.counts.items())
        return self.message or listed(self.examples) or self.note or numbers

    def fails(self, *, strict: bool) -> bool:
        """Return whether the whole fails by it."""
        grave = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
        return not self.passed and self.severity in grave

    def with_problems(self, problems: Sequence[str]) -> "Finding":
        """Return the finding with further problems, which come first."""
        return replace(self, examples=[*problems, *self.examples])

    def as_json(self) -> dict[str, Any]:
        """Return it as reports have it."""
        return {
            "name": self.claim,
            "severity": self.severity,
            "passed": self.passed,
            "count": self.total,
            "message": self.message,
            "examples": self.examples,
            "threshold": self.threshold,
        }


Reports = dict[str, Finding]
"""Findings by the name of the claim."""


def by_claim(*findings: Finding) -> Reports:
    """Return findings by the name of the claim."""
    return {finding.claim: finding for finding in findings}


@dataclass(frozen=True)
class Findings:
    """Everything that was found on one dataset."""

    where: str
    findings: Sequence[Finding]
    rows: int = 0

    @property
    def passed(self) -> bool:
        """Whether no error was found."""
        return not self.errors

    @property
    def errors(self) -> list[Finding]:
        """The errors."""
        return [each for each in self.findings if each.fails(strict=False)]

    @property
    def against(self) -> list[Finding]:
        """Every claim that does not hold, of any severity."""
        return [each for each in self.findings if not each.passed]

    def as_json(self) -> str:
        """Return it as JSON text."""
        found = {"where": self.where, "findings": [each.as_json() for each in self.findings], "rows": self.rows}
        return json.dumps({"passed": self.passed, **found}, indent=2, ensure_ascii=False) + "\n"


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


class Verdict(StrEnum):
    """How an evaluation of a check ended."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a check: when it was (a naive time is in UTC), and how it ended."""

    when: dt.datetime
    verdict: Verdict


@dataclass(frozen=True)
class CheckTrend:
    """The evaluations of one check of an asset, in any order."""

    asset: str
    check: str
    evaluations: Sequence[Evaluation]
