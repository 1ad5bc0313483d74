import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from capsim_dagster.pipeline.platform import Platform

ROOT = Path(__file__).parents[2]
START_SECONDS = 90
RUN_SECONDS = 90

pytestmark = pytest.mark.slow

LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
PARTITIONS = """
query { assetNodeOrError(assetKey: {path: ["processed_data"]}) { ... on AssetNode {
  assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } }
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } } }"""


@dataclass
class Ui:
    address: str
    process: "subprocess.Popen[str]"

    def ask(self, query: str, **variables: object) -> Any:  # noqa: ANN401 whatever GraphQL answers
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 our own loopback
            f"{self.address}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)["data"]

    def run(self, job: str, tags: dict[str, str], assets: list[list[str]] | None = None) -> str:
        selector: dict[str, object] = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "capsim_dagster",
            "pipelineName": job,
        }
        if assets:
            selector["assetSelection"] = [{"path": path} for path in assets]
        params = {
            "selector": selector,
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        launched = self.ask(LAUNCH, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            status = str(self.ask(STATUS, id=launched["run"]["runId"])["runOrError"]["status"])
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                return status
            time.sleep(0.5)
        raise AssertionError(f"the run did not end within {RUN_SECONDS} s")


@pytest.fixture
def ui(platform: Platform) -> Iterator[Ui]:
    settings = {
        "CAPSIM__DATA_GENERATION__NUM_SERVERS": "12",
        "CAPSIM__DATA_GENERATION__END_DATE": "2023-03-31",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "capsim_dagster.cli", "ui", "--data-dir", str(platform.layout.root)],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = ""
        while "ready on" not in ready:
            ready = process.stdout.readline()
            assert ready, "the UI ended before it was ready"
        yield Ui(ready.split("ready on ")[1].split()[0], process)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_ui_runs_one_month_and_a_range_and_ends_cleanly(ui: Ui) -> None:
    assert ui.address.startswith("http://127.0.0.1:")
    assert ui.run("__ASSET_JOB", {"dagster/partition": "2023-02-01"}, [["processed_data"]]) == "SUCCESS"

    tags = {
        "dagster/asset_partition_range_start": "2023-01-01",
        "dagster/asset_partition_range_end": "2023-04-01",
    }
    assert ui.run("monthly_refresh", tags) == "SUCCESS"

    node = ui.ask(PARTITIONS)["assetNodeOrError"]
    assert node["assetPartitionStatuses"]["ranges"] == [
        {"startKey": "2023-01-01", "endKey": "2023-04-01", "status": "MATERIALIZED"}
    ]
    checks = {
        check["name"]: check["executionForLatestMaterialization"]["status"]
        for check in node["assetChecksOrError"]["checks"]
    }
    assert checks == dict.fromkeys(
        [
            "behavioral_diversity",
            "hosts_are_known",
            "injected_defects_are_found",
            "keys_are_unique",
            "reconciliation",
            "row_parity",
        ],
        "SUCCEEDED",
    )

    began = time.monotonic()
    ui.process.send_signal(signal.SIGINT)
    assert ui.process.wait(timeout=30) == 0
    assert time.monotonic() - began < 20
