"""A server that may open few files: whoever connects, archive, stream and health go on."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from capsim_dagster_tests.support.child_process import READY, let_go, started
from capsim_dagster_tests.support.publication.live.fleets import FIRST, live_fleet, numbers_in
from capsim_dagster_tests.support.publication.live.sockets import (
    HALF_A_HEAD,
    HEALTH,
    IDLE,
    LATEST,
    STREAM,
    connected,
    heard,
    next_line,
)

DESCRIPTORS: Final = 128
SERVE: Final = f"""
import resource
from pathlib import Path
from capsim_dagster.publication.live.serve import serve
from capsim_dagster_tests.support.publication.live.fleets import live_fleet, options_for
fleet = live_fleet()
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
{READY}
serve(fleet, options_for(Path(sys.argv[1]), speed=3_000.0), lambda line: print(line, flush=True))
"""


@contextmanager
def served(root: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the port of a server that may open few files, and what it has said."""
    with started(SERVE, root) as child:
        let_go(child)
        assert child.stdout is not None
        said = [child.stdout.readline()]
        while not said[-1].startswith("live on "):
            said.append(child.stdout.readline())
        yield int(said[-1].split()[2].rpartition(":")[2]), said
        assert child.poll() is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(IDLE, id="idle"),
        pytest.param(HALF_A_HEAD, id="half a head"),
        pytest.param(LATEST, id="answers that nobody reads"),
    ],
)
def test_far_more_connections_than_descriptors_stop_neither_archive_nor_stream_nor_health(
    tmp_path: Path, text: bytes
) -> None:
    with served(tmp_path) as (port, said), ExitStack() as clients:
        stream = clients.enter_context(connected(port, STREAM))
        next_line(stream)
        for _client in range(3 * DESCRIPTORS):
            try:
                clients.enter_context(connected(port, text))
            except ConnectionError:
                # It was let go while it still asked.
                continue
        before = len(numbers_in(tmp_path, live_fleet()))
        healths = [heard(clients.enter_context(connected(port, HEALTH))).split(b"\r\n")[0] for _probe in range(10)]
        end = time.monotonic() + 60
        while len(numbers_in(tmp_path, live_fleet())) < before + 3 and time.monotonic() < end:
            next_line(stream)

        numbers = numbers_in(tmp_path, live_fleet())

    assert said[0] == "64 connections at most instead of 256: raise the limit of open files (ulimit -n)\n"
    assert healths == [b"HTTP/1.1 200 OK"] * 10
    assert len(numbers) >= before + 3
    assert numbers == list(range(FIRST + 36, FIRST + 36 + len(numbers)))


def test_a_server_that_has_no_descriptor_left_waits_and_accepts_when_there_is_one() -> None:
    code = f"""
import os, resource, threading, time
from capsim_dagster_tests.support.publication.live.sockets import answers, bare_server, connected, heard
with bare_server(answers, 10) as port:
    request = b"GET / HTTP/1.0\\r\\n\\r\\n"
    assert heard(connected(port, request)).endswith(b"well")
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        os.close(taken.pop())
    late = connected(port, request)
    used = time.process_time()
    time.sleep(1)
    used = time.process_time() - used
    for each in taken:
        os.close(each)
    assert heard(late).endswith(b"well")
    assert used < 0.5, used
    {READY}
"""
    with started(code):
        pass
