"""The master file: same bytes everywhere, history that stays, order, footer and errors."""

import datetime as dt
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from capsim_dagster.errors import GateError, MasterError
from capsim_dagster.schemas import CAPACITY_COLUMNS, Resource
from capsim_dagster.schemas.fleet import MASTER
from capsim_dagster.schemas.frames import broken_rules
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulated import grid as daily_grid
from capsim_dagster.simulated import master
from capsim_dagster.simulated.master import MasterFile, open_master, write_master
from capsim_dagster.simulation import telemetry
from capsim_dagster.storage import StoredFile, sha256
from capsim_dagster_tests.conftest import MONTHS, MakeSettings, inventory, small_settings
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import CHANGES, changed

KEYS = ["date", "host_id", "resource"]
ROWS = 12 * 4 * 90


@pytest.fixture
def generation(make_settings: MakeSettings) -> DataGeneration:
    """Return twelve hosts over the first quarter of 2023."""
    return make_settings().data_generation


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataGeneration, StoredFile]:
    """Return the master of those hosts, which no test changes, with its settings."""
    folder = tmp_path_factory.mktemp("master")
    generation = small_settings(folder).data_generation
    return generation, write(generation, folder / "master_daily.parquet")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "master" / "master_daily.parquet"


def write(generation: DataGeneration, path: Path) -> StoredFile:
    return write_master(generation, inventory(generation), path, end=generation.end_date)


def read(path: Path) -> pl.DataFrame:
    frame = pl.from_arrow(pq.read_table(path))
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.col("host_id", "resource").cast(pl.String))


def test_writing_twice_changes_nothing(generation: DataGeneration, path: Path) -> None:
    assert write(generation, path) == write(generation, path)


def test_longer_window_and_larger_fleet_keep_every_existing_row(
    make_settings: MakeSettings, generation: DataGeneration, path: Path, tmp_path: Path
) -> None:
    grown = make_settings(num_servers=40, end_date="2023-04-30").data_generation
    write(generation, path)
    write(grown, tmp_path / "grown.parquet")

    before, after = read(path), read(tmp_path / "grown.parquet")
    kept = after.join(before.select(KEYS), on=KEYS, how="semi").sort(KEYS)
    assert after.height == 40 * 4 * 120
    assert kept.equals(before.sort(KEYS))


def test_window_may_end_within_a_month(make_settings: MakeSettings, path: Path, tmp_path: Path) -> None:
    short = make_settings(end_date="2023-03-15").data_generation
    write(short, path)
    write(make_settings().data_generation, tmp_path / "longer.parquet")

    longer = read(tmp_path / "longer.parquet").filter(pl.col("date") <= dt.date(2023, 3, 15))
    assert read(path).sort(KEYS).equals(longer.sort(KEYS))


def test_master_holds_one_row_for_each_host_resource_and_day(built: tuple[DataGeneration, StoredFile]) -> None:
    _, stored = built
    rows = read(stored.path)

    assert stored.rows == rows.height == ROWS
    assert rows.select(KEYS).n_unique() == ROWS
    assert broken_rules(MASTER, rows) == []


def test_master_holds_the_values_of_the_simulation_and_the_capacities_of_the_inventory(
    built: tuple[DataGeneration, StoredFile],
) -> None:
    generation, stored = built
    rows, hosts = read(stored.path), inventory(generation)
    model = telemetry.host_model(generation, hosts)
    for resource, expected in telemetry.utilization(model, generation.start_date, generation.end_date).items():
        found = rows.filter(pl.col("resource") == resource.value).sort("host_id", "date")
        np.testing.assert_array_equal(found["p95_util"].to_numpy().reshape(12, 90), expected)
        capacities = hosts[CAPACITY_COLUMNS[resource]].to_numpy()
        np.testing.assert_array_equal(found["capacity"].to_numpy().reshape(12, 90), np.tile(capacities, (90, 1)).T)


