"""Lines of the archive: the fast reader and the one that names bad lines agree on what a sample is."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsim_dagster.publication import lines as lines_module
from capsim_dagster.publication.hour_files import count_lines
from capsim_dagster.publication.lines import ParsedHour, parse_lines
from capsim_dagster.publication.tier3.columns import HOUR_SCHEMA
from capsim_dagster.publication.tier3.rules import LineRule
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.publication.days import MINUTES, START, hour_lines, line, text_of

ORIGIN = int(dt.datetime.combine(START, dt.time(), tzinfo=dt.UTC).timestamp())
RULE = LineRule(MINUTES * 60, ORIGIN)
HOUR = 7
GOOD = line(1, 14)


def changed(**fields: Any) -> bytes:  # noqa: ANN401 any JSON value
    return text_of([{**GOOD, **fields}])


def with_meta(**fields: Any) -> bytes:  # noqa: ANN401 any JSON value
    return text_of([{**GOOD, "meta": {**GOOD["meta"], **fields}}])


def without(name: str) -> bytes:
    return text_of([{key: value for key, value in GOOD.items() if key != name}])


BAD = {
    "text that is no JSON": (b"{broken}}\n", "Invalid JSON"),
    "half a line": (text_of([GOOD])[:40] + b"\n", "Invalid JSON"),
    "a blank line": (b"\n", "Invalid JSON"),
    "null": (b"null\n", "should be an object"),
    "a list": (b"[1]\n", "should be an object"),
    "two objects in a line": (text_of([GOOD]).rstrip() * 2 + b"\n", "Invalid JSON"),
    "null between two objects": (text_of([GOOD]).rstrip() + b"null" + text_of([GOOD]), "Invalid JSON"),
    "a number as text": (changed(cpu="12.3"), "cpu: Input should be a valid number"),
    "a truth as number": (changed(cpu=True), "cpu: Input should be a valid number"),
    "not a number": (changed(cpu=float("nan")), "cpu: Input should be a finite number"),
    "no finite number": (changed(net_in_mbps=float("inf")), "net_in_mbps: Input should be a finite number"),
    "more than all": (changed(cpu=100.01), "cpu: 100.01 is not from 0 to 100"),
    "less than nothing": (changed(disk=-0.01), "disk: -0.01 is not from 0 to 100"),
    "traffic below zero": (changed(net_out_mbps=-1.0), "net_out_mbps: -1.0 is not 0 or more"),
    "traffic without network": (changed(network=None), "null just where network is"),
    "network without traffic": (changed(net_in_mbps=None), "null just where network is"),
    "a field nobody knows": (changed(gpu=1.0), "gpu: Extra inputs are not permitted"),
    "no host": (without("host_id"), "host_id: Field required"),
    "a host without a number": (changed(host_id="web"), "host_id: web does not match ^srv-"),
    "a null host": (changed(host_id=None), "host_id: Input should be a valid string"),
    "no time": (without("ts"), "ts: Field required"),
    "a day that does not exist": (changed(ts="2026-02-30T07:00:00Z"), "ts: day is out of range"),
    "another zone": (changed(ts="2026-01-15T07:00:00+02:00"), "ts: String should match pattern"),
    "a time between two intervals": (changed(ts="2026-01-15T07:01:00Z"), "no start of an interval"),
    "no meta": (without("meta"), "meta: Field required"),
    "null meta": (changed(meta=None), "meta: Input should be an object"),
    "another interval": (with_meta(interval_s=300), "interval_s is 300, not 1800"),
    "a broken number": (with_meta(seq=GOOD["meta"]["seq"] + 0.5), "meta.seq: Input should be a valid integer"),
    "a number below zero": (with_meta(seq=-1), "seq -1 is not that of 2026-01-15T07:00:00Z"),
    "another interval's number": (with_meta(seq=GOOD["meta"]["seq"] + 1), "is not that of 2026-01-15T07:00:00Z"),
    "a number that is right but for what 64 bits lose": (
        with_meta(seq=GOOD["meta"]["seq"] + 2**61),
        "is not that of 2026-01-15T07:00:00Z",
    ),
    "a version with spaces": (with_meta(agent="2 4"), "agent_version: 2 4 does not match ^[A-Za-z0-9_.+-]{1,64}$"),
}


def by_line(text: bytes, monkeypatch: pytest.MonkeyPatch) -> ParsedHour:
    with monkeypatch.context() as patched:
        patched.setattr(lines_module, "_is_plain", lambda _text: False)
        return parse_lines(text, HOUR, RULE)


def as_rows(parsed: ParsedHour) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parsed.rows.to_pylist()
    return rows


def test_lines_become_rows_with_the_values_that_they_say() -> None:
    parsed = parse_lines(text_of([GOOD]), HOUR, RULE)

    assert as_rows(parsed) == [
        {
            "ts": dt.datetime(2026, 1, 15, 7, tzinfo=dt.UTC),
            "host_id": "srv-000001",
            **{name: GOOD[name] for name in ("cpu", "memory", "disk", "network", "net_in_mbps", "net_out_mbps")},
            "interval_s": 1800,
            "agent_version": "2.4.1",
            "seq": 14 * 48 + 14,
            "archive_hour": HOUR,
        }
    ]
    assert (parsed.rejected, parsed.rows.schema) == ((), HOUR_SCHEMA)


@each_case("name", BAD)
def test_a_line_that_is_no_sample_is_rejected_with_its_number_and_reason_and_the_others_stay(name: str) -> None:
    bad, why = BAD[name]
    parsed = parse_lines(text_of([GOOD]) + bad + text_of([line(2, 14)]), HOUR, RULE)

    assert [each.line for each in parsed.rejected] == [2]
    assert why in parsed.rejected[0].reason
    assert [row["host_id"] for row in as_rows(parsed)] == ["srv-000001", "srv-000002"]
    assert list(parsed.numbers or ()) == [1, 3]


def test_both_readers_make_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(hour_lines(1))
    slow = by_line(text, monkeypatch)

    assert slow.rows.num_rows == 24
    assert as_rows(slow) == as_rows(parse_lines(text, HOUR, RULE))


@pytest.mark.parametrize(
    "text", [text_of([GOOD]).rstrip(), text_of([GOOD]).replace(b'":', b'" : '), changed()[:-1] + b"\r\n"]
)
def test_a_sample_in_another_form_is_a_sample(text: bytes) -> None:
    assert as_rows(parse_lines(text, HOUR, RULE)) == as_rows(parse_lines(text_of([GOOD]), HOUR, RULE))


def test_without_a_known_origin_numbers_are_not_judged() -> None:
    parsed = parse_lines(with_meta(seq=5), HOUR, LineRule(MINUTES * 60))

    assert [row["seq"] for row in as_rows(parsed)] == [5]


PIECES = st.sampled_from([b"null", b"{}", b"}", b"{", b'"', b"\n", b"1e999", b"[1]", b",", b"\xff", b"true", b"-", b""])
EDITS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 6), PIECES), min_size=1, max_size=3)


@given(edits=EDITS)
def test_whatever_the_text_every_line_is_a_row_or_rejected_and_both_readers_agree(edits: Any) -> None:  # noqa: ANN401
    text = text_of([line(host, 14) for host in (1, 2, 3)])
    for place, length, piece in edits:
        at = place % len(text)
        text = text[:at] + piece + text[at + length :]
    parsed = parse_lines(text, HOUR, RULE)
    with pytest.MonkeyPatch.context() as patched:
        slow = by_line(text, patched)

    assert parsed.rows.num_rows + len(parsed.rejected) == count_lines(text)
    assert as_rows(parsed) == as_rows(slow)
    assert list(parsed.rejected) == list(slow.rejected)


def test_a_whole_hour_never_takes_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise AssertionError("read line by line")

    monkeypatch.setattr(lines_module, "_read_by_line", fail)

    assert isinstance(parse_lines(text_of(hour_lines(HOUR)), HOUR, RULE).rows, pa.Table)
