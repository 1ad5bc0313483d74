"""Which file is loaded: the newest by its name, or the one named."""

import datetime as dt
import os
from pathlib import Path

import pytest

from capsim_dagster.errors import PanelError
from capsim_dagster.panel.find import find_panel, newest_panel
from capsim_dagster.storage import Folder
from capsim_dagster_tests.support.panel.loading import settings_with

SHORT = "raw_server_metrics_20240101_to_20241231.parquet"
LONG = "raw_server_metrics_20220101_to_20241231.parquet"
LATE = "raw_server_metrics_20240601_to_20250131.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "panel" / "raw"
    path.mkdir(parents=True)
    return path


def put(folder: Path, *names: str) -> None:
    """Write files, each a second newer than the one before."""
    for age, name in enumerate(names):
        (folder / name).write_text(name)
        os.utime(folder / name, (1_700_000_000 + age,) * 2)


def store(folder: Path) -> Folder:
    return Folder(folder.parents[1])


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([SHORT], SHORT),
        ([LATE, SHORT, LONG], LATE),
        ([LONG, SHORT], LONG),
        ([SHORT, LONG], LONG),
        ([SHORT, "raw_server_metrics_20250101_to_20241231.parquet"], SHORT),
        ([SHORT, "validated_server_metrics_20240101_to_20261231.parquet"], SHORT),
        ([SHORT, "raw_server_metrics_20240101_to_20269999.parquet"], SHORT),
    ],
)
def test_the_newest_panel_is_the_one_whose_name_ends_last_and_of_those_the_longest(
    folder: Path, names: list[str], chosen: str
) -> None:
    put(folder, *names)

    found = newest_panel(store(folder), "panel/raw")

    assert found.key == f"panel/raw/{chosen}"
    assert found.is_own


def test_strays_are_named_those_newer_than_the_panel_first(folder: Path) -> None:
    put(folder, "a.parquet", SHORT, "z.parquet")

    stray = newest_panel(store(folder), "panel/raw").findings[0]

    assert (stray.passed, stray.count, stray.severity) == (False, 2, "warning")
    assert list(stray.examples) == ["z.parquet (newer)", "a.parquet"]
    assert stray.message == f"2 files are no panel by their name and were not read, 1 of them newer than {SHORT}"


def test_summary_sample_and_older_panels_are_no_strays(folder: Path) -> None:
    stem = SHORT.removesuffix(".parquet")
    put(folder, SHORT, LONG, f"{stem}_summary.json", f"{stem}_sample.csv")

    assert newest_panel(store(folder), "panel/raw").findings[0].passed


def test_a_copy_of_a_panel_is_a_stray(folder: Path) -> None:
    put(folder, SHORT, SHORT.replace(".parquet", "_copy.parquet"))

    assert newest_panel(store(folder), "panel/raw").findings[0].count == 1


def test_a_folder_with_other_files_alone_has_no_panel_and_they_are_named(folder: Path) -> None:
    put(folder, "sample.parquet")

    with pytest.raises(PanelError, match=r"it holds sample\.parquet"):
        newest_panel(store(folder), "panel/raw")


def test_a_bare_name_is_one_of_the_raw_folder(folder: Path) -> None:
    put(folder, SHORT, "mine.parquet")

    found = find_panel(settings_with(folder), store(folder), "mine.parquet")

    assert (found.url, found.is_own) == (str(folder / "mine.parquet"), True)
    assert [finding.passed for finding in found.findings] == [True]


def test_a_path_may_lie_anywhere(folder: Path, tmp_path: Path) -> None:
    put(tmp_path, "theirs.parquet")

    found = find_panel(settings_with(folder), store(folder), str(tmp_path / "theirs.parquet"))

    assert (found.url, found.is_own, found.name) == (str(tmp_path / "theirs.parquet"), False, None)


def test_a_path_into_the_raw_folder_is_capsims_own(folder: Path) -> None:
    put(folder, SHORT)

    found = find_panel(settings_with(folder), store(folder), str(folder / SHORT))

    assert found.is_own
    assert found.name is not None
    assert found.name.end == dt.date(2024, 12, 31)


@pytest.mark.parametrize("source", ["nothing.parquet", "/nowhere/nothing.parquet"])
def test_a_file_that_is_not_there_is_an_error_that_says_where_it_was_sought(folder: Path, source: str) -> None:
    with pytest.raises(PanelError) as caught:
        find_panel(settings_with(folder), store(folder), source)

    assert source in caught.value.found
    assert str(folder) in caught.value.found
    assert "--input" in caught.value.remedy


def test_an_address_in_a_bucket_needs_the_bucket_in_the_settings(folder: Path) -> None:
    with pytest.raises(PanelError, match=r"s3://theirs/panel\.parquet is not in") as caught:
        find_panel(settings_with(folder), store(folder), "s3://theirs/panel.parquet")

    assert "storage.bucket_name" in caught.value.remedy


class NamedBucket(Folder):
    """A bucket as far as finding needs one: it tells addresses."""

    def url(self, key: str) -> str:
        return f"s3://ours/{key}"


@pytest.mark.parametrize(
    ("address", "key", "is_own"),
    [
        ("s3://ours/panel/raw/a.parquet", "panel/raw/a.parquet", True),
        ("s3://ours/else/b.parquet", "else/b.parquet", False),
    ],
)
def test_an_address_in_the_bucket_is_its_key(folder: Path, address: str, key: str, is_own: bool) -> None:
    found = find_panel(settings_with(folder), NamedBucket(folder.parents[1]), address)

    assert (found.key, found.url, found.is_own) == (key, address, is_own)


def test_another_bucket_whose_name_starts_alike_is_another(folder: Path) -> None:
    with pytest.raises(PanelError, match=r"a\.parquet is not in s3://ours/"):
        find_panel(settings_with(folder), NamedBucket(folder.parents[1]), "s3://ours-too/a.parquet")
