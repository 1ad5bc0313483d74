"""Lines that cannot be loaded are kept with the reason, and cost nothing but themselves."""

from typing import NamedTuple

import pytest

from capsim_dagster.errors import GateError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.integration.refinery.test_load import FEED_FILE, load, rejected
from capsim_dagster_tests.support.sabotage import ChangeLines, change_lines, feed_file, replace_field, rows_in


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


class Damage(NamedTuple):
    """A change of February's CPU file, and what must be said of which of its lines."""

    change: ChangeLines
    rejects: dict[int, tuple[str, str | None]]


def field(index: int, text: str, reason: str, column: str | None) -> Damage:
    return Damage(replace_field(6, index, text), {6: (reason, column)})


def value(text: str, reason: str) -> Damage:
    return field(2, text, reason, "cpu_p95")


def whole(change: ChangeLines, reason: str, *lines: int) -> Damage:
    return Damage(change, dict.fromkeys(lines or (6,), (reason, None)))


DAMAGES = {
    "unreadable value": value("abc", "unparsable_value"),
    "decimal comma": Damage(replace_field(6, 2, "20,5"), {6: ("field_count", None)}),
    "value above bounds": value("150", "value_out_of_range"),
    "value just above bounds": value("100.01", "value_out_of_range"),
    "value below bounds": value("-5", "value_out_of_range"),
    "no number": value("nan", "not_finite"),
    "infinite": value("-inf", "not_finite"),
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
    "unclosed quote at date": Damage(replace_field(6, 0, '"2023-02-05'), {6: ("unclosed_quote", None)}),
    "unclosed quote at value": Damage(replace_field(6, 2, '"20.0'), {6: ("unclosed_quote", None)}),
    "extra field": Damage(replace_field(6, 3, "64,7"), {6: ("field_count", None)}),
    "missing field": whole(lambda x: [*x[:5], "2023-02-05,srv-000001,20.0", *x[6:]], "field_count"),
    "comment": whole(lambda x: [*x[:5], "# comment", *x[6:]], "field_count"),
    "header repeated": whole(lambda x: [*x[:5], x[0], *x[6:]], "repeated_header"),
    "blank line": whole(lambda x: [*x[:5], "", *x[6:]], "blank_line"),
    "duplicate line": whole(lambda x: [*x, x[5]], "exact_duplicate", 338),
    "duplicate in place of another": whole(lambda x: [*x[:5], x[4], *x[6:]], "exact_duplicate"),
    "conflicting line": whole(lambda x: [*x, f"{x[5][:22]}1.23,64"], "conflicting_duplicate", 6, 338),
    "two bad lines": whole(lambda x: [*x[:5], "x,y,z,w", "x,y", *x[7:]], "field_count", 7)._replace(
        rejects={6: ("unparsable_date", "date"), 7: ("field_count", None)}
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_bad_line_is_kept_with_its_reason_and_every_other_line_is_loaded(platform: Platform, damage: Damage) -> None:
    before = rows_in(platform, "processed_data")
    path = feed_file(platform)
    change_lines(path, damage.change)
    lines = path.read_text().splitlines()
    month = load(platform)
    assert rejected(platform) == [
        (FEED_FILE, 202302, "cpu", line, reason, column, lines[line - 1])
        for line, (reason, column) in damage.rejects.items()
    ]
    assert (month.files[0].lines, month.files[0].rejected) == (len(lines) - 1, len(damage.rejects))
    assert month.files[0].loaded == len(lines) - 1 - len(damage.rejects)
    sound = {line.split(",")[1] + line[:10] for number, line in enumerate(lines, 1) if number not in damage.rejects}
    rows = rows_in(platform, "processed_data")
    february = [row for row in before if row[2] == "cpu" and f"{row[0]:%Y-%m}" == "2023-02"]
    assert set(rows) == set(before) - {row for row in february if f"{row[1]}{row[0]:%Y-%m-%d}" not in sound}
    assert len(rows) == len(set(rows))


TAKES_AWAY = {name: damage for name, damage in DAMAGES.items() if name != "duplicate line"}


@pytest.mark.slow
@pytest.mark.parametrize("damage", TAKES_AWAY.values(), ids=TAKES_AWAY)
def test_line_of_capsims_own_feed_that_was_not_damaged_on_purpose_stops_the_month(
    platform: Platform, damage: Damage
) -> None:
    before = rows_in(platform, "processed_data")
    change_lines(feed_file(platform), damage.change)
    with pytest.raises(GateError) as caught:
        load(platform, with_master=True)
    assert FEED_FILE in caught.value.found
    for line, (reason, _) in damage.rejects.items():
        assert f"line {line} {reason}" in caught.value.found
    assert rows_in(platform, "processed_data") == before
    assert rejected(platform) == []


def test_line_too_many_that_takes_nothing_away_does_not_stop_capsims_own_feed(platform: Platform) -> None:
    before = rows_in(platform, "processed_data")
    change_lines(feed_file(platform), DAMAGES["duplicate line"].change)
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
