"""A second, slow reader of one feed file, which shares no code with capsim: what an exact refinery would report.

It knows the settings, the hosts and the month, and finds out the rest from the bytes.
"""

import datetime as dt
import gzip
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from capsim_dagster.settings import LegacyFeed

Key = tuple[str, dt.date]


@dataclass
class ReadFile:
    """What is in a file.

    Attributes:
        lines: Its data lines as text, by line number; the header is line 1.
        faults: Why lines are not loaded, by line number.
        loaded: Lines that are, as the plain feed writes them, by line number.
        traits: How it differs from the plain feed.
    """

    lines: dict[int, str]
    faults: dict[int, str]
    loaded: dict[int, str]
    traits: set[str]


@dataclass
class _Reader:
    settings: LegacyFeed
    bounds: tuple[float, float]
    delimiter: str
    columns: list[str]
    month: int = 0
    hosts: set[str] = field(default_factory=set)
    decimal: str = "."
    date_format: str = "%Y-%m-%d"

    def fault(self, line: str, header: str) -> str | None:
        if line == "":
            return "blank_line"
        if re.search("[\0\ud800-\udfff]", line):
            return "invalid_encoding"
        fields = line.split(self.delimiter)
        if not all(re.fullmatch('"[^"]*"|[^"]*', text) for text in fields):
            return "unclosed_quote"
        if line == header:
            return "repeated_header"
        if len(fields) != len(self.columns):
            return "field_count"
        return self._field_fault(self.named(line))

    def named(self, line: str) -> dict[str, str]:
        return dict(zip(self.columns, (text.strip('"') for text in line.split(self.delimiter)), strict=True))

    def day(self, text: str) -> dt.date | None:
        return _day(text, self.date_format)

    def number(self, text: str) -> float | None:
        plain = re.fullmatch(r"-?\d+(\.\d+)?|nan|-?inf", text.replace(self.decimal, ".").lower())
        return float(plain.group()) if plain and (self.decimal == "." or "." not in text) else None

    def is_gap(self, text: str) -> bool:
        return text.lower() in {spelling.lower() for spelling in self.settings.null_values}

    def _field_fault(self, named: dict[str, str]) -> str | None:
        day = self.day(named["date"])
        checks = {
            "missing_date": named["date"] == "",
            "unparsable_date": day is None,
            "outside_month": day is None or day.year * 100 + day.month != self.month,
            "missing_host": named["host"] == "",
            "unknown_host": named["host"] not in self.hosts,
            **self._value_checks(named["value"]),
            **(self._capacity_checks(named["capacity"]) if "capacity" in named else {}),
        }
        return next((fault for fault, is_found in checks.items() if is_found), None)

    def _value_checks(self, text: str) -> dict[str, bool]:
        if self.is_gap(text):
            return {}
        number = self.number(text)
        return {
            "unparsable_value": number is None,
            "not_finite": number is not None and not math.isfinite(number),
            "value_out_of_range": number is not None and not self.bounds[0] <= number <= self.bounds[1],
        }

    def _capacity_checks(self, text: str) -> dict[str, bool]:
        number = self.number(text)
        is_number = number is not None and math.isfinite(number) and number >= 0
        return {"missing_capacity": self.is_gap(text), "unparsable_capacity": not is_number}


@cache
def _day(text: str, date_format: str) -> dt.date | None:
    try:
        moment = dt.datetime.strptime(text, date_format)  # noqa: DTZ007
    except ValueError:
        return None
    return moment.date() if moment.time() == dt.time() else None


def read(content: bytes, settings: LegacyFeed, resource: str, month: int, hosts: set[str]) -> ReadFile:
    """Return what is in a file that is not damaged as a whole."""
    traits: set[str] = set()
    text = _decoded(content, traits)
    end = "\r\n" if "\r\n" in text else "\n" if "\n" in text else "\r"
    traits |= {"\r\n": {"crlf"}, "\r": {"cr"}, "\n": set()}[end]
    *lines, rest = text.split(end)
    while rest == "" and lines[-1] == "":
        lines.pop()
        traits.add("trailing_blank_lines")
    lines += [rest] if rest else []
    header, *body = lines
    reader = _reader(header, settings, resource, traits)
    reader.month, reader.hosts = month, hosts
    _find_formats(reader, body, traits)
    numbered = dict(enumerate(body, 2))
    faults = {number: fault for number, line in numbered.items() if (fault := reader.fault(line, header))}
    if rest:
        faults[len(lines)] = "truncated_line"
    sound = {number: reader.named(line) for number, line in numbered.items() if number not in faults}
    faults |= _duplicates(reader, sound)
    traits |= {"quoted"} if any('"' in numbered[number] for number in sound) else set()
    loaded = {number: _plain(reader, named) for number, named in sound.items() if number not in faults}
    return ReadFile(numbered, faults, loaded, traits)


