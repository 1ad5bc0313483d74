import csv
import hashlib
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from capsim_dagster.errors import GateError, PartitionError
from capsim_dagster.legacy_feed import export
from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.dialects import Dialect, plain_dialect
from capsim_dagster.legacy_feed.dirt.defects import dirty_file
from capsim_dagster.legacy_feed.export import export_piece, retire_strays
from capsim_dagster.legacy_feed.inspect import InspectedFile, inspect_file
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import LegacyFeed
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster_tests.conftest import MONTHS
from capsim_dagster_tests.support.legacy_feed.dirt import read_lists
from capsim_dagster_tests.support.legacy_feed.dirty_exports import FEBRUARY_CPU, PIECES, dirty, export_all, listed
from capsim_dagster_tests.support.sabotage import change_lines, feed_file, files_under, rewrite_master


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
    assert ",".join(header) == plain_dialect(platform.contract.settings, piece.resource).header
    assert records == [
        [row["date"].isoformat(), row["host_id"], as_text(row["p95_util"]), str(int(row["capacity"]))]
        for row in rows.iter_rows(named=True)
    ]


def test_gap_of_the_master_is_an_empty_field(platform: Platform) -> None:
    kept = pl.when(pl.col("date").dt.day() != 3).then(pl.col("p95_util").fill_null(1))
    rewrite_master(platform, lambda frame: frame.with_columns(p95_util=kept))
    export_piece(MasterFile(platform.layout.master), platform.contract, FEBRUARY_CPU, platform.layout.defects)
    with feed_file(platform).open(encoding="utf-8", newline="") as stream:
        records = list(csv.DictReader(stream))
    assert len(records) == 28 * 12
    assert {record["date"] for record in records if record["cpu_p95"] == ""} == {"2023-02-03"}


def test_exporting_again_writes_the_same_bytes(platform: Platform, master: MasterFile) -> None:
    before = files_under(platform.layout.legacy)
    for piece in PIECES:
        export_piece(master, platform.contract, piece, platform.layout.defects)
    assert files_under(platform.layout.legacy) == before


def test_one_piece_alone_equals_that_of_the_full_run(platform: Platform, master: MasterFile) -> None:
    full = files_under(platform.layout.legacy)
    for path, _ in platform.contract.files():
        path.unlink()
    export_piece(master, platform.contract, FEBRUARY_CPU, platform.layout.defects)
    assert files_under(platform.layout.legacy) == {
        "2023/02/cpu_utilization_202302.csv": full["2023/02/cpu_utilization_202302.csv"]
    }


def test_facts_returned_are_those_of_the_file(platform: Platform, master: MasterFile) -> None:
    written = export_piece(master, platform.contract, FEBRUARY_CPU, platform.layout.defects)
    assert written == inspect_file(platform.contract, FEBRUARY_CPU)


@pytest.mark.parametrize("month", [202212, 202304])
def test_month_outside_the_master_is_refused_with_its_window(
    platform: Platform, master: MasterFile, month: int
) -> None:
    before = files_under(platform.layout.legacy)
    with pytest.raises(PartitionError, match="2023-01-01 to 2023-03-31") as caught:
        export_piece(master, platform.contract, FeedPiece(month, Resource.CPU), platform.layout.defects)
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
    written = export_piece(master, Platform(settings).contract, FEBRUARY_CPU, platform.layout.defects)
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
        export_piece(master, platform.contract, FEBRUARY_CPU, platform.layout.defects)
    assert "previous file is untouched" in caught.value.remedy
    assert feed_file(platform).read_text() == "the old file\n"
    assert [path.name for path in feed_file(platform).parent.iterdir() if path.name.startswith(".")] == []


def test_retired_are_only_conventional_files_of_other_months(platform: Platform) -> None:
    stranger = feed_file(platform).with_name("notes.txt")
    stranger.touch()
    assert retire_strays(platform.contract, [202301, 202303], platform.layout.defects) == [202302]
    assert {piece.month for piece in platform.contract.pieces()} == {202301, 202303}
    assert stranger.exists()


def test_nothing_is_retired_when_every_month_is_kept(platform: Platform) -> None:
    before = files_under(platform.layout.legacy)
    assert retire_strays(platform.contract, MONTHS, platform.layout.defects) == []
    assert files_under(platform.layout.legacy) == before


# With defects.


EVERYTHING: dict[str, Any] = {"line_share": 0.1, "truncated_share": 0.3, "dialect_share": 0.5, "file_share": 0.2}
GZIP: dict[str, Any] = {"dialect_share": 1, "dialects": {"gzip": 1}}
MISSING: dict[str, Any] = {"file_share": 1, "file_faults": {"missing": 1}}
LINES: dict[str, Any] = {"line_share": 0.2}


