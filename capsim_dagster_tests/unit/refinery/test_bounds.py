"""What a feed file may cost: it is read no further where it holds what no telemetry does, or is no longer the same."""

import gzip
import os
from pathlib import Path

import pytest

from capsim_dagster.refinery import source
from capsim_dagster.refinery.read import read_feed_file
from capsim_dagster.refinery.rules import FileRefused, HostTable
from capsim_dagster.refinery.source import FeedSource
from capsim_dagster.schemas import FileFault
from capsim_dagster_tests.support.refinery.readings import HEADER, JANUARY, read_rules, read_text, with_header, written

SOUND = "2024-01-05,h1,5.5,16"


def refusal_of(path: Path, max_rejected_lines: int = 100_000) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        read_feed_file(FeedSource(path), JANUARY, HostTable(read_rules(max_rejected_lines=max_rejected_lines)))
    return caught.value


def lines(*numbers: int) -> list[str]:
    return [f"2024-01-05,h{number},5.5,16" for number in numbers]


@pytest.mark.parametrize("pack", [bytes, lambda content: gzip.compress(content, mtime=0)], ids=["plain", "gzip"])
def test_file_that_is_replaced_between_digest_and_reading_is_refused(tmp_path: Path, pack: type[bytes]) -> None:
    path, other = tmp_path / "cpu.csv", tmp_path / "other.csv"
    path.write_bytes(pack(with_header(SOUND).encode()))
    other.write_bytes(pack(with_header(SOUND.replace("5.5", "6.5")).encode()))
    opened = FeedSource(path)
    os.replace(other, path)  # noqa: PTH105 as another program does

    with pytest.raises(FileRefused) as caught:
        read_feed_file(opened, JANUARY, HostTable(read_rules()))

    assert caught.value.fault == FileFault.CHANGED
    assert "replaced or written while it was read" in caught.value.found


def test_file_that_is_written_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK_BYTES", 1 << 14)
    path = written(tmp_path, with_header(*lines(*range(10_000))))
    blocks = FeedSource(path).blocks()
    next(blocks)
    with path.open("r+b") as stream:
        stream.seek(-20, os.SEEK_END)
        stream.write(b"7")

    with pytest.raises(FileRefused) as caught:
        list(blocks)

    assert caught.value.fault == FileFault.CHANGED


@pytest.mark.parametrize(
    ("bad", "reasons"),
    [
        (["x"] * 4, "field_count 4"),
        ([SOUND] * 5, "a host and day once more 4"),
        (["x", "x", SOUND, SOUND, SOUND], "exact_duplicate 2, field_count 2"),
        (["", "", "", "", SOUND], "blank_line 4"),
    ],
    ids=["field count", "duplicates", "both", "blank lines"],
)
def test_file_with_more_rejected_lines_than_allowed_is_refused_with_their_counts(
    tmp_path: Path, bad: list[str], reasons: str
) -> None:
    path = written(tmp_path, with_header(*lines(*range(10, 20)), *bad))

    refusal = refusal_of(path, max_rejected_lines=3)

    assert refusal.fault == FileFault.TOO_MANY_REJECTED
    assert f"4 rejected lines by line {11 + len(bad)} ({reasons})" in refusal.found
    assert len(read_feed_file(FeedSource(path), JANUARY, HostTable(read_rules(max_rejected_lines=4))).rejected) == 4


def test_blank_lines_at_the_end_are_no_rejected_lines(tmp_path: Path) -> None:
    reading = read_text(tmp_path, with_header(SOUND) + "\n" * 50, read_rules(max_rejected_lines=0))

    assert (reading.lines, reading.faults) == (1, {})


def test_file_of_another_month_is_called_so_although_it_is_read_no_further(tmp_path: Path) -> None:
    path = written(tmp_path, with_header(*(f"2023-12-05,h{number},5.5,16" for number in range(100))))

    refusal = refusal_of(path, max_rejected_lines=10)

    assert refusal.fault == FileFault.ANOTHER_MONTH
    assert "2023-12 under the name of 2024-01" in refusal.found


def test_text_of_rejected_lines_has_a_bound_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capsim_dagster.refinery.read.MAX_REJECTED_TEXT", 1_000)

    assert refusal_of(written(tmp_path, with_header(*["x" * 300] * 4))).fault == FileFault.TOO_MANY_REJECTED


def test_compression_that_no_telemetry_has_is_refused(tmp_path: Path) -> None:
    content = gzip.compress(HEADER.encode() + b"\n" + bytes(70 << 20), mtime=0)

    refusal = refusal_of(written(tmp_path, content))

    assert refusal.fault == FileFault.TOO_LARGE
    assert f"{len(content):,} compressed bytes hold over 200 times as much" in refusal.found
