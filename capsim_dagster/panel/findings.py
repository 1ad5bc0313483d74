"""What loading a panel reports: repairs, findings and facts, and the JSON that holds them.

Which findings there are is in `judge`, which repairs in `retype` and `plan`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from capsim_dagster.audits.report import Finding

PERCENT: Final = 100.0
"""Of a whole."""
_DECIMALS: Final = 6
"""Of numbers in the report: below what depends on the order of an addition."""


@dataclass(frozen=True)
class Repair:
    """Something that was put right without loss.

    Attributes:
        name: What was done.
        column: In which column; "" = in whole rows.
        count: Values or rows.
        examples: At most five, as before -> after.
    """

    name: str
    column: str
    count: int
    examples: Sequence[str] = ()


@dataclass(frozen=True)
class FileFacts:
    """The file that was loaded, or its validated copy.

    Attributes:
        url: Where it is.
        bytes: Its size.
        sha256: Hex digest of its content.
        rows: Rows in it; None = it cannot be read.
    """

    url: str
    bytes: int
    sha256: str
    rows: int | None = None


@dataclass(frozen=True)
class PanelFacts:
    """What the panel holds, after repairs.

    Attributes:
        rows: Rows with a key, without exact duplicates.
        servers: Servers.
        start: First day, YYYY-MM-DD; None = no row has a day.
        end: Last day.
        days: Days from the first to the last.
        metrics: Of each metric: count, missing_pct [% of rows], and min, max and mean of finite values; None = none.
    """

    rows: int
    servers: int
    start: str | None
    end: str | None
    days: int
    metrics: Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class PanelReport:
    """Everything that loading a panel found.

    Attributes:
        strict: Whether warnings fail it.
        source: The file that was loaded.
        staged: The validated copy; None = it failed, so there is none of it.
        expected: What it was expected to hold, and who says so.
        facts: What it holds; None = it cannot be read.
        repairs: What was put right.
        findings: Every claim that was judged.
    """

    strict: bool
    source: FileFacts
    staged: FileFacts | None
    expected: Mapping[str, Any]
    facts: PanelFacts | None
    repairs: Sequence[Repair]
    findings: Sequence[Finding]

    @property
    def validation_passed(self) -> bool:
        """Whether no claim fails."""
        return not self.failed

    @property
    def failed(self) -> list[Finding]:
        """The claims that fail the panel."""
        return [finding for finding in self.findings if finding.fails(strict=self.strict)]

    def as_json(self) -> str:
        """Return the report as JSON text; nothing in it depends on when or where it was made."""
        found = [finding.as_json() for finding in self.findings]
        content = {"validation_passed": self.validation_passed, **asdict(self), "findings": found}
        return json.dumps(_rounded(content), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _rounded(value: Any) -> Any:  # noqa: ANN401 any JSON value
    """Return a JSON value with rounded numbers."""
    if isinstance(value, float):
        return round(value, _DECIMALS)
    if isinstance(value, Mapping):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    return value
