import os
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece, written_columns
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import LegacyFeed
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.shipped_settings import shipped_settings

ROOT: Final = Path("/feed")
COLUMNS: Final = {
    "cpu": ("cpu_utilization", "cpu_p95", "max_cores"),
    "memory": ("memory_stats", "memory_p95", "memory_gb"),
    "disk": ("storage_usage", "disk_p95", "storage_mb"),
    "network": ("net_throughput", "network_p95", "throughput_mbps"),
}
SHIPPED: Final = shipped_settings().legacy_feed
PIECE: Final = FeedPiece(202302, Resource.CPU)
MONTHS = st.builds(lambda year, month: year * 100 + month, st.integers(1971, 2199), st.integers(1, 12))
PIECES = st.builds(FeedPiece, MONTHS, st.sampled_from(Resource))
PREFIXES = st.lists(st.text("aZ09_-", min_size=1, max_size=12), min_size=4, max_size=4, unique=True)
LAYOUTS: Final = {
    "{year}/{month}/{prefix}_{yearmonth}.csv": "2023/02/cpu_utilization_202302.csv",
    "{year}-{month}/{prefix}.csv": "2023-02/cpu_utilization.csv",
    "{prefix}-{yearmonth}.txt": "cpu_utilization-202302.txt",
    "{prefix}/{year}{month}": "cpu_utilization/202302",
    "{yearmonth}{prefix}": "202302cpu_utilization",
    "{prefix}/{yearmonth}/{prefix}_{yearmonth}_{yearmonth}.csv": "cpu_utilization/202302/"
    "cpu_utilization_202302_202302.csv",
    "{year}/{yearmonth}/{prefix}.csv": "2023/202302/cpu_utilization.csv",
    "a+b (v1.2) [x]/{prefix}.{yearmonth}*.csv": "a+b (v1.2) [x]/cpu_utilization.202302*.csv",
    "{{raw}}/{prefix}^{month}.{year}$": "{raw}/cpu_utilization^02.2023$",
}
"""Layouts, and where each puts February's CPU."""


def feed_settings(prefixes: list[str] | None = None, layout: str | None = None) -> LegacyFeed:
    facts = SHIPPED.model_dump()
    for resource, prefix in zip(Resource, prefixes or [], strict=False):
        facts["resources"][resource]["file_prefix"] = prefix
    return LegacyFeed.model_validate(facts | ({"layout": layout} if layout else {}))


def in_layout(layout: str, prefixes: list[str] | None = None, root: Path = ROOT) -> FeedContract:
    return FeedContract(root, feed_settings(prefixes, layout))


CONTRACT: Final = FeedContract(ROOT, SHIPPED)


@each_case(
    ("resource", "path"),
    [
        (Resource.CPU, "2023/02/cpu_utilization_202302.csv"),
        (Resource.MEMORY, "2023/02/memory_stats_202302.csv"),
        (Resource.DISK, "2023/02/storage_usage_202302.csv"),
        (Resource.NETWORK, "2023/02/net_throughput_202302.csv"),
    ],
)
def test_path_of_each_resource_is_the_documented_one(resource: Resource, path: str) -> None:
    assert CONTRACT.path(FeedPiece(202302, resource)) == ROOT / path


def header(contract: FeedContract, resource: Resource) -> list[str]:
    return [column.name for column in written_columns(contract.settings, resource)]


@pytest.mark.parametrize("resource", Resource)
def test_header_of_each_resource_is_the_documented_one(resource: Resource) -> None:
    _, value, capacity = COLUMNS[resource]
    assert header(CONTRACT, resource) == ["date", "host_id", value, capacity]


def test_header_of_a_resource_without_capacity_ends_with_the_value() -> None:
    facts = SHIPPED.model_dump()
    facts["resources"]["disk"]["capacity_column"] = None
    contract = FeedContract(ROOT, LegacyFeed.model_validate(facts))
    assert header(contract, Resource.DISK) == ["date", "host_id", "disk_p95"]
    assert header(contract, Resource.CPU) == ["date", "host_id", "cpu_p95", "max_cores"]


