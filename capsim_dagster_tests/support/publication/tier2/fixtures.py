"""An hour published from its archive, and a day's hours beside its daily dataset."""

import shutil
from pathlib import Path

import pytest

from capsim_dagster_tests.support.publication.tier2.hours import export, folder_of, write


@pytest.fixture(scope="session")
def _built_hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hour")
    write(folder)
    export(folder)
    return folder


@pytest.fixture
def archive(_built_hour: Path, tmp_path: Path) -> Path:
    """Return a folder with a whole hour in its archive."""
    shutil.copytree(_built_hour / "archive", tmp_path / "archive")
    return tmp_path


@pytest.fixture
def hour(_built_hour: Path, archive: Path) -> Path:
    """Return the folder of the hour, published beside its archive."""
    shutil.copytree(_built_hour / "hourly", archive / "hourly")
    return folder_of(archive)


@pytest.fixture(scope="session")
def _built_hours(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hours")
    shutil.copytree(_built / "archive", folder / "archive")
    for number in range(24):
        export(folder, number)
    return folder / "hourly"


@pytest.fixture
def hours(_built_hours: Path, published: Path, root: Path) -> Path:
    """Return the folder of a day's hours, published beside its archive and its daily dataset."""
    assert published.is_relative_to(root)
    shutil.copytree(_built_hours, root / "hourly")
    return folder_of(root).parent
