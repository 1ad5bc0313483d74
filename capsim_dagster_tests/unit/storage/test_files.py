"""Files: whole or absent, whatever happens to the writer."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capsim_dagster.storage import DataLayout, atomic_path, sha256, write_parquet
from capsim_dagster_tests.support.child_process import READY, let_go, started

SCHEMA = pa.schema([pa.field("number", pa.int64())], metadata={"maker": "test"})
OLD = b"the last good version\n" * 1_000


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


def test_atomic_path_replaces_the_file_on_success(artifact: Path) -> None:
    with atomic_path(artifact) as temporary:
        temporary.write_bytes(b"new")
        assert artifact.read_bytes() == OLD

    assert artifact.read_bytes() == b"new"
    assert names_in(artifact.parent) == [artifact.name]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP], ids=errno.errorcode.get)
@pytest.mark.parametrize("has_links", [True, False])
def test_atomic_path_that_replaces_nothing_leaves_what_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool, number: int
) -> None:
    def refuse(_path: Path, _target: Path) -> None:
        raise OSError(number, "no hard links here")

    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    path, other = tmp_path / "numbers.csv", tmp_path / "others.csv"
    with atomic_path(path, replaces=False) as temporary, atomic_path(other, replaces=False) as alone:
        alone.write_bytes(b"new")
        temporary.write_bytes(b"new")
        path.write_bytes(OLD)

    assert (path.read_bytes(), other.read_bytes()) == (OLD, b"new")
    assert names_in(tmp_path) == [path.name, other.name]


def test_atomic_path_makes_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.csv"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")

    assert path.read_bytes() == b"new"


def test_atomic_path_writes_beside_the_file_so_that_the_rename_is_atomic(artifact: Path) -> None:
    with atomic_path(artifact) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == artifact.parent


def test_atomic_path_flushes_the_file_before_the_rename_and_the_folder_after_it(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[bool, bytes]] = []

    def record(descriptor: int) -> None:
        flushed.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), artifact.read_bytes()))

    monkeypatch.setattr(os, "fsync", record)
    with atomic_path(artifact) as temporary:
        temporary.write_bytes(b"new")

    assert flushed == [(False, OLD), (True, b"new")]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_atomic_path_leaves_the_old_file_and_no_temporary_on_failure(
    artifact: Path, failure: type[BaseException]
) -> None:
    def write_half() -> None:
        with atomic_path(artifact) as temporary:
            temporary.write_bytes(b"half")
            raise failure

    with pytest.raises(failure):
        write_half()

    assert artifact.read_bytes() == OLD
    assert names_in(artifact.parent) == [artifact.name]


def test_atomic_path_that_was_never_written_leaves_the_old_file(artifact: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(artifact):
        pass

    assert artifact.read_bytes() == OLD


def test_atomic_path_sweeps_what_a_dead_process_left_though_its_id_lives_on_here(artifact: Path) -> None:
    for name in (f".{artifact.name}.1.{os.getppid()}.tmp", f".{artifact.name}.0badc0de.tmp"):
        artifact.with_name(name).write_bytes(b"half")
    with atomic_path(artifact) as temporary:
        temporary.write_bytes(b"new")

    assert names_in(artifact.parent) == [artifact.name]


def test_atomic_path_keeps_what_a_live_process_is_writing(artifact: Path) -> None:
    code = "from pathlib import Path\nfrom capsim_dagster.storage import atomic_path\n"
    code += f"with atomic_path(Path(sys.argv[1])) as path:\n    path.write_bytes(b'theirs')\n    {READY}"
    with started(code, artifact) as other:
        write_parquet(artifact, batches(3), schema=SCHEMA)
        (theirs,) = artifact.parent.glob(".*")

        assert theirs.read_bytes() == b"theirs"
        let_go(other)
        other.wait()
        assert artifact.read_bytes() == b"theirs"


def test_atomic_path_sweeps_beside_a_file_whose_name_is_a_pattern(tmp_path: Path) -> None:
    path = tmp_path / "a[1].csv"
    (tmp_path / ".a[1].csv.0.tmp").write_bytes(b"half")
    (tmp_path / ".a1.csv.0.tmp").write_bytes(b"of another file")
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")

    assert names_in(tmp_path) == [".a1.csv.0.tmp", "a[1].csv"]


def test_atomic_path_keeps_the_temporary_files_of_other_artifacts(artifact: Path) -> None:
    other = artifact.with_name(".other.parquet.0.tmp")
    other.write_bytes(b"half")
    with atomic_path(artifact) as temporary:
        temporary.write_bytes(b"new")

    assert other.exists()


def test_write_parquet_writes_one_row_group_a_batch_and_reports_the_file(tmp_path: Path) -> None:
    path = tmp_path / "numbers.parquet"
    stored = write_parquet(path, batches(2, 5), schema=SCHEMA)
    metadata = pq.read_metadata(path)

    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [2, 5]
    assert pq.read_table(path).column("number").to_pylist() == [0, 1, 0, 1, 2, 3, 4]
    assert (stored.path, stored.rows, stored.bytes) == (path, 7, path.stat().st_size)
    assert stored.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_write_parquet_keeps_the_metadata_of_the_schema_and_compresses(tmp_path: Path) -> None:
    write_parquet(tmp_path / "numbers.parquet", batches(2), schema=SCHEMA)
    metadata = pq.read_metadata(tmp_path / "numbers.parquet")

    assert metadata.metadata[b"maker"] == b"test"
    assert metadata.row_group(0).column(0).compression == "SNAPPY"


def test_write_parquet_of_no_batches_is_an_empty_table(tmp_path: Path) -> None:
    assert write_parquet(tmp_path / "numbers.parquet", [], schema=SCHEMA).rows == 0
    assert pq.read_table(tmp_path / "numbers.parquet").num_rows == 0


def test_write_parquet_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_parquet(tmp_path / name, batches(100), schema=SCHEMA) for name in ("a", "b"))

    assert first.sha256 == second.sha256


def test_write_parquet_gate_sees_the_finished_file_and_keeps_it_from_replacing_the_old_one(artifact: Path) -> None:
    seen = []

    def refuse(metadata: pq.FileMetaData) -> None:
        seen.append(metadata.num_rows)
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        write_parquet(artifact, batches(2, 5), schema=SCHEMA, gate=refuse)

    assert seen == [7]
    assert artifact.read_bytes() == OLD
    assert names_in(artifact.parent) == [artifact.name]


def test_write_parquet_that_runs_out_of_batches_leaves_the_old_file(artifact: Path) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield from batches(2)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        write_parquet(artifact, failing(), schema=SCHEMA)

    assert artifact.read_bytes() == OLD
    assert names_in(artifact.parent) == [artifact.name]


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_sha256_equals_that_of_hashlib(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)

    assert sha256(path) == hashlib.sha256(b"x" * size).hexdigest()


def test_layout_puts_every_artifact_under_the_data_directory(tmp_path: Path) -> None:
    layout = DataLayout(tmp_path)

    assert layout.warehouse == tmp_path / "warehouse" / "capsim.duckdb"
    assert layout.master == tmp_path / "master" / "master_daily.parquet"
    assert layout.legacy == tmp_path / "legacy"
    assert layout.dagster_home == tmp_path / ".dagster"
