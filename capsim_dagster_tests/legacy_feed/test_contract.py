from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import LegacyFeed

ROOT: Final = Path("/feed")
COLUMNS: Final = {
    "cpu": ("cpu_utilization", "cpu_p95", "max_cores"),
    "memory": ("memory_stats", "memory_p95", "memory_gb"),
    "disk": ("storage_usage", "disk_p95", "storage_mb"),
    "network": ("net_throughput", "network_p95", "throughput_mbps"),
}
UNHURRIED = settings(deadline=None)
MONTHS = st.builds(lambda year, month: year * 100 + month, st.integers(1971, 2199), st.integers(1, 12))
PIECES = st.builds(FeedPiece, MONTHS, st.sampled_from(Resource))
PREFIXES = st.lists(st.text("aZ09_-", min_size=1, max_size=12), min_size=4, max_size=4, unique=True)


def feed_settings(prefixes: list[str] | None = None) -> LegacyFeed:
    names = prefixes or [prefix for prefix, _, _ in COLUMNS.values()]
    return LegacyFeed.model_validate(
        {
            "resources": {
                resource: {"file_prefix": name, "value_column": value, "capacity_column": capacity}
                for name, (resource, (_, value, capacity)) in zip(names, COLUMNS.items(), strict=True)
            }
        }
    )


CONTRACT: Final = FeedContract(ROOT, feed_settings())


@pytest.mark.parametrize(
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


@pytest.mark.parametrize("resource", Resource)
def test_header_of_each_resource_is_the_documented_one(platform: Platform, resource: Resource) -> None:
    _, value, capacity = COLUMNS[resource]
    assert platform.contract.header(resource) == ("date", "host_id", value, capacity)


@UNHURRIED
@given(piece=PIECES)
def test_path_leads_back_to_its_piece(piece: FeedPiece) -> None:
    assert CONTRACT.piece(CONTRACT.path(piece)) == piece


@UNHURRIED
@given(prefixes=PREFIXES, piece=PIECES)
def test_path_leads_back_to_its_piece_with_any_prefixes(prefixes: list[str], piece: FeedPiece) -> None:
    contract = FeedContract(ROOT, feed_settings(prefixes))
    assert contract.piece(contract.path(piece)) == piece


@UNHURRIED
@given(pieces=st.lists(PIECES, unique=True, min_size=2))
def test_no_two_pieces_share_a_path(pieces: list[FeedPiece]) -> None:
    assert len({CONTRACT.path(piece) for piece in pieces}) == len(pieces)


@pytest.mark.parametrize(
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


def test_piece_under_another_root_is_a_stranger() -> None:
    assert CONTRACT.piece(Path("/elsewhere/2023/02/cpu_utilization_202302.csv")) is None


def test_piece_reads_as_month_and_resource() -> None:
    assert str(FeedPiece(202302, Resource.NETWORK)) == "2023-02 network"


def test_pieces_are_ordered_by_month_first() -> None:
    months = [FeedPiece(202302, Resource.CPU), FeedPiece(202301, Resource.NETWORK)]
    assert sorted(months) == [FeedPiece(202301, Resource.NETWORK), FeedPiece(202302, Resource.CPU)]


def test_files_holds_strangers_and_leaves_hidden_ones_out(tmp_path: Path) -> None:
    folder = tmp_path / "2023" / "02"
    folder.mkdir(parents=True)
    for name in ("notes.txt", "cpu_utilization_202302.csv", ".cpu_utilization_202302.csv.77.tmp"):
        (folder / name).touch()
    contract = FeedContract(tmp_path, feed_settings())
    piece = FeedPiece(202302, Resource.CPU)
    assert list(contract.files()) == [
        (folder / "cpu_utilization_202302.csv", piece),
        (folder / "notes.txt", None),
    ]
    assert contract.pieces() == {piece: folder / "cpu_utilization_202302.csv"}


def test_feed_without_a_folder_has_no_files(tmp_path: Path) -> None:
    assert list(FeedContract(tmp_path / "nothing", feed_settings()).files()) == []