@given(piece=PIECES)
def test_path_leads_back_to_its_piece(piece: FeedPiece) -> None:
    assert CONTRACT.piece(CONTRACT.path(piece)) == piece


@given(layout=st.sampled_from(list(LAYOUTS)), prefixes=PREFIXES, piece=PIECES, is_compressed=st.booleans())
def test_path_leads_back_to_its_piece_in_any_layout_with_any_prefixes(
    layout: str, prefixes: list[str], piece: FeedPiece, *, is_compressed: bool
) -> None:
    contract = in_layout(layout, prefixes)
    assert contract.piece(contract.candidates(piece)[is_compressed]) == piece


@settings(max_examples=40)
@given(layout=st.sampled_from(list(LAYOUTS)), pieces=st.lists(PIECES, unique=True, min_size=2, max_size=5))
def test_no_two_pieces_share_a_path(layout: str, pieces: list[FeedPiece]) -> None:
    contract = in_layout(layout)
    assert len({path for piece in pieces for path in contract.candidates(piece)}) == 2 * len(pieces)


@each_case(("layout", "path"), LAYOUTS.items())
def test_layout_says_where_a_file_lies_and_what_it_is(layout: str, path: str) -> None:
    contract = in_layout(layout)
    assert contract.path(PIECE) == ROOT / path
    assert contract.candidates(PIECE) == (ROOT / path, ROOT / f"{path}.gz")
    assert [contract.piece(candidate) for candidate in contract.candidates(PIECE)] == [PIECE, PIECE]


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        ("{prefix}_{yearmonth}.csv", ["cpu_202302.csv", "cpu_util_202302.csv", "util_202302.csv", "cpu__202302.csv"]),
        ("{yearmonth}{prefix}", ["202302cpu", "202302cpu_util", "202302util", "202302cpu_"]),
        ("{prefix}{yearmonth}", ["cpu202302", "cpu_util202302", "util202302", "cpu_202302"]),
    ],
)
def test_prefix_that_holds_the_prefix_of_another_is_told_apart(layout: str, names: list[str]) -> None:
    contract = in_layout(layout, ["cpu", "cpu_util", "util", "cpu_"])
    assert [contract.piece(ROOT / name) for name in names] == [FeedPiece(202302, resource) for resource in Resource]


def test_prefix_that_ends_in_digits_does_not_lend_them_to_the_month() -> None:
    contract = in_layout("{prefix}{yearmonth}.csv", ["a", "a2", "a20", "a202"])
    names = ["a202302.csv", "a2202302.csv", "a20202302.csv", "a202202302.csv"]
    assert [contract.piece(ROOT / name) for name in names] == [FeedPiece(202302, resource) for resource in Resource]


@each_case(
    ("layout", "name"),
    [
        ("{prefix}/{prefix}_{yearmonth}.csv", "cpu_utilization/memory_stats_202302.csv"),
        ("{yearmonth}/{prefix}_{yearmonth}.csv", "202301/cpu_utilization_202302.csv"),
        ("{year}/{prefix}_{yearmonth}.csv", "2022/cpu_utilization_202302.csv"),
        ("{month}/{prefix}_{yearmonth}.csv", "01/cpu_utilization_202302.csv"),
        ("a.b/{prefix}.{yearmonth}", "aXb/cpu_utilization.202302"),
        ("a.b/{prefix}.{yearmonth}", "a.b/cpu_utilizationX202302"),
        ("{prefix}-{yearmonth}.txt", "cpu_utilization-202302.csv"),
        ("{prefix}-{yearmonth}.txt", "cpu_utilization-202302.txt.gz.gz"),
        ("{prefix}-{yearmonth}.txt", "cpu_utilization-202302.txt.GZ"),
        ("{prefix}-{yearmonth}.txt", "cpu_utilization-202302.txt\n"),
        ("{year}-{month}/{prefix}.csv", "2023-02/sub/cpu_utilization.csv"),
        ("{year}-{month}/{prefix}.csv", "2023-2/cpu_utilization.csv"),
        ("{year}-{month}/{prefix}.csv", "2023-13/cpu_utilization.csv"),
    ],
)
def test_file_that_contradicts_itself_or_the_layout_is_no_piece(layout: str, name: str) -> None:
    assert in_layout(layout).piece(ROOT / name) is None


