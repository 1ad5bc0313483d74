"""Each way in which the tests damage a panel, with the checks that must notice it."""

from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from capsim_dagster.panel.contract import PanelName
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.support.pipeline.sabotages import Act, Sabotage
from capsim_dagster_tests.support.sabotage import ChangeFrame

ASSET: Final = "server_metrics"
SHAPE: Final = "panel_has_one_row_per_server_day"
MISSING: Final = "missing_share_is_within_limit"
RANGE: Final = "values_are_within_range"
CALENDAR: Final = "calendar_effects_match_settings"
PARITY: Final = "row_parity"
ONE_SERVER: Final = pl.col("server_id") == "SRV-0012"
ONE_ROW: Final = ONE_SERVER & (pl.col("timestamp") == pl.datetime(2023, 2, 5))
ROWS_OF_THREE_SERVERS: Final = 3 * 90
"""Rows that are made at a time in these tests: the panel has four row groups then, as that of a fleet has many."""


def raw_panel(platform: Platform) -> Path:
    """Return where the panel of the configured window lies."""
    window = platform.generation.start_date, platform.generation.end_date
    return platform.layout.root / platform.settings.storage.raw_prefix / str(PanelName(False, *window))


def rewrite_panel(path: Path, change: ChangeFrame) -> None:
    """Rewrite each row group of a panel through a function of its frame; footer and types stay."""
    with pq.ParquetFile(path) as source:
        schema = source.schema_arrow
        frames = [pl.DataFrame(source.read_row_group(index)) for index in range(source.num_row_groups)]
    with pq.ParquetWriter(path, schema) as writer:
        for frame in map(change, frames):
            if frame.height:
                table = frame.to_arrow().select(schema.names).cast(schema)
                writer.write_table(table, row_group_size=table.num_rows)


def panel(change: ChangeFrame) -> Act:
    return lambda platform: rewrite_panel(raw_panel(platform), change)


def value(metric: str, number: float | None) -> Act:
    """Return an act that changes one value."""
    changed = pl.when(ONE_ROW).then(pl.lit(number, dtype=pl.Float64)).otherwise(metric)
    return panel(lambda frame: frame.with_columns(changed.alias(metric)))


def every_tenth(number: float | None) -> Act:
    """Return an act that changes every tenth value of a metric."""
    row, changed = pl.int_range(pl.len()), pl.lit(number, dtype=pl.Float64)
    return panel(lambda f: f.with_columns(mem_p95=pl.when(row % 10 == 0).then(changed).otherwise("mem_p95")))


def swap_two_servers(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the values of the first two servers to each other: nothing but their owner changes."""
    first, second = frame["server_id"].unique(maintain_order=True)[:2]
    other = pl.col("server_id").replace({first: second, second: first})
    return frame.with_columns(server_id=other).sort("server_id", "timestamp")


def busy_weekends(frame: pl.DataFrame) -> pl.DataFrame:
    busier = (pl.col("cpu_p95") * 2).clip(0, 100)
    return frame.with_columns(cpu_p95=pl.when(pl.col("timestamp").dt.weekday() >= 6).then(busier).otherwise("cpu_p95"))


def one_row_in_place_of_the_next(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame[:1], frame[:1], frame[2:]])


PANEL_SABOTAGES: Final = {
    "row group lost": Sabotage(
        panel(lambda frame: frame.filter(~ONE_SERVER.any())),
        ASSET,
        {SHAPE, PARITY},
        "3 row groups instead of 4",
    ),
    "row lost": Sabotage(
        panel(lambda frame: frame.filter(~ONE_ROW)),
        ASSET,
        {SHAPE, PARITY},
        "row group 3 has not one row for each of SRV-0010 to SRV-0012 and day",
    ),
    "row in place of another": Sabotage(
        panel(one_row_in_place_of_the_next), ASSET, {SHAPE, MISSING, PARITY}, "row group 0 has not one row"
    ),
    "rows in another order": Sabotage(
        panel(lambda frame: frame.sort("timestamp", "server_id")),
        ASSET,
        {SHAPE, MISSING},
        "row group 0 has not one row",
    ),
    "two servers swapped": Sabotage(
        panel(swap_two_servers), ASSET, {PARITY}, "2023-01 cpu_p95 has other values or capacities"
    ),
    "value changed": Sabotage(value("net_in_p95", 1.25), ASSET, {PARITY}, "2023-02 net_in_p95 has other values"),
    "value lost": Sabotage(value("disk_p95", None), ASSET, {PARITY}, "values instead of"),
    "value too high": Sabotage(value("cpu_p95", 150), ASSET, {RANGE, PARITY}, "to 150, allowed 0 to 100"),
    "value too low": Sabotage(value("cpu_p95", -5), ASSET, {RANGE, PARITY}, "cpu_p95 spans -5 to"),
    "traffic beyond what the network carries": Sabotage(
        value("net_out_p95", 1e9), ASSET, {RANGE, PARITY}, "net_out_p95 spans"
    ),
    "values missing": Sabotage(every_tenth(None), ASSET, {MISSING, PARITY}, "at most 5.00% may be missing"),
    "values no numbers": Sabotage(every_tenth(float("nan")), ASSET, {MISSING, PARITY}, "mem_p95 lacks 1"),
    "weekends as busy as Mondays": Sabotage(panel(busy_weekends), ASSET, {CALENDAR, PARITY}, "cpu_p95 on weekend"),
}
