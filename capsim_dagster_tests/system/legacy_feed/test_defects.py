from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsim_dagster.legacy_feed.contract import FeedContract, FeedPiece
from capsim_dagster.legacy_feed.dirt.defects import dirty_file
from capsim_dagster.schemas import DialectTrait, FileFault, LineFault, Resource, host_id
from capsim_dagster.schemas.feed import INJECTED_DEFECTS
from capsim_dagster.schemas.frames import broken_rules, frame_schema
from capsim_dagster.settings import (
    INJECTED_FILE_FAULTS,
    INJECTED_LINE_FAULTS,
    INJECTED_TRAITS,
    Defects,
)
from capsim_dagster.settings.feed import MAX_LINE_SHARE
from capsim_dagster.simulated import grid as daily_grid
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.legacy_feed.dirt import (
    PIECES,
    ROOT,
    changed,
    clean_lines,
    feed,
    files,
    kinds,
    line_faults,
    read_back,
)
from capsim_dagster_tests.support.legacy_feed.fixtures import build_master

MONTH = PIECES[: len(Resource)]
"""A file of each resource: 1,344 lines."""
EVERYTHING: dict[str, Any] = {"line_share": 0.1, "truncated_share": 0.3, "dialect_share": 0.5, "file_share": 0.2}

facts = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**63 - 1),
        "line_share": st.floats(0, MAX_LINE_SHARE),
        "truncated_share": st.floats(0, 1),
        "dialect_share": st.floats(0, 1),
    }
)


# What is on the list is what an exact reader finds, and nothing is lost.


@settings(max_examples=15)
@given(facts=facts, piece=st.sampled_from(PIECES))
def test_list_is_what_an_exact_reader_finds_and_undoing_it_gives_the_clean_lines_back(
    shared_master: MasterFile, facts: dict[str, Any], piece: FeedPiece
) -> None:
    contract = feed(**facts)
    dirty = dirty_file(shared_master, contract, piece)
    found = read_back(contract, piece, dirty)
    assert found.faults == line_faults(dirty)
    assert found.traits == set(dirty.defects.filter(pl.col("line").is_null())["kind"])
    assert len(found.lines) == dirty.lines == len(found.loaded) + len(found.faults)
    originals = dict(dirty.defects.drop_nulls("line").select("line", "original").iter_rows())
    undone = [originals.get(line, found.loaded.get(line)) for line in found.lines]
    assert [line for line in undone if line is not None] == clean_lines(shared_master, contract, piece)


def test_every_line_fault_reads_right_in_every_dialect(shared_master: MasterFile) -> None:
    kinds_found = set[str]()
    for trait in INJECTED_TRAITS:
        contract = feed(line_share=0.2, dialect_share=1, dialects={trait: 1}, truncated_share=0.5)
        written = files(shared_master, contract, MONTH[::3])
        for piece, dirty in written.items():
            found = read_back(contract, piece, dirty)
            assert found.faults == line_faults(dirty), trait
            assert found.traits == set(dirty.defects.filter(pl.col("line").is_null())["kind"]), trait
        kinds_found |= set(kinds(written))
    assert kinds_found == set(LineFault) | set(INJECTED_TRAITS)


@each_case(
    "fields",
    [
        {"capacity_column": None},
        {"delimiters": [";", "\t", ","], "date_formats": ["%d.%m.%Y", "%Y-%m-%dT%H:%M:%S"]},
        {"null_values": ["NaN", "inf", "-inf", "", "abc", "-5.0"]},
        {"date_formats": ["%Y%m%d", "%b %d, %Y", "%d-%b-%Y"]},
    ],
)
def test_faults_are_what_they_are_called_under_other_settings(
    shared_master: MasterFile, fields: dict[str, Any]
) -> None:
    defects = Defects(line_share=0.2, dialect_share=0.5, truncated_share=0.2)
    contract = FeedContract(ROOT, changed(**fields).model_copy(update={"defects": defects}))
    for piece, dirty in files(shared_master, contract, MONTH).items():
        assert read_back(contract, piece, dirty).faults == line_faults(dirty)


