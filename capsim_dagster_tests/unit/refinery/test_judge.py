import pytest

from capsim_dagster.refinery.judge import Fault, Row
from capsim_dagster.schemas import LineFault
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.refinery.readings import HEADER, feed_settings, judge_of, read_rules

DAY, HOST, VALUE, CAPACITY = HEADER.split(",")
SOUND = {DAY: "2024-01-05", HOST: "srv-1", VALUE: "20.5", CAPACITY: "64"}
ROW = Row(5, "srv-1", 20.5, 64.0)


def line(**fields: str) -> bytes:
    return ",".join((SOUND | fields).values()).encode()


def fault(reason: str, column: str | None = None) -> Fault:
    return Fault(LineFault(reason), column)


WHOLE_LINE = {
    b"": "blank_line",
    b" \t \x0b\x0c\r": "blank_line",
    b"\xff": "invalid_encoding",
    b"\0\0\0\0": "invalid_encoding",
    b"2024-01-05,srv-1\0,20.5,64": "invalid_encoding",
    b"2024-01-05,srv-1\xed\xa0\x80,20.5,64": "invalid_encoding",
    b"2024-01-05,srv-1,20.5,64,\xc3": "invalid_encoding",
    b'2024-01-05,"srv-1,20.5,64': "unclosed_quote",
    b'2024-01-05,srv"-1,20.5,64': "unclosed_quote",
    b'2024-01-05,"srv"-1,20.5,64': "unclosed_quote",
    HEADER.encode(): "repeated_header",
    b' DATE ,"Host_ID",cpu_p95,max_cores\r': "repeated_header",
    b"2024-01-05,srv-1,20.5": "field_count",
    b"2024-01-05,srv-1,20.5,64,": "field_count",
    b"2024-01-05,srv-1,20,5,64": "field_count",
    b"2024-01-05;srv-1;20.5;64": "field_count",
    b"# comment": "field_count",
    b"\x1a": "field_count",
    "\xa0".encode(): "field_count",
}


@each_case(("raw", "reason"), WHOLE_LINE.items())
def test_line_that_cannot_be_cut_into_fields_is_at_fault_as_a_whole(raw: bytes, reason: str) -> None:
    assert judge_of().verdict(raw) == fault(reason)


@each_case(
    "raw",
    [
        line(),
        line() + b"\r",
        b" 2024-01-05 ,\tsrv-1 , 20.5, 64 ",
        b'"2024-01-05","srv-1","20.5","64"',
        b' "2024-01-05" , srv-1,"20.5" ,64',
        b"2024-1-5,srv-1,+20.50,64.0",
        b"2024-01-05,srv-1,2.05e1,6.4E+1",
        b"2024-01-05,srv-1,0020.5,64.",
        "2024-01-05,\xa0srv-1\u3000,20.5,\u200264".encode(),
    ],
)
def test_line_is_sound_however_its_fields_are_padded_and_quoted(raw: bytes) -> None:
    assert judge_of().verdict(raw) == ROW


@each_case("text", ["", " ", "NULL", "null", "Na", "n/a", ' "N/A" '])
def test_no_value_is_a_gap_but_nothing_else_may_be_missing(text: str) -> None:
    judge = judge_of()
    assert judge.verdict(line(**{VALUE: text})) == Row(5, "srv-1", None, 64.0)
    assert judge.verdict(line(**{DAY: text})) == fault("missing_date", DAY)
    assert judge.verdict(line(**{HOST: text})) == fault("missing_host", HOST)
    assert judge.verdict(line(**{CAPACITY: text})) == fault("missing_capacity", CAPACITY)


def test_spellings_of_no_value_are_those_of_the_settings() -> None:
    judge = judge_of(read_rules(feed=feed_settings(null_values=["-", "-1", " NaN "])))
    values = {text: judge.verdict(line(**{VALUE: text})) for text in ["-", "-1", "nan", "", "NULL"]}
    gap = Row(5, "srv-1", None, 64.0)
    assert values == {"-": gap, "-1": gap, "nan": gap, "": gap, "NULL": fault("unparsable_value", VALUE)}


