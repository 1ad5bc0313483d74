"""The P95 by the master: the day's own values, read from its month alone, and a master that is another's is named."""

import datetime as dt
import shutil
from pathlib import Path
from typing import Final

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from capsim_dagster.audits.report import Severity
from capsim_dagster.errors import MasterError
from capsim_dagster.publication.dataset.manifest import parse_manifest
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.publication.tier3.parity import master_p95, p95_problems, unlike_master, with_finding
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster.simulated.master import write_master
from capsim_dagster_tests.conftest import inventory, small_settings
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.publication.days import DAY, HOSTS
from capsim_dagster_tests.support.sabotage import rewrite_parquet

START: Final = dt.date(2025, 12, 20)
END: Final = dt.date(2026, 2, 10)
RESOURCES: Final = ("cpu", "memory", "disk", "network")


@pytest.fixture(scope="module")
def shared_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a master of seed 42 once a worker."""
    root = tmp_path_factory.mktemp("master")
    generation = small_settings(root, start_date=START, end_date=END).data_generation
    write_master(generation, inventory(generation), root / "master.parquet", end=END)
    return root / "master.parquet"


@pytest.fixture
def master(shared_master: Path, tmp_path: Path) -> Path:
    """Return the master in a copy that a test may break."""
    return Path(shutil.copyfile(shared_master, tmp_path / "master.parquet"))


def manifest_of(published: Path, **changes: object) -> DayManifest:
    return parse_manifest(DayManifest, (published / "manifest.json").read_bytes(), "").model_copy(update=changes)


@each_case("day", [START, dt.date(2025, 12, 31), DAY, END])
def test_the_p95_of_a_day_is_what_the_master_says_of_it_gaps_included(day: dt.date, shared_master: Path) -> None:
    with duckdb.connect() as connection:
        expected = connection.execute(
            "PIVOT (SELECT host_id, resource, p95_util FROM read_parquet($path) WHERE date = CAST($day AS DATE))"
            " ON resource IN ('cpu', 'memory', 'disk', 'network') USING any_value(p95_util) ORDER BY host_id",
            {"path": str(shared_master), "day": str(day)},
        ).fetchall()
    found = master_p95(shared_master, day)

    assert found is not None
    assert found.columns == ["host_id", *RESOURCES]
    assert found.rows() == expected
    assert len(expected) == HOSTS


def test_gaps_of_the_master_are_nulls(master: Path) -> None:
    is_gap = (pl.col("host_id") == "srv-000003") & (pl.col("date") == DAY) & (pl.col("resource") == "disk")
    rewrite_parquet(master, lambda frame: frame.with_columns(p95_util=pl.when(~is_gap).then("p95_util")))
    found = master_p95(master, DAY)

    assert found is not None
    assert found.filter(pl.col("disk").is_null()).get_column("host_id").to_list() == ["srv-000003"]


@each_case("day", [START - dt.timedelta(days=1), END + dt.timedelta(days=1)])
def test_a_day_that_the_master_does_not_reach_has_no_p95(day: dt.date, shared_master: Path) -> None:
    assert master_p95(shared_master, day) is None


def flip(path: Path, month: int) -> None:
    """Change a byte in the values of each row group of a month."""
    content, metadata = bytearray(path.read_bytes()), pq.read_metadata(path)
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        values = group.column(metadata.schema.names.index("p95_util"))
        if group.column(metadata.schema.names.index("date")).statistics.min.month == month:
            content[values.dictionary_page_offset + values.total_compressed_size // 2] ^= 1
    path.write_bytes(content)


def test_only_the_month_of_the_day_is_read(master: Path) -> None:
    flip(master, 2)
    assert master_p95(master, DAY) is not None

    with pytest.raises(MasterError, match="is not a readable Parquet file"):
        master_p95(master, END)


def test_a_master_that_is_not_there_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MasterError, match="no master file at") as raised:
        master_p95(tmp_path / "none.parquet", DAY)

    assert "capsim run" in raised.value.remedy


def test_a_master_without_a_host_of_its_footer_is_refused(master: Path) -> None:
    lost = (pl.col("host_id") == "srv-000003") & (pl.col("resource") == "disk")
    rewrite_parquet(master, lambda frame: frame.filter(~lost))

    with pytest.raises(MasterError, match="has not the 12 hosts of its footer on 2026-01-15 in each resource"):
        master_p95(master, DAY)


def test_a_master_of_another_seed_is_an_error_that_says_so_and_one_that_ends_before_is_not_judged(
    shared_master: Path, published: Path
) -> None:
    other = unlike_master(shared_master, manifest_of(published, seed=7))
    late = unlike_master(shared_master, manifest_of(published, day=dt.date(2026, 2, 11)))

    assert unlike_master(shared_master, manifest_of(published)) is None
    assert other is not None
    assert (other.passed, other.severity, other.count) == (False, Severity.ERROR, 1)
    assert "of seed 42 (12 hosts from 2025-12-20); the manifest says seed 7 (12 hosts)" in other.message
    assert late is not None
    assert (late.passed, late.severity) == (False, Severity.INFO)
    assert "the master reaches from 2025-12-20 to 2026-02-10, not to 2026-02-11" in late.message


def test_what_is_said_of_the_master_stands_in_the_place_of_its_claim(shared_master: Path, published: Path) -> None:
    finding = unlike_master(shared_master, manifest_of(published, seed=7))
    assert finding is not None
    verified = verify_dataset(published)
    found = with_finding(verified, finding)

    assert (verified.passed, found.passed, found.errors) == (True, False, [finding])
    assert len(found.findings) == len(verified.findings)


def test_most_values_that_differ_are_one_problem(shared_master: Path, published: Path) -> None:
    p95 = master_p95(shared_master, DAY)
    assert p95 is not None
    problems = p95_problems(published / "data.parquet", p95)

    assert len(problems) == 1
    assert problems[0].startswith("48 of 48 values differ, so the two were made with other settings")


def test_hosts_on_one_side_alone_are_one_problem_a_side(shared_master: Path, published: Path) -> None:
    p95 = master_p95(shared_master, DAY)
    assert p95 is not None
    renamed = p95.tail(7).with_columns(host_id="x" + pl.col("host_id"))
    problems = p95_problems(published / "data.parquet", renamed)

    assert problems == [
        "hosts in the samples alone, 12: srv-000001, srv-000002, srv-000003, srv-000004, srv-000005 and 7 more",
        "hosts in the master alone, 7: xsrv-000006, xsrv-000007, xsrv-000008, xsrv-000009, xsrv-000010 and 2 more",
    ]
