"""Each way in which the tests damage what was built, with the checks that must notice it."""

import datetime as dt
import shutil
from collections.abc import Callable
from typing import Final, NamedTuple

import polars as pl

from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.legacy_feed.manifest import list_path, staged_list
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster.storage import sha256
from capsim_dagster_tests.support.sabotage import (
    ChangeFrame,
    ChangeLines,
    change_lines,
    feed_file,
    replace_field,
    rewrite_master,
    rewrite_parquet,
    run_sql,
)

Act = Callable[[Platform], object]
CPU_FEED: Final = "monthly_csv/cpu"
ONE_ROW: Final = (pl.col("host_id") == "srv-000012") & (pl.col("date") == pl.date(2023, 2, 5))
ONE_CPU_ROW: Final = ONE_ROW & (pl.col("resource") == "cpu")
ONE_TABLE_ROW: Final = "host_id = 'srv-000012' AND resource = 'cpu' AND ds = TIMESTAMP '2023-02-05'"
LOSE_A_VARIETY: Final = "UPDATE hosts SET variant = 'STABLE' WHERE scenario = 'LOW_IDLE'"


class Sabotage(NamedTuple):
    """What is done, to which asset's checks, which of them must fail (and no other), and what the first says."""

    act: Act
    asset: str
    fails: set[str]
    says: str


def sql(statement: str) -> Act:
    return lambda platform: run_sql(platform, statement)


def master(change: ChangeFrame) -> Act:
    return lambda platform: rewrite_master(platform, change)


def master_value(value: float) -> Act:
    changed = pl.when(ONE_CPU_ROW).then(pl.lit(value, dtype=pl.Float32)).otherwise("p95_util")
    return master(lambda frame: frame.with_columns(p95_util=changed))


def lines(change: ChangeLines) -> Act:
    return lambda platform: change_lines(feed_file(platform), change)


def content(text: bytes) -> Act:
    return lambda platform: feed_file(platform).write_bytes(text)


def rename_feed_file(platform: Platform) -> None:
    feed_file(platform).rename(feed_file(platform).with_name("cpu_202302.csv"))


def swap_feed_files(platform: Platform) -> None:
    january = feed_file(platform, 202301)
    shutil.copyfile(feed_file(platform), january)


def list_a_defect(platform: Platform) -> None:
    """Say that a line of February's CPU file was damaged on purpose, which it was not."""
    contract, piece = platform.contract, FeedPiece(202302, Resource.CPU)
    path = contract.path(piece)
    line = path.read_text().splitlines()[5]
    rows = {"path": [contract.relative(path)], "line": [6], "kind": ["not_finite"], "original": [line]}
    target = list_path(contract, platform.layout.defects, piece)
    with staged_list(target, pl.DataFrame(rows), sha256=sha256(path), size=path.stat().st_size):
        pass


def truth(name: str, change: ChangeFrame) -> Act:
    return lambda platform: rewrite_parquet(platform.layout.truth / f"{name}.parquet", change)


def busy_weekends(frame: pl.DataFrame) -> pl.DataFrame:
    busier = (pl.col("p95_util") * 2).clip(0, 100)
    return frame.with_columns(p95_util=pl.when(pl.col("date").dt.weekday() >= 6).then(busier).otherwise("p95_util"))


def many_anomalies(frame: pl.DataFrame) -> pl.DataFrame:
    whole_window = {"start": pl.lit(dt.date(2023, 1, 1)), "end": pl.lit(dt.date(2023, 3, 31))}
    spikes = frame.unique(["host_id", "resource"], maintain_order=True).with_columns(
        kind=pl.lit("spike"), **whole_window
    )
    return pl.concat([frame, spikes])


def duplicate_in_place_of_a_row(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame[:1], frame[:-1]])