@each_case(
    "name",
    [
        "2023/02/cpu_202302.csv",
        "2023/02/cpu_utilization_202302.CSV",
        "2023/02/CPU_utilization_202302.csv",
        "2023/02/cpu_utilization_202302.csv.bak",
        "2023/02/cpu_utilization_2023-02.csv",
        "2023/02/cpu_utilization_23022.csv",
        "2023/02/cpu_utilization_202302 (1).csv",
        "2023/02/cpu_utilization202302.csv",
        "2023/02/cpu_utilization_202303.csv",
        "2023/2/cpu_utilization_202302.csv",
        "2023/13/cpu_utilization_202313.csv",
        "2023/00/cpu_utilization_202300.csv",
        "2023/cpu_utilization_202302.csv",
        "cpu_utilization_202302.csv",
        "2023/02/old/cpu_utilization_202302.csv",
        "2023/02/cpu_utilization_٢٠٢٣٠٢.csv",
        "2023/02/README",
    ],
)
def test_stranger_is_no_piece(name: str) -> None:
    assert CONTRACT.piece(ROOT / name) is None


def test_piece_reads_as_month_and_resource() -> None:
    assert str(FeedPiece(202302, Resource.NETWORK)) == "2023-02 network"


def test_pieces_are_ordered_by_month_first() -> None:
    months = [FeedPiece(202302, Resource.CPU), FeedPiece(202301, Resource.NETWORK)]
    assert sorted(months) == [FeedPiece(202301, Resource.NETWORK), FeedPiece(202302, Resource.CPU)]


def touched(root: Path, *names: str) -> list[Path]:
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_files_holds_strangers_and_leaves_hidden_ones_out(tmp_path: Path) -> None:
    contract = FeedContract(tmp_path, SHIPPED)
    known, notes, _ = touched(
        tmp_path,
        "2023/02/cpu_utilization_202302.csv",
        "2023/02/notes.txt",
        "2023/02/.cpu_utilization_202302.csv.77.tmp",
    )
    assert list(contract.files()) == [(known, PIECE)]
    assert contract.strays() == [contract.relative(notes)]
    assert contract.pieces() == {PIECE: known}


def test_feed_without_a_folder_has_no_files(tmp_path: Path) -> None:
    assert list(FeedContract(tmp_path / "nothing", SHIPPED).files()) == []


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], []),
        (["CPU.csv"], ["CPU.csv"]),
        (["CPU.csv.gz"], ["CPU.csv.gz"]),
        (["CPU.csv", "CPU.csv.gz"], ["CPU.csv", "CPU.csv.gz"]),
        (["CPU.csv.bak", "cpu.csv", "CPU.csv.gz.part"], []),
    ],
    ids=["none", "plain", "compressed", "both", "strangers"],
)
def test_found_are_the_files_that_claim_to_be_a_piece(tmp_path: Path, names: list[str], found: list[str]) -> None:
    contract = in_layout("{year}-{month}/{prefix}.csv", ["CPU", "MEM", "DSK", "NET"], tmp_path)
    touched(tmp_path, *(f"2023-02/{name}" for name in names))
    assert [path.name for path in contract.found(PIECE)] == found
    assert [contract.relative(path) for path in contract.found(PIECE)] == [f"2023-02/{name}" for name in found]


