"""What verifying a dataset reports: one finding a claim, and the verdict."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

from capsim_dagster.audits.finding import Finding, Severity
from capsim_dagster.errors import MAX_EXAMPLES


def claim(
    name: str,
    problems: Iterable[str],
    *,
    message: str = "",
    severity: Severity = Severity.ERROR,
    count: int | None = None,
) -> Finding:
    """Return a finding that holds if there is no problem.

    Args:
        name: The claim.
        problems: What goes against it, in words; the first five are kept.
        message: Why that matters, said only if the claim does not hold.
        severity: What it means if it does not hold.
        count: How many problems there are; None = those given.
    """
    found = list(problems)
    number = len(found) if count is None else count
    said = (message or found[0] if found else message) if number else ""
    return Finding(name, severity, not number, number, said, tuple(islice(found, MAX_EXAMPLES)))


@dataclass(frozen=True)
class Verification:
    """Everything that verifying a dataset found.

    Attributes:
        where: The dataset.
        findings: Every claim that was judged, and one for what could not be.
        rows: Rows that were looked at.
    """

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
        return json.dumps({"passed": self.passed, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"
