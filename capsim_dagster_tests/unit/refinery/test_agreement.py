"""The fast way to read a file and the exact one agree on any text, and nothing is lost or made up."""

import codecs
import csv
import datetime as dt
import gzip
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from capsim_dagster.refinery.dialect import Dialect, read_header
from capsim_dagster.refinery.rules import FileRefused, ReadRules
from capsim_dagster.schemas import FileFault
from capsim_dagster_tests.support.refinery.exact_reading import ExactReading, data_lines, physical_lines, read_exactly
from capsim_dagster_tests.support.refinery.readings import (
    HEADER,
    JANUARY,
    Reading,
    Said,
    feed_settings,
    read_path,
    read_rules,
    with_header,
    written,
)

HOSTILE = [*'0123456789,;"\n\r\t.-+einfaNE /:\0é\ufeff\xa0\u200b\x1a', chr(0xD800)]


def _as_utf_16(text: bytes) -> bytes:
    return text.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")


HOSTILE_FIELDS = [
    "", " ", "NULL", "null", "x", "0", "-1", "-0.5", "100.5", "101", "nan", "inf", "1e400", "1_0", " 5", "1,5", "1.5",
    "2024-01-01", "2024-01-32", "2024-02-01", "2024-1-1", "01/01/2024", "\ufeff2024-01-01", "\ufeffsrv-1", " srv-1",
    "NA", "srv-9", "a\u200bb", "a\0b", "\0", "a\r", "a\rb", '"', 'a"b', '"a""b"', '"a|b"', ' "1" ', '"1"2',
    '"2024-01-01"', '"1|2"', '"|"', '""', '""""', chr(0xDC80), "a|b", "|",
]  # fmt: skip
"""A bar stands for the delimiter."""
HALF_A_PAIR = chr(0xD800).encode("utf-8", "surrogatepass")
"""At the end of UTF-16 it is a character cut off, and told as such."""

Packed = Callable[[bytes], bytes]
PACKINGS: dict[str, Packed] = {
    "plain": lambda text: text,
    "bom": lambda text: codecs.BOM_UTF8 + text,
    "gzip": lambda text: gzip.compress(text, 1),
    "utf-16": lambda text: codecs.BOM_UTF16_LE + _as_utf_16(text),
}


@st.composite
def sound_lines(draw: st.DrawFn, delimiter: str) -> str:
    """Return a line with nothing wrong; days and hosts are few, so that some come twice."""
    comma = delimiter == ";" and draw(st.booleans())
    number = st.sampled_from(["0", "20.5", "20.50", "100", "2e1", ".5", "-0"])
    fields = [
        draw(st.sampled_from(["2024-01-01", "2024-01-02", "2024-01-31", "2024-1-2"])),
        draw(st.sampled_from(["srv-1", "srv-2", "é", "rack 3"])),
        draw(number | st.sampled_from(["", "NULL", "n/a"])),
        draw(number | st.sampled_from(["64", "64.0"])),
    ]
    if comma:
        fields[2:] = [field.replace(".", ",") for field in fields[2:]]
    if draw(st.integers(0, 4)) == 0:
        fields = [f'"{field}"' for field in fields]
    return delimiter.join(fields)


