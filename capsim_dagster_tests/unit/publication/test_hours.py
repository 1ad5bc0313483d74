"""Hour files: only one that can be read to its end, and holds something, is whole."""

import hashlib
from pathlib import Path

import pytest

from capsim_dagster.publication.hour_files import HourState, inspect_day, look_whole
from capsim_dagster_tests.support.publication.days import DAY, hour_file, hour_lines, text_of, write_hour


def state_of(root: Path, hour: int) -> HourState:
    return inspect_day(root / "archive", DAY)[hour].state


def test_every_hour_of_a_whole_day_is_whole_with_its_size_digest_and_lines(root: Path) -> None:
    hours = inspect_day(root / "archive", DAY)

    assert [hour.hour for hour in hours] == list(range(24))
    for hour in hours:
        content = hour_file(root, hour.hour).read_bytes()
        assert (hour.state, hour.bytes, hour.lines) == (HourState.WHOLE, len(content), 24)
        assert hour.sha256 == hashlib.sha256(content).hexdigest()
    assert look_whole(root / "archive", DAY)


def test_a_folder_that_is_not_there_is_24_missing_hours(tmp_path: Path) -> None:
    assert {hour.state for hour in inspect_day(tmp_path, DAY)} == {HourState.MISSING}
    assert not look_whole(tmp_path, DAY)


def test_an_hour_that_has_only_its_part_file_is_open(root: Path) -> None:
    path = hour_file(root, 23)
    path.rename(path.with_name(path.name + ".part"))

    assert state_of(root, 23) is HourState.OPEN


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0"], ids=["bytes", "lines"]
)
def test_an_hour_without_bytes_or_without_lines_is_empty(root: Path, content: bytes) -> None:
    hour_file(root, 7).write_bytes(content)

    assert state_of(root, 7) is HourState.EMPTY


@pytest.mark.parametrize("kept", [2, 5, 0.3, 0.5, 0.7, -1])
def test_a_file_that_is_cut_anywhere_inside_a_member_is_truncated(root: Path, kept: float) -> None:
    path = hour_file(root, 7)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else int(kept)])

    assert state_of(root, 7) is HourState.TRUNCATED


@pytest.mark.parametrize("place", [0, 1, -12, -6])
def test_a_file_with_a_flipped_bit_in_header_content_or_checksum_is_damaged(root: Path, place: int) -> None:
    path = hour_file(root, 7)
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)

    assert state_of(root, 7) in (HourState.DAMAGED, HourState.TRUNCATED)


def test_a_last_line_without_an_end_counts(root: Path) -> None:
    write_hour(root, 7, text_of(hour_lines(7)).rstrip(b"\n"))

    assert inspect_day(root / "archive", DAY)[7].lines == 24
