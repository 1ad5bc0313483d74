"""What the refinery makes of a feed that was made dirty on purpose: all that was done to it, and nothing else."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.dirt.defects import DirtyFile, dirty_file
from capsim_dagster.refinery.read import ReadFile, read_feed_file
from capsim_dagster.refinery.rules import FileRefused, HostTable, ReadRules
from capsim_dagster.refinery.source import FeedSource
from capsim_dagster.schemas import FileFault, LineFault, Resource, host_id
from capsim_dagster.settings import INJECTED_FILE_FAULTS, INJECTED_LINE_FAULTS, INJECTED_TRAITS, Defects
from capsim_dagster.settings.feed import MAX_LINE_SHARE
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.legacy_feed.fixtures import build_master
from capsim_dagster_tests.support.refinery.readings import read_rules

HOSTS = 10
MONTHS = [202301, 202302]
PIECES = [FeedPiece(month, resource) for month in MONTHS for resource in Resource]
Key = tuple[dt.date, str]

Weights = dict[Any, float]


def weights(kinds: tuple[Any, ...]) -> st.SearchStrategy[Weights]:
    """Return weights of which at least one is above 0."""
    weight = st.sampled_from([0.0, 0.2, 1.0])
    return st.fixed_dictionaries({}, optional=dict.fromkeys(kinds, weight)).filter(
        lambda drawn: sum(drawn.values()) > 0
    )


defects = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**63 - 1),
        "line_share": st.floats(0, MAX_LINE_SHARE),
        "truncated_share": st.floats(0, 1),
        "dialect_share": st.floats(0, 1),
        "line_faults": weights(INJECTED_LINE_FAULTS),
        "dialects": weights(INJECTED_TRAITS),
    }
)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> MasterFile:
    return build_master(tmp_path_factory.mktemp("dirty") / "data", num_servers=HOSTS, end_date="2023-02-28")


def contract_of(folder: Path, facts: dict[str, Any]) -> FeedContract:
    feed = read_rules().feed
    return FeedContract(folder, feed.model_copy(update={"defects": Defects.model_validate(facts)}))


def read_dirty(contract: FeedContract, piece: FeedPiece, dirty: DirtyFile) -> tuple[ReadFile, HostTable]:
    assert dirty.content is not None
    dirty.path.parent.mkdir(parents=True, exist_ok=True)
    dirty.path.write_bytes(dirty.content)
    inventory = frozenset(host_id(number) for number in range(1, HOSTS + 1))
    table = HostTable(ReadRules(contract.settings, read_rules().refinery, inventory))
    return read_feed_file(FeedSource(dirty.path), piece, table), table


def clean_rows(master: MasterFile, piece: FeedPiece) -> dict[Key, tuple[float | None, float]]:
    rows = pl.concat(master.month(piece.month, piece.resource))
    # The master keeps hundredths in single precision; the feed writes them as decimals.
    columns = ("date", pl.col("host_id").cast(pl.String), pl.col("p95_util").cast(pl.Float64).round(2), "capacity")
    return {(day, host): (util, capacity) for day, host, util, capacity in rows.select(columns).iter_rows()}


def loaded_rows(read: ReadFile, table: HostTable) -> dict[Key, tuple[float | None, float]]:
    rows = read.rows.with_columns(host=table.names(read.rows["host"]))
    first = dt.date(read.piece.month // 100, read.piece.month % 100, 1)
    facts = rows.select("day", "host", "util", "capacity").iter_rows()
    return {(first.replace(day=day), host): (util, capacity) for day, host, util, capacity in facts}


def damaged_keys(dirty: DirtyFile) -> set[Key]:
    """Return day and host of the lines that were sound once."""
    originals = [text.split(",") for text in dirty.defects["original"].drop_nulls()]
    return {(dt.date.fromisoformat(day), host) for day, host, *_ in originals}


def assert_all_is_found(read: ReadFile, table: HostTable, dirty: DirtyFile, clean: dict[Key, Any]) -> None:
    """Make sure that rejected lines are the injected ones, and every other row is the clean one."""
    injected = dict(dirty.defects.drop_nulls("line").select("line", "kind").iter_rows())
    loaded, damaged = loaded_rows(read, table), damaged_keys(dirty)
    assert dict(read.rejected.select("line", "reason").iter_rows()) == injected
    assert {trait.value for trait in read.dialect.traits} == set(dirty.defects.filter(pl.col("line").is_null())["kind"])
    assert read.lines == dirty.lines == read.rows.height + read.rejected.height
    assert read.rows.height == len(loaded)
    assert loaded == {key: said for key, said in clean.items() if key not in damaged}


@settings(max_examples=20)
@given(facts=defects, piece=st.sampled_from(PIECES))
def test_any_mix_of_defects_is_found_line_by_line_and_leaves_every_other_row_clean(
    master: MasterFile, tmp_path_factory: pytest.TempPathFactory, facts: dict[str, Any], piece: FeedPiece
) -> None:
    contract = contract_of(tmp_path_factory.getbasetemp() / "mixed", facts)
    dirty = dirty_file(master, contract, piece)
    read, table = read_dirty(contract, piece, dirty)
    assert_all_is_found(read, table, dirty, clean_rows(master, piece))


def test_every_kind_of_line_fault_is_found_in_every_dialect(master: MasterFile, tmp_path: Path) -> None:
    pieces, kinds = PIECES[: len(Resource) : 3], set()
    clean = {piece: clean_rows(master, piece) for piece in pieces}
    for trait in INJECTED_TRAITS:
        facts = {"line_share": 0.2, "dialect_share": 1, "dialects": {trait: 1}, "truncated_share": 0.5}
        contract = contract_of(tmp_path / trait, facts)
        for piece in pieces:
            dirty = dirty_file(master, contract, piece)
            read, table = read_dirty(contract, piece, dirty)
            assert_all_is_found(read, table, dirty, clean[piece])
            kinds |= set(read.rejected["reason"])
    assert kinds == {fault.value for fault in LineFault}


REFUSED_BY_THE_READER = {fault: fault for fault in INJECTED_FILE_FAULTS if fault != FileFault.MISSING} | {
    # That it is a copy is seen by whoever has both files; alone it is a file with another resource's header.
    FileFault.DUPLICATE_FILE: FileFault.NO_USABLE_HEADER,
}


@each_case(("injected", "found"), REFUSED_BY_THE_READER.items())
def test_file_that_was_damaged_as_a_whole_is_refused_for_its_fault(
    master: MasterFile, tmp_path: Path, injected: FileFault, found: FileFault
) -> None:
    contract = contract_of(tmp_path, {"file_share": 0.6, "file_faults": {injected: 1}, "dialect_share": 0.5})
    damaged = {
        piece: dirty for piece in PIECES if (dirty := dirty_file(master, contract, piece)).file_fault == injected
    }
    assert damaged
    for piece, dirty in damaged.items():
        with pytest.raises(FileRefused) as caught:
            read_dirty(contract, piece, dirty)
        assert caught.value.fault == found