def test_list_has_the_columns_of_its_schema(shared_master: MasterFile) -> None:
    for dirty in files(shared_master, feed(**EVERYTHING)).values():
        assert dirty.defects.schema == frame_schema(INJECTED_DEFECTS)
        assert broken_rules(INJECTED_DEFECTS, dirty.defects) == []
        assert set(dirty.defects["path"]) <= {dirty.path.relative_to(ROOT).as_posix()}


# The same draws, whatever else is written.


def test_same_settings_give_the_same_bytes(shared_master: MasterFile) -> None:
    first, again = (files(shared_master, feed(**EVERYTHING)) for _ in range(2))
    assert {piece: dirty.content for piece, dirty in first.items()} == {
        piece: dirty.content for piece, dirty in again.items()
    }
    assert all(first[piece].defects.equals(again[piece].defects) for piece in PIECES)


def test_one_piece_alone_equals_that_of_the_full_run(shared_master: MasterFile) -> None:
    full = files(shared_master, feed(**EVERYTHING))
    for piece in reversed(PIECES):
        alone = dirty_file(MasterFile(shared_master.path), feed(**EVERYTHING), piece)
        assert (alone.path, alone.content) == (full[piece].path, full[piece].content)


@pytest.fixture(scope="module")
def shorter_master(tmp_path_factory: pytest.TempPathFactory) -> MasterFile:
    """Return a master that ends within a month."""
    return build_master(tmp_path_factory.mktemp("shorter"), end_date="2023-01-20")


@pytest.mark.parametrize("growth", [{"num_servers": 20}, {"end_date": "2023-02-10"}], ids=["fleet", "window"])
def test_larger_fleet_or_longer_window_damages_the_old_lines_alike(
    shorter_master: MasterFile, tmp_path: Path, growth: dict[str, Any]
) -> None:
    contract = feed(line_share=0.2, dialect_share=0.5)
    small, large = shorter_master, build_master(tmp_path, **{"end_date": "2023-01-20", **growth})
    changed_lines = 0
    for piece in MONTH:
        old = dict(damaged_lines(small, contract, piece))
        new = dict(damaged_lines(large, contract, piece))
        kept = {original: new.get(original) for original in clean_lines(small, contract, piece)}
        assert {original: change for original, change in kept.items() if change} == old
        changed_lines += len(old)
    assert changed_lines > 100


def test_fleet_in_several_row_groups_is_damaged_as_in_one(
    shared_master: MasterFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily_grid, "HOSTS_PER_ROW_GROUP", 8)
    monkeypatch.setattr(daily_grid, "HOSTS_PER_CHUNK", 4)
    split = build_master(tmp_path)
    assert len(list(split.month(202302, Resource.CPU))) == 2
    whole, parts = files(shared_master, feed(**EVERYTHING)), files(split, feed(**EVERYTHING))
    assert all(whole[piece].content == parts[piece].content for piece in PIECES)


def damaged_lines(
    master: MasterFile, contract: FeedContract, piece: FeedPiece
) -> list[tuple[str, tuple[LineFault, str]]]:
    """Return each line that is damaged in its place with its fault and its damaged text."""
    dirty = dirty_file(master, contract, piece)
    lines = read_back(contract, piece, dirty, {host_id(number) for number in range(1, 21)}).lines
    listed = dirty.defects.drop_nulls()
    return [(original, (LineFault(kind), lines[line])) for _, line, kind, original in listed.iter_rows()]


# Shares and weights.


def test_share_of_lines_is_about_the_one_that_is_set(shared_master: MasterFile) -> None:
    written = files(shared_master, feed(line_share=0.1))
    faults = sum(dirty.defects.filter(pl.col("original").is_not_null()).height for dirty in written.values())
    added = [LineFault.BLANK_LINE, LineFault.REPEATED_HEADER, LineFault.EXACT_DUPLICATE]
    faults += sum(kinds(written)[kind] for kind in added)
    # 4,320 lines: 432 with a standard deviation of 20; five of them fail once in two million seeds.
    assert abs(faults - 432) < 100


