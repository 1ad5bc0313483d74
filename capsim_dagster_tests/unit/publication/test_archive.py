"""The archive of samples: the master's P95 for every host and day, whole hours, the same bytes every time."""

import datetime as dt
import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from capsim_dagster.publication.archive import SampledFleet, write_hour
from capsim_dagster.publication.hour_files import ArchiveHour, hour_path
from capsim_dagster.settings import Archive, DataGeneration
from capsim_dagster.simulated.master import write_master
from capsim_dagster.simulation.fleet import fleet_of
from capsim_dagster.storage import sha256
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.panel.generated import generation_of
from capsim_dagster_tests.support.shipped_settings import shipped_settings

DAY: Final = dt.date(2023, 2, 14)
HOSTS: Final = 20
INBOUND: Final = (0.3, 0.7)
RESOURCES: Final = ("cpu", "memory", "disk", "network")


def archive_of(**changes: Any) -> Archive:  # noqa: ANN401 any JSON value
    facts = shipped_settings().archive.model_dump(mode="json")
    return Archive.model_validate({**facts, **changes})


def fleet_on(
    day: dt.date = DAY, *, generation: DataGeneration | None = None, archive: Archive | None = None
) -> SampledFleet:
    generation = generation or generation_of(num_servers=HOSTS)
    return SampledFleet(generation, archive or archive_of(), INBOUND, fleet_of(generation), day)


def write_day(root: Path, fleet: SampledFleet, hours: Iterable[int] = range(24)) -> list[ArchiveHour]:
    return [write_hour(fleet, root, hour) for hour in hours]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def rows_of(files: list[ArchiveHour]) -> pl.DataFrame:
    """Return the lines of some hours, read by Python's own JSON."""
    lines = [{**line, **line.pop("meta")} for file in files for line in lines_of(file.path)]
    return pl.DataFrame(lines, infer_schema_length=None)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[ArchiveHour]:
    return write_day(tmp_path_factory.mktemp("archive"), fleet_on())


@pytest.fixture(scope="module")
def rows(files: list[ArchiveHour]) -> pl.DataFrame:
    return rows_of(files)


def test_a_day_is_24_files_with_a_line_for_each_host_and_interval_in_order(
    files: list[ArchiveHour], rows: pl.DataFrame
) -> None:
    assert [file.path.name for file in files] == [f"{hour:02d}.jsonl.gz" for hour in range(24)]
    assert {file.path.parent.name for file in files} == {"20230214"}
    assert [file.lines for file in files] == [HOSTS * 12] * 24
    times = [f"2023-02-14T{minute // 60:02d}:{minute % 60:02d}:00Z" for minute in range(0, 1440, 5)]
    hosts = [f"srv-{number:06d}" for number in range(1, HOSTS + 1)]
    assert rows.select("ts", "host_id").rows() == [(time, host) for time in times for host in hosts]


def test_each_file_is_what_it_is_said_to_be(files: list[ArchiveHour]) -> None:
    for file in files[::7]:
        assert len(lines_of(file.path)) == file.lines
        assert (file.bytes, file.sha256) == (file.path.stat().st_size, sha256(file.path))


@pytest.mark.parametrize("interval", [5, 30])
def test_the_p95_of_the_samples_is_that_of_the_master_and_a_gap_is_a_gap(tmp_path: Path, interval: int) -> None:
    generation = generation_of(num_servers=HOSTS, start_date="2023-02-10", end_date="2023-02-20")
    write_master(generation, fleet_of(generation), tmp_path / "master.parquet", end=generation.end_date)
    master = pl.read_parquet(tmp_path / "master.parquet").cast({"host_id": pl.String, "resource": pl.String})
    gaps = master.filter(pl.col("p95_util").is_null(), pl.col("date") > dt.date(2023, 2, 11))
    day = gaps.get_column("date").to_list()[0]

    fleet = fleet_on(day, generation=generation, archive=archive_of(interval_minutes=interval))
    rows = rows_of(write_day(tmp_path, fleet))

    expected = {
        (host, resource): value
        for host, resource, value in master.filter(pl.col("date") == day)
        .select("host_id", "resource", "p95_util")
        .iter_rows()
    }
    for (host,), of_host in rows.group_by("host_id"):
        for resource in RESOURCES:
            found = of_host.get_column(resource)
            value = expected[str(host), resource]
            if value is None:
                assert found.null_count() == found.len()
                continue
            p95 = np.quantile(found.to_numpy(), 0.95, method="inverted_cdf")
            assert p95 == pytest.approx(value, abs=1e-5)


