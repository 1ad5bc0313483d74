"""A place where the panel is made by its job: the platform, its definitions, and an instance that records the runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from capsim_dagster.definitions import build_definitions
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import load_settings
from capsim_dagster_tests.conftest import CONFIG, SMALL
from capsim_dagster_tests.support.orchestration.fixtures import QUIET, TODAY
from capsim_dagster_tests.support.orchestration.memory import Kept, MemoryInstance, in_memory
from capsim_dagster_tests.support.sabotage import files_under

VALIDATED = "validated_server_metrics"
HISTORY = {"validation": {"min_history_days": 60}}
"""Three months are not to be too short here: a year is asked for unless told."""


def panel_platform(data_dir: Path, **generation: object) -> Platform:
    """Return the platform of the small fleet, of which a panel of two months may be staged."""
    return Platform(
        load_settings(
            CONFIG,
            {
                "data_generation": {**SMALL, **generation},
                "storage": {"local_base_path": data_dir, "lock_timeout_seconds": 0.5},
                "panel": HISTORY,
                "automation": {"months_after_window": True},
            },
        )
    )


@dataclass(frozen=True)
class PanelSite:
    """Platform, definitions and what records the runs."""

    platform: Platform
    definitions: dg.Definitions
    memory: MemoryInstance

    @property
    def instance(self) -> dg.DagsterInstance:
        """The instance."""
        return self.memory.instance

    def refresh(self, *assets: str) -> dg.ExecuteInProcessResult:
        """Run `panel_refresh`, or some of its assets."""
        return self.definitions.resolve_job_def("panel_refresh").execute_in_process(
            instance=self.instance,
            run_config=QUIET,
            raise_on_error=False,
            asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
        )

    def panels(self) -> dict[str, bytes]:
        """Return every file of raw and staged panels, by path below the folder of panels."""
        return files_under(self.platform.layout.root / "panel")

    def latest(self, asset: str) -> dg.AssetMaterialization:
        """Return the latest materialization of an asset."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        return event.asset_materialization


@contextmanager
def panel_site(platform: Platform) -> Iterator[PanelSite]:
    """Open a place of which no panel has been made yet."""
    with in_memory() as memory:
        yield PanelSite(platform, build_definitions(platform.settings, today=TODAY), memory)


@contextmanager
def restored(site: PanelSite, files: Mapping[str, bytes], records: Kept) -> Iterator[PanelSite]:
    """Put files and records back to what they were, whatever happens."""
    root = site.platform.layout.root / "panel"
    try:
        yield site
    finally:
        site.memory.put_back(records)
        for name in site.panels().keys() - files.keys():
            (root / name).unlink()
        for name, content in files.items():
            (root / name).write_bytes(content)


def failed_checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Return the checks that failed in a run: name -> whether it is an error, and not a warning."""
    return {
        found.check_name: found.severity is dg.AssetCheckSeverity.ERROR
        for found in result.get_asset_check_evaluations()
        if not found.passed
    }
