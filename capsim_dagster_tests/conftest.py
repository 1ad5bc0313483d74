"""Fixtures: a small fleet in a temporary folder; nothing here touches `data/` or the caller's environment."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import polars as pl
import pytest

from capsim_dagster.pipeline import refine, stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.page import page as audit_page
from capsim_dagster.settings import DataGeneration, Settings
from capsim_dagster.settings.load import build_settings, read_files
from capsim_dagster.simulation import fleet
from capsim_dagster_tests.support.kept_open import KeptOpen, kept_open, opened_once
from capsim_dagster_tests.support.ready_history import keep_ready
from capsim_dagster_tests.support.ready_settings import shipped_read_once
from capsim_dagster_tests.support.ready_warehouse import warehouse_ready

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config" / "config.yaml"
SMALL: dict[str, Any] = {"num_servers": 12, "start_date": "2023-01-01", "end_date": "2023-03-31"}
MONTHS = [202301, 202302, 202303]

# Two shared cores: how long an example takes says nothing.
hypothesis.settings.register_profile("capsim", deadline=None, max_examples=40)
hypothesis.settings.load_profile("capsim")

MakeSettings = Callable[..., Settings]

read_once = cache(read_files)
"""The sections of a shipped settings file, which no test changes."""


# Collecting makes half a million objects that stay: looking for garbage among them cost a tenth of a run.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def clean_environment(patched: pytest.MonkeyPatch) -> None:
    """Keep the caller's CAPSIM and DAGSTER variables away."""
    for name in list(os.environ):
        if name.startswith(("CAPSIM", "DAGSTER")):
            patched.delenv(name)
    patched.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")


@pytest.fixture(autouse=True, scope="session")
def _clean_session() -> Iterator[None]:
    """Keep the caller's environment away from what is built for many tests."""
    with pytest.MonkeyPatch.context() as patched:
        clean_environment(patched)
        yield


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what one test leaves in the environment away from the next."""
    clean_environment(monkeypatch)


@pytest.fixture(autouse=True)
def _ready_history(_clean_environment: None) -> None:
    """Spare each new data directory the making of an empty run history."""
    keep_ready()


@pytest.fixture(autouse=True, scope="session")
def _compiled_once() -> Iterator[None]:
    """Keep the compiled template of the audit page: compiling it costs more than a small page."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(audit_page, "_environment", cache(audit_page._environment))
        yield


@pytest.fixture(autouse=True, scope="session")
def _ready_made() -> Iterator[None]:
    """Spare each new data directory the making of an empty warehouse, and each reading of the shipped settings."""
    with warehouse_ready(), shipped_read_once():
        yield


def small_settings(data_dir: Path, **generation: object) -> Settings:
    """Return settings of a small fleet with its data in a folder; keywords override `data_generation`."""
    return build_settings(
        read_once(CONFIG),
        {
            "data_generation": {**SMALL, **generation},
            "storage": {"local_base_path": data_dir, "lock_timeout_seconds": 0.5},
            # The window of the tests is long over: what goes on after it is there to be tested.
            "automation": {"months_after_window": True},
        },
    )


def inventory(generation: DataGeneration) -> pl.DataFrame:
    """Return the hosts with their application codes, as the simulation needs them."""
    apps = fleet.business_hierarchy(generation).select("host_id", "app_code")
    return fleet.host_inventory(generation).join(apps, on="host_id", how="left", maintain_order="left")


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    """Return a function that makes settings of a small fleet in this test's folder."""

    def make(**generation: object) -> Settings:
        return small_settings(tmp_path / "data", **generation)

    return make


@pytest.fixture
def empty_platform(make_settings: MakeSettings) -> Platform:
    """Return a platform of which nothing has been built yet."""
    return Platform(make_settings())


@pytest.fixture(scope="session")
def _built_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the small fleet once a worker: inventory, calendar, master, truth, feed and table."""
    data_dir = tmp_path_factory.mktemp("built") / "data"
    platform = Platform(small_settings(data_dir))
    stages.host_inventory(platform)
    stages.time_calendar(platform)
    stages.master_parquet(platform)
    stages.ground_truth(platform)
    list(stages.monthly_csv(platform, MONTHS))
    list(refine.processed_data(platform, MONTHS, run="built"))
    return data_dir


@pytest.fixture
def own_platform(_built_data: Path, tmp_path: Path) -> Platform:
    """Return a platform with everything built, in a copy of its own that a test may break."""
    shutil.copytree(_built_data, tmp_path / "data")
    return Platform(small_settings(tmp_path / "data"))


@pytest.fixture
def platform(own_platform: Platform) -> Platform:
    """Return a platform with everything built that a test may break: a copy of its own, where no module says else."""
    return own_platform


@pytest.fixture(scope="session")
def _kept_open(_built_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptOpen]:
    with kept_open(_built_data, tmp_path_factory.mktemp("kept_open") / "data") as directory:
        yield directory


@pytest.fixture(scope="session")
def _open_settings(_kept_open: KeptOpen) -> Settings:
    return small_settings(_kept_open.root)


@pytest.fixture
def open_platform(_kept_open: KeptOpen, _open_settings: Settings) -> Iterator[Platform]:
    """Return a platform with everything built and its warehouse open, which is mended after the test."""
    with _kept_open.lent():
        yield Platform(_open_settings)


@pytest.fixture
def _opened_once() -> Iterator[None]:
    """Keep each warehouse that a test opens open until the test ends."""
    with opened_once():
        yield


@pytest.fixture
def page() -> "Iterator[Page]":
    """Return an empty page of the distribution's browser."""
    from capsim_dagster_tests.support.browsing import opened_page

    with opened_page() as opened:
        yield opened