def test_dirty_files_are_as_drawn_and_each_has_its_list(platform: Platform, master: MasterFile) -> None:
    dirtied = dirty(platform, **EVERYTHING)
    written = export_all(dirtied)
    found = read_lists(dirtied.contract, platform.layout.defects, MONTHS)
    assert list(found) == sorted(PIECES)
    for piece, facts in written.items():
        drawn = dirty_file(master, dirtied.contract, piece)
        content = drawn.content
        assert dirtied.contract.found(piece) == ([] if content is None else [drawn.path])
        assert content is None or drawn.path.read_bytes() == content
        digest = "" if content is None else hashlib.sha256(content).hexdigest()
        assert facts == InspectedFile(
            piece, drawn.path, len(content or b""), digest, drawn.lines, drawn.defects.height, drawn.file_fault
        )
        assert found[piece].frame.equals(drawn.defects)
        assert (found[piece].sha256, found[piece].bytes) == (digest, facts.bytes)


def test_dirty_feed_again_and_one_piece_alone_are_the_same_bytes(platform: Platform, master: MasterFile) -> None:
    dirtied = dirty(platform, **EVERYTHING)
    export_all(dirtied)
    before = files_under(platform.layout.legacy), files_under(platform.layout.defects)
    for piece in (PIECES[7], PIECES[2]):
        export_piece(master, dirtied.contract, piece, platform.layout.defects)
    assert (files_under(platform.layout.legacy), files_under(platform.layout.defects)) == before


def test_clean_export_after_a_dirty_one_is_as_if_it_had_never_been(platform: Platform) -> None:
    before = files_under(platform.layout.legacy)
    export_all(dirty(platform, **EVERYTHING, seed=4))
    assert files_under(platform.layout.legacy) != before
    written = export_all(platform)
    assert files_under(platform.layout.legacy) == before
    assert files_under(platform.layout.defects) == {}
    assert {(facts.defects, facts.file_fault) for facts in written.values()} == {(0, None)}


def test_one_file_at_most_claims_a_piece(platform: Platform, master: MasterFile) -> None:
    pieces = PIECES[4:6]
    for earlier, defects in product((GZIP, MISSING, LINES), repeat=2):
        for drawn in (earlier, defects):
            contract = dirty(platform, **drawn).contract
            for piece in pieces:
                export_piece(master, contract, piece, platform.layout.defects)
        for piece in pieces:
            path = platform.contract.candidates(piece)[defects is GZIP]
            assert platform.contract.found(piece) == ([] if defects is MISSING else [path]), (earlier, defects)


def test_file_without_any_defect_has_an_empty_list(platform: Platform) -> None:
    clean = feed_file(platform).read_bytes()
    written = export_all(dirty(platform, truncated_share=1e-9))
    assert {facts.defects for facts in written.values()} == {0}
    assert feed_file(platform).read_bytes() == clean
    assert listed(platform).frame.height == 0
    assert listed(platform).sha256 == hashlib.sha256(clean).hexdigest()


def test_dirty_file_that_would_lack_a_row_before_damage_is_not_published(
    platform: Platform, master: MasterFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_under(platform.layout.legacy)
    write_rows = Dialect.write_rows
    monkeypatch.setattr(Dialect, "write_rows", lambda self, frame, stream: write_rows(self, frame[1:], stream))
    with pytest.raises(GateError, match="335 lines for 336 rows"):
        export_piece(master, dirty(platform, **LINES).contract, FEBRUARY_CPU, platform.layout.defects)
    assert files_under(platform.layout.legacy) == before
    assert files_under(platform.layout.defects) == {}


def test_retired_are_compressed_files_and_lists_too(platform: Platform) -> None:
    dirtied = dirty(platform, **GZIP)
    export_all(dirtied)
    stranger = platform.layout.defects / "notes.parquet"
    stranger.touch()
    assert retire_strays(dirtied.contract, [202301, 202303], platform.layout.defects) == [202302]
    assert {piece.month for piece in dirtied.contract.pieces()} == {202301, 202303}
    assert {piece.month for piece in read_lists(dirtied.contract, platform.layout.defects, MONTHS)} == {202301, 202303}
    assert stranger.exists()


def test_list_of_a_missing_file_is_retired_with_its_month(platform: Platform) -> None:
    gone = dirty(platform, **MISSING)
    export_all(gone)
    assert retire_strays(gone.contract, [202302], platform.layout.defects) == [202301, 202303]
    assert {piece.month for piece in read_lists(gone.contract, platform.layout.defects, MONTHS)} == {202302}


def test_plain_feed_follows_the_first_candidate_of_each_setting(platform: Platform, master: MasterFile) -> None:
    labels = platform.settings.legacy_feed.model_dump(mode="json")
    labels |= {"delimiters": [";"], "date_formats": ["%d.%m.%Y"], "null_values": ["-"], "decimal_signs": [","]}
    for columns in labels["resources"].values():
        columns["capacity_column"] = None
    contract = FeedContract(platform.layout.legacy, LegacyFeed.model_validate(labels))
    rows = feed_file(platform).read_text().splitlines()[1:]
    written = export_piece(master, contract, FEBRUARY_CPU, platform.layout.defects)
    header, *lines = written.path.read_text().splitlines()
    fields = [row.split(",") for row in rows]
    assert header == "date;host_id;cpu_p95"
    assert lines == [
        f"{day[8:]}.{day[5:7]}.{day[:4]};{host};{value.replace('.', ',') or '-'}" for day, host, value, _ in fields
    ]
    assert written == inspect_file(contract, FEBRUARY_CPU)