@st.composite
def damaged_lines(draw: st.DrawFn, delimiter: str) -> str:
    """Return a line to which something was done: a hostile field, or hostile characters somewhere."""
    line = draw(sound_lines(delimiter))
    if draw(st.booleans()):
        fields = line.split(delimiter)
        fields[draw(st.integers(0, 3))] = draw(st.sampled_from(HOSTILE_FIELDS)).replace("|", delimiter)
        return delimiter.join(fields)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(line)))
        end = draw(st.integers(start, min(start + 3, len(line))))
        line = line[:start] + draw(st.text(st.sampled_from(HOSTILE), max_size=3)) + line[end:]
    return line


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Return a file in UTF-8: a usable header, and lines that may hold anything."""
    delimiter = draw(st.sampled_from(",,;\t"))
    strange = st.sampled_from([HEADER.replace(",", delimiter), "", " ", delimiter * 3, "2024-02-01,srv-1,1,2", "Total"])
    anything = st.text(st.sampled_from(HOSTILE), max_size=25)
    sound, damaged = sound_lines(delimiter), damaged_lines(delimiter)
    lines = draw(st.lists(sound | sound | damaged | damaged | strange | anything, max_size=20))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    text = end * draw(st.integers(0, 1)) + end.join([HEADER.replace(",", delimiter), *lines])
    return (text + end * draw(st.integers(0, 2))).encode("utf-8", "surrogatepass")


rules = st.builds(
    read_rules,
    hosts=st.sampled_from([None, {"srv-1", "srv-2", "é", "NA", " x "}, set()]),
    conflicting_duplicates=st.sampled_from(["reject", "first", "last"]),
    unterminated_last_line=st.sampled_from(["reject", "accept"]),
    feed=st.none() | st.builds(feed_settings, null_values=st.just(["", "0", "-1", "nan"])),
)


def read_both(folder: Path, text: bytes, packed: bytes, rules: ReadRules) -> tuple[Reading, ExactReading] | None:
    """Read a file both ways; None = it was refused, and rightly so."""
    try:
        reading = read_path(written(folder, packed), rules)
    except FileRefused as refused:
        if is_refused_rightly(refused.fault, text, rules):
            return None
        raise
    return reading, read_exactly(text, rules, reading.dialect)


def is_refused_rightly(fault: FileFault, text: bytes, rules: ReadRules) -> bool:
    """Return whether a file that had a usable header must be refused."""
    header = next(line for line, _ in physical_lines(text) if line.strip())
    if b"\r" in header.strip():
        return fault in {FileFault.NO_USABLE_HEADER, FileFault.NOT_CSV}
    if not data_lines(text):
        return fault == FileFault.EMPTY
    understood = read_header(header, rules.feed, JANUARY.resource)
    dialects = [Dialect(understood, ".", text, "utf-8", frozenset()) for text in rules.feed.date_formats]
    readings = [read_exactly(text, rules, dialect) for dialect in dialects]
    return fault == FileFault.ANOTHER_MONTH and any(is_mostly_of_another_month(reading) for reading in readings)


def is_mostly_of_another_month(reading: ExactReading) -> bool:
    outside = [reason for reason, _ in reading.faults.values() if reason == "outside_month"]
    return len(outside) * 2 > len(reading.raw)


def assert_line_says(line: str, reading: Reading, rules: ReadRules, said: Said) -> None:
    """Make sure, with the reader of the standard library, that a row is what the text of its line says."""
    dialect, (day, host, util, capacity) = reading.dialect, said
    delimiter = dialect.header.delimiter
    spaced = re.sub(rf"(?!{delimiter})\s", " ", line)
    fields = [field.strip() for field in next(csv.reader([spaced], delimiter=delimiter, skipinitialspace=True))]
    texts = [fields[index] for index in dialect.header.columns]
    assert dt.datetime.strptime(texts[0], dialect.date_format).strftime("%Y%m %d") == f"202401 {day:02d}"  # noqa: DTZ007
    assert texts[1] == host
    if util is None:
        assert texts[2].casefold() in rules.null_values
    else:
        assert float(texts[2].replace(dialect.decimal, ".")) == util
    assert float(texts[3].replace(dialect.decimal, ".")) == capacity


def assert_readings_agree(text: bytes, reading: Reading, exact: ExactReading, rules: ReadRules) -> None:
    # As text, which tells 0 from -0.
    assert repr(reading.rows) == repr(exact.rows)
    assert reading.faults == exact.faults
    assert reading.lines == len(exact.raw) == len(reading.rows) + len(reading.faults)
    assert sorted([*reading.rows, *reading.faults]) == list(exact.raw) == list(data_lines(text))
    assert not is_mostly_of_another_month(exact)
    for number, said in reading.rows.items():
        assert_line_says(exact.raw[number].decode(), reading, rules, said)
    for number, shown in reading.raw.items():
        assert shown == exact.raw[number].decode("utf-8", "backslashreplace")


WITH_NOTE = f"{HEADER},note"


def hostile_lines(delimiter: str, hostile: int) -> Iterator[str]:
    """Yield a line for every choice of some columns and hostile fields in them, each with a host of its own."""
    for columns in itertools.combinations(range(5), hostile):
        for number, texts in enumerate(itertools.product(HOSTILE_FIELDS, repeat=hostile)):
            fields = ["2024-01-05", f"srv-{columns}-{number}", "20.5", "64", "note"]
            for column, text in zip(columns, texts, strict=True):
                fields[column] = text.replace("|", delimiter)
            yield delimiter.join(fields)


@pytest.mark.parametrize(
    ("turn", "delimiter", "null_values"),
    [(0, ",", ["", "NULL", "NA"]), (1, ";", ["0", "-1"]), (2, "\t", ["nan"])],
)
def test_every_pair_of_hostile_fields_is_read_as_it_is_judged(
    tmp_path: Path, turn: int, delimiter: str, null_values: list[str]
) -> None:
    """Each pair stands in a file of one of the delimiters."""
    rules = read_rules(feed=feed_settings(null_values=null_values))
    too_short = [line.removesuffix(f"{delimiter}note") for line in hostile_lines(delimiter, hostile=1)]
    lines = [*itertools.islice(hostile_lines(delimiter, hostile=2), turn, None, 3), *too_short]
    text = with_header(*lines, header=WITH_NOTE.replace(",", delimiter))
    content = text.encode("utf-8", "surrogatepass")
    both = read_both(tmp_path, content, content, rules)
    assert both is not None
    assert_readings_agree(content, *both, rules)
    assert len(set(both[0].reasons.values())) > 12


@pytest.mark.parametrize(
    ("delimiter", "hosts"),
    [(",", None), ("\t", {"srv-1", "NA", " srv-1", "", "a\u200bb"})],
    ids=["any host", "inventory"],
)
def test_every_hostile_field_is_read_as_it_is_judged_where_it_comes_first(
    tmp_path: Path, delimiter: str, hosts: set[str] | None
) -> None:
    rules = read_rules(hosts)
    for line in hostile_lines(delimiter, hostile=1):
        # An inventory matters to the column of hosts alone; after the four columns nothing is judged.
        if "srv-(4,)" in line or (hosts and "srv-(" in line):
            continue
        named = re.sub(r"srv-\(.*?\)-\d+", "srv-1", line)
        text = with_header(named, "", named.replace("01-05", "01-06"), "x", header=WITH_NOTE.replace(",", delimiter))
        content = text.encode("utf-8", "surrogatepass")
        both = read_both(tmp_path, content, content, rules)
        if both is not None:
            assert_readings_agree(content, *both, rules)


@settings(max_examples=40)
@given(text=texts(), packing=st.sampled_from(list(PACKINGS)), rules=rules)
def test_reading_a_file_is_judging_each_of_its_lines_alone(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, packing: str, rules: ReadRules
) -> None:
    assume(packing != "utf-16" or not text.endswith(HALF_A_PAIR))
    both = read_both(tmp_path_factory.getbasetemp(), text, PACKINGS[packing](text), rules)
    if both is not None:
        assert_readings_agree(text, *both, rules)


@settings(max_examples=20)
@given(text=texts(), packing=st.sampled_from(list(PACKINGS)), size=st.integers(80, 200), rules=rules)
def test_where_a_file_is_cut_into_blocks_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, packing: str, size: int, rules: ReadRules
) -> None:
    # Whether line feeds or carriage returns end the lines is seen in the first block.
    assume(b"\n" in text[:36] and not text.endswith(HALF_A_PAIR))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("capsim_dagster.refinery.source.BLOCK_BYTES", size)
        both = read_both(tmp_path_factory.getbasetemp(), text, PACKINGS[packing](text), rules)
    if both is not None:
        assert_readings_agree(text, *both, rules)


@settings(max_examples=40)
@given(text=st.text(st.sampled_from(HOSTILE), max_size=150), rules=rules)
def test_any_characters_after_a_header_are_rows_or_rejected_lines(
    tmp_path_factory: pytest.TempPathFactory, text: str, rules: ReadRules
) -> None:
    content = f"{HEADER}\n{text}".encode("utf-8", "surrogatepass")
    both = read_both(tmp_path_factory.getbasetemp(), content, content, rules)
    if both is not None:
        assert_readings_agree(content, *both, rules)


@settings(max_examples=30)
@given(content=st.binary(max_size=200))
def test_any_bytes_after_a_line_cost_their_own_lines_alone(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    text = f"{HEADER}\n2024-01-01,a,1,2\n".encode() + content
    both = read_both(tmp_path_factory.getbasetemp(), text, text, read_rules())
    assert both is not None
    assert_readings_agree(text, *both, read_rules())
    assert both[0].rows == {2: (1, "a", 1.0, 2.0)}


@settings(max_examples=30)
@given(content=st.binary(max_size=200))
def test_any_bytes_without_a_header_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with pytest.raises(FileRefused):
        read_path(written(tmp_path_factory.getbasetemp(), content))
