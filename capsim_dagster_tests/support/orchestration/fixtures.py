"""Fixtures of the tests that run jobs: an instance of their own, and jobs in this process."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.instance import open_instance
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.storage import DataLayout

TODAY = dt.date(2023, 8, 15)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Return an instance as `capsim run` opens it, with its pools, in a folder of its own."""
    with open_instance(DataLayout(tmp_path / "instance")) as made:
        yield made


def run_job(
    platform: Platform, instance: dg.DagsterInstance, job: str, tags: dict[str, str], assets: list[str] | None = None
) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(platform.settings, today=TODAY)
    selection = [dg.AssetKey(asset.split("/")) for asset in assets] if assets else None
    return definitions.resolve_job_def(job).execute_in_process(
        instance=instance, tags=tags, run_config=QUIET, raise_on_error=False, asset_selection=selection
    )


def failure_texts(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return the description of each step that failed on purpose."""
    found = []
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.user_failure_data is not None:
            found.append(str(event.step_failure_data.user_failure_data.description))
    return found
