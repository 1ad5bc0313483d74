"""What is repaired, that it is listed, and that the validated panel is then the clean one."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from capsim_dagster.panel.contract import FOOTER_KEY, arrow_schema
from capsim_dagster_tests.support.panel.loading import (
    DAYS,
    METRICS,
    ROWS,
    Mutation,
    Site,
    against,
    as_texts,
    base_settings,
    clean_panel,
    footer,
    in_turn,
    nullable,
    of_type,
    repairs,
    rows,
    with_column,
    with_value,
    without_footer,
)

PRESENT = ROWS - ROWS // 100
"""Values of a metric: one in a hundred is missing."""
MISSING_ROW = 7
"""A row of SRV-0001 without cpu_p95."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "data")


def shuffled(table: pa.Table) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(7).permutation(table.num_rows)))


def renamed(name: str) -> Mutation:
    return lambda table: table.rename_columns([name if old == "timestamp" else old for old in table.column_names])


def day_texts(spelling: str) -> Mutation:
    def mutate(table: pa.Table) -> pa.Table:
        texts = [day.strftime(spelling) for day in table["timestamp"].to_pylist()]
        return with_column(table, "timestamp", pa.array(texts))

    return mutate


def zoned(zone: str) -> Mutation:
    """Return a mutation that makes days midnights of a zone."""
    return lambda table: with_column(table, "timestamp", pc.assume_timezone(table["timestamp"], zone))


def whole_numbers(kind: pa.DataType) -> Mutation:
    return lambda table: with_column(table, "cpu_p95", pc.round(table["cpu_p95"]).cast(kind, safe=False))


def not_numbers(table: pa.Table) -> pa.Table:
    return with_column(table, "cpu_p95", pc.fill_null(table["cpu_p95"], float("nan")))


Clean = Callable[[pa.Table], pa.Table]


def itself(table: pa.Table) -> pa.Table:
    return table


def rounded(table: pa.Table) -> pa.Table:
    return with_column(table, "cpu_p95", pc.round(table["cpu_p95"]))


def to_the_cent(table: pa.Table) -> pa.Table:
    values = table["cpu_p95"].cast(pa.decimal128(9, 2), safe=False).to_pylist()
    return with_column(table, "cpu_p95", pa.array([None if value is None else float(value) for value in values]))


def as_floats(table: pa.Table) -> pa.Table:
    return with_column(table, "cpu_p95", table["cpu_p95"].cast(pa.float32()).cast(pa.float64()))


