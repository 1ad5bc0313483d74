"""Fixtures of the feed: master and feed of a small fleet, without the table that is made of them."""

import shutil
from pathlib import Path

import pytest

from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.legacy_feed.export import export_piece
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster.simulated.master import MasterFile, write_master
from capsim_dagster_tests.conftest import MONTHS, inventory, small_settings


def build_master(data_dir: Path, **generation: object) -> MasterFile:
    """Write and open the master of a small fleet."""
    platform = Platform(small_settings(data_dir, **generation))
    facts = platform.generation
    write_master(facts, inventory(facts), platform.layout.master, end=facts.end_date)
    return MasterFile(platform.layout.master)


@pytest.fixture(scope="session")
def _fed_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build master and clean feed once a worker."""
    data_dir = tmp_path_factory.mktemp("fed") / "data"
    master, platform = build_master(data_dir), Platform(small_settings(data_dir))
    for month in MONTHS:
        for resource in Resource:
            export_piece(master, platform.contract, FeedPiece(month, resource), platform.layout.defects)
    return data_dir


@pytest.fixture(scope="session")
def shared_master(_fed_data: Path) -> MasterFile:
    """Return the master of the small fleet, which no test changes."""
    return MasterFile(Platform(small_settings(_fed_data)).layout.master)


@pytest.fixture
def platform(_fed_data: Path, tmp_path: Path) -> Platform:
    """Return a platform with master and feed, in a copy of its own that a test may break."""
    shutil.copytree(_fed_data, tmp_path / "data")
    return Platform(small_settings(tmp_path / "data"))
