from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from capsim_dagster.errors import FeedError
from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.manifest import (
    list_files,
    list_path,
    read_list,
    remove_list,
    staged_list,
)
from capsim_dagster.schemas import Resource
from capsim_dagster.schemas.feed import INJECTED_DEFECTS
from capsim_dagster.schemas.frames import frame_schema
from capsim_dagster_tests.support.legacy_feed.dirt import changed, feed, read_lists

PIECE = FeedPiece(202302, Resource.CPU)
PATH = "2023/02/cpu_utilization_202302.csv"
ROWS = pl.DataFrame(
    [(PATH, None, "bom", None), (PATH, 7, "exact_duplicate", None), (PATH, 9, "missing_host", "a,b")],
    schema=frame_schema(INJECTED_DEFECTS),
    orient="row",
)


def write(contract: FeedContract, root: Path, piece: FeedPiece, rows: pl.DataFrame = ROWS) -> Path:
    path = list_path(contract, root, piece)
    with staged_list(path, rows, sha256="ab" * 32, size=1234):
        pass
    return path


def test_list_lies_as_its_feed_file_does(tmp_path: Path) -> None:
    assert list_path(feed(), tmp_path, PIECE) == tmp_path / "2023/02/cpu_utilization_202302.parquet"


def test_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = read_list(write(feed(), tmp_path, PIECE))
    assert found.frame.equals(ROWS)
    assert found.frame.schema == ROWS.schema
    assert (found.sha256, found.bytes) == ("ab" * 32, 1234)


def test_list_without_defects_keeps_its_columns(tmp_path: Path) -> None:
    found = read_list(write(feed(), tmp_path, PIECE, ROWS.clear()))
    assert (found.frame.height, found.frame.schema) == (0, ROWS.schema)


def test_lists_of_some_months_are_found_by_piece(tmp_path: Path) -> None:
    pieces = [FeedPiece(month, resource) for month in (202301, 202302, 202303) for resource in Resource]
    for piece in pieces:
        write(feed(), tmp_path, piece)
    (tmp_path / "notes.parquet").touch()
    assert list(read_lists(feed(), tmp_path, [202301, 202303])) == sorted(
        piece for piece in pieces if piece.month != 202302
    )
    assert sorted(piece for piece, _ in list_files(feed(), tmp_path)) == sorted(pieces)


def test_folder_without_lists_has_none(tmp_path: Path) -> None:
    assert read_lists(feed(), tmp_path / "absent", [202302]) == {}


@pytest.mark.parametrize(
    "layout", ["{prefix}_{yearmonth}", "{yearmonth}/{prefix}.{month}.txt", "{prefix}.{yearmonth}.csv"]
)
def test_lists_follow_any_layout(tmp_path: Path, layout: str) -> None:
    contract = FeedContract(Path("feed"), changed(layout=layout))
    pieces = [FeedPiece(month, resource) for month in (202301, 202402) for resource in Resource]
    paths = {write(contract, tmp_path, piece) for piece in pieces}
    assert len(paths) == len(pieces)
    assert sorted(read_lists(contract, tmp_path, [202301, 202402])) == sorted(pieces)


def test_removed_list_is_gone_and_may_be_gone_before(tmp_path: Path) -> None:
    path = write(feed(), tmp_path, PIECE)
    remove_list(feed(), tmp_path, PIECE)
    remove_list(feed(), tmp_path, PIECE)
    assert not path.exists()


def test_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"cpu_utilization_202302\.parquet") as caught:
        read_list(list_path(feed(), tmp_path, PIECE))
    assert "monthly_csv" in caught.value.remedy


def test_torn_list_is_named(tmp_path: Path) -> None:
    path = write(feed(), tmp_path, PIECE)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FeedError, match="not a readable Parquet file"):
        read_list(path)


def test_parquet_of_another_kind_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pl.DataFrame({"a": [1]}).to_arrow(), path)
    with pytest.raises(FeedError, match="is no list of defects"):
        read_list(path)


def test_list_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = write(feed(), tmp_path, PIECE)
    before = path.read_bytes()
    with pytest.raises(KeyError), staged_list(path, ROWS.clear(), sha256="", size=0):
        raise KeyError
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
