import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsim_dagster.refinery.columns import parse_columns, tidy_columns
from capsim_dagster.refinery.judge import Judge, Row
from capsim_dagster.refinery.source import Block
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.refinery.readings import HEADER, feed_settings, judge_of, read_rules

SOUND = "2024-01-05,srv-1,20.5,64"


def parsed(judge: Judge, *lines: str) -> list[Row | None]:
    """Return what the sound lines say; None = the line must be judged alone. What is tidy says the same."""
    text = "".join(f"{line}\n" for line in lines).encode()
    rows, is_sound, _ = parse_columns(text, len(lines), judge)
    found = rows_of(rows, is_sound.tolist(), judge)
    for line, row in zip(lines, found, strict=True):
        assert tidy(judge, f"{line}\n".encode()) in (None, [row]) or repr(tidy(judge, f"{line}\n".encode())) == repr(
            [row]
        )
    assert (together := tidy(judge, text)) is None or repr(together) == repr(found)
    return found


def rows_of(rows: pl.DataFrame, is_sound: list[bool], judge: Judge) -> list[Row | None]:
    names = judge.hosts.names(rows["host"].fill_null(0)) if any(is_sound) else [""] * len(is_sound)
    return [
        Row(day, host, util, capacity) if sound else None
        for (day, _, util, capacity), host, sound in zip(rows.iter_rows(), names, is_sound, strict=True)
    ]


def tidy(judge: Judge, text: bytes) -> list[Row | None] | None:
    """Return the rows of a block that is read at once; None = it is not."""
    found = tidy_columns(Block(text, 1), judge)
    return None if found is None else rows_of(found[0], [True] * found[0].height, judge)


def test_a_block_of_sound_lines_is_read_at_once() -> None:
    judge = judge_of()
    assert parsed(judge, SOUND) == [Row(5, "srv-1", 20.5, 64.0)]

    text = f"{SOUND}\n2024-01-06,srv-1,,64\n".encode()
    assert tidy(judge, text) == [Row(5, "srv-1", 20.5, 64.0), Row(6, "srv-1", None, 64.0)]


@each_case(
    "text",
    [
        b"2024-01-05,srv-2,20.5,64\n",
        b"2024-02-05,srv-1,20.5,64\n",
        b"2024-01-05,srv-1, 20.5,64\n",
        b"2024-01-05,srv-1,\t20.5,64\n",
        b"2024-01-05,srv-1,\v20.5,64\n",
        b"2024-01-05,srv-1,20.5\n2024-01-05,srv-1,20.5,64,1\n",
        b"2024-01-05,srv-1,20.5,64\n\n2024-01-06,srv-1,20.5,64\n",
        b"2024-01-05,srv-1,120.5,64\n",
        b"2024-01-05,srv-1,n/a,64\n",
        b"2024-01-05,srv-1,nan,64\n",
        b"2024-01-05,srv-1,20.5,\n",
        b"2024-01-05,,20.5,64\n",
        b",srv-1,20.5,64\n",
        b'2024-01-05,"srv-1",20.5,64\n',
        b"2024-01-05,srv-1,20.5,64\r\n",
    ],
)
def test_a_block_with_anything_else_in_it_is_read_line_by_line(text: bytes) -> None:
    judge = judge_of()
    assert tidy(judge, f"{SOUND}\n".encode()) is None  # no host is known yet
    parsed(judge, SOUND)

    assert tidy(judge, text) is None
    assert tidy_columns(Block(f"{SOUND}\n".encode(), 1, is_terminated=False), judge) is None


def test_columns_are_typed_and_there_is_one_row_a_line() -> None:
    rows, is_sound, _ = parse_columns(f"{SOUND}\nx,y,z,w\n".encode(), 2, judge_of())
    assert dict(zip(rows.columns, map(str, rows.dtypes), strict=True)) == {
        "day": "Int8",
        "host": "Int32",
        "util": "Float64",
        "capacity": "Float64",
    }
    assert is_sound.tolist() == [True, False]


def test_no_line_at_all_gives_no_row() -> None:
    rows, is_sound, _ = parse_columns(b"", 0, judge_of())
    assert (rows.height, is_sound.size) == (0, 0)


@each_case(
    "line", ["2024-01-31,srv-1,0,0", "2024-01-01,ü,100,1e300", "2024-01-01,srv-1,,64", "2024-01-01,srv-1,NULL,64"]
)
def test_sound_line_is_read_as_the_judge_reads_it(line: str) -> None:
    judge = judge_of()
    assert parsed(judge, SOUND, line) == [Row(5, "srv-1", 20.5, 64.0), judge.verdict(line.encode())]


