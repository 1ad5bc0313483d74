import datetime as dt
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from capsim_dagster.refinery.account import (
    RAW_CHARACTERS,
    Claim,
    PieceState,
    RefineryAccount,
    Source,
    refinery_account,
)
from capsim_dagster.schemas import VARIETIES, FileFault, LineFault, Resource
from capsim_dagster.schemas.months import MAX_SPAN_MONTHS
from capsim_dagster.schemas.tables import TABLES
from capsim_dagster.settings import DataGeneration
from capsim_dagster.storage.warehouse import append_rows
from capsim_dagster_tests.conftest import MakeSettings, inventory
from capsim_dagster_tests.support.audits.refinery_rows import (
    ALL_RESOURCES,
    LOADED_AT,
    REFUSED_AT,
    add_calendar,
    add_file,
    add_months,
    add_refusal,
    add_rejected,
    add_rows,
    feed_path,
    set_origin,
    tables,
)

CPU = (Resource.CPU,)


@pytest.fixture(scope="module")
def _tables() -> Iterator[duckdb.DuckDBPyConnection]:
    with tables() as connection:
        yield connection


@pytest.fixture
def warehouse(_tables: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Return empty tables; they are made once, and emptied after each test."""
    yield _tables
    for table in TABLES:
        _tables.execute(f"DELETE FROM {table}")


@pytest.fixture
def generation(make_settings: MakeSettings) -> DataGeneration:
    return make_settings().data_generation


def account_of(connection: duckdb.DuckDBPyConnection) -> RefineryAccount:
    return refinery_account(connection, ALL_RESOURCES)


def state_of(connection: duckdb.DuckDBPyConnection, month: int = 202301, resource: str = "cpu") -> PieceState:
    return account_of(connection).pieces[month, resource].state


def test_empty_tables_make_an_empty_account(warehouse: duckdb.DuckDBPyConnection) -> None:
    account = account_of(warehouse)

    assert account.is_empty
    assert (account.months, account.pieces, account.reasons, account.varieties) == ([], {}, [], [])
    assert account.totals().lines == 0
    assert account.origin is None


def test_calendar_alone_expects_every_month_and_resource(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_calendar(warehouse, dt.date(2022, 12, 31), dt.date(2023, 2, 1))

    account = account_of(warehouse)

    assert account.is_empty
    assert account.months == [202212, 202301, 202302]
    assert account.resources == ["cpu", "memory", "disk", "network"]
    assert [piece.state for piece in account.pieces.values()] == [PieceState.MISSING] * 12


def test_loaded_file_is_told_as_it_was_recorded(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_file(warehouse, 202301, "cpu", loaded=990, rejected=10)
    add_rejected(warehouse, 202301, "cpu", LineFault.FIELD_COUNT, count=10)
    set_origin(warehouse, "/srv/feed")

    account = account_of(warehouse)
    file = account.pieces[202301, "cpu"].file

    assert account.origin == "/srv/feed"
    assert not account.is_empty
    assert file is not None
    assert (file.lines, file.loaded, file.rejected, file.loaded_at) == (1_000, 990, 10, LOADED_AT)
    assert file.rejected_share == 0.01
    assert account.rejected_shares() == {202301: 0.01}
    assert account.disagreements == ()


def test_state_without_rejected_lines_is_loaded(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_file(warehouse, 202301, "cpu")
    assert state_of(warehouse) is PieceState.LOADED


def test_state_with_rejected_lines_is_partly(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_file(warehouse, 202301, "cpu", rejected=1)
    assert state_of(warehouse) is PieceState.PARTLY


def test_refused_file_keeps_the_earlier_rows(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_file(warehouse, 202301, "cpu")
    add_refusal(warehouse, 202301, "cpu", FileFault.NOT_CSV)

    piece = account_of(warehouse).pieces[202301, "cpu"]

    assert piece.state is PieceState.REFUSED_KEPT
    assert piece.refused is not None
    assert (piece.refused.fault, piece.refused.refused_at) == (FileFault.NOT_CSV, REFUSED_AT)
    assert piece.disagreements == ()


def test_refused_file_without_earlier_rows_holds_back_its_month(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_refusal(warehouse, 202301, "cpu")

    account = account_of(warehouse)

    assert [piece.state for piece in account.pieces.values()] == [PieceState.REFUSED] + [PieceState.HELD_BACK] * 3
    assert [piece.resource for piece in account.refused] == ["cpu"]
    assert not account.is_empty


def test_refusal_for_want_of_a_file_is_a_missing_file(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_refusal(warehouse, 202301, "cpu", FileFault.MISSING)
    assert state_of(warehouse) is PieceState.MISSING
    assert not account_of(warehouse).is_empty


def test_months_without_a_calendar_span_the_files_and_refusals(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_file(warehouse, 202211, "cpu")
    add_refusal(warehouse, 202302, "disk")

    account = account_of(warehouse)

    assert account.months == [202211, 202212, 202301, 202302]
    assert account.pieces[202212, "memory"].state is PieceState.MISSING


@pytest.mark.parametrize(("last", "months"), [(205212, MAX_SPAN_MONTHS), (205301, 2)])
def test_a_stray_date_does_not_make_centuries_missing(
    warehouse: duckdb.DuckDBPyConnection, last: int, months: int
) -> None:
    add_file(warehouse, 202301, "cpu")
    add_file(warehouse, last, "cpu")
    assert len(account_of(warehouse).months) == months


def test_months_beyond_the_calendar_are_shown_but_not_expected(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_calendar(warehouse, dt.date(2023, 1, 1), dt.date(2023, 1, 31))
    add_file(warehouse, 202306, "cpu")

    account = account_of(warehouse)

    assert account.months == [202301, 202306]
    assert (202306, "memory") not in account.pieces


def test_only_the_resources_that_are_asked_for_are_expected(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_file(warehouse, 202301, "cpu")
    add_file(warehouse, 202302, "disk")

    account = refinery_account(warehouse, CPU)

    assert account.resources == ["cpu", "disk"]
    assert list(account.pieces) == [(202301, "cpu"), (202302, "cpu"), (202302, "disk")]


@pytest.mark.parametrize(
    ("contradiction", "claim", "promised", "found"),
    [
        ({"lines": 13}, Claim.LINES, 13, 12),
        ({"rows": 9}, Claim.TABLE, 10, 9),
        ({"rows": 0}, Claim.TABLE, 10, 0),
    ],
)
def test_each_contradiction_names_claim_and_numbers(
    warehouse: duckdb.DuckDBPyConnection, contradiction: dict[str, int], claim: Claim, promised: int, found: int
) -> None:
    add_file(warehouse, 202301, "cpu", rejected=2, **contradiction)  # type: ignore[arg-type]
    add_rejected(warehouse, 202301, "cpu", LineFault.FIELD_COUNT, count=2)

    (one,) = account_of(warehouse).disagreements

    assert (one.month, one.resource, one.claim, one.promised, one.found) == (202301, "cpu", claim, promised, found)


@pytest.mark.parametrize("held", [0, 1, 3])
def test_rejected_lines_are_compared_with_what_the_file_promises(
    warehouse: duckdb.DuckDBPyConnection, held: int
) -> None:
    add_file(warehouse, 202301, "cpu", rejected=2)
    add_rejected(warehouse, 202301, "cpu", LineFault.FIELD_COUNT, count=held)

    (one,) = account_of(warehouse).disagreements

    assert (one.claim, one.promised, one.found) == (Claim.REJECTED, 2, held)


def test_rows_that_no_file_accounts_for_are_stray(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_calendar(warehouse, dt.date(2023, 1, 1), dt.date(2023, 1, 31))
    add_rows(warehouse, 202301, "cpu", 7)

    account = account_of(warehouse)

    assert account.pieces[202301, "cpu"].state is PieceState.STRAY
    assert [(one.claim, one.promised, one.found) for one in account.disagreements] == [(Claim.TABLE, 0, 7)]
    assert not account.is_empty


def test_errors_in_two_months_do_not_cancel_out(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_file(warehouse, 202301, "cpu", rows=9)
    add_file(warehouse, 202302, "cpu", rows=11)

    totals = account_of(warehouse).totals("cpu")

    assert totals.loaded == totals.table_rows == 20
    assert totals.disagreements == {Claim.LINES: 0, Claim.TABLE: 2, Claim.REJECTED: 0, Claim.CONTENT: 0}


def test_totals_of_the_resources_add_up_to_those_of_all(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_months(warehouse, [202301, 202302])
    add_file(warehouse, 202303, "disk", loaded=5, rejected=3)

    account = account_of(warehouse)
    parts = [account.totals(resource) for resource in account.resources]

    for name in ("files", "bytes", "lines", "loaded", "rejected", "table_rows", "rejected_rows"):
        assert getattr(account.totals(), name) == sum(getattr(part, name) for part in parts)
    assert account.totals().lines == 88


def test_reasons_are_counted_with_files_most_frequent_first(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_rejected(warehouse, 202301, "cpu", LineFault.NOT_FINITE, count=2)
    add_rejected(warehouse, 202301, "cpu", LineFault.UNKNOWN_HOST, count=3, first_line=10)
    add_rejected(warehouse, 202302, "disk", LineFault.UNKNOWN_HOST, column=None)

    unknown, infinite = account_of(warehouse).reasons

    assert (unknown.reason, unknown.lines, unknown.files) == (LineFault.UNKNOWN_HOST, 4, 2)
    assert (infinite.reason, infinite.lines, infinite.files) == (LineFault.NOT_FINITE, 2, 1)
    assert [(one.path, one.line, one.column) for one in unknown.examples] == [
        ("2023/01/cpu_202301.csv", 10, "value"),
        ("2023/01/cpu_202301.csv", 11, "value"),
        ("2023/01/cpu_202301.csv", 12, "value"),
        ("2023/02/disk_202302.csv", 2, None),
    ]


def test_examples_are_five_from_as_many_files_as_there_are(warehouse: duckdb.DuckDBPyConnection) -> None:
    for month in range(202301, 202308):
        add_rejected(warehouse, month, "cpu", LineFault.NOT_FINITE, count=1_000, first_line=month % 100 + 1)

    (reason,) = account_of(warehouse).reasons

    assert (reason.lines, reason.files) == (7_000, 7)
    assert [(one.path[-10:], one.line) for one in reason.examples] == [
        (f"{month}.csv", month % 100 + 1) for month in range(202301, 202306)
    ]


def test_examples_are_cut_in_the_query(warehouse: duckdb.DuckDBPyConnection) -> None:
    add_rejected(warehouse, 202301, "cpu", LineFault.NOT_FINITE, raw="é" * 4_096)
    (reason,) = account_of(warehouse).reasons
    assert reason.examples[0].raw == "é" * (RAW_CHARACTERS + 1)


def test_varieties_count_hosts_and_series_that_have_rows(
    warehouse: duckdb.DuckDBPyConnection, generation: DataGeneration
) -> None:
    append_rows(warehouse, "hosts", inventory(generation))
    add_file(warehouse, 202301, "cpu", loaded=9)
    add_file(warehouse, 202301, "disk", loaded=1)
    add_file(warehouse, 202302, "disk", loaded=1)

    varieties = account_of(warehouse).varieties

    assert [one.variety for one in varieties] == list(VARIETIES)
    assert sum(one.hosts for one in varieties) == 12
    assert sum(one.retained_hosts for one in varieties) == 9
    assert sum(one.retained_series for one in varieties) == 10
    assert (varieties[0].retained_hosts, varieties[0].retained_series) == (1, 2)
    assert (varieties[9].retained_hosts, varieties[9].retained_series) == (0, 0)


# Content, and the files behind it.


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE processed_data SET y = y + 1 WHERE host_id = 'srv-000003'",
        "UPDATE processed_data SET host_id = 'srv-000099' WHERE host_id = 'srv-000003'",
        "UPDATE processed_data SET ds = ds + INTERVAL 1 DAY WHERE host_id = 'srv-000003'",
        "UPDATE processed_data SET capacity = NULL WHERE host_id = 'srv-000003'",
    ],
)
def test_as_many_rows_of_other_content_contradict_their_file(warehouse: duckdb.DuckDBPyConnection, change: str) -> None:
    add_file(warehouse, 202301, "cpu")
    add_file(warehouse, 202302, "cpu")
    warehouse.execute(f"{change} AND ds < '2023-02-01'")

    (disagreement,) = account_of(warehouse).disagreements

    assert (disagreement.month, disagreement.resource, disagreement.claim) == (202301, "cpu", Claim.CONTENT)


def feed_of(warehouse: duckdb.DuckDBPyConnection, root: Path, origin: str) -> Path:
    """Write the files of two months of two resources, and record them as loaded."""
    set_origin(warehouse, origin)
    for month in (202301, 202302):
        for resource in ("cpu", "memory"):
            path = root / feed_path(month, resource)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{month} {resource}")
            add_file(warehouse, month, resource)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            warehouse.execute(
                "UPDATE feed_files SET sha256 = $digest WHERE path = $path",
                {"digest": digest, "path": feed_path(month, resource)},
            )
    return root


@pytest.mark.parametrize(("origin", "month_gone"), [("capsim", Source.LOST), ("/srv/feed", Source.ROTATED)])
def test_files_that_changed_or_went_are_told_apart(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, origin: str, month_gone: Source
) -> None:
    root = feed_of(warehouse, tmp_path, origin)
    same = refinery_account(warehouse, CPU, root)
    (root / feed_path(202301, "cpu")).write_text("other")
    (root / feed_path(202301, "memory")).unlink()
    shutil.rmtree((root / feed_path(202302, "cpu")).parent)

    account = refinery_account(warehouse, CPU, root)

    assert {piece.source for piece in same.pieces.values()} == {Source.SAME}
    assert {key: piece.source for key, piece in account.pieces.items()} == {
        (202301, "cpu"): Source.CHANGED,
        (202301, "memory"): Source.LOST,
        (202302, "cpu"): month_gone,
        (202302, "memory"): month_gone,
    }
    assert account.disagreements == ()
