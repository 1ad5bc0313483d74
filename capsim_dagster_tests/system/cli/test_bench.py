import datetime as dt
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.table import Table

from capsim_dagster.cli import bench as bench_command
from capsim_dagster.cli import capsim, floor, measure
from capsim_dagster.cli.bench_view import bench_table, comparison_table, read_bench
from capsim_dagster.cli.floor import Floor, checksums
from capsim_dagster.cli.measure import (
    Measurement,
    measure_command,
    publication_stages,
)
from capsim_dagster.errors import GateError, SettingsError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.support.sabotage import rewrite_master

ROWS: Final = 10 * 4 * 33
"""Ten hosts, four resources, and the days of the window of the floor."""


def measured(stage: str, cpu_s: float, *, mib: float = 100, rows: int = 0) -> Measurement:
    return Measurement(stage, cpu_s=cpu_s, wall_s=1.0, peak_rss_mib=mib, rows=rows)


def lines_of(table: Table) -> dict[str, str]:
    """Return what is printed in each line, by the stage at its beginning."""
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in captured.get().splitlines() if "│" in line]
    return {stage: " | ".join(cells) for stage, *cells in rows}


def test_floor_writes_and_reads_as_many_rows_as_a_run_and_its_table_holds_what_its_parquet_does(tmp_path: Path) -> None:
    parts = Floor(10, dt.date(2024, 1, 29), dt.date(2024, 3, 1), tmp_path / "floor").parts()

    rows = {name: part() for name, part in parts.items()}

    assert set(rows.values()) == {ROWS}
    master, truth = (pl.read_parquet(tmp_path / "floor" / f"{name}.parquet") for name in ("master", "truth"))
    assert (master.height, truth.height) == (ROWS, ROWS)
    assert master.select("host_id", "date", "resource").unique().height == ROWS
    rounded = np.round(np.clip(truth["expected_util"].to_numpy(), 0, 100), 2)
    assert np.array_equal(master["p95_util"].to_numpy(), rounded)
    assert truth["expected_util"].n_unique() > master["p95_util"].n_unique() > 0
    files = sorted((tmp_path / "floor").glob("*.csv"))
    assert len(files) == 3 * 4
    assert sum(pl.read_csv(file).height for file in files) == ROWS
    assert pl.read_csv(files[0]).columns == ["date", "host_id", "value", "capacity"]
    table = tmp_path / "floor" / "table.duckdb"
    with duckdb.connect(str(table), read_only=True) as connection:
        values = connection.execute("SELECT y FROM processed_data ORDER BY resource, host_id, ds").fetchnumpy()["y"]
    of_master = master.sort("resource", "host_id", "date")["p95_util"].to_numpy()
    assert np.array_equal(values.astype(np.float32), of_master)
    in_file = checksums(floor._MASTER_ROWS.format(path=tmp_path / "floor" / "master.parquet"))
    assert len(in_file) == 3 * 4
    assert checksums(floor._TABLE_ROWS, table) == in_file


def test_each_part_of_the_floor_belongs_to_one_stage() -> None:
    shared = [part for _, parts in floor.SHARES for part in parts if part != floor.FLOOR]

    parts = Floor(10, dt.date(2024, 1, 1), dt.date(2024, 1, 2), Path("nowhere")).parts()
    assert sorted(shared) == sorted(parts)


def test_table_shows_stages_as_a_multiple_of_their_floor_and_of_what_is_allowed() -> None:
    rows = [
        measured("monthly_csv", 4.5),
        measured("feed checks", 2.0),
        measured("processed_data", 6.0),
        measured("all stages", 12.5),
        measured("pictures", 1.0),
        measured("floor: CSV", 3.0),
        measured("floor: read_csv and insert", 4.5),
        measured("floor: SHA-256 of CSV", 0.5),
        measured("floor", 8.0),
        measured("capsim run, whole process", 24.0),
    ]

    shown = {stage: line.split(" | ")[1] for stage, line in lines_of(bench_table(2_000, rows)).items()}

    assert shown == dict.fromkeys((row.stage for row in rows), "") | {
        "monthly_csv": "1.50",
        "feed checks": "with the next",
        "processed_data": "1.60",
        "all stages": "1.56 > 1.50",
        "capsim run, whole process": "3.00 > 2.35",
    }
    quick = [measured("all stages", 9.0), measured("floor", 8.0)]
    assert "1.12 <= 1.50" in lines_of(bench_table(2_000, quick))["all stages"]


