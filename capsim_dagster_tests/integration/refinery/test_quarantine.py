"""Lines that cannot be loaded are kept with the reason, and cost nothing but themselves."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from capsim_dagster.errors import GateError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.integration.refinery.test_load import FEED_FILE, load, rejected
from capsim_dagster_tests.support.sabotage import change_lines, feed_file, replace_field, rows_in


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


class BadLine(NamedTuple):
    """What stands in a sound line's place, as a function of its four fields, and what must be said of it."""

    change: Callable[[list[str]], str]
    reason: str
    column: str | None = None


def field(index: int, text: str, reason: str, column: str | None = None) -> BadLine:
    return BadLine(lambda fields: ",".join([*fields[:index], text, *fields[index + 1 :]]), reason, column)


BAD_LINES: Final = {
    "unreadable value": field(2, "abc", "unparsable_value", "cpu_p95"),
    "decimal comma": field(2, "20,5", "field_count"),
    "value above bounds": field(2, "150", "value_out_of_range", "cpu_p95"),
    "value just above bounds": field(2, "100.01", "value_out_of_range", "cpu_p95"),
    "value below bounds": field(2, "-5", "value_out_of_range", "cpu_p95"),
    "no number": field(2, "nan", "not_finite", "cpu_p95"),
    "infinite": field(2, "-inf", "not_finite", "cpu_p95"),
    "unreadable date": field(0, "02/30/2023", "unparsable_date", "date"),
    "impossible date": field(0, "2023-02-30", "unparsable_date", "date"),
    "time of day": field(0, "2023-02-05 13:00:00", "unparsable_date", "date"),
    "no date": field(0, "", "missing_date", "date"),
    "date outside month": field(0, "2023-03-05", "outside_month", "date"),
    "date outside calendar": field(0, "1999-02-05", "outside_month", "date"),
    "no host": field(1, "", "missing_host", "host_id"),
    "unknown host": field(1, "srv-999999", "unknown_host", "host_id"),
    "no capacity": field(3, "", "missing_capacity", "max_cores"),
    "unreadable capacity": field(3, "64 cores", "unparsable_capacity", "max_cores"),
    "negative capacity": field(3, "-64", "unparsable_capacity", "max_cores"),
    "unclosed quote at date": field(0, '"2023-02-05', "unclosed_quote"),
    "unclosed quote at value": field(2, '"20.0', "unclosed_quote"),
    "extra field": field(3, "64,7", "field_count"),
    "missing field": BadLine(lambda fields: ",".join(fields[:3]), "field_count"),
    "letters": BadLine(lambda _: "x,y,z,w", "unparsable_date", "date"),
    "comment": BadLine(lambda _: "# comment", "field_count"),
    "header repeated": BadLine(lambda _: "date,host_id,cpu_p95,max_cores", "repeated_header"),
    "blank line": BadLine(lambda _: "", "blank_line"),
}
DISTANCE: Final = 11
"""Lines from one bad line to the next; two of them stand side by side at the end."""


def damaged(lines: list[str]) -> tuple[list[str], dict[int, tuple[str, str | None]]]:
    """Return February's CPU with every bad line in it, and what must be said of which line."""
    said: dict[int, tuple[str, str | None]] = {}
    changed = [*lines]
    for place, bad in enumerate(BAD_LINES.values()):
        number = 6 + DISTANCE * place if place < len(BAD_LINES) - 1 else 7 + DISTANCE * (place - 1)
        changed[number - 1] = bad.change(lines[number - 1].split(","))
        said[number] = (bad.reason, bad.column)
    # A line in place of another, the same line twice, and a line that contradicts one.
    changed[300 - 1] = changed[299 - 1]
    day, host, _, capacity = lines[310 - 1].split(",")
    changed += [changed[305 - 1], f"{day},{host},1.23,{capacity}"]
    said |= {300: ("exact_duplicate", None), 310: ("conflicting_duplicate", None)}
    last = len(changed)
    return changed, said | {last - 1: ("exact_duplicate", None), last: ("conflicting_duplicate", None)}


def test_each_bad_line_is_kept_with_its_reason_and_every_other_line_is_loaded(platform: Platform) -> None:
    before, path = rows_in(platform, "processed_data"), feed_file(platform)
    lines, rejects = damaged(path.read_text().splitlines())
    path.write_text("".join(f"{line}\n" for line in lines))
    month = load(platform, max_rejected_share=1.0)
    assert rejected(platform) == [
        (FEED_FILE, 202302, "cpu", line, reason, column, lines[line - 1]) for line, (reason, column) in rejects.items()
    ]
    assert (month.files[0].lines, month.files[0].rejected) == (len(lines) - 1, len(rejects))
    assert month.files[0].loaded == len(lines) - 1 - len(rejects)
    sound = {line.split(",")[1] + line[:10] for number, line in enumerate(lines, 1) if number not in rejects}
    rows = rows_in(platform, "processed_data")
    february = [row for row in before if row[2] == "cpu" and f"{row[0]:%Y-%m}" == "2023-02"]
    assert set(rows) == set(before) - {row for row in february if f"{row[1]}{row[0]:%Y-%m-%d}" not in sound}
    assert len(rows) == len(set(rows))


def test_line_of_capsims_own_feed_that_was_not_damaged_on_purpose_stops_the_month(platform: Platform) -> None:
    before = rows_in(platform, "processed_data")
    change_lines(feed_file(platform), replace_field(6, 2, "abc"))
    change_lines(feed_file(platform), lambda lines: [*lines[:8], "# comment", *lines[9:]])
    with pytest.raises(GateError) as caught:
        load(platform, with_master=True)
    for said in (FEED_FILE, "line 6 unparsable_value", "line 9 field_count"):
        assert said in caught.value.found
    assert rows_in(platform, "processed_data") == before
    assert rejected(platform) == []


def test_line_too_many_that_takes_nothing_away_does_not_stop_capsims_own_feed(platform: Platform) -> None:
    before = rows_in(platform, "processed_data")
    change_lines(feed_file(platform), lambda lines: [*lines, lines[5]])
    assert load(platform, with_master=True).rejected == 1
    assert rows_in(platform, "processed_data") == before


def test_mended_file_takes_its_rejected_lines_back(platform: Platform) -> None:
    before, whole_file = rows_in(platform, "processed_data"), feed_file(platform).read_bytes()
    change_lines(feed_file(platform), replace_field(6, 2, "abc"))
    load(platform)
    assert len(rejected(platform)) == 1
    feed_file(platform).write_bytes(whole_file)
    load(platform)
    assert rejected(platform) == []
    assert rows_in(platform, "processed_data") == before


def test_other_resources_and_months_keep_their_rejected_lines(platform: Platform) -> None:
    for month in (202301, 202302):
        for resource in (Resource.CPU, Resource.DISK):
            change_lines(feed_file(platform, month, resource), replace_field(6, 2, "abc"))
        load(platform, month)
    assert len(rejected(platform)) == 4
    change_lines(feed_file(platform), replace_field(6, 2, "50"))
    load(platform)
    assert {(row[1], row[2]) for row in rejected(platform)} == {(202301, "cpu"), (202301, "disk"), (202302, "disk")}


def test_rejected_lines_name_the_run_that_rejected_them(platform: Platform) -> None:
    change_lines(feed_file(platform), replace_field(6, 2, "abc"))
    load(platform)
    assert [row[-1] for row in rows_in(platform, "rejected_lines")] == ["test"]
