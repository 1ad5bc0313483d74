import csv
import hashlib
from pathlib import Path

import pytest

from capsim_dagster.errors import FeedError
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.legacy_feed.inspect import inspect_file
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.support.sabotage import feed_file

PIECE = FeedPiece(202302, Resource.CPU)
HEADER = "date,host_id,cpu_p95,max_cores"


@pytest.mark.parametrize("resource", Resource)
def test_facts_are_those_of_the_file(platform: Platform, resource: Resource) -> None:
    path = feed_file(platform, 202302, resource)
    found = inspect_file(platform.contract, FeedPiece(202302, resource))
    with path.open(encoding="utf-8", newline="") as stream:
        records = list(csv.reader(stream))
    assert found.path == path
    assert found.lines == len(records) - 1 == 28 * 12
    assert found.bytes == len(path.read_bytes())
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_lines_and_digest_span_reads_of_many_pieces(platform: Platform) -> None:
    path = feed_file(platform)
    path.write_bytes(f"{HEADER}\n".encode() + b"2023-02-01,srv-000001,20.0,64\n" * 100_000)
    found = inspect_file(platform.contract, PIECE)
    assert found.lines == 100_000
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_file_with_a_header_alone_has_no_lines(platform: Platform) -> None:
    feed_file(platform).write_text(f"{HEADER}\n")
    assert inspect_file(platform.contract, PIECE).lines == 0


def test_windows_line_ends_are_accepted(platform: Platform) -> None:
    path = feed_file(platform)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert inspect_file(platform.contract, PIECE).lines == 28 * 12


def test_another_path_can_be_inspected_in_its_place(platform: Platform, tmp_path: Path) -> None:
    aside = tmp_path / "aside.csv"
    aside.write_text(f"{HEADER}\n2023-02-01,srv-000001,20.0,64\n")
    found = inspect_file(platform.contract, PIECE, aside)
    assert (found.path, found.lines) == (aside, 1)


def test_missing_file_is_named(platform: Platform) -> None:
    for path in feed_file(platform).parent.iterdir():
        path.unlink()
    with pytest.raises(FeedError) as caught:
        inspect_file(platform.contract, PIECE)
    assert caught.value.found == f"2023-02 cpu: no file {feed_file(platform)}"
    assert "monthly_csv" in caught.value.remedy


def test_missing_folder_is_a_missing_file(platform: Platform) -> None:
    with pytest.raises(FeedError, match="2024-07 cpu: no file"):
        inspect_file(platform.contract, FeedPiece(202407, Resource.CPU))


@pytest.mark.parametrize("name", ["cpu_utilisation_202302.csv", "cpu_utilization_202302.csv.bak", "CPU_202302.csv"])
def test_renamed_file_is_hinted_at(platform: Platform, name: str) -> None:
    path = feed_file(platform)
    path.rename(path.with_name(name))
    with pytest.raises(FeedError, match="renamed") as caught:
        inspect_file(platform.contract, PIECE)
    assert name in caught.value.found


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"date,host_id,memory_p95,memory_gb\n", "has the header 'date,host_id,memory_p95,memory_gb', expected"),
        (b"host_id,date,cpu_p95,max_cores\n", "has the header"),
        (b"date;host_id;cpu_p95;max_cores\n", "has the header"),
        (b"2023-02-01,srv-000001,20.0,64\n", "has the header"),
        (b"\xff\xfe\x00binary\n", "has the header"),
        (HEADER.encode(), "line 1 has no end of line"),
        (f"{HEADER}\n2023-02-01,srv-000001,20.0,64\n2023-02-02,srv-0".encode(), "line 3 has no end of line"),
    ],
)
def test_damaged_file_is_named_with_its_problem(platform: Platform, content: bytes, problem: str) -> None:
    feed_file(platform).write_bytes(content)
    with pytest.raises(FeedError) as caught:
        inspect_file(platform.contract, PIECE)
    assert str(feed_file(platform)) in caught.value.found
    assert problem in caught.value.found
