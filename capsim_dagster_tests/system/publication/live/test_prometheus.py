"""A real Prometheus server scrapes a live fleet and answers queries about it."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest

from capsim_dagster_tests.integration.publication.live.test_app import asked, state
from capsim_dagster_tests.support.publication.live.dashboard import dashboard, expressions
from capsim_dagster_tests.support.publication.live.fleets import live_fleet, options_for, running

HOSTS: Final = 2_000
PATIENCE_S: Final = 60.0
SCRAPE_S: Final = 5
"""How often it is scraped, and how long that may take: the machine may have other things to do."""
TOKEN: Final = "sentinel-of-20-chars"  # noqa: S105 it opens nothing
Query = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def live_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of two thousand hosts at a speed at which no second interval comes."""
    fleet = live_fleet(num_servers=HOSTS)
    with running(fleet, options_for(tmp_path_factory.mktemp("live") / "archive", speed=1.0, token=TOKEN)) as server:
        yield server.url


@pytest.fixture(scope="module")
def query(live_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Yield a function that asks a Prometheus which scrapes the fleet every few seconds."""
    folder = tmp_path_factory.mktemp("prometheus")
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    target = {"targets": [live_url.removeprefix("http://")]}
    job = {"job_name": "capsim", "authorization": {"credentials": TOKEN}, "static_configs": [target]}
    config = folder / "prometheus.yml"
    # JSON is YAML.
    config.write_text(json.dumps({"global": {"scrape_interval": f"{SCRAPE_S}s"}, "scrape_configs": [job]}))
    command = [binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            yield lambda text: _answer(address, text)
        finally:
            server.terminate()
            server.wait(30)


def _answer(address: str, text: str) -> list[dict[str, Any]]:
    """Return what a query finds, as soon as it finds anything."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            answer = httpx.get(f"http://{address}/api/v1/query", params={"query": text}, timeout=10).json()
            if found := answer["data"]["result"]:
                return list(found)
        except (httpx.TransportError, KeyError, json.JSONDecodeError):
            pass
        time.sleep(0.3)
    raise AssertionError(f"Prometheus found nothing for {text}")


def test_prometheus_scrapes_the_fleet_and_its_answers_are_the_samples(live_url: str, query: Query) -> None:
    found = query("capsim_host_utilization_percent")
    values = {(each["metric"]["host_id"], each["metric"]["resource"]): float(each["value"][1]) for each in found}
    lines = httpx.get(f"{live_url}/latest", headers={"authorization": f"Bearer {TOKEN}"}, timeout=PATIENCE_S).json()[
        "samples"
    ]
    resources = ("cpu", "memory", "disk", "network")
    expected = {(line["host_id"], r): line[r] for line in lines for r in resources if line[r] is not None}
    gaps = sum(line[r] is None for line in lines for r in resources)

    assert values == expected
    assert len(values) == HOSTS * 4 - gaps
    assert 0 < gaps < HOSTS * 4 * 0.05
    assert query("up")[0]["value"][1] == "1"
    assert float(query("count(count by (host_id) (capsim_host_utilization_percent))")[0]["value"][1]) > HOSTS * 0.98
    assert float(query("capsim_live_hosts")[0]["value"][1]) == HOSTS
    assert float(query("scrape_duration_seconds")[0]["value"][1]) < SCRAPE_S
    traffic = query('sum(capsim_host_network_bytes_per_second{direction="in"})')[0]["value"][1]
    assert float(traffic) == pytest.approx(sum(line["net_in_mbps"] or 0 for line in lines) * 1e6 / 8)


def test_prometheus_answers_every_expression_of_the_dashboard(query: Query) -> None:
    for expression in expressions(dashboard()):
        assert query(expression), expression


def test_promtool_has_nothing_to_say_about_the_metrics() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    text = asked(state(), "/metrics").content
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
