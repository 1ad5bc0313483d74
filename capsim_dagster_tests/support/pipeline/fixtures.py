"""Fixtures of the tests of foreign feeds."""

from pathlib import Path

import pytest

from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.support.foreign_feed import foreign_platform, write_feed


@pytest.fixture
def feed_dir(tmp_path: Path) -> Path:
    return write_feed(tmp_path / "exports")


@pytest.fixture
def foreign(tmp_path: Path, feed_dir: Path) -> Platform:
    """Return a platform in an empty folder that refines the other tool's feed, of which nothing is loaded yet."""
    return foreign_platform(tmp_path / "work", feed_dir)
