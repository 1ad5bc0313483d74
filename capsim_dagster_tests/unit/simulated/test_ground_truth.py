"""The ground truth on disk: whole, of one piece, stable, and refused when it is none of these."""

import datetime as dt
import shutil
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from capsim_dagster.errors import GateError, TruthError
from capsim_dagster.schemas import Resource
from capsim_dagster.schemas.fleet import EXPECTED_UTILIZATION, TRUTH_EVENTS, TRUTH_SERIES
from capsim_dagster.schemas.frames import broken_rules
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulated import grid as daily_grid
from capsim_dagster.simulated import truth as ground_truth
from capsim_dagster.simulated.truth import StoredTruth, TruthFiles, open_truth, write_truth
from capsim_dagster.simulation import telemetry, truth
from capsim_dagster_tests.conftest import MakeSettings, inventory, small_settings
from capsim_dagster_tests.support.every_setting import CHANGES, changed
from capsim_dagster_tests.support.sabotage import files_under

NAMES = ("expected", "events", "series")


@pytest.fixture
def generation(make_settings: MakeSettings) -> DataGeneration:
    """Return twelve hosts over the first quarter of 2023."""
    return make_settings().data_generation


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> TruthFiles:
    """Return the truth of those hosts, which no test changes."""
    files = TruthFiles(tmp_path_factory.mktemp("truth"))
    write(small_settings(files.folder).data_generation, files)
    return files


@pytest.fixture
def files(tmp_path: Path) -> TruthFiles:
    return TruthFiles(tmp_path / "truth")


def write(generation: DataGeneration, files: TruthFiles) -> StoredTruth:
    return write_truth(generation, inventory(generation), files, end=generation.end_date)


def read(files: TruthFiles, name: str) -> pl.DataFrame:
    frame = pl.from_arrow(pq.read_table(files.folder / f"{name}.parquet"))
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.col(pl.Categorical).cast(pl.String))


def test_files_hold_what_their_schemas_say(generation: DataGeneration, files: TruthFiles) -> None:
    stored = write(generation, files)

    assert stored.expected.rows == read(files, "expected").height == 12 * 4 * 90
    assert stored.series.rows == read(files, "series").height == 12 * 4
    assert stored.events.rows == read(files, "events").height > 40
    assert broken_rules(EXPECTED_UTILIZATION, read(files, "expected")) == []
    assert broken_rules(TRUTH_EVENTS, read(files, "events")) == []
    assert broken_rules(TRUTH_SERIES, read(files, "series")) == []


def test_expectation_is_that_of_the_simulation_with_two_decimals(generation: DataGeneration, built: TruthFiles) -> None:
    model = telemetry.host_model(generation, inventory(generation))
    for resource in Resource:
        expected = telemetry.expected_utilization(model, resource, generation.start_date, generation.end_date)
        found = read(built, "expected").filter(pl.col("resource") == resource.value).sort("host_id", "date")
        assert found["expected_util"].to_numpy() == pytest.approx(expected.ravel(), abs=0.00501)


def test_writing_twice_changes_nothing(generation: DataGeneration, files: TruthFiles) -> None:
    assert write(generation, files) == write(generation, files)


def test_content_does_not_depend_on_the_size_of_pieces(
    generation: DataGeneration, built: TruthFiles, files: TruthFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: read(built, name) for name in NAMES}
    monkeypatch.setattr(daily_grid, "HOSTS_PER_CHUNK", 4)
    monkeypatch.setattr(daily_grid, "MONTHS_AT_ONCE", 1)
    monkeypatch.setattr(ground_truth, "HOSTS_PER_CHUNK", 5)
    monkeypatch.setattr(ground_truth, "CHUNKS_PER_BATCH", 1)
    write(generation, files)

    assert all(read(files, name).equals(before[name]) for name in NAMES)


def test_longer_window_and_larger_fleet_keep_every_existing_row(
    make_settings: MakeSettings, built: TruthFiles, tmp_path: Path
) -> None:
    grown = TruthFiles(tmp_path / "grown")
    write(make_settings(num_servers=40, end_date="2023-04-30").data_generation, grown)

    for name in NAMES:
        before, after = read(built, name), read(grown, name)
        kept = after.join(before, on=before.columns, how="semi", nulls_equal=True)
        assert after.height > before.height, name
        assert kept.sort(pl.all()).equals(before.sort(pl.all())), name


