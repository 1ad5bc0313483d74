import subprocess

import polars as pl
import pytest

from capsim_dagster.cli.measure import (
    Measurement,
    measure_command,
    publication_stages,
)
from capsim_dagster.errors import GateError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.support.sabotage import rewrite_master


def test_a_day_whose_p95_is_not_the_masters_is_no_measurement(platform: Platform) -> None:
    rewrite_master(platform, lambda frame: frame.with_columns(p95_util=pl.lit(1.0, pl.Float32)))
    archive, publish, verify = publication_stages(platform).values()
    archive()
    publish()

    with pytest.raises(GateError, match="p95_is_that_of_the_master: 48 of 48 values differ"):
        verify()


def test_rate_is_rows_a_wall_second() -> None:
    measurement = Measurement("stage", cpu_s=3.0, wall_s=2.0, peak_rss_mib=100.0, rows=500)
    assert measurement.rows_per_s == 250
    assert measurement.as_json() == {
        "stage": "stage",
        "cpu_s": 3.0,
        "wall_s": 2.0,
        "peak_rss_mib": 100.0,
        "rows": 500,
        "rows_per_s": 250,
    }
    assert Measurement("stage", cpu_s=0, wall_s=0, peak_rss_mib=0, rows=500).rows_per_s == 0


def test_whole_command_is_measured_start_up_included() -> None:
    measured = measure_command(options=["--help"])
    assert measured.cpu_s > 0
    assert measured.wall_s > 0
    assert measured.peak_rss_mib > 10


def test_memory_of_the_process_that_measures_is_not_counted() -> None:
    held = bytes(400 << 20).replace(b"\0", b"1")
    assert measure_command(options=["--help"]).peak_rss_mib < len(held) >> 20


def test_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        measure_command("no-such-command", options=[])
