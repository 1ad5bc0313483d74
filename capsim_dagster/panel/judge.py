"""The report: each claim that a panel must hold, judged by what was counted, against the thresholds of the settings.

Nothing here reads a file.
"""

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any, Final

import polars as pl

from capsim_dagster.audits.report import Finding, Severity
from capsim_dagster.errors import MAX_EXAMPLES, listed
from capsim_dagster.panel.contract import KEY
from capsim_dagster.panel.examine import MISSING, RANGE, Examination, MetricCount, lacks
from capsim_dagster.panel.find import Expectation
from capsim_dagster.panel.plan import FilePlan
from capsim_dagster.panel.read import PanelRows, Reading
from capsim_dagster.panel.retype import Repair
from capsim_dagster.schemas import is_readable_host
from capsim_dagster.settings import PanelValidation
from capsim_dagster.text import visible

Threshold = Mapping[str, float | int | str]
PERCENT: Final = 100.0
"""Of a whole."""
_DECIMALS: Final = 6
"""Of numbers in the report: below what depends on the order of an addition."""


@dataclass(frozen=True)
class FileFacts:
    """The file that was loaded, or its validated copy; without rows it cannot be read."""

    url: str
    bytes: int
    sha256: str
    rows: int | None = None


@dataclass(frozen=True)
class PanelFacts:
    """What the panel holds after repairs, of rows with a key, without exact duplicates.

    Of each metric: count, missing_pct [% of rows], and min, max and mean of finite values; None = none. Days are
    YYYY-MM-DD.
    """

    rows: int
    servers: int
    start: str | None
    end: str | None
    days: int
    metrics: Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class PanelReport:
    """Everything that loading a panel found; `strict` = warnings fail it.

    Without `staged` it failed, without `facts` it cannot be read.
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
        rounded = json.loads(json.dumps(content), parse_float=lambda text: round(float(text), _DECIMALS))
        return json.dumps(rounded, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Counted:
    """What is judged: rows, which can be read again, what was counted in them and on the way to them, and repairs."""

    limits: PanelValidation
    expected: Expectation
    rows: PanelRows
    reading: Reading
    seen: Examination
    repairs: Sequence[Repair]

    def refused_in(self, column: str) -> int:
        """Return how many values of a column could not be repaired."""
        return sum(repair.count for repair in self.reading.refused if repair.column == column)

    def missing(self, metric: MetricCount) -> int:
        """Return how many values of a metric are missing, without those that could not be read."""
        return max(metric.rows - metric.count - self.refused_in(metric.name), 0)


def judge_columns(plan: FilePlan) -> list[Finding]:
    """Return what the columns of a file say by themselves."""
    wrong = [*(f"{name} is absent" for name in plan.absent), *(f"{name} stands twice" for name in plan.repeated)]
    extra = [column.name for column in plan.columns if column.contract is None]
    return [
        _error("columns_are_complete", wrong, f"{len(plan.columns):,} columns"),
        _doubt("columns_are_known", extra, f"kept as they are: {listed(extra)}", Severity.INFO),
    ]


def judge_types(plan: FilePlan, refused: Sequence[Repair]) -> Finding:
    """Return whether every value is of the contract's type, or could be made so."""
    of_type = [f"{column.name} is {column.found}" for column in plan.columns if column not in plan.usable]
    of_value = [f"{repair.column}: {example}" for repair in refused for example in repair.examples]
    count = len(of_type) + sum(repair.count for repair in refused)
    return _error("types_are_right_or_repaired", [*of_type, *of_value], count=count)


def judge_rows(counted: Counted) -> list[Finding]:
    """Return what the rows say."""
    return [judge(counted) for judge in _CLAIMS]


def not_judged(reason: str) -> Finding:
    """Return that the rows could not be judged."""
    return Finding("rows_are_judged", Severity.ERROR, count=1, message=reason)


def expectation_is_known(expected: Expectation) -> Finding:
    """Return whether anything says which servers and days the panel must hold."""
    missing = [what for what, known in (("servers", expected.servers), ("days", expected.start)) if known is None]
    said = f"nothing says which {' and '.join(missing)} it must hold"
    return _doubt("expectation_is_known", missing, said, Severity.INFO)


def _error(
    name: str, wrong: Sequence[str], right: str = "", *, count: int | None = None, threshold: Threshold | None = None
) -> Finding:
    """Return an error if anything goes against a claim: so many, if that is more than is in words."""
    total = len(wrong) if count is None else count
    hidden = total - min(len(wrong), MAX_EXAMPLES)
    said = ", ".join(wrong[:MAX_EXAMPLES]) + (f" and {hidden:,} more" if hidden > 0 else "")
    message = said if total else right
    return Finding(name, Severity.ERROR, total, message, wrong[:MAX_EXAMPLES], threshold or {})


def _doubt(name: str, wrong: Sequence[str], said: str, severity: Severity = Severity.WARNING) -> Finding:
    """Return a finding that is no error, if anything goes against a claim."""
    return Finding(name, severity, len(wrong), said if wrong else "", wrong[:MAX_EXAMPLES])


def _keys_are_unique(counted: Counted) -> Finding:
    wrong = [f"{key} with different content" for key in counted.seen.conflict_examples]
    return _error("keys_are_unique", wrong, "one row a server a day", count=counted.seen.conflicts)