def test_later_events_of_known_hosts_are_only_added_after_the_old_window(
    make_settings: MakeSettings, built: TruthFiles, tmp_path: Path
) -> None:
    longer = TruthFiles(tmp_path / "longer")
    write(make_settings(end_date="2023-04-30").data_generation, longer)

    added = read(longer, "events").join(read(built, "events"), on=["host_id", "resource", "kind", "start"], how="anti")
    assert added.height > 0
    assert added.filter(pl.col("start") <= dt.date(2023, 3, 31)).is_empty()


def test_truth_that_is_opened_tells_its_window(generation: DataGeneration, built: TruthFiles) -> None:
    footer = open_truth(built, generation)

    assert (footer.hosts, footer.start, footer.end) == (12, dt.date(2023, 1, 1), dt.date(2023, 3, 31))


def test_missing_file_is_an_error_with_the_file_and_the_remedy(
    generation: DataGeneration, built: TruthFiles, files: TruthFiles
) -> None:
    shutil.copytree(built.folder, files.folder)
    for name in NAMES:
        path = files.folder / f"{name}.parquet"
        path.rename(files.folder / "away")

        with pytest.raises(TruthError, match="no ground truth at") as caught:
            open_truth(files, generation)

        assert path.name in caught.value.found
        assert "capsim run" in caught.value.remedy
        (files.folder / "away").rename(path)


def test_torn_file_is_an_error_with_the_file_and_the_remedy(
    generation: DataGeneration, built: TruthFiles, files: TruthFiles
) -> None:
    shutil.copytree(built.folder, files.folder)
    for name in NAMES:
        path = files.folder / f"{name}.parquet"
        whole = path.read_bytes()
        path.write_bytes(whole[:-100])

        with pytest.raises(TruthError, match="not a readable Parquet file") as caught:
            open_truth(files, generation)

        assert str(path) in caught.value.found
        path.write_bytes(whole)


def test_truth_of_other_settings_is_an_error_that_names_both(generation: DataGeneration, built: TruthFiles) -> None:
    with pytest.raises(TruthError, match="made with other settings"):
        open_truth(built, changed(generation, CHANGES["random_seed"]))


def test_files_of_different_windows_are_an_error_that_names_them(
    make_settings: MakeSettings, generation: DataGeneration, files: TruthFiles, tmp_path: Path
) -> None:
    write(generation, files)
    longer = TruthFiles(tmp_path / "longer")
    write(make_settings(end_date="2023-04-30").data_generation, longer)
    longer.events.replace(files.events)

    with pytest.raises(TruthError, match=r"events\.parquet to 2023-04-30"):
        open_truth(files, generation)


def test_expectation_that_lacks_rows_is_refused_and_the_old_files_stay(
    generation: DataGeneration, files: TruthFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(changed(generation, {"random_seed": 1}), files)
    before = files_under(files.folder)
    monkeypatch.setattr(daily_grid, "months_between", lambda _start, _end: [dt.date(2023, 1, 1)])

    with pytest.raises(GateError, match="the expectation has 1,488 rows, expected 4,320"):
        write(generation, files)

    assert files_under(files.folder) == before


def test_series_that_lack_rows_are_refused_and_the_old_files_stay(
    generation: DataGeneration, files: TruthFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(changed(generation, {"random_seed": 1}), files)
    before = files_under(files.folder)
    monkeypatch.setattr(truth, "series_truth", lambda _model: read(files, "series")[:7])

    with pytest.raises(GateError, match="the table of series has 7 rows, expected 48"):
        write(generation, files)

    assert files_under(files.folder) == before


def test_progress_adds_up_to_the_rows_of_the_expectation(generation: DataGeneration, files: TruthFiles) -> None:
    done: list[int] = []
    write_truth(generation, inventory(generation), files, end=generation.end_date, advance=done.append)

    assert sum(done) == 12 * 4 * 90