def test_kinds_of_line_faults_come_by_their_weights(shared_master: MasterFile) -> None:
    weights = {LineFault.MISSING_DATE: 3, LineFault.NOT_FINITE: 1}
    found = kinds(files(shared_master, feed(line_share=0.2, line_faults=weights)))
    assert set(found) == set(weights)
    # 864 faults: a quarter is 216 with a standard deviation of 13.
    assert abs(found["not_finite"] / found.total() - 0.25) < 0.08


def test_shares_of_files_are_about_those_that_are_set(shared_master: MasterFile) -> None:
    of_kind: dict[str, set[Any]] = {
        "truncated_share": {"truncated_line"},
        "dialect_share": set(DialectTrait),
        "file_share": set(FileFault),
    }
    hits = Counter[str]()
    for seed in range(6):
        # A file that is damaged as a whole has neither of the other two.
        for shares in (("truncated_share", "dialect_share"), ("file_share",)):
            written = files(shared_master, feed(seed=seed, **dict.fromkeys(shares, 0.3)))
            found = [set(dirty.defects["kind"]) for dirty in written.values()]
            hits.update({share: sum(bool(of_kind[share] & kinds_) for kinds_ in found) for share in shares})
    # 72 files each: 22 with a standard deviation of 4; of a half, 36 would be.
    assert all(abs(hits[share] - 22) < 14 for share in of_kind), hits


@each_case("kind", INJECTED_LINE_FAULTS)
def test_line_fault_of_the_only_weight_is_the_only_one(shared_master: MasterFile, kind: LineFault) -> None:
    only = kinds(files(shared_master, feed(line_share=0.2, line_faults={kind: 1}), MONTH[:1]))
    assert set(only) == {kind}


@each_case("absent", [INJECTED_LINE_FAULTS[::2], INJECTED_LINE_FAULTS[1::2]])
def test_line_faults_of_weight_zero_are_never_and_all_others_come(
    shared_master: MasterFile, absent: tuple[LineFault, ...]
) -> None:
    # Of 1,344 lines: a kind that may come misses them less than once in a hundred thousand seeds.
    found = kinds(files(shared_master, feed(line_share=0.2, line_faults=weights(INJECTED_LINE_FAULTS, *absent)), MONTH))
    assert set(found) == set(INJECTED_LINE_FAULTS) - set(absent)


@each_case("trait", INJECTED_TRAITS)
def test_weight_of_a_dialect_acts(shared_master: MasterFile, trait: DialectTrait) -> None:
    implied = {DialectTrait.SEMICOLON} if trait is DialectTrait.DECIMAL_COMMA else set()
    only = kinds(files(shared_master, feed(dialect_share=1, dialects={trait: 1}), MONTH))
    assert set(only) == {trait} | implied
    assert only[trait] == len(MONTH)


@each_case("fault", INJECTED_FILE_FAULTS)
def test_weight_of_a_file_fault_acts(shared_master: MasterFile, fault: FileFault) -> None:
    only = kinds(files(shared_master, feed(file_share=0.3, file_faults={fault: 1})))
    assert set(only) == {fault}


def test_weight_of_zero_is_never_and_all_others_come(shared_master: MasterFile) -> None:
    dialects, faults = weights(INJECTED_TRAITS, "cr"), weights(INJECTED_FILE_FAULTS, "not_csv")
    shares = {"dialect_share": 0.9, "file_share": 0.4}
    found = [
        kinds(files(shared_master, feed(seed=seed, dialects=dialects, file_faults=faults, **shares)))
        for seed in range(12)
    ]
    assert set().union(*found) == {*INJECTED_TRAITS, *INJECTED_FILE_FAULTS} - {"cr", "not_csv"}