SABOTAGES: Final = {
    "variety lost": Sabotage(sql(LOSE_A_VARIETY), "host_inventory", {"behavioral_diversity"}, "LOW_IDLE/VARIABLE"),
    "variety unknown": Sabotage(
        sql("UPDATE hosts SET variant = 'BREACH' WHERE host_id = 'srv-000012'"),
        "host_inventory",
        {"behavioral_diversity"},
        "1 hosts whose behaviour",
    ),
    "host lost": Sabotage(
        sql("DELETE FROM hosts WHERE host_id = 'srv-000012'"),
        "host_inventory",
        {"fleet_has_configured_number_of_hosts"},
        "11 hosts, expected data_generation.num_servers = 12",
    ),
    "host twice": Sabotage(
        sql("UPDATE hosts SET host_id = 'srv-000011' WHERE host_id = 'srv-000012'"),
        "host_inventory",
        {"fleet_has_configured_number_of_hosts"},
        "1 host ids stand more than once",
    ),
    "first day lost": Sabotage(
        sql("DELETE FROM time_periods WHERE date = DATE '2023-01-01'"),
        "time_dimension",
        {"calendar_is_contiguous"},
        "starts on 2023-01-02, expected 2023-01-01",
    ),
    "day lost": Sabotage(
        sql("DELETE FROM time_periods WHERE date = DATE '2023-02-10'"),
        "time_dimension",
        {"calendar_is_contiguous"},
        "2023-02-09 to 2023-02-11",
    ),
    "last day lost": Sabotage(
        sql("DELETE FROM time_periods WHERE date = DATE '2023-03-31'"),
        "time_dimension",
        {"calendar_is_contiguous"},
        "ends on 2023-03-30, expected 2023-03-31",
    ),
    "day twice": Sabotage(
        sql("INSERT INTO time_periods SELECT * FROM time_periods WHERE date = DATE '2023-02-10'"),
        "time_dimension",
        {"calendar_is_contiguous"},
        "2023-02-10 to 2023-02-10",
    ),
    "master row lost": Sabotage(
        master(lambda frame: frame.filter(~ONE_ROW)), "master_parquet", {"row_parity"}, "335 rows instead of 336"
    ),
    "master row twice": Sabotage(
        master(lambda frame: pl.concat([frame, frame.filter(ONE_ROW)])),
        "master_parquet",
        {"row_parity"},
        "337 rows instead of 336",
    ),
    "master row in place of another": Sabotage(
        master(duplicate_in_place_of_a_row), "master_parquet", {"row_parity"}, "other hosts or days"
    ),
    "master value too high": Sabotage(
        master_value(101), "master_parquet", {"utilization_is_within_bounds"}, "2023-02 cpu spans"
    ),
    "master value too low": Sabotage(
        master_value(-0.01), "master_parquet", {"utilization_is_within_bounds"}, "2023-02 cpu spans -0.01 to"
    ),
    "master value no number": Sabotage(
        master_value(float("nan")), "master_parquet", {"utilization_is_within_bounds"}, "to nan"
    ),
    "master lacks a variety": Sabotage(
        sql(LOSE_A_VARIETY), "master_parquet", {"behavioral_diversity"}, "LOW_IDLE/VARIABLE"
    ),
    "weekends as busy as Mondays": Sabotage(
        master(busy_weekends), "master_parquet", {"calendar_effects_match_settings"}, "on weekend"
    ),
    "expectation lost": Sabotage(
        truth("expected", lambda frame: frame.filter(~ONE_ROW)),
        "ground_truth",
        {"row_parity"},
        "335 rows instead of 336",
    ),
    "series lost": Sabotage(
        truth("series", lambda frame: frame[1:]), "ground_truth", {"row_parity"}, "srv-000001 has 3 series instead of 4"
    ),
    "gap forgotten": Sabotage(
        truth("events", lambda frame: frame.filter(pl.col("kind") != "outage")),
        "ground_truth",
        {"gaps_are_labelled", "events_explain_differences"},
        "has no value and no event",
    ),
    "gap invented": Sabotage(
        truth("events", lambda frame: frame.with_columns(kind=pl.lit("missing"))),
        "ground_truth",
        {"gaps_are_labelled"},
        "has a value in spite of a gap",
    ),
    "bursts forgotten": Sabotage(
        truth("events", lambda frame: frame.filter(pl.col("kind") != "burst")),
        "ground_truth",
        {"events_explain_differences"},
        "differs from its twin without an event",
    ),
    "burst at another time": Sabotage(
        truth("events", lambda frame: frame.with_columns(start=pl.col("start").dt.offset_by("-1d"))),
        "ground_truth",
        {"gaps_are_labelled", "events_explain_differences"},
        "does not show in the data",
    ),
    "anomalies everywhere": Sabotage(
        truth("events", many_anomalies),
        "ground_truth",
        {"event_rates_match_settings", "events_explain_differences"},
        "anomalous days, expected",
    ),
    "breach date lost": Sabotage(
        truth("series", lambda frame: frame.with_columns(breach_date=pl.lit(None, dtype=pl.Date))),
        "ground_truth",
        {"breach_dates_lie_within_horizon"},
        "srv-000009 has 0 breach dates",
    ),
    "breach beyond the horizon": Sabotage(
        truth("series", lambda frame: frame.with_columns(pl.col("breach_date").dt.offset_by("100y"))),
        "ground_truth",
        {"breach_dates_lie_within_horizon"},
        "outside 2023-01-01 to",
    ),
    "feed value changed": Sabotage(
        lines(replace_field(6, 2, "20.01")), CPU_FEED, {"row_parity"}, "2023-02 cpu has other values or capacities"
    ),
    "feed capacity changed": Sabotage(
        lines(replace_field(6, 3, "65")), CPU_FEED, {"row_parity"}, "2023-02 cpu has other values or capacities"
    ),
    "feed value lost": Sabotage(lines(replace_field(6, 2, "")), CPU_FEED, {"row_parity"}, "values instead of"),
    "feed host changed": Sabotage(
        lines(replace_field(6, 1, "srv-000002")), CPU_FEED, {"row_parity"}, "other hosts or days"
    ),
    "feed line lost": Sabotage(lines(lambda x: x[:-1]), CPU_FEED, {"row_parity"}, "335 rows instead of 336"),
    "feed line twice": Sabotage(lines(lambda x: [*x, x[-1]]), CPU_FEED, {"row_parity"}, "337 rows instead of 336"),
    "feed line unreadable": Sabotage(
        lines(replace_field(6, 2, "n/a")), CPU_FEED, {"row_parity"}, "cpu_utilization_202302.csv: line 6, column util"
    ),
    "feed header changed": Sabotage(lines(lambda x: ["a,b,c,d", *x[1:]]), CPU_FEED, {"row_parity"}, "has the header"),
    "feed file empty": Sabotage(content(b""), CPU_FEED, {"row_parity"}, "is empty"),
    "feed file with a header alone": Sabotage(
        lines(lambda x: x[:1]), CPU_FEED, {"row_parity"}, "2023-02 cpu is missing"
    ),
    "feed file of another month": Sabotage(swap_feed_files, CPU_FEED, {"row_parity"}, "2023-01 cpu has 336 rows"),
    "feed file lost": Sabotage(
        lambda platform: feed_file(platform).unlink(), CPU_FEED, {"row_parity"}, "2023-02 cpu is missing"
    ),
    "feed file renamed": Sabotage(rename_feed_file, CPU_FEED, {"row_parity"}, "2023-02 cpu is missing"),
    "table row lost": Sabotage(
        sql(f"DELETE FROM processed_data WHERE {ONE_TABLE_ROW}"),
        "processed_data",
        {"reconciliation", "row_parity"},
        "2023-02 cpu has 335 rows instead of 336",
    ),
    "table month lost": Sabotage(
        sql("DELETE FROM processed_data WHERE month(ds) = 2"),
        "processed_data",
        {"reconciliation", "row_parity"},
        "2023-02 cpu is missing",
    ),
    "table value changed": Sabotage(
        sql(f"UPDATE processed_data SET y = 20.01 WHERE {ONE_TABLE_ROW}"),
        "processed_data",
        {"reconciliation", "row_parity"},
        "2023-02 cpu has other values or capacities",
    ),
    "table value lost": Sabotage(
        sql(f"UPDATE processed_data SET y = NULL WHERE {ONE_TABLE_ROW}"),
        "processed_data",
        {"reconciliation", "row_parity"},
        "values instead of",
    ),
    "feed changed after loading": Sabotage(
        lines(replace_field(6, 2, "20.01")),
        "processed_data",
        {"reconciliation"},
        "2023/02/cpu_utilization_202302.csv has changed since it was loaded",
    ),
    "feed lost after loading": Sabotage(
        lambda platform: feed_file(platform).unlink(), "processed_data", {"reconciliation"}, "is no longer there"
    ),
    "lines not all loaded": Sabotage(
        sql("UPDATE feed_files SET loaded = 335 WHERE yearmonth = 202302 AND resource = 'cpu'"),
        "processed_data",
        {"reconciliation"},
        "336 lines, but 335 loaded + 0 rejected",
    ),
    "rejected lines lost": Sabotage(
        sql("UPDATE feed_files SET rejected = 1, lines = 337 WHERE yearmonth = 202302 AND resource = 'cpu'"),
        "processed_data",
        {"reconciliation"},
        "0 rejected lines are kept, not 1",
    ),
    "table rows of no file": Sabotage(
        sql("DELETE FROM feed_files WHERE yearmonth = 202302 AND resource = 'cpu'"),
        "processed_data",
        {"reconciliation"},
        "2023-02 cpu: 336 rows come from no file",
    ),
    "defect that nobody put in": Sabotage(
        sql(
            "INSERT INTO refused_files VALUES ('2023/02/cpu_utilization_202302.csv', 202302, 'cpu', 'empty', "
            "'', 'test', TIMESTAMP '2023-04-01')"
        ),
        "refinery_audit",
        {"injected_defects_are_found"},
        "empty is a false alarm",
    ),
    "defect that is not found": Sabotage(
        list_a_defect, "refinery_audit", {"injected_defects_are_found", "row_parity"}, "not_finite"
    ),
    "table row twice": Sabotage(
        sql(f"INSERT INTO processed_data SELECT * FROM processed_data WHERE {ONE_TABLE_ROW}"),
        "processed_data",
        {"keys_are_unique", "reconciliation", "row_parity"},
        "srv-000012 cpu has 1 rows too many in 202302",
    ),
    "table host unknown": Sabotage(
        sql("DELETE FROM hosts WHERE host_id = 'srv-000012'"),
        "processed_data",
        {"hosts_are_known"},
        "srv-000012 with 124 rows is not in the inventory",
    ),
    "table lacks a variety": Sabotage(
        sql(LOSE_A_VARIETY), "refinery_audit", {"behavioral_diversity"}, "LOW_IDLE/VARIABLE"
    ),
    "table month lost, seen over all": Sabotage(
        sql("DELETE FROM processed_data WHERE month(ds) = 2"),
        "refinery_audit",
        {"reconciliation", "row_parity"},
        "2023-02 cpu is missing",
    ),
    "feed file renamed, seen over all": Sabotage(
        rename_feed_file,
        "refinery_audit",
        {"reconciliation", "file_names_follow_convention"},
        "is not in the layout",
    ),
}
