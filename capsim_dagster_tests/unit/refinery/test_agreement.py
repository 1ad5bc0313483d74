"""The fast way to read a file and the exact one agree on any text, and nothing is lost or made up."""

import codecs
import gzip
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from capsim_dagster.refinery.rules import FileRefused, ReadRules
from capsim_dagster_tests.support.refinery.agreement import HOSTILE_FIELDS, assert_readings_agree, read_both
from capsim_dagster_tests.support.refinery.readings import (
    HEADER,
    feed_settings,
    read_path,
    read_rules,
    written,
)

HOSTILE = [*'0123456789,;"\n\r\t.-+einfaNE /:\0é\ufeff\xa0\u200b\x1a', chr(0xD800)]


def _as_utf_16(text: bytes) -> bytes:
    return text.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")


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
