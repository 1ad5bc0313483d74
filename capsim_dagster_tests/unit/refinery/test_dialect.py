import json

import pytest

from capsim_dagster.refinery.dialect import (
    MAX_HEADER_BYTES,
    Dialect,
    choose_date_format,
    choose_decimal,
    cut_fields,
    days_of_month,
    parse_date,
    read_header,
    traits_of,
)
from capsim_dagster.refinery.rules import FileRefused
from capsim_dagster.schemas import DialectTrait, FileFault, Resource
from capsim_dagster.settings import LegacyFeed
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.refinery.readings import HEADER, feed_settings

US, GERMAN, BRITISH, ISO = "%m/%d/%Y", "%d.%m.%Y", "%d/%m/%Y", "%Y-%m-%d"

HEADERS = {
    "plain": (HEADER, (0, 1, 2, 3), ",", set()),
    "semicolon": (HEADER.replace(",", ";"), (0, 1, 2, 3), ";", set()),
    "tab": (HEADER.replace(",", "\t"), (0, 1, 2, 3), "\t", set()),
    "quoted": ('"date","host_id","cpu_p95","max_cores"', (0, 1, 2, 3), ",", set()),
    "tab and quoted": ('"date"\t"host_id"\t"cpu_p95"\t"max_cores"', (0, 1, 2, 3), "\t", set()),
    "capitals": ("DATE,Host_ID,cpu_P95,Max_Cores", (0, 1, 2, 3), ",", {"header_case"}),
    "padded": (" date , host_id,cpu_p95\t,\xa0max_cores", (0, 1, 2, 3), ",", {"header_case"}),
    "padded in quotes": ('" date ",host_id,cpu_p95,max_cores', (0, 1, 2, 3), ",", {"header_case"}),
    "carriage return": (HEADER + "\r", (0, 1, 2, 3), ",", set()),
    "alias of the day": ("ds,host_id,cpu_p95,max_cores", (0, 1, 2, 3), ",", {"header_alias"}),
    "alias of the host": ("date,server,cpu_p95,max_cores", (0, 1, 2, 3), ",", {"header_alias"}),
    "alias in capitals": ("date,SERVER,cpu_p95,max_cores", (0, 1, 2, 3), ",", {"header_alias", "header_case"}),
    "other order": ("max_cores,cpu_p95,host_id,date", (3, 2, 1, 0), ",", {"column_order"}),
    "extra columns": ("site,date,host_id,note,cpu_p95,max_cores,", (1, 2, 4, 5), ",", {"extra_columns"}),
    "extra column in capitals": ("date,host_id,cpu_p95,max_cores,SITE", (0, 1, 2, 3), ",", {"extra_columns"}),
    "extra columns of one name": ("x,date,x,host_id,x,cpu_p95,max_cores", (1, 3, 5, 6), ",", {"extra_columns"}),
    "extra column with a delimiter": (f'{HEADER},"site, floor"', (0, 1, 2, 3), ",", {"extra_columns"}),
    "extra column with a quote": (f'{HEADER},"19"" rack"', (0, 1, 2, 3), ",", {"extra_columns"}),
    "extra column of other encoding": (f"{HEADER},b\udce9timent", (0, 1, 2, 3), ",", {"extra_columns"}),
    "second name of the day": ("timestamp,date,host_id,cpu_p95,max_cores", (1, 2, 3, 4), ",", {"extra_columns"}),
    "unclosed quote": ('"date,host_id,cpu_p95,max_cores', (0, 1, 2, 3), ",", {"header_case"}),
    "other delimiter within labels": ("date;host_id;cpu_p95;max_cores;a,b", (0, 1, 2, 3), ";", {"extra_columns"}),
}
UNUSABLE = {
    "other labels": ("day,node,cpu,cores", "no column host_id or host or hostname or server among day, node, cpu, c"),
    "no day": ("host_id,cpu_p95,max_cores", "no column date or ds or day or timestamp among host_id, cpu_p95"),
    "no value": ("date,host_id,max_cores", "no column cpu_p95 among date, host_id, max_cores"),
    "no capacity": ("date,host_id,cpu_p95", "no column max_cores among"),
    "another resource": ("date,host_id,memory_p95,memory_gb", "no column cpu_p95 among"),
    "column twice": ("date,host_id,cpu_p95,CPU_P95,max_cores", "column cpu_p95 stands 2 times"),
    "unknown delimiter": ("date|host_id|cpu_p95|max_cores", "no column date or ds or day or timestamp among date|host"),
    "two delimiters": ("date,host_id;cpu_p95,max_cores", "among date, host_id;cpu_p95, max_cores"),
    "separator line": ("sep=;", "the header is 'sep=;'"),
    "byte order mark twice": ("\ufeffdate,host_id,cpu_p95,max_cores", r"among \ufeffdate"),
    "data": ("2024-01-01,srv-000001,20.5,64", "no column date"),
    "web page": ("<!DOCTYPE html>", "the header is '<!DOCTYPE html>'"),
    "carriage return within": (f"{HEADER},site\r2024-01-01,a,1,2,x", "carriage return"),
    "long": ("x" * 5000, "'" + "x" * 120 + "…'"),
}


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@each_case(("text", "columns", "delimiter", "traits"), HEADERS.values())
def test_header_is_understood_however_it_is_written(
    text: str, columns: tuple[int, ...], delimiter: str, traits: set[str]
) -> None:
    header = read_header(encoded(text), feed_settings(), Resource.CPU)
    assert (header.columns, header.delimiter, set(header.traits)) == (columns, delimiter, traits)
    assert (header.date, header.host, header.value, header.capacity) == columns


