"""One claim about a file or dataset that anyone may have made: what validating and verifying them reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """What it means that a claim does not hold."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """A claim about a file or dataset, and whether it holds.

    Attributes:
        name: The claim.
        severity: What it means if it does not hold: an error fails the whole, a warning does where that is strict.
        passed: Whether it holds.
        count: How many things go against it.
        message: What was found, in words.
        examples: At most five of them.
        threshold: Bounds that the verdict hangs on, by name.
    """

    name: str
    severity: Severity
    passed: bool
    count: int = 0
    message: str = ""
    examples: Sequence[str] = ()
    threshold: Mapping[str, float | int | str] = field(default_factory=dict)

    def fails(self, *, strict: bool) -> bool:
        """Return whether the whole fails by it."""
        grave = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
        return not self.passed and self.severity in grave