def test_inbound_and_outbound_add_up_to_network_utilization_of_the_capacity(rows: pl.DataFrame) -> None:
    capacity = fleet_of(generation_of(num_servers=HOSTS)).select("host_id", "network_mbps")
    known = rows.join(capacity, on="host_id").drop_nulls("network")

    off = known["net_in_mbps"] + known["net_out_mbps"] - known["network"] * known["network_mbps"] / 100

    assert float(np.abs(off.to_numpy()).max()) < 0.0101
    assert rows.filter(pl.col("network").is_null())["net_in_mbps"].null_count() == rows["network"].null_count()


def test_agent_meta_counts_intervals_from_the_first_day_of_the_window(rows: pl.DataFrame) -> None:
    # 44 days of 288 intervals lie between 1 January and 14 February.
    assert rows["seq"].unique().sort().to_list() == list(range(44 * 288, 45 * 288))
    assert set(rows["interval_s"]) == {300}
    assert set(rows["agent"]) == {"2.4.1"}


def test_writing_a_day_again_touches_nothing_and_mends_only_what_is_broken(tmp_path: Path) -> None:
    fleet = fleet_on()
    write_day(tmp_path, fleet, range(6, 9))
    broken = hour_path(tmp_path, DAY, 7)
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-5])

    again = write_day(tmp_path, fleet, range(6, 9))

    assert [file.hour for file in again if not file.is_unchanged] == [7]
    assert broken.read_bytes() == whole


def test_a_larger_fleet_and_a_longer_window_change_no_line_that_was_there(
    files: list[ArchiveHour], tmp_path: Path
) -> None:
    larger = generation_of(num_servers=55, end_date="2024-12-31")

    found = lines_of(write_hour(fleet_on(generation=larger), tmp_path, 9).path)

    known = {f"srv-{number:06d}" for number in range(1, HOSTS + 1)}
    assert [line for line in found if line["host_id"] in known] == lines_of(files[9].path)


def test_an_hour_is_one_gzip_member_an_interval(tmp_path: Path) -> None:
    fleet = fleet_on()

    members = list(fleet.members(3))

    assert len(members) == 12
    assert all(len(gzip.decompress(member).splitlines()) == HOSTS for member in members)
    assert write_hour(fleet, tmp_path, 3).path.read_bytes() == b"".join(members)


@each_case(
    "change",
    [
        {"interval_minutes": 10},
        {"agent_version": "3.0.0"},
        {"peak_jitter_hours": 4},
        {"workloads": {}},
        {"other_workload": {"peak_hour": 3, "swing": 0.9}, "workloads": {}},
    ],
)
def test_each_setting_of_the_archive_changes_its_lines(change: dict[str, Any]) -> None:
    before: dict[str, Any] = {"workloads": {}} if "other_workload" in change else {}

    first, second = (list(fleet_on(archive=archive_of(**facts)).members(4)) for facts in (before, change))

    assert first != second


def test_the_peak_of_a_workload_is_at_its_hour() -> None:
    at_night = archive_of(workloads={}, other_workload={"peak_hour": 3, "swing": 0.8}, peak_jitter_hours=0)
    fleet = fleet_on(archive=at_night)

    def mean_cpu(hour: int) -> float:
        lines = [json.loads(line) for member in fleet.members(hour) for line in gzip.decompress(member).splitlines()]
        return float(np.mean([line["cpu"] for line in lines if line["cpu"] is not None]))

    assert mean_cpu(3) > 2 * mean_cpu(15)


@each_case("minutes", [0, 7, 45, 60])
def test_an_interval_that_does_not_divide_an_hour_is_refused(minutes: int) -> None:
    with pytest.raises(ValueError, match="interval_minutes"):
        archive_of(interval_minutes=minutes)