@each_case(("text", "says"), UNUSABLE.values())
def test_header_without_its_columns_is_refused_with_what_it_is(text: str, says: str) -> None:
    with pytest.raises(FileRefused) as caught:
        read_header(encoded(text), feed_settings(), Resource.CPU)
    assert caught.value.fault == FileFault.NO_USABLE_HEADER
    assert says in caught.value.found


@each_case(
    "line",
    [b"PK\x03\x04\x14\x00", b"\x1f\x8b\x08\x00", b"\xff" * 8, b"date,\0,host", b"\x7fELF", b"%PDF-1.7\x0e", b"\x1b[0m"],
)
def test_binary_content_is_no_csv(line: bytes) -> None:
    fault = FileFault.NOT_CSV if line != b"\x7fELF" else FileFault.NO_USABLE_HEADER
    with pytest.raises(FileRefused) as caught:
        read_header(line, feed_settings(), Resource.CPU)
    assert caught.value.fault == fault


def test_header_may_be_long_but_not_without_end() -> None:
    room = MAX_HEADER_BYTES - len(HEADER)
    assert read_header(encoded(HEADER + "," * room), feed_settings(), Resource.CPU).width == room + 4
    with pytest.raises(FileRefused):
        read_header(encoded(HEADER + "," * (room + 1)), feed_settings(), Resource.CPU)


def test_labels_of_the_settings_are_compared_without_case_and_padding() -> None:
    feed = feed_settings(date_columns=[" Datum "], host_columns=["Größe", "node_name"])
    header = read_header("DATUM,GRÖSSE,cpu_p95,max_cores".encode(), feed, Resource.CPU)
    assert header.columns == (0, 1, 2, 3)


def test_first_name_that_a_header_has_is_meant() -> None:
    header = read_header(b"hostname,host,date,cpu_p95,max_cores", feed_settings(), Resource.CPU)
    assert header.host == 1


def test_feed_without_capacity_reads_three_columns() -> None:
    header = read_header(b"cpu_p95,date,host_id,max_cores", feed_settings(capacity=None), Resource.CPU)
    assert (header.columns, header.capacity, header.width) == ((1, 2, 0), None, 4)
    assert header.traits == {DialectTrait.COLUMN_ORDER, DialectTrait.EXTRA_COLUMNS}


def test_first_delimiter_that_yields_the_columns_is_taken() -> None:
    feed = feed_settings(delimiters=["|", ";"])
    header = read_header(encoded(HEADER.replace(",", "|") + "|a;b"), feed, Resource.CPU)
    assert (header.delimiter, header.labels[-1]) == ("|", "a;b")