def test_comparison_shows_before_now_and_the_change_and_what_is_in_one_of_both_only() -> None:
    before = [measured("monthly_csv", 4.0, mib=200, rows=5), measured("gone", 1.0), measured("nothing", 0.0)]
    now = [measured("monthly_csv", 3.0, mib=500, rows=5), measured("new", 2.0), measured("nothing", 0.0)]

    table = comparison_table(10, before, now)

    assert lines_of(table) == {
        "monthly_csv": "4.00 | 3.00 | -25 % | 200 | 500 | +150 %",
        "new": " | 2.00 | only now |  | 100 | only now",
        "nothing": "0.00 | 0.00 |  | 100 | 100 | +0 %",
        "gone": "1.00 |  | only before | 100 |  | only before",
    }
    assert table.caption is None
    other = comparison_table(10, before, [measured("monthly_csv", 3.0, rows=6)])
    assert "rows differ in monthly_csv" in str(other.caption)


def test_what_bench_prints_as_json_is_read_back_with_the_floor_and_without_as_it_was_before(tmp_path: Path) -> None:
    rows = [measured("monthly_csv", 4.5, rows=7), measured("floor: CSV", 3.0)]
    printed = bench_command._as_json(rows)
    assert [row["x_floor"] for row in printed] == [1.5, None]
    former = [{name: value for name, value in row.items() if name != "x_floor"} for row in printed]
    for written in (printed, former):
        path = tmp_path / "before.json"
        path.write_text(json.dumps({10: written}))

        assert read_bench(path) == {10: rows}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "the file: Invalid JSON"),
        ("stage CPU s", "the file: Invalid JSON"),
        ("[]", "the file: Input should be an object"),
        ('{"10": [{"stage": "monthly_csv"}]}', "cpu_s of 0 of 10: Field required"),
        ('{"10": []}', "holds fleets of 10 hosts, and none of 12"),
        ("{}", "holds fleets of no hosts, and none of 12"),
    ],
)
def test_comparison_with_what_is_no_bench_is_refused_before_anything_is_measured(
    text: str, found: str, tmp_path: Path
) -> None:
    path = tmp_path / "before.json"
    path.write_text(text)

    refused = CliRunner().invoke(capsim, ["bench", "--hosts", "12", "--compare", str(path)]).exception

    assert isinstance(refused, SettingsError)
    assert found in refused.found
    assert refused.remedy.startswith("name ")


def test_comparison_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "before.json").write_text("{}")
    result = CliRunner().invoke(capsim, ["bench", "--json", "--compare", str(tmp_path / "before.json")])
    assert result.exit_code == 2
    assert "does not go with --json" in result.output


def test_bench_runs_the_main_job_twice_and_every_other_command_on_what_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = ["--data-dir", str(tmp_path / "run")]
    fleet = ["--hosts", "10", "--start", "2023-01-01", "--end", "2023-01-31", *data_dir]
    printed: dict[str, str] = {}

    def run_here(stage: str, arguments: Sequence[str]) -> Measurement:
        # What a process costs to start is not what is asked here.
        result = CliRunner().invoke(capsim, list(arguments[2:]) if arguments[0] == "-m" else ["--version"])
        assert result.exit_code == 0, (stage, result.output, result.exception)
        printed[stage] = result.output
        return measured(stage, 1.0)

    monkeypatch.setattr(measure, "measure_process", run_here)
    told: list[str] = []

    rows = bench_command._whole_processes(fleet, data_dir, told.append)

    names = ("run", "run again", "status", "refine", "panel generate", "panel load")
    assert [row.stage for row in rows] == [
        *(f"capsim {name}, whole process" for name in names),
        "python -c 'import dagster'",
    ]
    assert told[:2] == ["capsim run", "capsim run"]
    assert "all gates hold" in printed["capsim run again, whole process"]
    assert "unchanged" in printed["capsim refine, whole process"]


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
