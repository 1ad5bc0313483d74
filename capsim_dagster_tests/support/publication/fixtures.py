"""A day of the archive, and the day published from it."""

import shutil
from pathlib import Path

import pytest

from capsim_dagster_tests.support.publication.days import DAY, export, write_day


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write and publish a day once a worker."""
    folder = tmp_path_factory.mktemp("day")
    write_day(folder)
    export(folder)
    return folder


@pytest.fixture
def root(_built: Path, tmp_path: Path) -> Path:
    """Return a folder with a whole day in its archive."""
    shutil.copytree(_built / "archive", tmp_path / "archive")
    return tmp_path


@pytest.fixture
def published(_built: Path, root: Path) -> Path:
    """Return the folder of the day, published beside its archive."""
    shutil.copytree(_built / "output", root / "output")
    return root / "output" / DAY.isoformat()
