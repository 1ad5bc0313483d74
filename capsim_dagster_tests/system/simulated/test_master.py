"""Writing the master in processes of their own: other hash seeds write the same bytes, a kill leaves the old file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulated.master import write_master
from capsim_dagster.storage import StoredFile
from capsim_dagster_tests.conftest import MakeSettings, inventory
from capsim_dagster_tests.support.every_setting import changed

WRITER = """
import sys, time
from pathlib import Path
from capsim_dagster.simulated.master import write_master
from capsim_dagster_tests.conftest import inventory, small_settings
path, last_piece = Path(sys.argv[1]), int(sys.argv[2])
generation = small_settings(path.parent).data_generation
pieces = []
def advance(rows):
    pieces.append(rows)
    if len(pieces) == last_piece:
        print("ready", flush=True)
        time.sleep(60)
write_master(generation, inventory(generation), path, end=generation.end_date, advance=advance)
"""


@pytest.fixture
def generation(make_settings: MakeSettings) -> DataGeneration:
    """Return twelve hosts over the first quarter of 2023."""
    return make_settings().data_generation


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "master" / "master_daily.parquet"


def write(generation: DataGeneration, path: Path) -> StoredFile:
    return write_master(generation, inventory(generation), path, end=generation.end_date)


def writer(path: Path, *, hash_seed: str = "0", last_piece: int = 0) -> subprocess.Popen[bytes]:
    """Start a process that writes the small fleet's master and hangs after so many pieces; 0 = never."""
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    arguments = [sys.executable, "-c", WRITER, str(path), str(last_piece)]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE)


def test_two_processes_with_other_hash_seeds_write_the_same_bytes(tmp_path: Path, generation: DataGeneration) -> None:
    paths = {seed: tmp_path / f"{seed}.parquet" for seed in ("1", "2")}
    for process in [writer(path, hash_seed=seed) for seed, path in paths.items()]:
        process.communicate()
        assert process.returncode == 0

    here = write(generation, tmp_path / "here.parquet")
    assert paths["1"].read_bytes() == paths["2"].read_bytes() == here.path.read_bytes()


@pytest.mark.parametrize("pieces", [1, 7, 12])
def test_killed_write_leaves_the_old_master_byte_identical(generation: DataGeneration, path: Path, pieces: int) -> None:
    write(changed(generation, {"random_seed": 1}), path)
    old = path.read_bytes()
    with writer(path, last_piece=pieces) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)

    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == old

    write(generation, path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
