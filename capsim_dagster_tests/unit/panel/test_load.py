"""Loading as a whole: settings act, rows are conserved, and the last good panel stays."""

import datetime as dt
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from capsim_dagster.audits.report import Finding
from capsim_dagster.errors import GateError, PanelError, StorageError
from capsim_dagster.panel import load, read
from capsim_dagster.panel.judge import Counted, judge_rows
from capsim_dagster.settings import PanelValidation
from capsim_dagster_tests.support.panel.loading import (
    DAYS,
    ROWS,
    SERVERS,
    STAGED,
    Mutation,
    Site,
    against,
    as_texts,
    clean_panel,
    finding,
    repairs,
    rows,
    settings_with,
    with_column,
    without_days,
    without_footer,
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "data")


def itself(table: pa.Table) -> pa.Table:
    return table


def short_gap(table: pa.Table) -> pa.Table:
    return without_days(dt.date(2024, 5, 1), dt.date(2024, 5, 5), "SRV-0002")(table)


# Of each setting: a panel, and what does not hold without it and with it.
ACTS: list[tuple[str, object, Mutation, dict[str, str], dict[str, str]]] = [
    ("expected_servers", 11, itself, {}, {"servers_as_expected": "error"}),
    (
        "min_server_share",
        0.9,
        lambda table: table.slice(DAYS),
        {"servers_as_expected": "error"},
        {"servers_as_expected": "warning"},
    ),
    ("min_history_days", DAYS + 1, itself, {}, {"history_is_long_enough": "error"}),
    ("max_gap_days", 4, short_gap, {"days_are_contiguous": "warning"}, {"days_are_contiguous": "error"}),
    ("max_missing_day_share", 0.001, short_gap, {"days_are_contiguous": "warning"}, {"days_are_contiguous": "error"}),
    ("max_missing_share", 0.009, itself, {}, {"missing_share_is_within_limit": "error"}),
    (
        "null_values",
        ("none",),
        as_texts("cpu_p95", row_3="NONE"),
        {"types_are_right_or_repaired": "error"},
        {},
    ),
]


@pytest.mark.parametrize(("name", "value", "mutation", "before", "after"), ACTS, ids=[act[0] for act in ACTS])
def test_each_setting_changes_a_verdict(
    site: Site, name: str, value: object, mutation: Mutation, before: dict[str, str], after: dict[str, str]
) -> None:
    site.write(mutation(clean_panel()))

    assert against(site.report()) == before
    assert against(site.report(limits={name: value})) == after


def test_no_setting_is_without_a_test() -> None:
    assert [act[0] for act in ACTS] == list(PanelValidation.model_fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_history_days", DAYS),
        ("max_gap_days", 5),
        ("max_missing_share", 0.01),
        ("max_missing_day_share", 5 / ROWS),
        ("expected_servers", SERVERS),
    ],
)
def test_a_threshold_that_is_met_exactly_is_met(site: Site, name: str, value: object) -> None:
    site.write(short_gap(clean_panel()) if "day" in name and "history" not in name else clean_panel())

    assert site.report(limits={name: value})["validation_passed"]


def test_loading_twice_changes_no_byte(site: Site) -> None:
    site.write(clean_panel().take(pa.array(np.arange(ROWS)[::-1])))
    first = Path(site.load().report_url).read_bytes(), site.staged.read_bytes()

    second = Path(site.load().report_url).read_bytes(), site.staged.read_bytes()

    assert first == second


def test_every_batch_is_told_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "_BATCH_ROWS", 1_500)
    path = site.write(clean_panel())
    told: list[tuple[int, int]] = []

    load.load_panel(
        settings_with(site.folder), site.store, source=str(path), advance=lambda rows, of: told.append((rows, of))
    )

    assert told == [(1_500, ROWS), (1_500, ROWS), (1_000, ROWS)]


