"""A place where days are archived and published by their jobs: a fleet of 12 hosts that report every half hour."""

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.months import RANGE_END_TAG, RANGE_START_TAG
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.settings import load_settings
from capsim_dagster_tests.conftest import CONFIG, SMALL
from capsim_dagster_tests.support.orchestration.fixtures import QUIET, TODAY
from capsim_dagster_tests.support.orchestration.memory import in_memory

DAY = "2023-01-15"
NEXT_DAY = "2023-01-16"
LINES = 12 * 48


def publishing_platform(data_dir: Path, **other: Mapping[str, object]) -> Platform:
    """Return the platform of the small fleet; a gap of one host in twelve is not to be too many nulls."""
    return Platform(
        load_settings(
            CONFIG,
            {
                "data_generation": SMALL,
                "storage": {"local_base_path": data_dir, "lock_timeout_seconds": 0.5},
                "archive": {"interval_minutes": 30},
                "publication": {"max_null_share": 0.5},
                **other,
            },
        )
    )


class Publishing:
    """Platform, definitions and what records the runs."""

    def __init__(self, platform: Platform, instance: dg.DagsterInstance) -> None:
        self.platform, self.instance = platform, instance
        self.definitions = build_definitions(platform.settings, today=TODAY)

    def run(self, job: str, first: str, last: str = "", *assets: str) -> dg.ExecuteInProcessResult:
        """Run a job for a range of partitions, or some of its assets."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            run_config=QUIET,
            raise_on_error=False,
            tags={RANGE_START_TAG: first, RANGE_END_TAG: last or first},
            asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
        )

    def there(self, asset: str) -> set[str]:
        """Return the partitions of an asset that are recorded as materialized."""
        return set(self.instance.get_materialized_partitions(dg.AssetKey(asset)))

    def states(self, asset: str, keys: list[str]) -> dict[str, str]:
        """Return the state of partitions as the UI shows it."""
        partitions = self.definitions.resolve_asset_graph().get(dg.AssetKey(asset)).partitions_def
        assert partitions is not None
        found = self.instance.get_status_by_partition(dg.AssetKey(asset), keys, partitions) or {}
        return {key: status.value if status else "MISSING" for key, status in found.items()}

    def tick(self, schedule: str, at: dt.datetime) -> list[dg.RunRequest] | str:
        """Let a schedule tick and return its requests, or why it skips."""
        context = dg.build_schedule_context(instance=self.instance, scheduled_execution_time=at)
        result: Any = self.definitions.resolve_schedule_def(schedule)(context)
        if isinstance(result, dg.SkipReason):
            return str(result.skip_message)
        return [result] if isinstance(result, dg.RunRequest) else list(result)


@contextmanager
def publishing(platform: Platform) -> Iterator[Publishing]:
    """Open a place of which nothing has been published yet."""
    with in_memory() as memory:
        yield Publishing(platform, memory.instance)


def verdicts(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str, str], bool]:
    """Return how each check judged each partition: asset, check, partition."""
    found = {}
    for event in result.all_events:
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            each = event.asset_check_evaluation_data
            found[each.asset_key.to_user_string(), each.check_name, str(each.partition)] = each.passed
    return found