@each_case(
    "line",
    [
        ",srv-1,1,2",
        "2024-02-01,srv-1,1,2",
        "2024-01-5,srv-1,1,2",
        " 2024-01-05,srv-1,1,2",
        "\ufeff2024-01-05,srv-1,1,2",
        "2024-01-05,,1,2",
        "2024-01-05, srv-1,1,2",
        "2024-01-05,NA,1,2",
        "2024-01-05,srv\u200b-1,1,2",
        "2024-01-05,srv-1,x,2",
        "2024-01-05,srv-1,null,2",
        "2024-01-05,srv-1,nan,2",
        "2024-01-05,srv-1,inf,2",
        "2024-01-05,srv-1,1e400,2",
        "2024-01-05,srv-1,100.1,2",
        "2024-01-05,srv-1,-0.1,2",
        "2024-01-05,srv-1,1_0,2",
        "2024-01-05,srv-1,1,",
        "2024-01-05,srv-1,1,NULL",
        "2024-01-05,srv-1,1,x",
        "2024-01-05,srv-1,1,-2",
        "2024-01-05,srv-1,1,inf",
        "2024-01-05,srv-1,1,nan",
        "2024-01-05,srv-1,,-2",
        ",,,",
        "date,host_id,cpu_p95,max_cores",
    ],
)
def test_line_with_anything_unusual_is_left_to_the_judge(line: str) -> None:
    assert parsed(judge_of(), line, SOUND) == [None, Row(5, "srv-1", 20.5, 64.0)]


def test_host_outside_the_inventory_is_left_to_the_judge() -> None:
    judge = judge_of(read_rules({"srv-1"}))
    assert parsed(judge, SOUND, SOUND.replace("srv-1", "srv-2")) == [Row(5, "srv-1", 20.5, 64.0), None]


def test_number_that_spells_no_value_is_left_to_the_judge() -> None:
    judge = judge_of(read_rules(feed=feed_settings(null_values=["0", "-1", "NaN"])))
    lines = [f"2024-01-05,srv-1,{value},{capacity}" for value, capacity in [("0", "64"), ("1", "0"), ("NaN", "64")]]
    assert parsed(judge, SOUND, *lines) == [Row(5, "srv-1", 20.5, 64.0), None, None, None]


@each_case(("text", "value"), [("20,5", 20.5), (",5", 0.5), ("20", 20.0), ("20.5", None), ("1,2,3", None)])
def test_decimal_comma_is_the_only_sign_of_its_file(text: str, value: float | None) -> None:
    judge = judge_of(header=HEADER.replace(",", ";"), decimal=",")
    assert parsed(judge, f"2024-01-05;srv-1;{text};64") == [None if value is None else Row(5, "srv-1", value, 64.0)]


@pytest.mark.parametrize(
    ("date_format", "text"),
    [("%m/%d/%Y", "01/05/2024"), ("%d.%m.%Y", "05.01.2024"), ("%Y-%m-%dT%H:%M:%SZ", "2024-01-05T00:00:00Z")],
)
def test_days_are_looked_up_in_the_format_of_the_file(date_format: str, text: str) -> None:
    judge = judge_of(date_format=date_format)
    assert parsed(judge, f"{text},srv-1,20.5,64", SOUND) == [Row(5, "srv-1", 20.5, 64.0), None]


def test_columns_are_found_wherever_they_stand() -> None:
    judge = judge_of(header="note,max_cores,cpu_p95,x,host_id,date,x")
    assert parsed(judge, "n,64,20.5,#,srv-1,2024-01-05,") == [Row(5, "srv-1", 20.5, 64.0)]


def test_feed_without_capacity_has_none() -> None:
    judge = judge_of(read_rules(feed=feed_settings(capacity=None)))
    assert parsed(judge, SOUND.replace("64", "many")) == [Row(5, "srv-1", 20.5, None)]


numbers = st.text(st.sampled_from("0123456789.+-eEinfaN_ x"), max_size=7) | st.floats(0, 120).map(repr)


@settings(max_examples=20)
@given(values=st.lists(numbers, min_size=1, max_size=20), decimal=st.sampled_from(".,"))
def test_a_number_is_never_accepted_that_the_judge_refuses_nor_read_otherwise(values: list[str], decimal: str) -> None:
    judge = judge_of(header=HEADER.replace(",", ";"), decimal=decimal)
    texts = [value.replace(".", decimal) for value in values]
    lines = [f"2024-01-05;srv-1;{text};64" for text in texts] + [f"2024-01-05;srv-1;20;{text}" for text in texts]
    for line, row in zip(lines, parsed(judge, *lines), strict=True):
        assert row is None or repr(row) == repr(judge.verdict(line.encode()))


@settings(max_examples=20)
@given(value=st.floats(0, 100))
def test_every_number_comes_back_to_the_last_bit(value: float) -> None:
    assert parsed(judge_of(), f"2024-01-05,srv-1,{value!r},64") == [Row(5, "srv-1", value, 64.0)]
