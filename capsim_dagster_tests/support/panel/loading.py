"""Small panels to load, faults to put into them, and a place to load them in."""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from capsim_dagster.panel.contract import FOOTER_KEY, PanelName, arrow_schema
from capsim_dagster.panel.load import LoadOutcome, load_panel
from capsim_dagster.settings import Settings, load_settings
from capsim_dagster.storage import Folder, fill_parquet
from capsim_dagster_tests.conftest import CONFIG

SERVERS = 10
DAYS = 400
START = dt.date(2024, 1, 1)
END = dt.date(2025, 2, 3)
ROWS = SERVERS * DAYS
METRICS = ["cpu_p95", "mem_p95", "disk_p95", "net_in_p95", "net_out_p95"]
RAW = PanelName(False, START, END)
STAGED = PanelName(True, START, END)
Limits = Mapping[str, object]
"""Settings of `panel.validation` to be judged by."""
Mutation = Callable[[pa.Table], pa.Table]


@cache
def base_settings() -> Settings:
    return load_settings(CONFIG, {"data_generation": {"num_servers": SERVERS}})


def settings_with(data_dir: Path, **validation: object) -> Settings:
    """Return the shipped settings with data in a folder; keywords override `panel.validation`."""
    base = base_settings()
    judged = base.panel.validation.model_copy(update=validation)
    return base.model_copy(
        update={
            "storage": base.storage.model_copy(update={"local_base_path": data_dir}),
            "panel": base.panel.model_copy(update={"validation": judged}),
        }
    )


def footer(servers: int = SERVERS, start: dt.date = START, end: dt.date = END) -> dict[str, str]:
    return {FOOTER_KEY: json.dumps({"servers": servers, "start": str(start), "end": str(end)})}


@cache
def clean_panel() -> pa.Table:
    """Return ten servers over 400 days in the form of the contract, with 1 % missing, and capsim's footer."""
    schema = arrow_schema(base_settings().panel)
    numbers = np.arange(ROWS)
    days = np.datetime64(START, "us") + (numbers % DAYS).astype("timedelta64[D]")
    columns = [
        pa.array([f"SRV-{number // DAYS + 1:04d}" for number in numbers]),
        pa.array(days),
        pa.array([f"unit {number // DAYS % 3}" for number in numbers]),
        pa.array([f"region {number // DAYS % 2}" for number in numbers]),
        pa.array(["high"] * ROWS),
        *(
            pa.array((numbers * (place + 3) % 9_001) / 100, mask=(numbers + place) % 100 == 7)
            for place in range(len(METRICS))
        ),
    ]
    return pa.Table.from_arrays(columns, schema=schema.with_metadata(footer()))


def without_footer(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None)


def nullable(table: pa.Table) -> pa.Table:
    """Return the table with a schema that allows missing values everywhere."""
    return table.cast(pa.schema([field.with_nullable(True) for field in table.schema], table.schema.metadata))


def with_column(table: pa.Table, name: str, array: pa.Array | pa.ChunkedArray) -> pa.Table:
    place = table.schema.get_field_index(name)
    return nullable(table).set_column(place, name, array)


def with_value(name: str, row: int, value: object) -> Mutation:
    """Return a mutation that replaces one value."""

    def mutate(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        values[row] = value
        return with_column(table, name, pa.array(values, table[name].type))

    return mutate


def of_type(name: str, kind: pa.DataType) -> Mutation:
    """Return a mutation that casts a column."""
    return lambda table: with_column(table, name, table[name].cast(kind, safe=False))


def as_texts(name: str, **spelled: str) -> Mutation:
    """Return a mutation that makes a metric texts; `row_7="N/A"` replaces one of them."""

    def mutate(table: pa.Table) -> pa.Table:
        texts = [None if value is None else str(value) for value in table[name].to_pylist()]
        for row, text in spelled.items():
            texts[int(row.removeprefix("row_"))] = text
        return with_column(table, name, pa.array(texts, pa.string()))

    return mutate


def rows_where(keep: Callable[[pa.Table], Any]) -> Mutation:
    """Return a mutation that keeps some rows."""
    return lambda table: table.filter(keep(table))


def rows(*chosen: int) -> Mutation:
    """Return a mutation that adds copies of rows behind themselves."""

    def mutate(table: pa.Table) -> pa.Table:
        return table.take(pa.array(sorted([*range(table.num_rows), *chosen])))

    return mutate


def in_turn(*mutations: Mutation) -> Mutation:
    def mutate(table: pa.Table) -> pa.Table:
        for mutation in mutations:
            table = mutation(table)
        return table

    return mutate


def without_days(first: dt.date, last: dt.date, server: str | None = None) -> Mutation:
    """Return a mutation that drops the days from first to last, of one server or of all."""

    def mutate(table: pa.Table) -> pa.Table:
        days = pc.cast(table["timestamp"], pa.date32())
        gone = pc.and_(pc.greater_equal(days, pa.scalar(first)), pc.less_equal(days, pa.scalar(last)))
        if server is not None:
            gone = pc.and_(gone, pc.equal(table["server_id"], server))
        return table.filter(pc.invert(gone))

    return mutate


@dataclass(frozen=True)
class Site:
    """A data directory."""

    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "panel" / "raw"

    @property
    def staged(self) -> Path:
        return self.folder / "panel" / "staged" / str(STAGED)

    @property
    def store(self) -> Folder:
        return Folder(self.folder)

    def write(self, table: pa.Table, name: str = str(RAW)) -> Path:
        """Write a table as capsim writes panels: without Arrow's own schema."""
        self.raw.mkdir(parents=True, exist_ok=True)
        path = self.raw / name
        fill_parquet(path, table.combine_chunks().to_batches(), schema=table.schema)
        return path

    def load(
        self, source: Path | str | None = None, *, strict: bool = False, limits: Limits | None = None
    ) -> LoadOutcome:
        settings = settings_with(self.folder, **(limits or {}))
        return load_panel(settings, self.store, source=str(source) if source else None, strict=strict)

    def report(
        self, source: Path | str | None = None, *, strict: bool = False, limits: Limits | None = None
    ) -> dict[str, Any]:
        """Load a panel and return the JSON of its report as it lies on the disk."""
        outcome = self.load(source, strict=strict, limits=limits)
        content: dict[str, Any] = json.loads(Path(outcome.report_url).read_text(encoding="utf-8"))
        return content

    def staged_table(self) -> pa.Table:
        return pq.read_table(self.staged)


def against(report: dict[str, Any]) -> dict[str, str]:
    """Return the findings that do not hold, with their severity."""
    return {found["name"]: found["severity"] for found in report["findings"] if not found["passed"]}


def finding(report: dict[str, Any], name: str) -> dict[str, Any]:
    """Return one finding."""
    found: list[dict[str, Any]] = [found for found in report["findings"] if found["name"] == name]
    assert len(found) == 1, f"{name}: {len(found)}"
    return found[0]


def repairs(report: dict[str, Any]) -> dict[tuple[str, str], int]:
    """Return what was repaired, with counts."""
    return {(repair["name"], repair["column"]): repair["count"] for repair in report["repairs"]}
