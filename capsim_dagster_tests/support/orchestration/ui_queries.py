"""What the UI knows of a data directory: its own GraphQL queries, asked in this process, without a server."""

import asyncio
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.schema import create_schema

from capsim_dagster.orchestration.instance import LOCATION, MODULE, open_instance
from capsim_dagster.storage import DataLayout

_ASSETS = """
query { assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId }
  partitionStats { numMaterialized numFailed numMaterializing numPartitions }
  assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } }
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } }"""
_RUNS = """
query($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results {
  runId pipelineName status tags { key value } } } } }"""
_OF_LOCATION = {"tags": [{"key": ".dagster/repository", "value": f"__repository__@{LOCATION}"}]}
"""How the overview and the pages of jobs choose their runs."""


@dataclass(frozen=True)
class SeenAsset:
    """An asset as its page shows it.

    Attributes:
        is_there: Whether it was ever materialized.
        partitions: How many partitions are materialized, failed, being made and on offer; None = it has none.
        ranges: First and last key of each range of materialized partitions.
        checks: How each check ended on what is there now; None = it did not look at it.
    """

    is_there: bool
    partitions: tuple[int, int, int, int] | None
    ranges: Sequence[tuple[str, str]]
    checks: Mapping[str, str | None]

    def has(self, partition: str) -> bool:
        """Whether a partition is materialized."""
        return any(first <= partition <= last for first, last in self.ranges)


@dataclass(frozen=True)
class SeenRun:
    """A run as the overview lists it."""

    job: str
    status: str
    tags: Mapping[str, str]


class Ui:
    """The UI of a data directory."""

    def __init__(self, context: WorkspaceProcessContext) -> None:
        self._context, self._schema = context, create_schema()

    def ask(self, query: str, **variables: object) -> Any:  # noqa: ANN401 whatever GraphQL answers
        """Return the data that a query gives."""
        request = self._context.create_request_context()
        answer = asyncio.run(self._schema.execute_async(query, context_value=request, variable_values=variables))
        assert not answer.errors, answer.errors
        return answer.data

    def assets(self) -> dict[str, SeenAsset]:
        """Return all assets by name."""
        return {"/".join(node["assetKey"]["path"]): _seen(node) for node in self.ask(_ASSETS)["assetNodes"]}

    def runs(self, job: str | None = None) -> list[SeenRun]:
        """Return the runs that the overview lists, or the page of a job, latest first."""
        chosen = {**_OF_LOCATION, **({"pipelineName": job} if job else {})}
        return [
            SeenRun(run["pipelineName"], run["status"], {tag["key"]: tag["value"] for tag in run["tags"]})
            for run in self.ask(_RUNS, filter=chosen)["runsOrError"]["results"]
        ]


def _seen(node: Mapping[str, Any]) -> SeenAsset:
    stats, ranges = node["partitionStats"], node["assetPartitionStatuses"].get("ranges", [])
    counted = ("numMaterialized", "numFailed", "numMaterializing", "numPartitions")
    checks = node["assetChecksOrError"].get("checks", [])
    latest = {check["name"]: check["executionForLatestMaterialization"] for check in checks}
    return SeenAsset(
        is_there=bool(node["assetMaterializations"]),
        partitions=tuple(stats[name] for name in counted) if stats else None,
        ranges=[(found["startKey"], found["endKey"]) for found in ranges if found["status"] == "MATERIALIZED"],
        checks={name: found and found["status"] for name, found in latest.items()},
    )


@contextmanager
def open_ui(layout: DataLayout) -> Iterator[Ui]:
    """Open the UI; its code location reads the settings of this process's environment, as that of `capsim ui` does."""
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name=MODULE), location_name=LOCATION)
    with (
        warnings.catch_warnings(action="ignore"),  # of Dagster about itself
        open_instance(layout) as instance,
        WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget([origin])) as context,
    ):
        yield Ui(context)
