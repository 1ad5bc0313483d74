"""A second, slow way to read a feed file: each physical line alone, and duplicates by a plain dictionary.

It takes the dialect as found out, and shares only the judge of a single line with the reader.
"""

from collections import defaultdict
from dataclasses import dataclass

from capsim_dagster.refinery.dialect import Dialect
from capsim_dagster.refinery.judge import Judge, Row
from capsim_dagster.refinery.rules import HostTable, ReadRules
from capsim_dagster_tests.support.refinery.readings import JANUARY, Said


@dataclass(frozen=True)
class ExactReading:
    """What is in a file.

    Attributes:
        raw: Data lines without their ends, by line number.
        rows: What the sound ones say, by line number.
        faults: Reason and column of the others, by line number.
    """

    raw: dict[int, bytes]
    rows: dict[int, Said]
    faults: dict[int, tuple[str, str | None]]


def physical_lines(text: bytes) -> list[tuple[bytes, bool]]:
    """Return the lines of a text in UTF-8 without their ends, and whether each had one."""
    if b"\r" in text[:-1] and b"\n" not in text:
        text = text.replace(b"\r", b"\n")
    *whole, rest = text.replace(b"\r\n", b"\n").split(b"\n")
    return [(line, True) for line in whole] + ([(rest, False)] if rest else [])


def data_lines(text: bytes) -> dict[int, tuple[bytes, bool]]:
    """Return the lines after the header, without blank ones at the end, by line number."""
    numbered = dict(enumerate(physical_lines(text), 1))
    header = next((number for number, (line, _) in numbered.items() if line.strip()), len(numbered))
    last = max((number for number, (line, _) in numbered.items() if line.strip()), default=0)
    return {number: line for number, line in numbered.items() if header < number <= last}


def read_exactly(text: bytes, rules: ReadRules, dialect: Dialect) -> ExactReading:
    """Read a text in UTF-8 line by line."""
    judge = Judge(HostTable(rules), dialect, JANUARY.month, JANUARY.resource)
    rows: dict[int, Said] = {}
    faults: dict[int, tuple[str, str | None]] = {}
    lines = data_lines(text)
    for number, (line, has_end) in lines.items():
        if not has_end and rules.refinery.unterminated_last_line == "reject":
            faults[number] = ("truncated_line", None)
            continue
        verdict = judge.verdict(line)
        if isinstance(verdict, Row):
            rows[number] = (verdict.day, verdict.host, verdict.util, verdict.capacity)
        else:
            faults[number] = (verdict.reason.value, verdict.column)
    twice = _duplicates(rows, rules.refinery.conflicting_duplicates)
    faults |= {number: (reason, None) for number, reason in twice.items()}
    kept = {number: said for number, said in rows.items() if number not in twice}
    return ExactReading({number: line for number, (line, _) in lines.items()}, kept, dict(sorted(faults.items())))


def _duplicates(rows: dict[int, Said], policy: str) -> dict[int, str]:
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    for number, (day, host, _, _) in rows.items():
        groups[day, host].append(number)
    found: dict[int, str] = {}
    for numbers in groups.values():
        is_conflict = len({rows[number] for number in numbers}) > 1
        kept = numbers[-1] if is_conflict and policy == "last" else numbers[0]
        is_none_kept = is_conflict and policy == "reject"
        for number in numbers:
            is_copy = rows[number] == rows[kept] and not is_none_kept
            if number != kept or is_none_kept:
                found[number] = "exact_duplicate" if is_copy else "conflicting_duplicate"
    return found
