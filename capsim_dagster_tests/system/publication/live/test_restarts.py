"""A server that is started again, and one whose disk refuses: what is archived has no hole."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from capsim_dagster.publication.live.interval import LiveFleet
from capsim_dagster_tests.support.publication.live.fleets import (
    FIRST,
    HOSTS,
    live_fleet,
    numbers_in,
    options_for,
    running,
    streamed,
)


@pytest.fixture(scope="module")
def fleet() -> LiveFleet:
    return live_fleet()


def test_a_server_that_is_started_again_goes_on_without_a_hole_or_a_duplicate(tmp_path: Path, fleet: LiveFleet) -> None:
    for _start in range(3):
        with running(fleet, options_for(tmp_path)) as server:
            last = int(json.loads(streamed(server.url, 5 * HOSTS)[-1])["meta"]["seq"])

    numbers = numbers_in(tmp_path, fleet)
    assert numbers == list(range(FIRST + 36, FIRST + 36 + len(numbers)))
    assert numbers[-1] >= last


def test_a_disk_that_refuses_ends_the_command_with_what_it_refused_and_a_remedy(tmp_path: Path) -> None:
    arguments = ["tier1", "serve", "--port", "0", "--hosts", "200", "--from", "2023-02-14T03:00", "--speed", "60000"]
    ended = subprocess.run(
        [sys.executable, "-m", "capsim_dagster.cli", *arguments, "--data-dir", str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (24_000, 24_000)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 1
    assert "archive/20230214/03.jsonl.gz.part cannot be written: File too large" in ended.stderr
    assert "make room or mend the permissions" in ended.stderr
    assert "Traceback" not in ended.stderr