@pytest.mark.parametrize(("row_group", "chunk", "months"), [(4, 2, 6), (12, 4, 2)])
def test_values_do_not_depend_on_the_size_of_pieces(
    built: tuple[DataGeneration, StoredFile],
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    row_group: int,
    chunk: int,
    months: int,
) -> None:
    generation, stored = built
    expected = read(stored.path)
    monkeypatch.setattr(daily_grid, "HOSTS_PER_ROW_GROUP", row_group)
    monkeypatch.setattr(daily_grid, "HOSTS_PER_CHUNK", chunk)
    monkeypatch.setattr(daily_grid, "MONTHS_AT_ONCE", months)
    write(generation, path)

    assert read(path).equals(expected)
    assert pq.read_metadata(path).num_row_groups == 3 * 4 * -(-12 // row_group)


def test_row_groups_of_a_month_and_resource_are_neighbours(
    generation: DataGeneration, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily_grid, "HOSTS_PER_ROW_GROUP", 5)
    monkeypatch.setattr(daily_grid, "HOSTS_PER_CHUNK", 5)
    write(generation, path)
    pieces = read(path).with_columns(month=pl.col("date").dt.month()).select(pl.struct("month", "resource").rle())

    assert pq.read_metadata(path).num_row_groups == 3 * 4 * 3
    assert pieces.height == 3 * 4


def test_month_is_one_contiguous_piece_in_the_order_of_hosts_and_days(
    generation: DataGeneration, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily_grid, "HOSTS_PER_ROW_GROUP", 5)
    monkeypatch.setattr(daily_grid, "HOSTS_PER_CHUNK", 5)
    write(generation, path)
    for month in MONTHS:
        rows = pl.concat(MasterFile(path).month(month, Resource.DISK)).with_columns(pl.col("host_id").cast(pl.String))
        in_month = pl.col("date").dt.strftime("%Y%m").cast(pl.Int64) == month
        expected = read(path).filter(in_month, pl.col("resource") == "disk").sort("host_id", "date")
        assert rows.equals(expected.select(rows.columns)), month


def test_month_outside_the_file_is_empty(built: tuple[DataGeneration, StoredFile]) -> None:
    assert list(MasterFile(built[1].path).month(202304, Resource.CPU)) == []


def test_footer_says_which_settings_made_the_file(built: tuple[DataGeneration, StoredFile]) -> None:
    generation, stored = built
    footer = open_master(stored.path, generation).footer

    assert footer.settings_hash == telemetry.fleet_hash(generation)
    assert (footer.seed, footer.hosts) == (42, 12)
    assert (footer.start, footer.end) == (dt.date(2023, 1, 1), dt.date(2023, 3, 31))
    assert footer.version == version("capsim")
    assert footer.months == MONTHS
    assert open_master(stored.path, generation).rows == ROWS


def test_progress_adds_up_to_the_rows_of_the_file(generation: DataGeneration, path: Path) -> None:
    done: list[int] = []
    write_master(generation, inventory(generation), path, end=generation.end_date, advance=done.append)

    assert sum(done) == ROWS


def test_missing_master_is_an_error_with_the_file_and_the_remedy(generation: DataGeneration, path: Path) -> None:
    with pytest.raises(MasterError, match="no master file at") as caught:
        open_master(path, generation)

    assert str(path) in caught.value.found
    assert "capsim run" in caught.value.remedy


@pytest.mark.parametrize("kept_share", [0.0, 0.5, 0.999])
def test_torn_master_is_an_error_with_the_file_and_the_remedy(
    built: tuple[DataGeneration, StoredFile], tmp_path: Path, kept_share: float
) -> None:
    generation, stored = built
    path, content = tmp_path / "torn.parquet", stored.path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept_share)])

    with pytest.raises(MasterError, match="not a readable Parquet file") as caught:
        open_master(path, generation)

    assert str(path) in caught.value.found
    assert "capsim run" in caught.value.remedy


def test_flipped_byte_is_an_error_with_the_file_and_the_remedy(
    built: tuple[DataGeneration, StoredFile], tmp_path: Path
) -> None:
    path = tmp_path / "flipped.parquet"
    shutil.copyfile(built[1].path, path)
    column = pq.read_metadata(path).row_group(0).column(master.SCHEMA.get_field_index("p95_util"))
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size // 4] ^= 1
    path.write_bytes(content)

    with pytest.raises(MasterError, match="not a readable Parquet file") as caught:
        list(MasterFile(path).month(202301, Resource.CPU))

    assert str(path) in caught.value.found


def test_parquet_without_footer_is_an_error_with_the_file_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"day": [1]}), path)

    with pytest.raises(MasterError, match="no capsim footer") as caught:
        MasterFile(path)

    assert str(path) in caught.value.found
    assert "capsim run" in caught.value.remedy


@each_case("setting", ["random_seed", "num_servers", "start_date", "metrics.cpu.base_std"])
def test_master_of_other_settings_is_an_error_that_names_both(
    built: tuple[DataGeneration, StoredFile], setting: str
) -> None:
    generation, path = built[0], built[1].path
    other = changed(generation, CHANGES[setting])

    with pytest.raises(MasterError, match="made with other settings") as caught:
        open_master(path, other)

    assert telemetry.fleet_hash(generation) in caught.value.found
    assert telemetry.fleet_hash(other) in caught.value.found
    assert str(path) in caught.value.found
    assert "capsim run" in caught.value.remedy


def test_master_of_a_longer_window_is_opened_with_the_same_settings(
    generation: DataGeneration, make_settings: MakeSettings, path: Path
) -> None:
    write(make_settings(end_date="2023-04-30").data_generation, path)

    assert open_master(path, generation).footer.end == dt.date(2023, 4, 30)


def test_value_out_of_bounds_is_refused_and_the_old_file_stays(
    generation: DataGeneration, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_high(model: telemetry.HostModel, first: dt.date, last: dt.date) -> dict[Resource, NDArray[np.float32]]:
        values = np.full((model.block.numbers.size, (last - first).days + 1), 100.5, dtype=np.float32)
        return dict.fromkeys(Resource, values)

    old = write(generation, path)
    monkeypatch.setattr(telemetry, "utilization", too_high)

    with pytest.raises(GateError, match=r"spans 100\.5 to 100\.5 %") as caught:
        write(generation, path)

    assert "previous master is untouched" in caught.value.remedy
    assert sha256(path) == old.sha256


def test_missing_rows_are_refused_and_nothing_is_published(
    generation: DataGeneration, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily_grid, "months_between", lambda _start, _end: [dt.date(2023, 1, 1)])

    with pytest.raises(GateError, match="1,488 rows, expected 4,320"):
        write(generation, path)

    assert list(path.parent.iterdir()) == []
