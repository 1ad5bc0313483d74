import codecs
import gzip
import hashlib
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from capsim_dagster.refinery.rules import FileRefused
from capsim_dagster.refinery.source import Block, FeedSource
from capsim_dagster.schemas import FileFault
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.refinery.readings import written


def packed(content: bytes) -> bytes:
    """Return a gzip member without a time, so that each run sees the same bytes."""
    return gzip.compress(content, mtime=0)


BLOCK_BYTES = "capsim_dagster.refinery.source.BLOCK_BYTES"
PLAIN = b"date,host\n2024-01-01,a\n\n2024-01-02,\xc3\xa9\n"
"""Four lines, one of them blank, one with a character of two bytes."""


def blocks(path: Path) -> list[Block]:
    return list(FeedSource(path).blocks())


def text_of(path: Path) -> bytes:
    return b"".join(block.text for block in blocks(path))


def traits_of(path: Path) -> set[str]:
    source = FeedSource(path)
    list(source.blocks())
    return {trait.value for trait in source.traits}


def fault_of(path: Path) -> FileFault:
    with pytest.raises(FileRefused) as caught:
        text_of(path)
    assert caught.value.remedy
    return caught.value.fault


def utf_16(text: bytes, order: str) -> bytes:
    return text.decode().encode(f"utf-16-{order}")


PACKED = {
    "plain": (PLAIN, set()),
    "bom": (codecs.BOM_UTF8 + PLAIN, {"bom"}),
    "crlf": (PLAIN.replace(b"\n", b"\r\n"), {"crlf"}),
    "some crlf": (PLAIN.replace(b"\n", b"\r\n", 2), {"crlf"}),
    "cr": (PLAIN.replace(b"\n", b"\r"), {"cr"}),
    "utf-16-le": (codecs.BOM_UTF16_LE + utf_16(PLAIN, "le"), {"utf_16"}),
    "utf-16-be": (codecs.BOM_UTF16_BE + utf_16(PLAIN, "be"), {"utf_16"}),
    "utf-16-le without mark": (utf_16(PLAIN, "le"), {"utf_16"}),
    "utf-16-be without mark": (utf_16(PLAIN, "be"), {"utf_16"}),
    "gzip": (packed(PLAIN), {"gzip"}),
    "gzip of two members": (packed(PLAIN[:25]) + packed(PLAIN[25:]), {"gzip"}),
    "gzip with an empty member": (packed(b"") + packed(PLAIN), {"gzip"}),
    "gzip with zeros behind": (packed(PLAIN) + bytes(512), {"gzip"}),
    "gzip of crlf of utf-16": (
        packed(codecs.BOM_UTF16_LE + utf_16(PLAIN.replace(b"\n", b"\r\n"), "le")),
        {"gzip", "utf_16", "crlf"},
    ),
}


@each_case(("content", "traits"), PACKED.values())
def test_every_packing_gives_the_same_lines_and_is_recorded(tmp_path: Path, content: bytes, traits: set[str]) -> None:
    path = written(tmp_path, content)
    assert blocks(path) == [Block(PLAIN, 1)]
    assert traits_of(path) == traits


@each_case("size", [40, 41, 42, 43, 44, 45, 46])
@each_case(("content", "traits"), PACKED.values())
def test_a_cut_between_blocks_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, traits: set[str], size: int
) -> None:
    path = written(tmp_path, content)
    monkeypatch.setattr(BLOCK_BYTES, size)
    assert text_of(path) == PLAIN
    assert traits_of(path) == traits


@each_case("name", [name for name in PACKED if name != "cr"])
@each_case("size", [5, 7, 11])
def test_lines_longer_than_a_block_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int
) -> None:
    monkeypatch.setattr(BLOCK_BYTES, size)
    assert text_of(written(tmp_path, PACKED[name][0])) == PLAIN


def test_blocks_say_the_numbers_of_their_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BLOCK_BYTES, 12)
    found = blocks(written(tmp_path, b"one\ntwo\nthree\n\nfive\nsix"))
    assert found == [
        Block(b"one\ntwo\n", 1),
        Block(b"three\n\nfive\n", 3),
        Block(b"six\n", 6, is_terminated=False),
    ]


@each_case(
    ("content", "lines", "is_terminated"),
    [
        (b"a", b"a\n", False),
        (b"a\n", b"a\n", True),
        (b"a\r", b"a\r\n", False),
        (b"a\r\n", b"a\n", True),
        (b"a\rb", b"a\nb\n", False),
        (b"a\rb\r", b"a\nb\n", True),
        (b"a\r\r\n", b"a\r\n", True),
        (b"a\nb\r", b"a\nb\r\n", False),
        (b"a\rb\nc\n", b"a\rb\nc\n", True),
        (b"\n\n", b"\n\n", True),
        (b"a\x0bb\x0cc\x1cd\xc2\x85e\xe2\x80\xa8f\n", b"a\x0bb\x0cc\x1cd\xc2\x85e\xe2\x80\xa8f\n", True),
    ],
)
def test_a_line_ends_at_a_line_feed_or_where_there_is_none_at_a_carriage_return(
    tmp_path: Path, content: bytes, lines: bytes, is_terminated: bool
) -> None:
    found = blocks(written(tmp_path, content))
    assert b"".join(block.text for block in found) == lines
    assert found[-1].is_terminated is is_terminated


