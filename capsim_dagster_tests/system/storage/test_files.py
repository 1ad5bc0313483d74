"""A writer that is killed leaves the old file, whatever it was doing; the next one repairs."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capsim_dagster.storage import write_parquet

SCHEMA = pa.schema([pa.field("number", pa.int64())], metadata={"maker": "test"})
OLD = b"the last good version\n" * 1_000

WRITER_STARTS = """
import sys, time
from pathlib import Path
from capsim_dagster.storage import atomic_path, write_parquet
path = Path(sys.argv[1])
def wait():
    print("ready", flush=True)
    time.sleep(60)
"""
KILLED_WRITERS = {
    "before the first byte": "with atomic_path(path) as temporary:\n    wait()",
    "in the middle of writing": "with atomic_path(path) as temporary, temporary.open('wb') as stream:\n"
    "    stream.write(b'new' * 100_000); stream.flush(); wait()",
    "after the last byte": "with atomic_path(path) as temporary:\n    temporary.write_bytes(b'new'); wait()",
    "between two batches": "import pyarrow as pa\nschema = pa.schema([pa.field('number', pa.int64())])\n"
    "def batches():\n    yield pa.record_batch([pa.array([1])], schema=schema)\n    wait()\n"
    "write_parquet(path, batches(), schema=schema)",
    "in the gate": "import pyarrow as pa\nschema = pa.schema([pa.field('number', pa.int64())])\n"
    "write_parquet(path, [], schema=schema, gate=lambda _metadata: wait())",
}


def batches(*sizes: int) -> Iterator[pa.RecordBatch]:
    for size in sizes:
        yield pa.record_batch([pa.array(range(size), pa.int64())], schema=SCHEMA)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """Return a file that holds the last good version, alone in its folder."""
    path = tmp_path / "artifacts" / "numbers.parquet"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


@pytest.mark.parametrize("moment", KILLED_WRITERS)
def test_a_killed_writer_leaves_the_old_file_byte_identical_and_the_next_one_repairs(
    artifact: Path, moment: str
) -> None:
    code = WRITER_STARTS + KILLED_WRITERS[moment]
    with subprocess.Popen([sys.executable, "-c", code, str(artifact)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)

    assert process.returncode == -signal.SIGKILL
    assert artifact.read_bytes() == OLD

    write_parquet(artifact, batches(3), schema=SCHEMA)
    assert names_in(artifact.parent) == [artifact.name]
    assert pq.read_table(artifact).num_rows == 3