REPAIRS: list[tuple[str, Mutation, dict[tuple[str, str], int], Clean]] = [
    ("nothing", itself, {}, itself),
    ("order of columns", lambda t: t.select(t.column_names[::-1]), {("columns_are_in_order", ""): 1}, itself),
    ("date", renamed("date"), {("day_column_is_renamed", "timestamp"): 1}, itself),
    ("ds", renamed("ds"), {("day_column_is_renamed", "timestamp"): 1}, itself),
    ("day", renamed("day"), {("day_column_is_renamed", "timestamp"): 1}, itself),
    ("dates", of_type("timestamp", pa.date32()), {("timestamps_are_retyped", "timestamp"): ROWS}, itself),
    ("dates in ms", of_type("timestamp", pa.date64()), {("timestamps_are_retyped", "timestamp"): ROWS}, itself),
    ("ms", of_type("timestamp", pa.timestamp("ms")), {("timestamps_are_retyped", "timestamp"): ROWS}, itself),
    ("ns", of_type("timestamp", pa.timestamp("ns")), {("timestamps_are_retyped", "timestamp"): ROWS}, itself),
    ("texts", day_texts("%Y-%m-%d"), {("timestamps_are_retyped", "timestamp"): ROWS}, itself),
    ("full texts", day_texts(" %Y-%m-%d 00:00:00 "), {("timestamps_are_retyped", "timestamp"): ROWS}, itself),
    ("compact texts", day_texts("%Y%m%d"), {("timestamps_are_retyped", "timestamp"): ROWS}, itself),
    (
        "texts of another clock",
        day_texts("%Y-%m-%dT00:00+0530"),
        {("timestamps_are_retyped", "timestamp"): ROWS},
        itself,
    ),
    ("zulu texts", day_texts("%Y-%m-%dT00:00:00Z"), {("timestamps_are_retyped", "timestamp"): ROWS}, itself),
    ("zone", zoned("UTC"), {("timestamps_are_retyped", "timestamp"): ROWS}, itself),
    ("integers", whole_numbers(pa.int64()), {("metrics_are_double", "cpu_p95"): PRESENT}, rounded),
    ("small integers", whole_numbers(pa.uint8()), {("metrics_are_double", "cpu_p95"): PRESENT}, rounded),
    ("decimals", of_type("cpu_p95", pa.decimal128(9, 2)), {("metrics_are_double", "cpu_p95"): PRESENT}, to_the_cent),
    ("floats", of_type("cpu_p95", pa.float32()), {("metrics_are_double", "cpu_p95"): PRESENT}, as_floats),
    ("numbers as texts", as_texts("cpu_p95"), {("texts_are_numbers", "cpu_p95"): PRESENT}, itself),
    (
        "N/A",
        as_texts("cpu_p95", row_7=" n/a "),
        {("texts_are_numbers", "cpu_p95"): PRESENT, ("texts_are_missing_values", "cpu_p95"): 1},
        itself,
    ),
    ("NaN", not_numbers, {("nan_is_missing", "cpu_p95"): ROWS // 100}, itself),
    ("exact duplicates", rows(0, 7, 7, ROWS - 1), {("exact_duplicates_are_dropped", ""): 4}, itself),
    ("no order", shuffled, {("rows_are_sorted", ""): ROWS}, itself),
    (
        "no order and duplicates",
        in_turn(rows(0, 7, 7, ROWS - 1), shuffled),
        {("rows_are_sorted", ""): ROWS + 4, ("exact_duplicates_are_dropped", ""): 4},
        itself,
    ),
    (
        "by day",
        lambda table: table.sort_by([("timestamp", "ascending"), ("server_id", "ascending")]),
        {("rows_are_sorted", ""): ROWS},
        itself,
    ),
    (
        "several at once",
        in_turn(renamed("ds"), as_texts("mem_p95"), shuffled),
        {
            ("day_column_is_renamed", "timestamp"): 1,
            ("texts_are_numbers", "mem_p95"): PRESENT,
            ("rows_are_sorted", ""): ROWS,
        },
        itself,
    ),
]


@pytest.mark.parametrize(("mutation", "done", "clean"), [r[1:] for r in REPAIRS], ids=[r[0] for r in REPAIRS])
def test_what_is_safe_is_repaired_and_listed_and_the_validated_panel_is_clean(
    site: Site, mutation: Mutation, done: dict[tuple[str, str], int], clean: Clean
) -> None:
    site.write(mutation(clean_panel()))

    report = site.report()

    assert report["validation_passed"], against(report)
    assert repairs(report) == done
    assert all(repair["examples"] for repair in report["repairs"])
    assert against(report) == {}
    expected = nullable(clean(clean_panel()))
    assert nullable(site.staged_table()).equals(expected)
    assert report["staged"]["rows"] == ROWS
    assert report["source"]["rows"] == ROWS + done.get(("exact_duplicates_are_dropped", ""), 0)


def test_a_panel_that_needs_no_repair_is_copied_byte_by_byte(site: Site) -> None:
    path = site.write(clean_panel())

    report = site.report()

    assert site.staged.read_bytes() == path.read_bytes()
    assert report["staged"]["sha256"] == report["source"]["sha256"]
    assert report["staged"]["bytes"] == report["source"]["bytes"] == path.stat().st_size


def test_the_same_rows_make_the_same_bytes_in_whatever_order_and_form_they_come(site: Site) -> None:
    staged = []
    for mutation in (shuffled, in_turn(rows(3), shuffled), of_type("timestamp", pa.date32()), as_texts("cpu_p95")):
        site.write(mutation(clean_panel()))
        assert site.report()["validation_passed"]
        staged.append(site.staged.read_bytes())

    assert len(set(staged)) == 1


def test_a_repaired_panel_has_the_types_of_the_contract_and_the_footer_of_its_source(site: Site) -> None:
    table = shuffled(clean_panel())
    site.write(table.replace_schema_metadata({**footer(), "note": "from the lab", "pandas": "{}"}))

    site.report()

    schema = site.staged_table().schema
    assert schema.remove_metadata() == arrow_schema(base_settings().panel)
    assert schema.metadata == {FOOTER_KEY.encode(): footer()[FOOTER_KEY].encode(), b"note": b"from the lab"}


def test_midnights_of_a_zone_are_days_by_its_own_clock(site: Site) -> None:
    path = site.folder / "zoned.parquet"
    site.folder.mkdir()
    pq.write_table(without_footer(zoned("Europe/Berlin")(clean_panel())), path)

    report = site.report(path)

    assert repairs(report) == {("timestamps_are_retyped", "timestamp"): ROWS}
    assert site.staged_table()["timestamp"].equals(clean_panel()["timestamp"])


def test_extra_columns_are_kept_as_they_are_and_named(site: Site) -> None:
    table = clean_panel()
    notes = pa.array([None if row % 3 else [row] for row in range(ROWS)], pa.list_(pa.int32()))
    table = table.add_column(1, "rack", pa.array([f"R{row % 5}" for row in range(ROWS)])).append_column("notes", notes)
    site.write(shuffled(table))

    report = site.report()

    assert report["validation_passed"]
    assert against(report) == {"columns_are_known": "info"}
    staged = site.staged_table()
    assert staged.column_names == [*clean_panel().column_names, "rack", "notes"]
    assert staged["rack"].equals(table["rack"])
    assert staged["notes"].to_pylist() == notes.to_pylist()


KINDS = [
    pa.array([1, None], pa.uint64()),
    pa.array([1, None], pa.decimal128(20, 3)),
    pa.array([b"\x00\xff", None], pa.binary()),
    pa.array([dt.time(1, 2), None], pa.time64("us")),
    pa.array([1, None], pa.timestamp("ns")),
    pa.array([1, None], pa.timestamp("ms", "UTC")),
    pa.array([{"a": 1}, None], pa.struct([("a", pa.int8())])),
    pa.array([True, None]),
    pa.array([1.5, float("nan")], pa.float32()),
    pa.array(["x", None], pa.large_string()),
]


def test_extra_columns_of_any_usual_type_survive_sorting(site: Site) -> None:
    site.raw.mkdir(parents=True)
    table = clean_panel()
    for values in KINDS:
        table = table.append_column(str(values.type), values.take(pa.array(np.arange(ROWS) % 2)))
    pq.write_table(shuffled(table), site.raw / "a.parquet")

    report = site.report("a.parquet")

    assert report["validation_passed"], report
    staged = site.staged_table()
    for values in KINDS:
        # As texts, in which a value that is not a number equals itself.
        assert list(map(str, staged[str(values.type)].to_pylist())) == list(map(str, values.to_pylist())) * (ROWS // 2)


@pytest.mark.parametrize("mutation", [shuffled, of_type("timestamp", pa.date32())], ids=["no order", "dates"])
def test_an_extra_column_that_a_repaired_copy_cannot_keep_fails_and_is_named(site: Site, mutation: Mutation) -> None:
    site.raw.mkdir(parents=True)
    extra = pa.array([dt.timedelta(1)] * ROWS, pa.duration("us"))
    pq.write_table(mutation(clean_panel().append_column("uptime", extra)), site.raw / "a.parquet")

    report = site.report("a.parquet")

    assert "column uptime is " in next(f for f in report["findings"] if f["name"] == "file_is_readable")["message"]
    assert report["staged"] is None


def test_rows_that_differ_in_an_extra_column_alone_are_a_conflict(site: Site) -> None:
    table = rows(5)(clean_panel())
    site.write(table.append_column("ticket", pa.array([float(row == 6) for row in range(table.num_rows)])))

    report = site.report()

    assert against(report) == {"keys_are_unique": "error", "columns_are_known": "info"}


@pytest.mark.parametrize("kind", [pa.int8(), pa.float64()])
def test_flags_as_numbers_are_booleans(site: Site, kind: pa.DataType) -> None:
    weekend = pc.greater(pc.day_of_week(clean_panel()["timestamp"]), 4)
    site.write(clean_panel().append_column("is_weekend", weekend.cast(pa.int8()).cast(kind)))

    report = site.report()

    assert repairs(report) == {("flags_are_boolean", "is_weekend"): ROWS}
    assert site.staged_table()["is_weekend"].equals(weekend)


def test_a_flag_that_is_neither_0_nor_1_fails(site: Site) -> None:
    flags = pa.array([2] + [0] * (ROWS - 1))
    site.write(clean_panel().append_column("is_weekend", flags))

    assert against(site.report()) == {"types_are_right_or_repaired": "error"}


def test_timestamp_wins_over_another_column_of_days(site: Site) -> None:
    site.write(clean_panel().append_column("date", pa.array([dt.date(1999, 1, 1)] * ROWS)))

    report = site.report()

    assert repairs(report) == {}
    assert against(report) == {"columns_are_known": "info"}


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=["large", "view", "dict"]
)
def test_other_kinds_of_texts_are_strings(site: Site, kind: pa.DataType) -> None:
    site.raw.mkdir(parents=True)
    table = of_type("region", kind)(clean_panel())
    pq.write_table(table, site.raw / "a.parquet")

    report = site.report("a.parquet")

    assert repairs(report) == {("texts_are_strings", "region"): ROWS}
    assert nullable(site.staged_table()).equals(nullable(clean_panel()))


def polars_file(path: Path) -> None:
    frame = pl.from_arrow(clean_panel())
    assert isinstance(frame, pl.DataFrame)
    frame.write_parquet(path)


def duckdb_file(path: Path) -> None:
    panel = clean_panel()
    with duckdb.connect() as connection:
        connection.register("panel", panel)
        connection.execute("COPY (SELECT * FROM panel) TO ? (FORMAT parquet)", [str(path)])


def duckdb_dates(path: Path) -> None:
    panel = clean_panel()
    with duckdb.connect() as connection:
        connection.register("panel", panel)
        query = "SELECT * REPLACE (timestamp::DATE AS timestamp) FROM panel"
        connection.execute(f"COPY ({query}) TO ? (FORMAT parquet)", [str(path)])


def pandas_file(path: Path) -> None:
    """Write what pandas writes: nanoseconds, an index column, and its own description in the footer."""
    index = pa.array(range(ROWS))
    described = {"index_columns": ["__index_level_0__"], "columns": [], "pandas_version": "2.2.3"}
    table = of_type("timestamp", pa.timestamp("ns"))(clean_panel()).append_column("__index_level_0__", index)
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(described)}), path)


