import csv
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from capsim_dagster.errors import GateError, PartitionError
from capsim_dagster.legacy_feed import export
from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.export import export_piece, retire_strays
from capsim_dagster.legacy_feed.inspect import inspect_file
from capsim_dagster.master import MasterFile
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import LegacyFeed
from capsim_dagster_tests.child_process import OPEN_PLATFORM, READY, kill, started
from capsim_dagster_tests.conftest import MONTHS
from capsim_dagster_tests.sabotage import change_lines, feed_file, files_under, rewrite_master

PIECES = [FeedPiece(month, resource) for month in MONTHS for resource in Resource]
FEBRUARY_CPU = FeedPiece(202302, Resource.CPU)
STOP_BEFORE_RENAME = f"""{OPEN_PLATFORM}
from capsim_dagster.legacy_feed import export
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.master import MasterFile
from capsim_dagster.schemas import Resource
def stop(*_):
    {READY}
export.inspect_file = stop
export.export_piece(MasterFile(platform.layout.master), platform.contract, FeedPiece(202302, Resource.CPU))
"""


@pytest.fixture
def master(platform: Platform) -> MasterFile:
    return MasterFile(platform.layout.master)


def as_text(value: float | None) -> str:
    return "" if value is None else repr(round(value, 2))


@pytest.mark.parametrize("piece", PIECES, ids=str)
def test_file_holds_each_row_of_the_master_as_text(platform: Platform, piece: FeedPiece) -> None:
    with platform.contract.path(piece).open(encoding="utf-8", newline="") as stream:
        header, *records = list(csv.reader(stream))
    rows = pl.read_parquet(platform.layout.master).filter(
        pl.col("resource").cast(pl.String) == piece.resource.value,
        pl.col("date").dt.year() * 100 + pl.col("date").dt.month().cast(pl.Int32) == piece.month,
    )
    assert tuple(header) == platform.contract.header(piece.resource)
    assert records == [
        [row["date"].isoformat(), row["host_id"], as_text(row["p95_util"]), str(int(row["capacity"]))]
        for row in rows.iter_rows(named=True)
    ]


def test_gap_of_the_master_is_an_empty_field(platform: Platform) -> None:
    kept = pl.when(pl.col("date").dt.day() != 3).then(pl.col("p95_util").fill_null(1))
    rewrite_master(platform, lambda frame: frame.with_columns(p95_util=kept))
    export_piece(MasterFile(platform.layout.master), platform.contract, FEBRUARY_CPU)
    with feed_file(platform).open(encoding="utf-8", newline="") as stream:
        records = list(csv.DictReader(stream))
    assert len(records) == 28 * 12
    assert {record["date"] for record in records if record["cpu_p95"] == ""} == {"2023-02-03"}


def test_exporting_again_writes_the_same_bytes(platform: Platform, master: MasterFile) -> None:
    before = files_under(platform.layout.legacy)
    for piece in PIECES:
        export_piece(master, platform.contract, piece)
    assert files_under(platform.layout.legacy) == before


def test_one_piece_alone_equals_that_of_the_full_run(platform: Platform, master: MasterFile) -> None:
    full = files_under(platform.layout.legacy)
    for path, _ in platform.contract.files():
        path.unlink()
    export_piece(master, platform.contract, FEBRUARY_CPU)
    assert files_under(platform.layout.legacy) == {
        "2023/02/cpu_utilization_202302.csv": full["2023/02/cpu_utilization_202302.csv"]
    }


def test_facts_returned_are_those_of_the_file(platform: Platform, master: MasterFile) -> None:
    written = export_piece(master, platform.contract, FEBRUARY_CPU)
    assert written == inspect_file(platform.contract, FEBRUARY_CPU)


@pytest.mark.parametrize("month", [202212, 202304])
def test_month_outside_the_master_is_refused_with_its_window(
    platform: Platform, master: MasterFile, month: int
) -> None:
    before = files_under(platform.layout.legacy)
    with pytest.raises(PartitionError, match="2023-01-01 to 2023-03-31") as caught:
        export_piece(master, platform.contract, FeedPiece(month, Resource.CPU))
    assert "monthly_refresh" in caught.value.remedy
    assert files_under(platform.layout.legacy) == before


@pytest.mark.parametrize(
    ("field", "text", "name", "header"),
    [
        ("file_prefix", "prod-cpu_2", "prod-cpu_2_202302.csv", "date,host_id,cpu_p95,max_cores"),
        ("value_column", "busy", "cpu_utilization_202302.csv", "date,host_id,busy,max_cores"),
        ("capacity_column", "cores", "cpu_utilization_202302.csv", "date,host_id,cpu_p95,cores"),
    ],
)
def test_prefix_and_labels_come_from_settings(
    platform: Platform, master: MasterFile, field: str, text: str, name: str, header: str
) -> None:
    rows = feed_file(platform).read_text().splitlines()[1:]
    labels: dict[str, Any] = platform.settings.legacy_feed.model_dump(mode="json")
    labels["resources"]["cpu"][field] = text
    settings = platform.settings.model_copy(update={"legacy_feed": LegacyFeed.model_validate(labels)})
    written = export_piece(master, Platform(settings).contract, FEBRUARY_CPU)
    assert written.path.name == name
    assert written.path.read_text().splitlines() == [header, *rows]


def test_file_that_lacks_a_row_is_not_published(
    platform: Platform, master: MasterFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed_file(platform).write_text("the old file\n")
    write_all = export._write_csv

    def write_all_but_one(source: MasterFile, contract: FeedContract, piece: FeedPiece, path: Path) -> int:
        rows = write_all(source, contract, piece, path)
        change_lines(path, lambda lines: lines[:-1])
        return rows

    monkeypatch.setattr(export, "_write_csv", write_all_but_one)
    with pytest.raises(GateError, match="335 lines for 336 rows") as caught:
        export_piece(master, platform.contract, FEBRUARY_CPU)
    assert "previous file is untouched" in caught.value.remedy
    assert feed_file(platform).read_text() == "the old file\n"
    assert [path.name for path in feed_file(platform).parent.iterdir() if path.name.startswith(".")] == []


def test_export_killed_before_its_end_leaves_the_old_file(platform: Platform, master: MasterFile) -> None:
    whole = files_under(platform.layout.legacy)
    feed_file(platform).write_text("the old file\n")
    with started(STOP_BEFORE_RENAME, platform.settings.model_dump_json()) as exporter:
        kill(exporter)
    assert feed_file(platform).read_text() == "the old file\n"
    assert len(list(platform.contract.files())) == len(PIECES)
    export_piece(master, platform.contract, FEBRUARY_CPU)
    assert files_under(platform.layout.legacy) == whole


def test_retired_are_only_conventional_files_of_other_months(platform: Platform) -> None:
    stranger = feed_file(platform).with_name("notes.txt")
    stranger.touch()
    assert retire_strays(platform.contract, [202301, 202303]) == [202302]
    assert {piece.month for piece in platform.contract.pieces()} == {202301, 202303}
    assert stranger.exists()


def test_nothing_is_retired_when_every_month_is_kept(platform: Platform) -> None:
    before = files_under(platform.layout.legacy)
    assert retire_strays(platform.contract, MONTHS) == []
    assert files_under(platform.layout.legacy) == before
