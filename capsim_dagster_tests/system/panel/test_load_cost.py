"""What `capsim panel load` costs at 2,000 servers over four years, as a whole process."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from capsim_dagster.cli.measure import Measurement, measure_command
from capsim_dagster.panel.contract import arrow_schema
from capsim_dagster.storage import fill_parquet
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.panel.loading import METRICS, base_settings, footer

SERVERS = 2_000
DAYS = 1_461
SERVERS_AT_ONCE = 130
MEMORY_MIB = 600
CPU_S = {True: 3.7, False: 7.0}
"""Beyond the start of the command, which is measured apart as it loads Dagster to record what it makes; by whether the
rows are in order. 5.0 less the 1.3 that a start took before it did, and half as much again as the 3.0 to 4.5 of rows
in no order: the machines that run this do other things too, which processors with shared cores charge for."""


def batches(*, in_order: bool) -> Iterator[pa.RecordBatch]:
    """Yield the panel, about 190,000 rows at a time; one that is in no order has each piece shuffled."""
    generator = np.random.default_rng(1)
    days = np.datetime64("2022-01-01", "us") + np.arange(DAYS).astype("timedelta64[D]")
    for first in range(0, SERVERS, SERVERS_AT_ONCE):
        numbers = np.arange(first, min(first + SERVERS_AT_ONCE, SERVERS))
        rows = pa.array(np.arange(numbers.size).repeat(DAYS))
        columns = [
            pa.array([f"SRV-{number + 1:04d}" for number in numbers.tolist()]).take(rows),
            pa.array(np.tile(days, numbers.size)),
            *(
                pa.array([f"{name} {number % 5}" for number in numbers.tolist()]).take(rows)
                for name in ("unit", "region", "level")
            ),
            *(
                pa.array(generator.uniform(0, 100, len(rows)).round(2), mask=generator.random(len(rows)) < 0.01)
                for _ in METRICS
            ),
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=arrow_schema(base_settings().panel))
        yield batch if in_order else batch.take(pa.array(generator.permutation(batch.num_rows)))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Return the CPU seconds [s] of the command on a panel of one server."""
    folder = tmp_path_factory.mktemp("start")
    one = next(batches(in_order=True)).slice(0, DAYS)
    fill_parquet(folder / "small.parquet", [one], schema=schema_of(1))
    return load(folder, folder / "small.parquet").cpu_s


def schema_of(servers: int) -> pa.Schema:
    said = footer(servers, dt.date(2022, 1, 1), dt.date(2025, 12, 31))
    return arrow_schema(base_settings().panel).with_metadata(said)


def load(folder: Path, panel: Path) -> Measurement:
    options = ["--config", str(CONFIG), "--data-dir", str(folder / "data"), "--input", str(panel)]
    return measure_command("panel", "load", options=options)


@pytest.mark.parametrize("in_order", [True, False], ids=["in order", "in no order"])
def test_two_thousand_servers_over_four_years_load_in_bounded_memory(
    tmp_path: Path, start: float, in_order: bool
) -> None:
    path = tmp_path / "panel.parquet"
    assert fill_parquet(path, batches(in_order=in_order), schema=schema_of(SERVERS)) == SERVERS * DAYS

    cost = load(tmp_path, path)

    assert cost.peak_rss_mib < MEMORY_MIB
    assert cost.cpu_s - start < CPU_S[in_order]