@st.composite
def spoiled_panels(draw: st.DrawFn) -> tuple[pa.Table, int, int]:
    """Return a small panel in some order with gaps and duplicates, how many rows are dropped, and batch size."""
    whole = clean_panel()
    kept = sorted(draw(st.sets(st.integers(0, 59), min_size=1)))
    source = [DAYS * (row // 20) + row % 20 for row in kept]
    copies = draw(st.lists(st.sampled_from(source), max_size=12))
    order = draw(st.permutations([*source, *copies]))
    return whole.take(pa.array(order)), len(copies), draw(st.integers(1, 40))


@settings(max_examples=12)
@given(spoiled_panels())
def test_rows_are_conserved_and_the_content_does_not_depend_on_their_order(
    case: tuple[pa.Table, int, int],
) -> None:
    table, copies, batch_rows = case
    lenient = {
        "min_history_days": 1,
        "max_gap_days": 60,
        "max_missing_day_share": 1.0,
        "max_missing_share": 1.0,
    }
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "_BATCH_ROWS", batch_rows)
        site = Site(Path(folder))
        path = site.write(without_footer(table), "panel.parquet")
        outside = path.rename(Path(folder) / "panel.parquet")
        outcome = site.load(outside, limits=lenient)
        report = outcome.report
        # A metric of few rows may have no value at all, which is the one thing that may fail here.
        assert {found.claim for found in report.failed} <= {"missing_share_is_within_limit"}
        assert report.facts is not None
        assert report.facts.rows == table.num_rows - copies
        assert {repair.name: repair.count for repair in report.repairs}.get("exact_duplicates_are_dropped", 0) == copies
        if report.staged:
            found = pq.read_table(report.staged.url)
            order = [("server_id", "ascending"), ("timestamp", "ascending")]
            assert found.to_pylist() == sorted_rows(table)
            assert found.equals(found.sort_by(order))


def sorted_rows(table: pa.Table) -> list[dict[str, object]]:
    """Return the different rows by key, by a second method: as Python objects."""
    by_key = {(row["server_id"], row["timestamp"]): row for row in table.to_pylist()}
    return [by_key[key] for key in sorted(by_key)]


def test_the_report_does_not_depend_on_how_the_file_is_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty days of three servers; rows that repeat the one before stand at the ends of batches too."""
    thirty = pa.concat_tables([clean_panel().slice(DAYS * server, 30) for server in range(3)])
    gap = without_days(dt.date(2024, 1, 10), dt.date(2024, 1, 12), "SRV-0002")
    path = site.write(without_footer(gap(rows(0, 29, 30)(thirty))), "panel.parquet")
    lenient = {"expected_servers": 3, "min_history_days": 30}
    expected = site.report(path, limits=lenient)

    for batch_rows in (1, 7, 30, 31, 62):
        monkeypatch.setattr(read, "_BATCH_ROWS", batch_rows)
        assert site.report(path, limits=lenient) == expected, batch_rows
    assert repairs(expected) == {("exact_duplicates_are_dropped", ""): 3}
    assert against(expected) == {"days_are_contiguous": "warning", "expectation_is_known": "info"}


def test_a_file_of_more_rows_than_are_held_is_dealt_out_in_turns_to_the_same_bytes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = np.random.default_rng(3).permutation(ROWS)
    site.write(rows(5, ROWS - 1)(clean_panel()).take(pa.array(shuffled)))
    expected = site.report(), site.staged.read_bytes()

    monkeypatch.setattr(read, "_BATCH_ROWS", DAYS)
    monkeypatch.setattr(read, "_HELD_ROWS", 3 * DAYS)

    assert (site.report(), site.staged.read_bytes()) == expected


def test_a_footer_that_says_nothing_usable_fails(site: Site) -> None:
    site.write(clean_panel().replace_schema_metadata({"capsim_panel": '{"servers": "many"}'}))

    found = finding(site.report(), "file_is_readable")

    assert not found["passed"]
    assert "says not which servers and days" in found["message"]


def test_the_validated_file_is_named_after_the_days_it_holds(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "anything at all.parquet"
    pq.write_table(without_footer(clean_panel()), path)

    outcome = site.load(path)

    assert outcome.report.staged is not None
    assert Path(outcome.report.staged.url).name == str(STAGED)
    assert Path(outcome.report_url).name == f"{STAGED.stem}_report.json"


@pytest.mark.parametrize("moves", [DAYS + 1, DAYS + 40, 2 * DAYS - 1, 2 * DAYS - 2])
def test_a_server_that_moves_is_seen_wherever_batches_end(
    site: Site, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    monkeypatch.setattr(read, "_BATCH_ROWS", moves)
    regions = clean_panel()["region"].to_pylist()
    regions[moves] = "elsewhere"
    site.write(with_column(clean_panel(), "region", pa.array(regions)))

    report = site.report()

    assert against(report) == {"identity_is_constant": "warning"}
    assert next(f for f in report["findings"] if f["name"] == "identity_is_constant")["examples"] == ["SRV-0002"]


def test_a_failure_while_writing_leaves_the_validated_panel_and_report_of_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write(clean_panel())
    report = Path(site.load().report_url)
    before = site.staged.read_bytes(), report.read_bytes()

    def broken(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("capsim_dagster.panel.load.shutil.copyfile", broken)
    with pytest.raises(StorageError, match="No space left on device"):
        site.load()

    assert (site.staged.read_bytes(), report.read_bytes()) == before
    assert sorted(path.name for path in site.staged.parent.iterdir()) == sorted([site.staged.name, report.name])


def test_a_row_that_gets_lost_on_the_way_fails_before_anything_is_published(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write(clean_panel().take(pa.array(np.arange(ROWS)[::-1])))
    whole = load._repaired
    monkeypatch.setattr(load, "_repaired", lambda counted: [pl.concat(whole(counted)).slice(1)])

    with pytest.raises(
        GateError, match=r"4,000 rows of .* are not 3,999 validated rows, of which 4,000 were examined, \+ 0 exact"
    ):
        site.load()

    assert list(site.folder.rglob("*staged/*")) == []


def test_a_source_that_changes_while_it_is_loaded_is_not_published(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site.write(clean_panel())

    def replaced(counted: Counted) -> list[Finding]:
        site.write(clean_panel().slice(DAYS), path.name)
        return judge_rows(counted)

    monkeypatch.setattr("capsim_dagster.panel.load.judge_rows", replaced)

    with pytest.raises(PanelError, match="changed while it was loaded"):
        site.load()

    assert not site.staged.exists()


def test_the_report_is_json_without_anything_of_the_clock(site: Site) -> None:
    site.write(clean_panel())
    outcome = site.load()

    content = json.loads(Path(outcome.report_url).read_text())

    assert list(content) == [
        "validation_passed", "strict", "source", "staged", "expected", "facts", "repairs", "findings",
    ]  # fmt: skip
    assert list(content["findings"][0]) == ["name", "severity", "passed", "count", "message", "examples", "threshold"]
    assert len({found["name"] for found in content["findings"]}) == len(content["findings"]) == 15