@each_case(
    ("text", "reason"),
    [
        ("2024-01-32", "unparsable_date"),
        ("2023-02-29", "unparsable_date"),
        ("01/05/2024", "unparsable_date"),
        ("2024-01-05T00:00:00", "unparsable_date"),
        ("24-01-05", "unparsable_date"),
        ("20240105", "unparsable_date"),
        ("2024-W01-5", "unparsable_date"),
        ("yesterday", "unparsable_date"),
        ("\ufeff2024-01-05", "unparsable_date"),
        ("\uff12\uff10\uff12\uff14-01-05", "unparsable_date"),
        ("45296", "unparsable_date"),
        ("2024-02-01", "outside_month"),
        ("2023-01-05", "outside_month"),
        ("2024-2-1", "outside_month"),
    ],
)
def test_day_must_be_one_of_the_month_in_the_format_of_the_file(text: str, reason: str) -> None:
    assert judge_of().verdict(line(**{DAY: text})) == fault(reason, DAY)


@pytest.mark.parametrize(("text", "is_sound"), [("00:00:00", True), ("0:0:0", True), ("13:30:00", False)])
def test_time_of_day_must_be_midnight(text: str, is_sound: bool) -> None:
    judge = judge_of(date_format="%Y-%m-%d %H:%M:%S")
    expected = ROW if is_sound else fault("unparsable_date", DAY)
    assert judge.verdict(line(**{DAY: f"2024-01-05 {text}"})) == expected


@each_case(
    "text", ["srv\u200b-1", "\u202esrv-1", "srv\xa01", "srv\t1", "srv-1\x07", "\ufeffsrv-1", "👩\u200d💻", "srv\ue000"]
)
def test_host_with_characters_that_nobody_sees_is_no_text(text: str) -> None:
    assert judge_of().verdict(line(**{HOST: text})) == fault("invalid_encoding", HOST)


@each_case("text", ["🖥", "bück-1", "サーバ", "srv 1", "a" * 10_000, "srv'1; DROP TABLE", "=1+1", "1"])
def test_host_may_be_any_visible_text(text: str) -> None:
    assert judge_of().verdict(line(**{HOST: text})) == Row(5, text, 20.5, 64.0)


def test_host_in_quotes_may_hold_delimiters_and_quotes() -> None:
    assert judge_of().verdict(line(**{HOST: '"rack 3, ""19 inch"""'})) == Row(5, 'rack 3, "19 inch"', 20.5, 64.0)


@each_case(
    ("text", "expected"),
    [("srv-1", ROW), (" srv-1 ", ROW), ("SRV-1", None), ("srv-2", None), ("srv-1.example.com", None)],
)
def test_host_must_be_in_the_inventory_where_there_is_one(text: str, expected: Row | None) -> None:
    judge = judge_of(read_rules({"srv-1"}))
    assert judge.verdict(line(**{HOST: text})) == (expected or fault("unknown_host", HOST))


NO_NUMBERS = [
    "abc", "1O.5", "12 %", "12%", "1,5", "1.2.3", "1_0", "0x10", "1e", "e1", ".", "-", "+-1", "--1", "1 2", "#REF!",
    "\uff11\uff12", "\u0661\u0662", "\u22125", "1e1.5", "1d2", "1f", "true", "$5",
    "1'000", "½", "²", "0b1", "1e\xa05", "nano", "in",
]  # fmt: skip


@each_case("text", NO_NUMBERS)
def test_number_is_sign_digits_point_and_exponent_and_nothing_else(text: str) -> None:
    quoted = f'"{text}"'
    assert judge_of().verdict(line(**{VALUE: quoted})) == fault("unparsable_value", VALUE)
    assert judge_of().verdict(line(**{CAPACITY: quoted})) == fault("unparsable_capacity", CAPACITY)


@each_case("text", ["NaN", "nan", "-nan", "inf", "-INF", "+Infinity", "1e400", "-1e999"])
def test_number_must_be_finite(text: str) -> None:
    assert judge_of().verdict(line(**{VALUE: text})) == fault("not_finite", VALUE)
    assert judge_of().verdict(line(**{CAPACITY: text})) == fault("unparsable_capacity", CAPACITY)


@each_case(
    ("text", "value"),
    [("0", 0.0), ("100", 100.0), ("-0", -0.0), ("1e-400", 0.0), ("1e2", 100.0), (".5", 0.5), ("5.", 5.0)],
)
def test_value_at_both_ends_of_the_range_is_sound(text: str, value: float) -> None:
    assert judge_of().verdict(line(**{VALUE: text})) == Row(5, "srv-1", value, 64.0)


