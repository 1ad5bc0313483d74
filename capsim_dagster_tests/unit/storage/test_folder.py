"""A local folder as a store, and which store the settings ask for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from capsim_dagster.errors import StorageError
from capsim_dagster.settings import Settings
from capsim_dagster.storage import Folder, store_of
from capsim_dagster.storage.bucket import Bucket
from capsim_dagster_tests.support.shipped_settings import shipped_settings

KEY = "panel/raw/numbers.parquet"
OLD, NEW = b"the last good version\n" * 1_000, b"the next one\n" * 1_000


def write(folder: Folder, content: bytes) -> None:
    with folder.writing(KEY) as path:
        path.write_bytes(content)


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_what_is_written_is_read_under_its_key_and_its_url_is_its_path(folder: Folder, tmp_path: Path) -> None:
    write(folder, NEW)
    with folder.reading(KEY) as path:
        assert path.read_bytes() == NEW

    assert folder.url(KEY) == str(tmp_path / KEY)
    assert files_in(tmp_path) == [KEY]


def test_put_says_whether_the_content_was_not_there_and_leaves_the_source(folder: Folder, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(NEW)

    assert [folder.put(KEY, source), folder.put(KEY, source)] == [True, False]
    source.write_bytes(OLD)
    assert folder.put(KEY, source)
    assert (tmp_path / KEY).read_bytes() == source.read_bytes() == OLD


def test_walk_names_the_files_of_a_folder_and_of_those_below_it_and_list_those_of_the_folder_alone(
    folder: Folder, tmp_path: Path
) -> None:
    for name in ("panel/b", "panel/raw/a", "panel/.hidden", "panel/.snapshot/a", "panel2/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(NEW)

    assert [(facts.key, facts.bytes) for facts in folder.walk("panel")] == [
        ("panel/b", len(NEW)),
        ("panel/raw/a", len(NEW)),
    ]
    assert [facts.key for facts in folder.list("panel")] == ["panel/b"]
    assert folder.walk("absent") == []


def test_remove_removes_that_file_alone_and_an_absent_one_is_fine(folder: Folder, tmp_path: Path) -> None:
    write(folder, NEW)
    (tmp_path / "beside").write_bytes(OLD)
    folder.remove(KEY)
    folder.remove(KEY)

    assert files_in(tmp_path) == ["beside"]


def test_a_full_disk_is_one_clear_line_and_leaves_the_old_file_alone(folder: Folder, tmp_path: Path) -> None:
    write(folder, OLD)

    def write_to_a_full_disk() -> None:
        with folder.writing(KEY) as path:
            path.unlink()
            path.symlink_to("/dev/full")
            path.write_bytes(NEW)

    with pytest.raises(StorageError, match=r"numbers.parquet cannot be written: No space left on device\n.*make room"):
        write_to_a_full_disk()

    assert files_in(tmp_path) == [KEY]
    assert (tmp_path / KEY).read_bytes() == OLD


@pytest.mark.parametrize("act", ["check", "write", "put"])
def test_a_folder_that_cannot_be_written_is_one_clear_line(act: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    # The kernel's own folder refuses every user, root too.
    folder = Folder(Path("/proc/self/capsim"))
    acts: dict[str, Callable[[], object]] = {
        "check": folder.check,
        "write": lambda: write(folder, NEW),
        "put": lambda: folder.put(KEY, tmp_path / "file"),
    }
    with pytest.raises(StorageError, match=r"/proc/self/capsim.* cannot be written: ") as raised:
        acts[act]()

    assert "\n" not in raised.value.found


def settings(tmp_path: Path, **storage: object) -> Settings:
    return shipped_settings({"storage": {"local_base_path": tmp_path, **storage}})


def test_without_a_bucket_outputs_go_to_the_data_directory(tmp_path: Path) -> None:
    assert store_of(settings(tmp_path)) == Folder(tmp_path)
    assert store_of(settings(tmp_path, use_s3=False, bucket_name="telemetry")) == Folder(tmp_path)


def test_with_a_bucket_outputs_go_there_by_the_settings_endpoint_and_region(tmp_path: Path) -> None:
    store = store_of(
        settings(
            tmp_path, use_s3=True, bucket_name="telemetry", endpoint_url="https://s3.example.com/", region="eu-west-3"
        )
    )

    assert isinstance(store, Bucket)
    assert store.url(KEY) == f"s3://telemetry/{KEY}"
    assert store.connection.where == "https://s3.example.com"
    assert store.connection.region == "eu-west-3"