def test_folder_under_the_name_of_a_file_is_not_found(tmp_path: Path) -> None:
    contract = FeedContract(tmp_path, SHIPPED)
    contract.path(PIECE).mkdir(parents=True)
    assert contract.found(PIECE) == []
    assert contract.pieces() == {}


@pytest.mark.parametrize("order", [list, reversed], ids=["plain first", "compressed first"])
def test_of_two_claims_the_plain_file_is_the_piece(
    tmp_path: Path, order: Callable[[tuple[Path, Path]], Iterable[Path]]
) -> None:
    contract = FeedContract(tmp_path, SHIPPED)
    for path in order(contract.candidates(PIECE)):
        touched(tmp_path, contract.relative(path))
    assert contract.pieces() == {PIECE: contract.path(PIECE)}


def test_compressed_file_alone_is_the_piece(tmp_path: Path) -> None:
    contract = FeedContract(tmp_path, SHIPPED)
    (compressed,) = touched(tmp_path, "2023/02/cpu_utilization_202302.csv.gz")
    assert contract.pieces() == {PIECE: compressed}


def test_pieces_come_in_the_order_of_months_wherever_their_files_lie(tmp_path: Path) -> None:
    contract = in_layout("{prefix}/{month}-{year}.csv", ["z", "y", "x", "w"], tmp_path)
    pieces = [FeedPiece(month, resource) for month in (202212, 202301, 202311) for resource in Resource]
    touched(tmp_path, *(contract.relative(contract.path(piece)) for piece in reversed(pieces)))
    assert list(contract.pieces()) == sorted(pieces)


def test_strays_are_the_files_without_a_piece(tmp_path: Path) -> None:
    contract = in_layout("{year}-{month}/{prefix}.csv", ["CPU", "MEM", "DSK", "NET"], tmp_path)
    touched(tmp_path, "2023-02/CPU.csv", "2023-02/GPU.csv", "2023-02/CPU (copy).csv", "2023-02/CPU.csv.gz", "hosts.csv")
    assert contract.strays() == ["2023-02/CPU (copy).csv", "2023-02/GPU.csv", "hosts.csv"]


def test_folders_much_deeper_than_the_layout_are_named_and_not_entered(tmp_path: Path) -> None:
    contract = FeedContract(tmp_path, SHIPPED)
    touched(tmp_path, "2023/02/cpu_utilization_202302.csv", "2023/02/old/cpu.csv", "2023/02/a/b/c/cpu.csv")
    (tmp_path / "2023" / "02" / "empty").mkdir()
    deep = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("d", dir_fd=deep)
        inner = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)

    assert list(contract.pieces()) == [PIECE]
    assert contract.strays() == ["2023/02/a/b/c/", "2023/02/old/cpu.csv", "d/d/d/d/d/"]
    # Python's own rmtree recurses once a level.
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # noqa: S607


def test_pipes_and_links_to_nothing_are_no_pieces_whatever_their_names(tmp_path: Path) -> None:
    contract = FeedContract(tmp_path, SHIPPED)
    folder = contract.path(PIECE).parent
    folder.mkdir(parents=True)
    os.mkfifo(folder / "cpu_utilization_202302.csv")
    (folder / "memory_stats_202302.csv").symlink_to("nowhere")

    assert contract.pieces() == {}
    assert [PurePath(name).name for name in contract.strays()] == [
        "cpu_utilization_202302.csv",
        "memory_stats_202302.csv",
    ]


def test_five_thousand_strays_cost_little(tmp_path: Path) -> None:
    contract = FeedContract(tmp_path, SHIPPED)
    touched(tmp_path, "2023/02/cpu_utilization_202302.csv")
    for number in range(5_000):
        os.close(os.open(tmp_path / "2023" / "02" / f"stray {number}.txt", os.O_CREAT))
    began = time.process_time()

    assert len(contract.strays()) == 5_000
    assert list(contract.pieces()) == [PIECE]

    # Two hundred thousand once took 26 CPU seconds: of so many that is 0.65.
    assert time.process_time() - began < 0.3
