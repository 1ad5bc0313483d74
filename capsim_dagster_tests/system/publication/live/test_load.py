"""A hundred clients lose nothing over the end of an hour, while two that do not read are dropped."""

import asyncio
import gzip
import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from capsim_dagster_tests.support.publication.live.fleets import FIRST, whole_path

CLIENTS: Final = 100
HOSTS: Final = 2_000
INTERVALS: Final = 5
"""Those of the last third of an hour, and the first of the next."""
PATIENCE_S: Final = 300.0
TICK_S: Final = 3.0
"""Five minutes at 100 times the speed."""
BACKLOG: Final = 4
DROPPED: Final = "capsim_live_dropped_clients_total 2.0"
SERVE: Final = """
import sys, time
from pathlib import Path
from capsim_dagster.cli.measure import peak_rss_mib
from capsim_dagster.publication.live.serve import serve
from capsim_dagster_tests.support.publication.live.fleets import at, live_fleet, options_for
options = options_for(Path(sys.argv[1]), start=at(3, 40), speed=float(sys.argv[3]), max_backlog=int(sys.argv[4]))
serve(live_fleet(num_servers=int(sys.argv[2])), options, lambda line: print(line, flush=True))
print("used", time.process_time(), peak_rss_mib())
"""


async def digest_of_stream(url: str, first: int, until: float) -> tuple[int, str]:
    """Return how many lines came from an interval on, and their digest."""
    digest, lines, rest = hashlib.sha256(), 0, b""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    # HTTP/1.0 has no chunks: what comes after the head are the lines.
    writer.write(f"GET /stream?after={first - 1} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    while lines < HOSTS * INTERVALS:
        piece = await asyncio.wait_for(reader.read(1 << 20), max(until - time.monotonic(), 0.0))
        assert piece, "the connection was closed"
        whole, _, rest = (rest + piece).rpartition(b"\n")
        if whole:
            digest.update(whole + b"\n")
            lines += whole.count(b"\n") + 1
    writer.close()
    return lines, digest.hexdigest()


def does_not_read(url: str) -> socket.socket:
    """Return a client of the stream that asks and then never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    client.sendall(b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return client


async def digests(url: str, first: int) -> list[tuple[int, str]]:
    """Return what each of a hundred clients got."""
    until = time.monotonic() + PATIENCE_S
    return await asyncio.gather(*(digest_of_stream(url, first, until) for _client in range(CLIENTS)))


@contextmanager
def served(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server, and what it said, which is there once it has ended."""
    arguments = map(str, [root, HOSTS, 300 / TICK_S, BACKLOG])
    said: list[str] = []
    with subprocess.Popen([sys.executable, "-c", SERVE, *arguments], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[2], said
        finally:
            server.terminate()
            said += server.communicate(timeout=20)[0].splitlines()


def test_a_hundred_clients_lose_no_sample_and_those_that_do_not_read_are_dropped(tmp_path: Path) -> None:
    with served(tmp_path) as (url, said):
        first = int(httpx.get(f"{url}/latest", timeout=PATIENCE_S).json()["seq"])
        idle = [does_not_read(url) for _client in range(2)]
        found = asyncio.run(digests(url, first))
        end = time.monotonic() + PATIENCE_S
        # The buffers of the system take some intervals, before those who do not read lag.
        while (
            DROPPED not in (metrics := httpx.get(f"{url}/metrics", timeout=PATIENCE_S).text) and time.monotonic() < end
        ):
            time.sleep(1)
        for client in idle:
            client.close()

    archived = b"".join(gzip.decompress(path.read_bytes()) for path in sorted(tmp_path.glob("*/*")))
    # The archive begins with the hour, the clients with the present.
    lines = archived.splitlines(keepends=True)[(first - FIRST - 36) * HOSTS :]
    assert json.loads(lines[0])["meta"]["seq"] == first >= FIRST + 44
    assert whole_path(tmp_path, 3).exists()
    for count, digest in found:
        # One more may have come, in part, when the client left.
        assert count >= HOSTS * INTERVALS
        assert digest == hashlib.sha256(b"".join(lines[:count])).hexdigest()
    assert DROPPED in metrics
    assert sum(line.startswith("dropped a client") for line in said) == 2
    _word, cpu_s, peak_mib = said[-1].split()
    assert float(peak_mib) < 600
    assert float(cpu_s) < 20
