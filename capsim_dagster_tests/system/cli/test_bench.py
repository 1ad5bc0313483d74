import subprocess

import polars as pl
import pytest

from capsim_dagster.cli.measure import (
    Measurement,
    measure_command,
    measure_publication,
    measure_stages,
    publication_stages,
)
from capsim_dagster.errors import GateError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import MakeSettings
from capsim_dagster_tests.support.sabotage import rewrite_master

STAGES = [
    "host_inventory",
    "time_dimension",
    "fleet checks",
    "master_parquet",
    "master checks",
    "ground_truth",
    "truth checks",
    "pictures",
    "monthly_csv",
    "feed checks",
    "processed_data",
    "processed_data, again",
    "table checks",
    "audit checks",
    "all stages",
]
ROWS = 10 * 4 * 31
SAMPLES = 10 * 24 * 12


def test_all_stages_are_measured_with_their_rows(make_settings: MakeSettings) -> None:
    settings = make_settings(num_servers=10, end_date="2023-01-31")
    measured = measure_stages(settings)
    rows = {measurement.stage: measurement.rows for measurement in measured}
    assert list(rows) == STAGES
    assert rows == {"host_inventory": 10, "time_dimension": 31, "fleet checks": 10} | dict.fromkeys(
        STAGES[3:], ROWS
    ) | {"pictures": 0}
    *parts, total = measured
    assert all(part.cpu_s >= 0 and part.wall_s > 0 and part.peak_rss_mib > 10 for part in parts)
    assert total.cpu_s == pytest.approx(sum(part.cpu_s for part in parts))
    assert total.cpu_s > 0
    assert total.wall_s == pytest.approx(sum(part.wall_s for part in parts))
    assert total.peak_rss_mib == max(part.peak_rss_mib for part in parts)
    assert (settings.data_dir / "master" / "master_daily.parquet").is_file()

    day = measure_publication(settings)
    assert {measurement.stage: measurement.rows for measurement in day} == dict.fromkeys(
        ["hourly_archive, a day", "tier3_daily, a day", "tier3 verify, a day"], SAMPLES
    )
    assert all(part.cpu_s > 0 and part.wall_s > 0 and part.peak_rss_mib > 10 for part in day)
    assert (settings.data_dir / "output" / "tier3_daily" / "2023-01-31" / "manifest.json").is_file()


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