def _decoded(content: bytes, traits: set[str]) -> str:
    if content[:2] == b"\x1f\x8b":
        traits.add("gzip")
        content = gzip.decompress(content)
    if content[:2] == b"\xff\xfe":
        traits.add("utf_16")
        return content[2:].decode("utf-16-le", "surrogatepass")
    if content[:3] == b"\xef\xbb\xbf":
        traits.add("bom")
        content = content[3:]
    return content.decode("utf-8", "surrogatepass")


def _reader(header: str, settings: LegacyFeed, resource: str, traits: set[str]) -> _Reader:
    columns = next(c for name, c in settings.resources.items() if name == resource)
    known = {columns.value_column: "value", columns.capacity_column or "-": "capacity"}
    known |= dict.fromkeys(settings.date_columns, "date") | dict.fromkeys(settings.host_columns, "host")
    order = ["date", "host", "value", *(["capacity"] if columns.capacity_column else [])]
    for delimiter in settings.delimiters:
        labels = [label.strip('"') for label in header.split(delimiter)]
        names = [known.get(label.strip().lower(), f"extra {label}") for label in labels]
        if set(order) <= set(names):
            break
    else:
        raise AssertionError(f"no usable header: {header}")
    traits |= {";": {"semicolon"}, "\t": {"tab"}}.get(delimiter, set())
    traits |= (
        {"header_case"} if any(label not in known and label.strip().lower() in known for label in labels) else set()
    )
    traits |= {"extra_columns"} if len(names) > len(order) else set()
    traits |= {"column_order"} if [name for name in names if name in order] != order else set()
    return _Reader(settings, columns.range, delimiter, names)


def _find_formats(reader: _Reader, body: list[str], traits: set[str]) -> None:
    """Take the decimal sign that most values have, and the date format that puts most lines into the month."""
    rows = [reader.named(line) for line in body if line.count(reader.delimiter) == len(reader.columns) - 1]
    commas = sum("," in row["value"] for row in rows)
    if reader.delimiter != "," and commas > sum("." in row["value"] for row in rows):
        reader.decimal = ","
        traits.add("decimal_comma")

    def in_month(date_format: str) -> int:
        reader.date_format = date_format
        days = [reader.day(row["date"]) for row in rows]
        return sum(day is not None and day.year * 100 + day.month == reader.month for day in days)

    reader.date_format = max(reader.settings.date_formats, key=in_month)
    traits |= {"date_format"} if reader.date_format != reader.settings.date_formats[0] else set()


def _duplicates(reader: _Reader, sound: dict[int, dict[str, str]]) -> dict[int, str]:
    groups: dict[Key, list[int]] = defaultdict(list)
    for number, named in sound.items():
        day = reader.day(named["date"])
        assert day is not None
        groups[named["host"], day].append(number)
    return {number: fault for group in groups.values() for number, fault in _duplicates_in(reader, sound, group)}


def _duplicates_in(reader: _Reader, sound: dict[int, dict[str, str]], group: list[int]) -> Iterator[tuple[int, str]]:
    facts = {
        (None if reader.is_gap(sound[n]["value"]) else reader.number(sound[n]["value"]), sound[n].get("capacity"))
        for n in group
    }
    if len(facts) > 1:
        yield from ((number, "conflicting_duplicate") for number in group)
    else:
        yield from ((number, "exact_duplicate") for number in group[1:])


def _plain(reader: _Reader, named: dict[str, str]) -> str:
    day = reader.day(named["date"])
    value = named["value"].replace(reader.decimal, ".")
    return ",".join([str(day), named["host"], value, *([named["capacity"]] if "capacity" in named else [])])
