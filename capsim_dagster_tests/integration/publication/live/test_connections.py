"""Who connects and asks for nothing, or reads nothing, costs neither others nor the archive anything."""

import json
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from capsim_dagster.publication.live import connections as connections_module
from capsim_dagster_tests.support.child_process import READY, started
from capsim_dagster_tests.support.publication.live.fleets import live_fleet, options_for, running
from capsim_dagster_tests.support.publication.live.sockets import (
    HALF_A_HEAD,
    IDLE,
    LATEST,
    STREAM,
    answers,
    bare_server,
    connected,
    heard,
    next_line,
)


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


async def never_answers(_scope: Scope, receive: Receive, _send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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


def test_the_limit_of_descriptors_is_raised_where_it_may_be_and_bounds_the_connections_where_not() -> None:
    """By soft and hard limit: the room there is of 256 that are wanted, and the soft limit then."""
    cases = [
        (1_024, 4_096, 256, 1_024),
        (128, 4_096, 256, 320),
        (128, 200, 136, 200),
        (32, 32, 1, 32),
    ]
    code = f"""
import os, resource
from capsim_dagster.publication.live.connections import room_for_connections
for soft, hard, room, raised in {cases}:
    if not os.fork():
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        found = room_for_connections(256), resource.getrlimit(resource.RLIMIT_NOFILE)
        os._exit(found != (room, (raised, hard)))
    assert os.wait()[1] == 0, (soft, hard)
{READY}
"""
    with started(code):
        pass
