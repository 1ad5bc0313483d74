"""Who connects and asks for nothing, or reads nothing, costs neither others nor the archive anything."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from capsim_dagster.publication.live import connections as connections_module
from capsim_dagster.publication.live.connections import LiveServer, listening
from capsim_dagster_tests.support.child_process import READY, let_go, started
from capsim_dagster_tests.support.publication.live.fleets import FIRST, live_fleet, numbers_in, options_for, running

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
IDLE: Final = b""
HALF_A_HEAD: Final = b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "
LATEST: Final = b"GET /latest HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 4
HEALTH: Final = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
STREAM: Final = b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


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


def connected(port: int, text: bytes = IDLE) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(text)
    return client


def heard(client: socket.socket) -> bytes:
    """Return all that comes until the connection is closed."""
    found = b""
    while piece := client.recv(1 << 16):
        found += piece
    return found


def next_line(stream: socket.socket) -> bytes:
    """Return what comes next, some bytes at least."""
    found = stream.recv(1 << 16)
    assert found
    return found


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(IDLE, id="idle"),
        pytest.param(HALF_A_HEAD, id="half a head", marks=pytest.mark.slow),
        pytest.param(LATEST, id="answers that nobody reads", marks=pytest.mark.slow),
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


def test_streams_that_take_every_place_stay_and_leave_some_for_health(tmp_path: Path) -> None:
    with running(live_fleet(), options_for(tmp_path, speed=1.0, max_connections=20)) as server, ExitStack() as clients:
        streams = [clients.enter_context(connected(server.port, STREAM)) for _client in range(30)]
        heads = [next_line(stream).split(b"\r\n")[0] for stream in streams]
        metrics = httpx.get(f"{server.url}/metrics").text
        health = httpx.get(f"{server.url}/healthz")

    # One in ten and the one that asks are left for others.
    assert heads == [b"HTTP/1.1 200 OK"] * 17 + [b"HTTP/1.1 503 Service Unavailable"] * 13
    assert "\ncapsim_live_clients 17.0\n" in metrics
    assert health.json() == {"status": "ok"}


@contextmanager
def bare_server(app: ASGIApp, max_connections: int) -> Iterator[int]:
    """Yield the port of a server of any application, in a thread of its own."""
    with listening("127.0.0.1", 0) as listener:
        server = LiveServer(app, listener, max_connections)
        thread = threading.Thread(target=asyncio.run, args=(server.serve(),))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


async def never_answers(_scope: Scope, receive: Receive, _send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("well")(scope, receive, send)


def test_when_all_are_being_answered_who_comes_is_told_so_and_let_go() -> None:
    with bare_server(never_answers, 3) as port, ExitStack() as clients:
        for _client in range(3):
            clients.enter_context(connected(port, LATEST))
        refused = heard(clients.enter_context(connected(port)))

    assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert json.loads(refused.partition(b"\r\n\r\n")[2]) == {"error": "all connections are taken; try again later"}


def test_who_waits_longest_without_a_request_gives_its_place_to_who_comes() -> None:
    with bare_server(answers, 2) as port, ExitStack() as clients:
        first, second, third = (clients.enter_context(connected(port)) for _client in range(3))
        assert heard(first) == b""
        for client in (second, third):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert heard(client).endswith(b"well")


@pytest.mark.parametrize("text", [IDLE, HALF_A_HEAD])
def test_a_connection_without_a_whole_request_is_closed_after_a_while(
    text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "_WAITING_S", 0.2)
    monkeypatch.setattr(connections_module, "_SWEEP_S", 0.05)
    with bare_server(answers, 2) as port, connected(port, text) as client:
        assert heard(client) == b""


def test_a_server_that_has_no_descriptor_left_waits_and_accepts_when_there_is_one() -> None:
    code = f"""
import os, resource, threading, time
from capsim_dagster_tests.integration.publication.live.test_connections import answers, bare_server, connected, heard
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


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "room", "raised"),
    [(1_024, 4_096, 256, 256, 1_024), (128, 4_096, 256, 256, 320), (128, 200, 256, 136, 200), (32, 32, 256, 1, 32)],
)
def test_the_limit_of_descriptors_is_raised_where_it_may_be_and_bounds_the_connections_where_not(
    soft: int, hard: int, wanted: int, room: int, raised: int
) -> None:
    code = f"""
import resource
from capsim_dagster.publication.live.connections import room_for_connections
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
room = room_for_connections({wanted})
found = room, resource.getrlimit(resource.RLIMIT_NOFILE)
assert found == ({room}, ({raised}, {hard})), found
{READY}
"""
    with started(code):
        pass
