"""Dirty feeds of the small fleet, and what is expected of them."""

from collections import Counter
from collections.abc import Collection
from functools import cache
from pathlib import Path

import polars as pl

from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece, written_columns
from capsim_dagster.legacy_feed.dirt.defects import DirtyFile, dirty_file
from capsim_dagster.legacy_feed.manifest import DefectList, list_files, read_list
from capsim_dagster.schemas import Resource, host_id
from capsim_dagster.settings import Defects, LegacyFeed
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster_tests.conftest import MONTHS, small_settings
from capsim_dagster_tests.support.legacy_feed.exact_reader import ReadFile, read

ROOT = Path("feed")
PIECES = [FeedPiece(month, resource) for month in MONTHS for resource in Resource]
HOSTS = {host_id(number) for number in range(1, 13)}


@cache
def _clean() -> LegacyFeed:
    return small_settings(Path("unused")).legacy_feed


def feed(**defects: object) -> FeedContract:
    return FeedContract(ROOT, _clean().model_copy(update={"defects": Defects.model_validate(defects)}))


def changed(**fields: object) -> LegacyFeed:
    """Return the feed's settings with some fields replaced; `capacity_column` is replaced in all resources."""
    facts = _clean().model_dump(mode="json")
    if "capacity_column" in fields:
        for columns in facts["resources"].values():
            columns["capacity_column"] = fields["capacity_column"]
    return LegacyFeed.model_validate(
        facts | {name: value for name, value in fields.items() if name != "capacity_column"}
    )


def files(master: MasterFile, contract: FeedContract, pieces: list[FeedPiece] = PIECES) -> dict[FeedPiece, DirtyFile]:
    return {piece: dirty_file(master, contract, piece) for piece in pieces}


def clean_lines(master: MasterFile, contract: FeedContract, piece: FeedPiece) -> list[str]:
    """Return the lines of the plain feed, written by a second way: row by row."""
    lines, n_fields = [], len(written_columns(contract.settings, piece.resource))
    for frame in master.month(piece.month, piece.resource):
        for day, host, value, capacity in frame.iter_rows():
            text = "" if value is None else repr(round(value, 2))
            lines.append(",".join([str(day), host, text, str(int(capacity))][:n_fields]))
    return lines


def read_back(contract: FeedContract, piece: FeedPiece, dirty: DirtyFile, hosts: set[str] = HOSTS) -> ReadFile:
    assert dirty.content is not None
    return read(dirty.content, contract.settings, piece.resource, piece.month, hosts)


def line_faults(dirty: DirtyFile) -> dict[int, str]:
    return dict(dirty.defects.filter(pl.col("line").is_not_null()).select("line", "kind").iter_rows())


def kinds(written: dict[FeedPiece, DirtyFile]) -> Counter[str]:
    return Counter(kind for dirty in written.values() for kind in dirty.defects["kind"])


def read_lists(contract: FeedContract, root: Path, months: Collection[int]) -> dict[FeedPiece, DefectList]:
    """Return the lists of some months, by piece, in order; a file that was written clean has none."""
    found = sorted((piece, path) for piece, path in list_files(contract, root) if piece.month in months)
    return {piece: read_list(path) for piece, path in found}