@pytest.mark.parametrize("write", [polars_file, duckdb_file, duckdb_dates, pandas_file])
def test_a_panel_that_capsim_did_not_make_is_loaded(site: Site, tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "theirs.parquet"
    write(path)

    report = site.report(path)

    assert report["validation_passed"]
    assert report["expected"]["servers"] is None
    assert "expectation_is_known" in against(report)
    assert set(against(report).values()) == {"info"}
    assert site.staged_table().select(clean_panel().column_names).to_pylist() == clean_panel().to_pylist()


def test_more_servers_than_digits_are_in_order_as_generated(site: Site) -> None:
    """SRV-10000 stands after SRV-9999, as hosts are numbered."""
    table = clean_panel().slice(0, 2 * DAYS)
    names = pa.array(["SRV-9999"] * DAYS + ["SRV-10000"] * DAYS)
    site.write(with_column(table, "server_id", names).replace_schema_metadata(footer(servers=2)))

    report = site.report()

    assert (against(report), repairs(report)) == ({}, {})


def test_facts_are_those_that_duckdb_counts_in_the_validated_file(site: Site) -> None:
    site.write(in_turn(rows(5, 9), with_value("cpu_p95", 0, 0.0), shuffled)(clean_panel()))

    facts = site.report()["facts"]

    file = f"read_parquet('{site.staged}')"
    rows_, servers, start, end = one(
        f"SELECT count(*), count(DISTINCT server_id), min(timestamp), max(timestamp) FROM {file}"
    )
    assert (facts["rows"], facts["servers"]) == (rows_, servers)
    assert (facts["start"], facts["end"]) == (f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}")
    for name in METRICS:
        missing = f"100 - 100 * count({name}) / count(*)"
        counted = one(f"SELECT count({name}), {missing}, min({name}), max({name}), avg({name}) FROM {file}")
        assert list(facts["metrics"][name].values()) == pytest.approx(list(counted), abs=1e-6)


def one(sql: str) -> tuple[Any, ...]:
    with duckdb.connect() as connection:
        row: tuple[Any, ...] = connection.execute(sql).fetchall()[0]
    return row