@each_case(
    ("text", "fields"),
    [
        ("a,b,c", ["a", "b", "c"]),
        ("", [""]),
        (",", ["", ""]),
        ('"a","b"', ["a", "b"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a""b",c', ['a"b', "c"]),
        ('"","""",""""""', ["", '"', '""']),
        (' "a" , "b" ', ["a", "b"]),
        ('a, b ,"c"', ["a", " b ", "c"]),
        ('a,"', None),
        ('"a,b', None),
        ('a"b,c', None),
        ('"a"b,c', None),
        ('"a" "b",c', None),
        ('"a"",b', None),
        ('a,"b"c', None),
        ('"""', None),
    ],
)
def test_line_is_cut_at_delimiters_outside_of_quotes(text: str, fields: list[str] | None) -> None:
    assert cut_fields(text, ",") == fields
    tabbed = fields and [field.replace(",", "\t") for field in fields]
    assert cut_fields(text.replace(",", "\t"), "\t") == tabbed


@pytest.mark.parametrize("delimiter", ["\t", " ", "\xa0"])
def test_white_space_that_is_the_delimiter_is_no_padding(delimiter: str) -> None:
    text = delimiter.join(["", '"a"', "", '"b"', ""])
    assert cut_fields(text, delimiter) == ["", "a", "", "b", ""]


def test_unclosed_quote_at_the_end_of_a_very_long_line_is_found_at_once() -> None:
    assert cut_fields('"' + 'a""' * 300_000, ",") is None
    assert cut_fields(" " * 100_000 + '"a', ",") is None


DAYS = [f"{day:02d}" for day in range(1, 32)]


@each_case(
    ("dates", "month", "chosen"),
    [
        ([f"01/{day}/2024" for day in DAYS], 202401, US),
        ([f"{day}/01/2024" for day in DAYS], 202401, BRITISH),
        (["01/02/2024"], 202401, US),
        (["01/02/2024"], 202402, BRITISH),
        (["02/02/2024"], 202402, US),
        ([f"{day}/05/2024" for day in DAYS[:12]] + ["05/13/2024"], 202405, BRITISH),
        ([f"1/{int(day)}/2024" for day in DAYS], 202401, US),
        ([f"{int(day)}/1/2024" for day in DAYS[:12]], 202401, BRITISH),
        ([f"01/{day}/2024" for day in DAYS], 202402, US),
        ([f"{day}/01/2024" for day in DAYS], 202402, BRITISH),
        (["2024-01-01", "", "2024-01-01", "x", "01/02/2024"], 202401, ISO),
        (["2024-01-01"] * 3 + ["01/02/2024"] * 4, 202401, US),
        (["01.02.2024"] * 3 + ["NULL"] * 40, 202402, GERMAN),
        (["2023-05-01"], 202401, ISO),
        (["x"], 202401, US),
        ([], 202401, US),
    ],
)
def test_date_format_is_the_one_by_which_most_days_lie_in_the_month(dates: list[str], month: int, chosen: str) -> None:
    assert choose_date_format(dates, month, [US, GERMAN, BRITISH, ISO]) == chosen


@each_case(
    ("values", "candidates", "sign"),
    [
        (["1.5", "2"], ".,", "."),
        (["1,5", "2"], ".,", ","),
        (["1,5", "2.5", "3.5"], ".,", "."),
        (["1,5", "2.5"], ".,", "."),
        (["1,5", "2.5"], ",.", ","),
        (["1", "x"], ".,", "."),
        ([], ",.", ","),
        (["1,5"], ".", "."),
    ],
)
def test_decimal_sign_is_the_one_that_most_values_have(values: list[str], candidates: str, sign: str) -> None:
    assert choose_decimal(values, list(candidates)) == sign


@each_case(
    ("text", "date_format", "day"),
    [
        ("2024-02-29", ISO, "2024-02-29"),
        ("2023-02-29", ISO, None),
        ("2024-1-5", ISO, "2024-01-05"),
        ("2024-01-05 ", ISO, None),
        ("24-01-05", ISO, None),
        ("2024-W01-5", ISO, None),
        ("0000-01-01", ISO, None),
        ("2024-01-05T00:00:00", "%Y-%m-%dT%H:%M:%S", "2024-01-05"),
        ("2024-01-05T13:30:00", "%Y-%m-%dT%H:%M:%S", None),
        ("2024-01-05T00:00:60", "%Y-%m-%dT%H:%M:%S", None),
        ("2024-01-05T00:00:00+01:00", "%Y-%m-%dT%H:%M:%SZ", None),
        ("\uff12\uff10\uff12\uff14-01-05", ISO, None),
        ("\u0662\u0660\u0662\u0664-01-05", ISO, None),
        ("2024-01-05\n", ISO, None),
        ("", ISO, None),
    ],
)
def test_date_is_a_day_of_the_calendar_at_midnight_in_plain_digits(
    text: str, date_format: str, day: str | None
) -> None:
    found = parse_date(text, date_format)
    assert (found and found.isoformat()) == day


@each_case(("month", "days"), [(202401, 31), (202402, 29), (202302, 28), (210002, 28), (202404, 30)])
def test_month_has_each_of_its_days_once(month: int, days: int) -> None:
    found = days_of_month(month, GERMAN)
    assert list(found.values()) == list(range(1, days + 1))
    assert all(parse_date(text, GERMAN) is not None for text in found)


@each_case(
    ("header", "decimal", "date_format", "traits"),
    [
        (HEADER, ".", ISO, set()),
        (HEADER.replace(",", ";"), ",", ISO, {"semicolon", "decimal_comma"}),
        (HEADER.replace(",", "\t").upper(), ".", US, {"tab", "header_case", "date_format"}),
        (HEADER.replace(",", "|"), ".", ISO, {"other_delimiter"}),
    ],
)
def test_what_differs_from_the_plain_feed_is_a_trait(
    header: str, decimal: str, date_format: str, traits: set[str]
) -> None:
    feed: LegacyFeed = feed_settings(delimiters=[",", ";", "\t", "|"])
    understood = read_header(header.encode(), feed, Resource.CPU)
    assert traits_of(understood, decimal=decimal, date_format=date_format, feed=feed) == traits


def test_dialect_is_kept_as_json() -> None:
    header = read_header(HEADER.encode(), feed_settings(), Resource.CPU)
    dialect = Dialect(header, ".", ISO, "utf-8", frozenset({DialectTrait.GZIP, DialectTrait.BOM}))
    assert json.loads(dialect.as_json()) == {
        "encoding": "utf-8",
        "delimiter": ",",
        "decimal": ".",
        "dates": ISO,
        "traits": ["bom", "gzip"],
    }