def _identity_is_filled(counted: Counted) -> Finding:
    # A day that cannot be read is null by now, and judged as a type.
    nulls = {name: count - counted.refused_in(name) for name, count in counted.reading.nulls.items()}
    wrong = [f"{name} in {count:,} rows" for name, count in nulls.items() if count]
    unreadable = [server for server in counted.seen.servers[KEY[0]] if not is_readable_host(server)]
    wrong += [f"{KEY[0]} '{visible(server)}' holds what cannot be seen" for server in unreadable]
    return _error("identity_is_filled", wrong, count=sum(nulls.values()) + len(unreadable))


def _identity_is_constant(counted: Counted) -> Finding:
    changed = counted.seen.servers.filter("changed")[KEY[0]].to_list()
    return _doubt("identity_is_constant", changed, f"business unit, region or criticality change of {listed(changed)}")


def _values_are_within_range(counted: Counted) -> Finding:
    metrics = counted.seen.metrics
    # One of every metric first.
    examples = [said for turn in zip_longest(*(metric.examples for metric in metrics)) for said in turn if said]
    bounds = {
        metric.name: "0 to any finite value" if math.isinf(metric.high_bound) else f"0 to {metric.high_bound:g}"
        for metric in metrics
    }
    return _error(RANGE, examples, count=sum(metric.outside for metric in metrics), threshold=bounds)


def _missing_share_is_within_limit(counted: Counted) -> Finding:
    limit = counted.limits.max_missing_share
    missing = {metric.name: (counted.missing(metric), metric.rows) for metric in counted.seen.metrics if metric.rows}
    return _error(MISSING, lacks(missing, limit), threshold={"max_missing_share": limit})


def _servers_as_expected(counted: Counted) -> Finding:
    least, expected, found = counted.limits.min_server_share, counted.expected, counted.seen.servers.height
    threshold: dict[str, float | int | str] = {"min_server_share": least}
    if expected.servers is None:
        return Finding("servers_as_expected", Severity.ERROR, message=f"{found:,}", threshold=threshold)
    is_grave = found == expected.servers or found < least * expected.servers
    return Finding(
        "servers_as_expected",
        Severity.ERROR if is_grave else Severity.WARNING,
        count=abs(found - expected.servers),
        message=f"found {found:,}, expected {expected.servers:,} ({expected.servers_said_by})",
        threshold={**threshold, "expected_servers": expected.servers},
    )


def _history_is_long_enough(counted: Counted) -> Finding:
    days, least = counted.seen.days, counted.limits.min_history_days
    wrong = [f"it spans {days:,} days"] if days < least else []
    return _error("history_is_long_enough", wrong, f"{days:,} days", threshold={"min_history_days": least})


def _days_as_expected(counted: Counted) -> Finding:
    expected, first, last = counted.expected, counted.seen.first, counted.seen.last
    if expected.start is None or expected.end is None or first is None or last is None:
        return Finding("days_as_expected", Severity.ERROR, message="nothing to compare")
    late, early = (first - expected.start).days, (expected.end - last).days
    lacking, beyond = max(late, 0) + max(early, 0), max(-late, 0) + max(-early, 0)
    said = f"found {first} to {last}, expected {expected.start} to {expected.end}"
    return Finding(
        "days_as_expected",
        Severity.WARNING if beyond and not lacking else Severity.ERROR,
        count=lacking + beyond,
        message=f"{said} ({expected.days_said_by})",
        threshold={"start": str(expected.start), "end": str(expected.end)},
    )


def _days_are_contiguous(counted: Counted) -> Finding:
    seen, limits = counted.seen, counted.limits
    threshold = {"max_gap_days": limits.max_gap_days, "max_missing_day_share": limits.max_missing_day_share}
    gaps = _gaps(seen)
    wrong = [f"{server} lacks {longest:,} days from {start}" for longest, start, server, _ in gaps]
    lacking = sum(gap[-1] for gap in gaps)
    share = lacking / max(seen.days * seen.servers.height, 1)
    fails = share > limits.max_missing_day_share or any(gap[0] > limits.max_gap_days for gap in gaps)
    said = f"{lacking:,} server days lack ({share * PERCENT:.2f} %) in {len(gaps):,} servers: {listed(wrong)}"
    return Finding(
        "days_are_contiguous",
        Severity.ERROR if fails or not gaps else Severity.WARNING,
        count=lacking,
        message=said if gaps else "",
        examples=wrong[:MAX_EXAMPLES],
        threshold=threshold,
    )


def _gaps(seen: Examination) -> list[tuple[int, dt.date, str, int]]:
    """Return the longest gap of each server that lacks days, where it starts, and all that the server lacks.

    A server may lack days at the ends of the panel's window too.
    """
    found = []
    for server, first, last, days, gap, gap_from, _ in seen.servers.filter(pl.col("days") < seen.days).iter_rows():
        assert seen.first is not None and seen.last is not None  # noqa: S101, PT018 there is a server
        ends = ((first - seen.first).days, seen.first), ((seen.last - last).days, last + dt.timedelta(1))
        longest, start = max((gap, gap_from), *ends, key=lambda one: one[0])
        found.append((longest, start, server, seen.days - days))
    return sorted(found, key=lambda one: -one[0])


_CLAIMS: Final[Sequence[Callable[[Counted], Finding]]] = (
    _keys_are_unique,
    _identity_is_filled,
    _identity_is_constant,
    _values_are_within_range,
    _missing_share_is_within_limit,
    _servers_as_expected,
    _history_is_long_enough,
    _days_as_expected,
    _days_are_contiguous,
)
