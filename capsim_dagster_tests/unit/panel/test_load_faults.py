"""Every fault of a panel that must not pass, and the verdict it gets in the report."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from capsim_dagster.errors import PanelError
from capsim_dagster_tests.support.panel.loading import (
    DAYS,
    END,
    METRICS,
    RAW,
    ROWS,
    SERVERS,
    START,
    Mutation,
    Site,
    against,
    as_texts,
    clean_panel,
    finding,
    footer,
    in_turn,
    of_type,
    repairs,
    rows,
    rows_where,
    with_column,
    with_value,
    without_days,
    without_footer,
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "data")


def half_of_the_servers(table: pa.Table) -> pa.Table:
    return table.slice(0, ROWS // 2)


def one_server_less(table: pa.Table) -> pa.Table:
    return table.slice(0, ROWS - DAYS)


def one_server_more(table: pa.Table) -> pa.Table:
    more = table.slice(ROWS - DAYS)
    return pa.concat_tables([table, with_column(more, "server_id", pa.array(["SRV-0011"] * DAYS)).cast(table.schema)])


def sparse(name: str, *, of_five: int) -> Mutation:
    """Return a mutation that leaves so many of five values."""

    def mutate(table: pa.Table) -> pa.Table:
        kept = pa.array(np.arange(table.num_rows) % 5 < of_five)
        return with_column(table, name, pc.if_else(kept, pc.fill_null(table[name], 1.0), None))

    return mutate


def later_noon(table: pa.Table) -> pa.Table:
    days = table["timestamp"].to_pylist()
    days[5] = days[5].replace(hour=12)
    return with_column(table, "timestamp", pa.array(days, pa.timestamp("us")))


def day_texts(table: pa.Table, **spelled: str) -> pa.Table:
    texts = [f"{day:%Y-%m-%d}" for day in table["timestamp"].to_pylist()]
    for row, text in spelled.items():
        texts[int(row.removeprefix("row_"))] = text
    return with_column(table, "timestamp", pa.array(texts))


def moved_server(table: pa.Table) -> pa.Table:
    return with_value("region", 30, "elsewhere")(table)


def as_lists(table: pa.Table) -> pa.Table:
    return with_column(table, "cpu_p95", pa.array([[1.0]] * table.num_rows))


FAULTS: list[tuple[str, Mutation, str, int, str]] = [
    ("150", with_value("cpu_p95", 0, 150.0), "values_are_within_range", 1, "SRV-0001 2024-01-01 cpu_p95 = 150"),
    ("-5", with_value("net_in_p95", 1, -5.0), "values_are_within_range", 1, "SRV-0001 2024-01-02 net_in_p95 = -5"),
    (
        "infinity",
        with_value("net_out_p95", 2, np.inf),
        "values_are_within_range",
        1,
        "SRV-0001 2024-01-03 net_out_p95 = inf",
    ),
    (
        "minus infinity",
        with_value("cpu_p95", 2, -np.inf),
        "values_are_within_range",
        1,
        "SRV-0001 2024-01-03 cpu_p95 = -inf",
    ),
    ("half of the servers gone", half_of_the_servers, "servers_as_expected", 5, "found 5, expected 10 (footer)"),
    ("first year gone", without_days(START, dt.date(2024, 1, 20)), "days_as_expected", 20, "found 2024-01-21 to"),
    ("last year gone", without_days(dt.date(2025, 1, 15), END), "days_as_expected", 20, "to 2025-01-14, expected"),
    (
        "middle year gone",
        without_days(dt.date(2024, 3, 1), dt.date(2024, 12, 31)),
        "days_are_contiguous",
        306 * SERVERS,
        "SRV-0001 lacks 306 days from 2024-03-01",
    ),
    (
        "a server starts late",
        without_days(START, dt.date(2024, 1, 8), "SRV-0003"),
        "days_are_contiguous",
        8,
        "SRV-0003 lacks 8 days from 2024-01-01",
    ),
    (
        "a server ends early",
        without_days(dt.date(2025, 1, 27), END, "SRV-0010"),
        "days_are_contiguous",
        8,
        "SRV-0010 lacks 8 days from 2025-01-27",
    ),
    (
        "60 % missing",
        sparse("mem_p95", of_five=2),
        "missing_share_is_within_limit",
        1,
        "mem_p95 lacks 60.00% of its 4,000",
    ),
    ("column absent", lambda table: table.drop_columns(["mem_p95"]), "columns_are_complete", 1, "mem_p95 is absent"),
    ("text column absent", lambda table: table.drop_columns(["region"]), "columns_are_complete", 1, "region is absent"),
    (
        "conflicting duplicate",
        in_turn(rows(41), with_value("cpu_p95", 42, 99.0)),
        "keys_are_unique",
        1,
        "SRV-0001 2024-02-11 with different content",
    ),
    ("null server", with_value("server_id", 7, None), "identity_is_filled", 1, "server_id in 1 rows"),
    ("empty server", with_value("server_id", 7, ""), "identity_is_filled", 1, "server_id in 1 rows"),
    (
        "server that cannot be read",
        lambda table: with_column(
            table, "server_id", pc.replace_substring(table["server_id"].cast("string"), "SRV-0010", "SRV-0010\x1b[2J")
        ),
        "identity_is_filled",
        1,
        r"server_id 'SRV-0010\x1b[2J' holds what cannot be seen",
    ),
    ("null day", with_value("timestamp", 7, None), "identity_is_filled", 1, "timestamp in 1 rows"),
    ("null region", with_value("region", 7, None), "identity_is_filled", 1, "region in 1 rows"),
    ("words", as_texts("cpu_p95", row_3="lots"), "types_are_right_or_repaired", 1, "cpu_p95: 'lots'"),
    ("spelled infinity", as_texts("cpu_p95", row_3="inf"), "types_are_right_or_repaired", 1, "cpu_p95: 'inf'"),
    ("too large a text", as_texts("cpu_p95", row_3="1e999"), "types_are_right_or_repaired", 1, "cpu_p95: '1e999'"),
    ("comma", as_texts("cpu_p95", row_3="8,5"), "types_are_right_or_repaired", 1, "cpu_p95: '8,5'"),
    ("lists", as_lists, "types_are_right_or_repaired", 1, "cpu_p95 is list<"),
    ("noon", later_noon, "types_are_right_or_repaired", 1, "timestamp: 2024-01-06 12:00:00.000000 is no midnight"),
    (
        "day that is none",
        lambda table: day_texts(table, row_4="2024-02-30"),
        "types_are_right_or_repaired",
        1,
        "timestamp: '2024-02-30'",
    ),
    (
        "text with a time of day",
        lambda table: day_texts(table, row_4="2024-01-05 06:00"),
        "types_are_right_or_repaired",
        1,
        "timestamp: '2024-01-05 06:00'",
    ),
    ("no rows", lambda table: table.slice(0, 0), "history_is_long_enough", 1, "it spans 0 days"),
]


@pytest.mark.parametrize(("mutation", "name", "count", "said"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_fails_the_panel_with_its_count_and_example(
    site: Site, mutation: Mutation, name: str, count: int, said: str
) -> None:
    site.write(mutation(clean_panel()))

    report = site.report()

    assert not report["validation_passed"]
    assert against(report)[name] == "error"
    assert finding(report, name)["count"] == count
    assert said in finding(report, name)["message"]
    assert report["staged"] is None
    assert not site.staged.exists()


WARNINGS: list[tuple[str, Mutation, str, int]] = [
    ("a server less", in_turn(one_server_less), "servers_as_expected", 1),
    ("a server more", in_turn(one_server_more), "servers_as_expected", 1),
    ("a short gap", without_days(dt.date(2024, 5, 1), dt.date(2024, 5, 7), "SRV-0002"), "days_are_contiguous", 7),
    ("a server that moves", moved_server, "identity_is_constant", 1),
]


@pytest.mark.parametrize(("mutation", "name", "count"), [w[1:] for w in WARNINGS], ids=[w[0] for w in WARNINGS])
def test_a_doubt_is_a_warning_that_fails_the_panel_only_if_strict(
    site: Site, mutation: Mutation, name: str, count: int
) -> None:
    site.write(mutation(clean_panel()))

    wide = {"min_server_share": 0.9}
    lenient, strict = site.report(limits=wide), site.report(limits=wide, strict=True)

    assert against(lenient) == against(strict) == {name: "warning"}
    assert finding(lenient, name)["count"] == count
    assert (lenient["validation_passed"], lenient["strict"]) == (True, False)
    assert (strict["validation_passed"], strict["strict"], strict["staged"]) == (False, True, None)


def test_days_beyond_the_expected_ones_are_a_warning(site: Site) -> None:
    narrow = footer(start=dt.date(2024, 1, 3), end=dt.date(2025, 2, 1))
    path = site.write(clean_panel().replace_schema_metadata(narrow), "copy.parquet")

    report = site.report(path)

    assert against(report) == {"days_as_expected": "warning"}
    assert finding(report, "days_as_expected")["count"] == 4


def test_a_stray_newer_file_is_not_chosen_but_reported(site: Site) -> None:
    chosen = site.write(clean_panel())
    site.write(clean_panel().slice(0, 30), "sample.parquet")

    report = site.report()

    assert report["source"]["url"] == str(chosen)
    assert against(report) == {"folder_holds_panels_only": "warning"}
    assert finding(report, "folder_holds_panels_only")["examples"] == ["sample.parquet (newer)"]
    assert report["validation_passed"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Parquet file size is 0 bytes"),
        (b"server_id,timestamp\nSRV-0001,2024-01-01\n", "Parquet magic bytes not found"),
    ],
    ids=["empty", "csv"],
)
def test_a_file_that_is_no_parquet_is_a_failed_report_named_after_it(site: Site, content: bytes, said: str) -> None:
    path = site.write(clean_panel())
    path.write_bytes(content)

    outcome = site.load()

    assert Path(outcome.report_url).name == f"{RAW.stem}_report.json"
    report = json.loads(Path(outcome.report_url).read_text())
    assert against(report)["file_is_readable"] == "error"
    assert said in finding(report, "file_is_readable")["message"]
    assert report["source"]["rows"] is None
    assert report["facts"] is None


def test_a_file_cut_off_is_a_failed_report(site: Site) -> None:
    path = site.write(clean_panel())
    path.write_bytes(path.read_bytes()[:-1000])

    assert against(site.report())["file_is_readable"] == "error"


@pytest.mark.parametrize("is_sorted", [True, False], ids=["in order", "in no order"])
def test_a_page_that_changed_on_the_disk_is_a_failed_report(site: Site, is_sorted: bool) -> None:
    table = clean_panel() if is_sorted else clean_panel().take(pa.array(np.arange(ROWS)[::-1]))
    path = site.write(table)
    content = bytearray(path.read_bytes())
    chunk = pq.read_metadata(path).row_group(0).column(9)
    middle = chunk.dictionary_page_offset + chunk.total_compressed_size // 2
    content[middle : middle + 8] = bytes(byte ^ 0xFF for byte in content[middle : middle + 8])
    path.write_bytes(content)

    report = site.report()

    assert against(report)["file_is_readable"] == "error"
    assert report["source"]["rows"] == ROWS
    assert not site.staged.exists()


def not_utf8(table: pa.Table) -> pa.Table:
    texts = pa.array([b"caf\xe9"] * table.num_rows, pa.binary()).view(pa.string())
    return with_column(table, "region", texts)


def unknown_zone(table: pa.Table) -> pa.Table:
    return with_column(table, "timestamp", table["timestamp"].cast(pa.timestamp("us", "Mars/Olympus")))


@pytest.mark.parametrize(
    ("mutation", "said"),
    [(not_utf8, "column region is string"), (unknown_zone, "column timestamp is timestamp[us, tz=")],
)
def test_a_column_that_makes_no_sense_fails_and_is_named(site: Site, mutation: Mutation, said: str) -> None:
    site.raw.mkdir(parents=True)
    pq.write_table(mutation(clean_panel()), site.raw / "a.parquet")

    report = site.report("a.parquet")

    assert said in finding(report, "file_is_readable")["message"]
    assert not report["validation_passed"]


def test_a_panel_without_keys_is_not_judged_further(site: Site) -> None:
    site.write(clean_panel().drop_columns(["server_id"]))

    report = site.report()

    assert against(report) == {"columns_are_complete": "error", "rows_are_judged": "error"}


def test_a_column_that_stands_twice_fails(site: Site) -> None:
    table = clean_panel()
    site.write(table.append_column("cpu_p95", table["cpu_p95"]))

    report = site.report()

    assert finding(report, "columns_are_complete")["examples"] == ["cpu_p95 stands twice"]


def test_every_metric_that_is_wrong_is_among_the_examples(site: Site) -> None:
    table = clean_panel()
    for name in METRICS:
        table = with_column(table, name, pa.array([-1.0] * ROWS))
    site.write(table)

    found = finding(site.report(), "values_are_within_range")

    assert found["count"] == ROWS * len(METRICS)
    assert [example.split()[2] for example in found["examples"]] == METRICS


def test_a_metric_without_any_value_fails_whatever_the_limit(site: Site) -> None:
    site.write(with_column(clean_panel(), "cpu_p95", pa.array([None] * ROWS, pa.float64())))

    report = site.report(limits={"max_missing_share": 1.0})

    assert against(report) == {"missing_share_is_within_limit": "error"}
    assert report["facts"]["metrics"]["cpu_p95"] == {
        "count": 0, "missing_pct": 100.0, "min": None, "max": None, "mean": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mutation", "name"),
    [(half_of_the_servers, "servers_as_expected"), (without_days(START, dt.date(2024, 1, 20)), "days_as_expected")],
)
def test_own_panel_that_lost_its_footer_is_held_to_its_name_and_the_fleet(
    site: Site, mutation: Mutation, name: str
) -> None:
    site.write(without_footer(mutation(clean_panel())))

    report = site.report()

    assert against(report) == {name: "error"}
    assert report["expected"]["servers_said_by"] == "data_generation.num_servers"
    assert report["expected"]["days_said_by"] == "name"


def test_a_failed_panel_leaves_the_validated_one_of_before(site: Site) -> None:
    path = site.write(clean_panel())
    site.report()
    before = site.staged.read_bytes()
    site.write(with_value("cpu_p95", 0, 150.0)(clean_panel()))

    report = site.report()

    assert not report["validation_passed"]
    assert site.staged.read_bytes() == before != path.read_bytes()


def test_missing_and_unreadable_texts_are_told_apart(site: Site) -> None:
    site.write(as_texts("cpu_p95", row_0="n/a", row_1="?", row_2="??")(clean_panel()))

    report = site.report()

    # One in a hundred was missing before; three values are texts now, one of which means that it is missing.
    assert report["facts"]["metrics"]["cpu_p95"]["count"] == ROWS - ROWS // 100 - 3
    assert report["facts"]["metrics"]["cpu_p95"]["missing_pct"] == pytest.approx(100 * (ROWS // 100 + 1) / ROWS)
    assert repairs(report)["texts_are_missing_values", "cpu_p95"] == 1
    assert finding(report, "types_are_right_or_repaired")["count"] == 2


def test_no_panel_at_all_is_an_error_with_the_command_that_makes_one(site: Site) -> None:
    with pytest.raises(PanelError) as caught:
        site.load()

    assert str(site.raw) in caught.value.found
    assert "capsim panel generate" in caught.value.remedy
    assert not site.folder.exists()


def test_types_and_rows_are_judged_in_one_report(site: Site) -> None:
    both = in_turn(
        as_texts("cpu_p95", row_3="lots"), with_value("mem_p95", 9, 101.0), of_type("disk_p95", pa.float32())
    )
    site.write(both(rows_where(lambda table: pc.not_equal(table["server_id"], "SRV-0004"))(clean_panel())))

    report = site.report()

    assert set(against(report)) == {"types_are_right_or_repaired", "values_are_within_range", "servers_as_expected"}