@each_case("text", ["100.01", "150", "-0.01", "-5", "1e300", "100.00000000000002"])
def test_value_outside_the_range_is_rejected(text: str) -> None:
    assert judge_of().verdict(line(**{VALUE: text})) == fault("value_out_of_range", VALUE)


@each_case(("text", "is_sound"), [("0", True), ("1e300", True), ("-64", False), ("-0.001", False)])
def test_capacity_is_not_negative(text: str, is_sound: bool) -> None:
    found = judge_of().verdict(line(**{CAPACITY: text}))
    expected = Row(5, "srv-1", 20.5, float(text)) if is_sound else fault("unparsable_capacity", CAPACITY)
    assert found == expected


@each_case(
    ("text", "value"),
    [("20,5", 20.5), ("20", 20.0), (",5", 0.5), ("2,05e1", 20.5), ("20.5", None), ("1.020,5", None), ("1,2,3", None)],
)
def test_decimal_comma_leaves_no_point_as_it_might_stand_for_thousands(text: str, value: float | None) -> None:
    raw = f"2024-01-05;srv-1;{text};64".encode()
    found = judge_of(header=HEADER.replace(",", ";"), decimal=",").verdict(raw)
    assert found == (fault("unparsable_value", VALUE) if value is None else Row(5, "srv-1", value, 64.0))


@each_case("delimiter", [";", "\t", "|", " "])
def test_quoted_fields_are_read_between_any_delimiters(delimiter: str) -> None:
    rules = read_rules(feed=feed_settings(delimiters=[delimiter]))
    judge = judge_of(rules, HEADER.replace(",", delimiter))
    quoted = [f'"{text}"' for text in SOUND.values()]
    assert judge.verdict(delimiter.join(quoted).encode()) == ROW
    assert judge.verdict(delimiter.join(["", *quoted[1:]]).encode()) == fault("missing_date", DAY)
    assert judge.verdict(delimiter.join([*quoted[:2], '"999"', quoted[3]]).encode()) == fault(
        "value_out_of_range", VALUE
    )


def test_feed_without_capacity_asks_for_none() -> None:
    judge = judge_of(read_rules(feed=feed_settings(capacity=None)), "date,host_id,cpu_p95,max_cores")
    assert judge.verdict(line(**{CAPACITY: "many"})) == Row(5, "srv-1", 20.5, None)


def test_what_stands_in_extra_columns_does_not_matter() -> None:
    judge = judge_of(header=f"note,{HEADER},")
    assert judge.verdict(b'NaN "19"' + b"," + line() + b",") == fault("unclosed_quote")
    assert judge.verdict(b"NaN," + line() + b",\x07") == ROW


def test_column_is_named_as_the_header_spells_it() -> None:
    judge = judge_of(header="Max_Cores,CPU_p95,Server,DS")
    assert judge.verdict(b"64,x,srv-1,2024-01-05") == fault("unparsable_value", "CPU_p95")


ORDER = {
    "blank_line": b"",
    "invalid_encoding": b'\xff,"x',
    "unclosed_quote": b'"date,host_id,cpu_p95,max_cores',
    "field_count": b",,",
    "missing_date": b",,x,x",
    "unparsable_date": b"x,,x,x",
    "outside_month": b"2024-02-01,,x,x",
    "missing_host": b"2024-01-05,,x,x",
    "unknown_host": b"2024-01-05,z,x,x",
    "unparsable_value": b"2024-01-05,srv-1,x,x",
    "not_finite": b"2024-01-05,srv-1,nan,x",
    "value_out_of_range": b"2024-01-05,srv-1,101,x",
    "missing_capacity": b"2024-01-05,srv-1,,",
    "unparsable_capacity": b"2024-01-05,srv-1,,x",
}


@each_case(("reason", "raw"), ORDER.items())
def test_reason_is_the_first_fault_in_the_documented_order(reason: str, raw: bytes) -> None:
    found = judge_of(read_rules({"srv-1"})).verdict(raw)
    assert isinstance(found, Fault)
    assert found.reason == reason
