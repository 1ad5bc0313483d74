import gzip
from pathlib import Path

import pytest

from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.dialects import plain_dialect
from capsim_dagster.legacy_feed.dirt.defects import DirtyFile, dirty_file
from capsim_dagster.schemas import FileFault, Resource
from capsim_dagster.settings import Defects
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster_tests.support.legacy_feed.dirt import PIECES, ROOT, changed, clean_lines, feed, files, kinds
from capsim_dagster_tests.support.legacy_feed.fixtures import build_master


def damaged_as_a_whole(
    master: MasterFile, fault: FileFault, **defects: object
) -> tuple[FeedContract, dict[FeedPiece, DirtyFile]]:
    """Return a feed in which some files have a fault, and those files, whose lists name it alone."""
    contract = feed(file_share=0.3, file_faults={fault: 1}, **defects)
    written = files(master, contract)
    hit = {piece: dirty for piece, dirty in written.items() if dirty.file_fault}
    assert 0 < len(hit) < len(PIECES)
    for piece, dirty in hit.items():
        assert dirty.file_fault == fault
        path = dirty.path.relative_to(ROOT).as_posix()
        assert dirty.defects.rows() == [(path, None, fault.value, None)]
        assert dirty.path in contract.candidates(piece)
    return contract, hit


def test_missing_file_has_no_content(shared_master: MasterFile) -> None:
    contract, hit = damaged_as_a_whole(shared_master, FileFault.MISSING)
    assert {(dirty.path, dirty.content, dirty.lines) for dirty in hit.values()} == {
        (contract.path(piece), None, 0) for piece in hit
    }


def test_empty_file_has_no_bytes(shared_master: MasterFile) -> None:
    _, hit = damaged_as_a_whole(shared_master, FileFault.EMPTY)
    assert {(dirty.content, dirty.lines) for dirty in hit.values()} == {(b"", 0)}


def test_unreadable_gzip_is_cut_off_after_it_began(shared_master: MasterFile) -> None:
    _, hit = damaged_as_a_whole(shared_master, FileFault.UNREADABLE_GZIP)
    for dirty in hit.values():
        assert dirty.path.name.endswith(".csv.gz")
        assert dirty.content is not None
        assert dirty.content.startswith(b"\x1f\x8b")
        with pytest.raises(EOFError):
            gzip.decompress(dirty.content)


def test_not_csv_is_binary(shared_master: MasterFile) -> None:
    _, hit = damaged_as_a_whole(shared_master, FileFault.NOT_CSV)
    contents = [dirty.content for dirty in hit.values()]
    assert len(set(contents)) == len(contents)
    for content in contents:
        assert content is not None
        assert len(content) == 4100
        assert b"\0" in content
        with pytest.raises(UnicodeDecodeError):
            content.decode()


def test_no_usable_header_holds_the_clean_lines_under_strange_labels(shared_master: MasterFile) -> None:
    contract, hit = damaged_as_a_whole(shared_master, FileFault.NO_USABLE_HEADER, line_share=0.1)
    for piece, dirty in hit.items():
        assert dirty.content is not None
        header, *lines = dirty.content.decode().splitlines()
        assert header == "column_0,column_1,column_2,column_3"
        assert lines == clean_lines(shared_master, contract, piece)
        assert dirty.lines == len(lines)


def test_strange_labels_give_way_to_those_of_the_settings(shared_master: MasterFile) -> None:
    defects = Defects(file_share=1, file_faults={FileFault.NO_USABLE_HEADER: 1})
    settings = changed(date_columns=["Column_0"]).model_copy(update={"defects": defects})
    content = dirty_file(shared_master, FeedContract(ROOT, settings), FeedPiece(202302, Resource.CPU)).content
    assert content is not None
    assert content.splitlines()[0] == b"x_column_0,x_column_1,x_column_2,x_column_3"


def test_duplicate_file_is_that_of_another_resource_as_it_is_written(shared_master: MasterFile) -> None:
    contract, hit = damaged_as_a_whole(
        shared_master, FileFault.DUPLICATE_FILE, line_share=0.1, dialect_share=0.9, truncated_share=0.5
    )
    written = files(shared_master, contract)
    for piece, dirty in hit.items():
        others = [written[FeedPiece(piece.month, resource)] for resource in Resource if resource != piece.resource]
        twins = [other for other in others if not other.file_fault and other.content == dirty.content]
        assert len(twins) == 1
        assert (twins[0].lines, twins[0].path.suffix) == (dirty.lines, dirty.path.suffix)


def test_copy_of_a_compressed_file_is_named_as_one(shared_master: MasterFile) -> None:
    _, hit = damaged_as_a_whole(shared_master, FileFault.DUPLICATE_FILE, dialect_share=1, dialects={"gzip": 1})
    assert {dirty.path.suffix for dirty in hit.values()} == {".gz"}


def test_file_without_a_sound_twin_is_empty(shared_master: MasterFile) -> None:
    written = files(shared_master, feed(file_share=1, file_faults={FileFault.DUPLICATE_FILE: 1}))
    assert {(dirty.file_fault, dirty.content) for dirty in written.values()} == {(FileFault.EMPTY, b"")}
    assert set(kinds(written)) == {FileFault.EMPTY}


def test_another_month_holds_lines_of_the_neighbour_and_is_not_its_copy(shared_master: MasterFile) -> None:
    contract, hit = damaged_as_a_whole(shared_master, FileFault.ANOTHER_MONTH)
    neighbour = {202301: 202302, 202302: 202301, 202303: 202302}
    for piece, dirty in hit.items():
        assert dirty.content is not None
        header, *lines = dirty.content.decode().splitlines()
        other = clean_lines(shared_master, contract, FeedPiece(neighbour[piece.month], piece.resource))
        assert header == plain_dialect(contract.settings, piece.resource).header
        assert lines == other[:-1]
        assert dirty.lines == len(lines)


def test_month_without_a_neighbour_is_empty_instead(tmp_path: Path) -> None:
    master = build_master(tmp_path, end_date="2023-01-31")
    contract = feed(file_share=1, file_faults={FileFault.ANOTHER_MONTH: 1})
    dirty = dirty_file(master, contract, FeedPiece(202301, Resource.CPU))
    assert (dirty.file_fault, dirty.content) == (FileFault.EMPTY, b"")
