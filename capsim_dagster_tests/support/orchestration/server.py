"""A real `capsim ui` (web server, daemon, code server) on a port of its own, asked through GraphQL as browsers do."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from capsim_dagster.orchestration.months import key_of, month_of
from capsim_dagster.schemas.months import first_day, months_between, yearmonth
from capsim_dagster_tests.conftest import ROOT
from capsim_dagster_tests.support.orchestration.reported import asking_for

RUN_SECONDS = 120
BRISK = Path(__file__).with_name("brisk")
"""With this folder on the path the daemon looks every few seconds, not every half minute."""
ENDED = ("SUCCESS", "FAILURE", "CANCELED")

_REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "capsim_dagster"}
_LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
_BACKFILL = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""
_BACKFILL_STATUS = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  __typename ... on PartitionBackfill { status runs { runId status startTime endTime } } } }"""
_RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status startTime endTime } } }"
_RUNS = "query { runsOrError { ... on Runs { results { status } } } }"
_TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename ... on TerminateRunFailure { message } } }"
_START_SENSOR = """
mutation($selector: SensorSelector!) { startSensor(sensorSelector: $selector) { __typename } }"""
_ASSET = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } }
  assetChecksOrError { ... on AssetChecks { checks {
    name canExecuteIndividually
    executionForLatestMaterialization { status }
    partitionStatuses { ... on AssetCheckTimePartitionStatuses { ranges { startKey endKey status } } } } } } } } }"""
_EVENTS = """
query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection {
  events { ... on MessageEvent { message } ... on MaterializationEvent { assetKey { path } partition } } } } }"""

_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")


@dataclass(frozen=True)
class Server:
    """A running UI.

    Attributes:
        address: Where it answers.
        process: The command `capsim ui`.
    """

    address: str
    process: "subprocess.Popen[str]"

    def ask(self, query: str, **variables: object) -> Any:  # noqa: ANN401 whatever GraphQL answers
        """Return the data that a query or a mutation gives."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 our own loopback
            f"{self.address}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def launch(self, job: str, tags: Mapping[str, str], assets: Sequence[str] = ()) -> str:
        """Launch a run, as a button of the UI does, and return its id."""
        selector: dict[str, object] = {**_REPOSITORY, "pipelineName": job}
        if assets:
            selector["assetSelection"] = [_path(asset) for asset in assets]
        params = {
            "selector": selector,
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        launched = self.ask(_LAUNCH, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def materialize(self, assets: Sequence[str], months: Sequence[int] = ()) -> str:
        """Launch a run over assets, of one month, a range of months or none, and return its id."""
        if len(months) == 1:
            return self.launch("__ASSET_JOB", {"dagster/partition": key_of(months[0])}, assets)
        return self.launch("__ASSET_JOB", asking_for(months) if months else {}, assets)

    def backfill(self, months: Sequence[int], assets: Sequence[str] = (), job: str = "") -> str:
        """Launch a backfill of months over assets or of a job, and return its id."""
        return self.backfill_keys([key_of(month) for month in months], assets, job)

    def backfill_keys(self, keys: Sequence[str], assets: Sequence[str] = (), job: str = "") -> str:
        """Launch a backfill of partitions over assets or of a job, and return its id."""
        params: dict[str, object] = {"partitionNames": list(keys)}
        if job:
            params["selector"] = {"partitionSetName": f"{job}_partition_set", "repositorySelector": _REPOSITORY}
        else:
            params["assetSelection"] = [_path(asset) for asset in assets]
        launched = self.ask(_BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def backfill_of(self, backfill: str) -> Any:  # noqa: ANN401 whatever GraphQL answers
        """Return status and runs of a backfill."""
        return self.ask(_BACKFILL_STATUS, id=backfill)["partitionBackfillOrError"]

    def ended_backfill(self, backfill: str, seconds: float = RUN_SECONDS) -> Any:  # noqa: ANN401
        """Wait until a backfill has ended, and return it."""
        wait(lambda: self.backfill_of(backfill)["status"] not in ("REQUESTED", "CANCELING"), "backfill", seconds)
        return self.backfill_of(backfill)

    def status(self, run: str) -> str:
        """Return the status of a run."""
        return str(self.ask(_RUN, id=run)["runOrError"]["status"])

    def statuses(self) -> list[str]:
        """Return the status of every run, latest first."""
        return [run["status"] for run in self.ask(_RUNS)["runsOrError"]["results"]]

    def ended(self, run: str, seconds: float = RUN_SECONDS) -> str:
        """Wait until a run has ended, and return its status."""
        wait(lambda: self.status(run) in ENDED, f"run {run}", seconds)
        return self.status(run)

    def terminate(self, run: str) -> None:
        """Ask for the end of a run, as the button Terminate does."""
        self.ask(_TERMINATE, id=run)

    def start_sensor(self, name: str) -> None:
        """Turn a sensor on, as its switch does."""
        started = self.ask(_START_SENSOR, selector={**_REPOSITORY, "sensorName": name})["startSensor"]
        assert started["__typename"] == "Sensor", started

    def months(self, asset: str) -> dict[int, str]:
        """Return the state of each month of an asset that the UI does not show as missing."""
        statuses = self.ask(_ASSET, key=_path(asset))["assetNodeOrError"]["assetPartitionStatuses"]
        return _by_month(statuses["ranges"])

    def ranges(self, asset: str) -> list[tuple[str, str, str]]:
        """Return first and last key and state of each range of partitions that the UI does not show as missing."""
        return _ranges(self.ask(_ASSET, key=_path(asset))["assetNodeOrError"]["assetPartitionStatuses"])

    def check_ranges(self, asset: str) -> dict[str, list[tuple[str, str, str]]]:
        """Return the same of each check of an asset, by its name."""
        checks = self.ask(_ASSET, key=_path(asset))["assetNodeOrError"]["assetChecksOrError"]["checks"]
        return {check["name"]: _ranges(check["partitionStatuses"]) for check in checks}

    def checks(self, asset: str) -> dict[str, dict[int, str]]:
        """Return by check the state of each month that the UI does not show as missing; month 0 is the whole asset."""
        checks = self.ask(_ASSET, key=_path(asset))["assetNodeOrError"]["assetChecksOrError"]["checks"]
        found = {}
        for check in checks:
            latest = check["executionForLatestMaterialization"]
            if check["partitionStatuses"]:
                found[check["name"]] = _by_month(check["partitionStatuses"]["ranges"])
            else:
                found[check["name"]] = {0: latest["status"]} if latest else {}
        return found

    def materialized_in(self, run: str, asset: str) -> list[int]:
        """Return the months of an asset that a run has recorded so far."""
        events = self.ask(_EVENTS, id=run)["logsForRun"]["events"]
        return [
            month_of(event["partition"])
            for event in events
            if event.get("assetKey") == _path(asset) and event.get("partition")
        ]

    def run_process(self, run: str) -> psutil.Process:
        """Return the process that executes a run."""
        events = self.ask(_EVENTS, id=run)["logsForRun"]["events"]
        (found,) = [match for event in events if (match := _STARTED.search(event.get("message") or ""))]
        return psutil.Process(int(found[1]))


@contextmanager
def serving(
    data_dir: Path,
    *,
    config: Path | None = None,
    feed_dir: Path | None = None,
    workspace: Path | None = None,
    **generation: object,
) -> Iterator[Server]:
    """Yield a running UI over a data directory; it is gone afterwards.

    Args:
        data_dir: The data directory.
        config: The settings file; None = the shipped one.
        feed_dir: A user's feed.
        workspace: Code locations beside capsim's; None = those of the checkout.
        generation: Settings of `data_generation`, by name.
    """
    chosen = {"PYTHONPATH": os.pathsep.join([str(BRISK), *filter(None, [os.environ.get("PYTHONPATH")])])}
    chosen |= {f"CAPSIM__DATA_GENERATION__{name.upper()}": str(value) for name, value in generation.items()}
    if feed_dir is not None:
        chosen["CAPSIM__REFINERY__FEED_DIR"] = str(feed_dir)
    command = [sys.executable, "-m", "capsim_dagster.cli", "ui", "--data-dir", str(data_dir)]
    command += ["--port", str(_free_port()), *(["--config", str(config)] if config else [])]
    command += ["--workspace", str(workspace)] if workspace else []
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **chosen}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = ""
        while "ready on" not in ready:
            ready = process.stdout.readline()
            assert ready, "the UI ended before it was ready"
        yield Server(ready.split("ready on ")[1].split()[0], process)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def wait(is_so: Callable[[], bool], what: str, seconds: float = RUN_SECONDS, *, every_s: float = 0.5) -> None:
    """Wait until something is so; to look costs the server as much as some of its work.

    Raises:
        AssertionError: If it is not so in time.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(every_s)


def _free_port() -> int:
    """Return a port that is free: of two tests at once both would take the usual one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _path(asset: str) -> dict[str, list[str]]:
    return {"path": asset.split("/")}


def _ranges(statuses: Mapping[str, Sequence[Mapping[str, str]]]) -> list[tuple[str, str, str]]:
    return [(part["startKey"], part["endKey"], part["status"]) for part in statuses["ranges"]]


def _by_month(ranges: Sequence[Mapping[str, str]]) -> dict[int, str]:
    found: dict[int, str] = {}
    for part in ranges:
        first, last = (first_day(month_of(part[name])) for name in ("startKey", "endKey"))
        found |= {yearmonth(month): part["status"] for month in months_between(first, last)}
    return dict(sorted(found.items()))