def test_bytes_that_are_no_text_stand_as_they_are(tmp_path: Path) -> None:
    content = b"a\xff\xfe\n\xed\xa0\x80\n\0\n"
    assert text_of(written(tmp_path, content)) == content


@each_case("order", ["le", "be"])
@each_case("half", [0xD800, 0xDC00])
def test_half_a_surrogate_pair_is_no_text_and_costs_its_place_alone(tmp_path: Path, order: str, half: int) -> None:
    content = f"\ufeffdate,host\na{chr(half)},b\nemoji 🖥\n".encode(f"utf-16-{order}", "surrogatepass")
    first, second, third = text_of(written(tmp_path, content)).splitlines()
    assert (first, third.decode()) == (b"date,host", "emoji 🖥")
    with pytest.raises(UnicodeDecodeError):
        second.decode()


def test_surrogate_pair_cut_by_a_block_is_one_character(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "date,🖥🖥🖥🖥\n"
    for size in range(4, 12):
        monkeypatch.setattr(BLOCK_BYTES, size)
        assert text_of(written(tmp_path, text.encode("utf-16"))) == text.encode()


@each_case("rest", [b"a", b"\x3d\xd8", b"\x3d\xd8\x00"])
def test_utf_16_cut_within_a_character_ends_in_no_text(tmp_path: Path, rest: bytes) -> None:
    *_, last = blocks(written(tmp_path, "date,host\n".encode("utf-16") + rest))
    assert not last.is_terminated
    with pytest.raises(UnicodeDecodeError):
        last.text.decode()


@settings(max_examples=20)
@given(content=st.binary(min_size=1, max_size=60))
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_any_bytes_give_lines_that_end_in_line_feeds(
    tmp_path_factory: pytest.TempPathFactory, mark: bytes, content: bytes
) -> None:
    assume(mark or not content.startswith(b"\x1f\x8b"))
    path = written(tmp_path_factory.getbasetemp(), mark + content)
    line = 1
    for block in blocks(path):
        assert block.text.endswith(b"\n")
        assert block.first_line == line
        line += block.text.count(b"\n")


def test_digest_and_size_are_of_the_file_on_disk(tmp_path: Path) -> None:
    content = packed(PLAIN)
    source = FeedSource(written(tmp_path, content))
    assert (source.bytes, source.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_file_can_be_read_twice(tmp_path: Path) -> None:
    source = FeedSource(written(tmp_path, PACKED["gzip of crlf of utf-16"][0]))
    assert list(source.blocks()) == list(source.blocks())


def test_empty_file_is_refused(tmp_path: Path) -> None:
    assert fault_of(written(tmp_path, b"")) == FileFault.EMPTY


@each_case("content", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, packed(b"")])
def test_packing_without_content_gives_no_block(tmp_path: Path, content: bytes) -> None:
    assert blocks(written(tmp_path, content)) == []


@each_case("kept", [2, 5, 12, -9, -1])
def test_gzip_that_is_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    assert fault_of(written(tmp_path, packed(PLAIN)[:kept])) == FileFault.UNREADABLE_GZIP


@each_case("place", [12, -6, -2])
def test_gzip_that_is_damaged_is_refused(tmp_path: Path, place: int) -> None:
    content = bytearray(packed(PLAIN * 9))
    content[place] ^= 0xFF
    assert fault_of(written(tmp_path, bytes(content))) == FileFault.UNREADABLE_GZIP


def test_gzip_with_other_bytes_behind_is_refused(tmp_path: Path) -> None:
    assert fault_of(written(tmp_path, packed(PLAIN) + b"rest")) == FileFault.UNREADABLE_GZIP


def test_folder_and_absent_file_are_unreadable(tmp_path: Path) -> None:
    assert fault_of(tmp_path) == FileFault.UNREADABLE
    assert fault_of(tmp_path / "absent.csv") == FileFault.UNREADABLE


def test_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BLOCK_BYTES, 1000)
    monkeypatch.setattr("capsim_dagster.refinery.source.MAX_LINE_BYTES", 5000)
    path = written(tmp_path, PLAIN + bytes(4000))
    assert text_of(path).startswith(PLAIN)
    assert fault_of(written(tmp_path, PLAIN + bytes(50_000))) == FileFault.NOT_CSV