def weights(possible: tuple[Any, ...], *absent: object) -> dict[Any, float]:
    return {kind: 0.0 if kind in absent else 1.0 for kind in possible}


def test_seed_and_shares_act(shared_master: MasterFile) -> None:
    before = files(shared_master, feed(**EVERYTHING), MONTH)
    for name, value in {
        "seed": 2,
        "line_share": 0.11,
        "truncated_share": 0.9,
        "dialect_share": 0,
        "file_share": 0.6,
    }.items():
        after = files(shared_master, feed(**(EVERYTHING | {name: value})), MONTH)
        assert any(before[piece].content != after[piece].content for piece in MONTH), name


# Places of added lines, and the last line.


def test_truncated_line_is_the_last_one_and_a_part_of_it(shared_master: MasterFile) -> None:
    contract = feed(line_share=0.2, truncated_share=1)
    for piece, dirty in files(shared_master, contract).items():
        assert dirty.content is not None
        *_, last = dirty.content.decode("utf-8", "surrogatepass").split("\n")
        original = clean_lines(shared_master, contract, piece)[-1]
        assert 0 < len(last) < len(original)
        assert original.startswith(last)
        assert dirty.defects.rows()[-1][1:] == (dirty.lines + 1, "truncated_line", original)


def test_truncated_file_has_no_blank_lines_at_its_end(shared_master: MasterFile) -> None:
    only = feed(truncated_share=1, dialect_share=1, dialects={DialectTrait.TRAILING_BLANK_LINES: 1})
    assert set(kinds(files(shared_master, only))) == {"truncated_line"}


def test_copies_follow_their_originals_and_may_be_far_down(shared_master: MasterFile) -> None:
    distances = Counter[int]()
    for piece, dirty in files(shared_master, feed(line_share=0.1, line_faults={LineFault.EXACT_DUPLICATE: 1})).items():
        lines = read_back(feed(), piece, dirty).lines
        first = {text: number for number, text in reversed(lines.items())}
        distances.update(line - first[lines[line]] for line in line_faults(dirty))
    assert min(distances) == 1
    assert max(distances) > 20


def test_conflicting_twins_are_both_listed_and_differ_in_the_value_alone(shared_master: MasterFile) -> None:
    contract = feed(line_share=0.2, line_faults={LineFault.CONFLICTING_DUPLICATE: 1})
    is_added_first, gaps = set(), Counter[bool]()
    for piece, dirty in files(shared_master, contract).items():
        lines = read_back(contract, piece, dirty).lines
        rows = {line: original for _, line, _, original in dirty.defects.iter_rows()}
        originals = {tuple(text.split(",")[:2]): line for line, text in rows.items() if text is not None}
        added = {tuple(lines[line].split(",")[:2]): line for line, text in rows.items() if text is None}
        assert originals.keys() == added.keys()
        for key, line in added.items():
            own, other = lines[originals[key]].split(","), lines[line].split(",")
            assert own[2] != other[2]
            assert (own[:2], own[3]) == (other[:2], other[3])
            is_added_first.add(line < originals[key])
            gaps.update([own[2] == "", other[2] == ""])
    assert is_added_first == {True, False}
    assert gaps[True] > 20


def test_resource_without_capacity_has_no_fault_of_it(shared_master: MasterFile) -> None:
    settings = changed(capacity_column=None).model_copy(update={"defects": Defects(line_share=0.2)})
    found = kinds(files(shared_master, FeedContract(ROOT, settings)))
    of_capacity = {LineFault.MISSING_CAPACITY, LineFault.UNPARSABLE_CAPACITY}
    assert set(found) == set(INJECTED_LINE_FAULTS) - of_capacity


def test_kinds_that_cannot_be_expressed_damage_nothing(shared_master: MasterFile) -> None:
    defects = Defects(line_share=0.2, line_faults={LineFault.MISSING_CAPACITY: 1})
    settings = changed(capacity_column=None).model_copy(update={"defects": defects})
    assert not kinds(files(shared_master, FeedContract(ROOT, settings)))
