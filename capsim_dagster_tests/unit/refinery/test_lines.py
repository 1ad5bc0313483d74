import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsim_dagster.refinery.columns import Lines, line_ends, scan_lines
from capsim_dagster.refinery.dialect import cut_fields
from capsim_dagster.refinery.source import Block
from capsim_dagster_tests.support.cases import each_case

WIDTH = 3
SOUND = b"1,2,3"


def scanned(*lines: bytes, delimiter: str = ",", first_line: int = 2, is_terminated: bool = True) -> Lines:
    text = b"".join(line + b"\n" for line in lines)
    return scan_lines(Block(text, first_line, is_terminated), delimiter, WIDTH)


@each_case(
    "line",
    [
        SOUND,
        b",,",
        b" 1 , 2 ,\t3 ",
        b'"1",2,"3"',
        b'"","",""',
        b'" 1 ",2,3',
        "é,ü,🖥".encode(),
        "1,2,\u2028\x85".encode(),
        b"\x0b,\x0c,\x1a",
        b"1.5;2,a b,-",
        b"x" * 100_000 + b",2,3",
    ],
)
def test_line_of_the_right_width_is_plain(line: bytes) -> None:
    found = scanned(SOUND, line, SOUND)
    assert found.is_plain.tolist() == [True] * 3
    assert found.plain_text == b"\n".join([SOUND, line.replace(b'"', b""), SOUND, b""])


@each_case(
    "line",
    [
        b"",
        b" ",
        b"1,2",
        b"1,2,3,4",
        b"1;2;3",
        b"1,2,3\r",
        b"1\r,2,3",
        b"1,\0,3",
        b"1,2,\xff",
        b"1,\xc3,3",
        b"1,\xed\xa0\x80,3",
        b'1,"2,3',
        b'1,2",3',
        b'1,2"2,3',
        b'1,"2"2,3',
        b'1,"2"",3',
        b'1,"2""2",3',
        b'1, "2",3',
        b'1,"2" ,3',
        b'"1,2",3',
        b'1,"2,2",3',
        b'"1,"2",3"',
        b'1,"2","3',
        b'1,2,"',
        b'",2,3"',
        b'1,"""",3',
        b'"""1""",2,3',
    ],
)
def test_line_that_cannot_be_cut_at_its_delimiters_is_not_plain_and_hides_no_other(line: bytes) -> None:
    found = scanned(SOUND, line, b'"4",5,6')
    assert found.is_plain.tolist() == [True, False, True]
    assert found.plain_text == SOUND + b"\n4,5,6\n"
    assert found.raw(1) == line


@each_case("delimiter", [",", ";", "\t", "|", " "])
def test_width_is_counted_in_the_delimiter_of_the_file(delimiter: str) -> None:
    lines = [b",".join([b"1"] * 3), b";".join([b"1"] * 3), b"\t".join([b"1"] * 3), b"|".join([b"1"] * 3), b"1 1 1"]
    found = scanned(*lines, delimiter=delimiter)
    assert found.is_plain.tolist() == [delimiter.encode() in line for line in lines]


def test_delimiter_beyond_ascii_leaves_no_line_plain() -> None:
    assert not scanned("1¦2¦3".encode(), delimiter="¦").is_plain.any()


def test_last_line_without_an_end_is_not_plain() -> None:
    found = scanned(SOUND, SOUND, is_terminated=False)
    assert found.is_plain.tolist() == [True, False]


def test_one_bad_byte_leaves_lines_with_sound_characters_of_their_block_to_the_judge_and_no_other() -> None:
    found = scanned(SOUND, "é,2,3".encode(), b"\xff,2,3", SOUND)
    assert found.is_plain.tolist() == [True, False, False, True]


@pytest.mark.parametrize(("line", "has_quotes"), [(SOUND, False), (b'"1",2,3', True), (b'"1,2,3', False)])
def test_quotes_are_reported_where_a_plain_line_has_them(line: bytes, has_quotes: bool) -> None:
    assert scanned(SOUND, line).has_quotes is has_quotes


def test_lines_are_numbered_from_the_first_of_the_block() -> None:
    found = scanned(b"a", b"", b"ccc", first_line=7)
    assert found.numbers.tolist() == [7, 8, 9]
    assert [found.raw(index) for index in range(3)] == [b"a", b"", b"ccc"]


def test_line_ends_are_the_line_feeds_alone() -> None:
    assert line_ends(b"a\nb\r\n\n").tolist() == [1, 4, 5]


hostile_text = st.text(st.sampled_from('12",\t\r\0 é'), max_size=9).map(str.encode)
hostile_bytes = st.binary(max_size=4).map(lambda raw: raw.replace(b"\n", b""))


@settings(max_examples=40)
@given(lines=st.lists(hostile_text | hostile_bytes, min_size=1, max_size=12), delimiter=st.sampled_from(",\t"))
def test_a_plain_line_has_the_fields_that_the_exact_cut_gives(lines: list[bytes], delimiter: str) -> None:
    found = scanned(*lines, delimiter=delimiter)
    fast = [line.split(delimiter) for line in found.plain_text.decode().split("\n")[:-1]]
    exact = [cut_fields(line.decode(), delimiter) for line, plain in zip(lines, found.is_plain, strict=True) if plain]
    assert fast == exact
