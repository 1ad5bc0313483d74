"""A real server: what it streams is what it archives, it goes on where it stopped, and it ends when it is told to."""

import asyncio
import datetime as dt
import errno
import gzip
import json
import os
import socket
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from capsim_dagster.errors import PublicationError, SettingsError, StorageError
from capsim_dagster.publication.live import serve as serve_module
from capsim_dagster.publication.live.interval import LiveFleet, Simulator
from capsim_dagster.publication.live.serve import LiveSession, serve
from capsim_dagster_tests.support.publication.live.fleets import (
    DAY,
    FIRST,
    HOSTS,
    archived_hour,
    at,
    live_fleet,
    numbers_in,
    options_for,
    run_until,
    running,
    streamed,
    whole_path,
)


@pytest.fixture(scope="module")
def fleet() -> LiveFleet:
    return live_fleet()


def test_what_is_streamed_is_what_is_archived(tmp_path: Path, fleet: LiveFleet) -> None:
    # Time goes on when the client has what there is.
    passed_s, each_s, lines = [0.0], 300 / 6_000, list[str]()
    options = options_for(tmp_path, speed=6_000.0, monotonic=lambda: passed_s[0])
    with (
        running(fleet, options) as server,
        httpx.stream("GET", f"{server.url}/stream?after={FIRST + 35}", timeout=60) as answer,
    ):
        streaming = answer.iter_lines()
        for number in range(26):
            lines += [next(streaming) for _host in range(HOSTS)]
            passed_s[0] = (number + 1.1) * each_s

    archived = gzip.decompress(whole_path(tmp_path, 3).read_bytes() + whole_path(tmp_path, 4).read_bytes())
    assert lines[: 24 * HOSTS] == archived.decode().splitlines()
    assert whole_path(tmp_path, 3).read_bytes() == archived_hour(fleet, tmp_path / "expected", 3)
    assert [line for line in server.said if "archived" in line][:2] == [
        "2023-02-14 03:00 archived; 1 client, 0 dropped",
        "2023-02-14 04:00 archived; 1 client, 0 dropped",
    ]


def test_a_client_goes_on_after_a_restart_where_it_stopped(tmp_path: Path, fleet: LiveFleet) -> None:
    run_until(tmp_path, fleet, at(3), at(4, 30))

    with running(fleet, options_for(tmp_path, speed=1.0)) as server:
        lines = [json.loads(line) for line in streamed(server.url, 4 * HOSTS, f"?after={FIRST + 50}")]

    # Up to 04:30 it was written before, 04:35 is the first of this run.
    assert [line["meta"]["seq"] for line in lines[::HOSTS]] == [FIRST + number for number in (51, 52, 53, 54)]


def test_in_the_present_the_hour_so_far_is_written_at_once(tmp_path: Path, fleet: LiveFleet) -> None:
    with running(fleet, options_for(tmp_path, start=None, speed=1.0)) as server:
        latest = httpx.get(f"{server.url}/latest").json()

    begin = dt.datetime.fromisoformat(latest["ts"])
    numbers = numbers_in(tmp_path, fleet)
    assert numbers[0] % 12 == 0
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[-1] >= latest["seq"] == fleet.timeline.number_at(begin)
    assert abs(begin.timestamp() - time.time()) < 400


def test_days_that_are_not_caught_up_are_named_with_the_command_for_them(tmp_path: Path, fleet: LiveFleet) -> None:
    run_until(tmp_path, fleet, at(3), at(3, 30))

    with running(fleet, options_for(tmp_path, start=None, speed=1.0)) as server:
        pass

    assert server.said[0].startswith(f"not caught up: {DAY}, 2023-02-15, ")
    assert "capsim archive --date" in server.said[0]
    assert whole_path(tmp_path, 3).exists()


def test_an_hour_that_stays_open_is_named_with_the_command_for_its_day(tmp_path: Path, fleet: LiveFleet) -> None:
    run_until(tmp_path, fleet, at(3), at(3, 30))

    with running(fleet, options_for(tmp_path, start=at(5), speed=1.0)) as server:
        pass

    assert server.said[0] == (
        "left open: 2023-02-14 03:00; this start skips that, capsim archive --date 2023-02-14 writes it whole"
    )


def test_a_clock_that_is_set_back_is_said(tmp_path: Path, fleet: LiveFleet) -> None:
    said: list[str] = []

    async def scene() -> None:
        session = LiveSession(simulator, options_for(tmp_path, start=None, speed=1.0), said.append)
        session.catch_up()
        # It stands at the end of the next hour's first interval, as if the clock had been there when it came.
        session._next += 12
        is_over = asyncio.Event()
        emitting = asyncio.create_task(session.emit_all(is_over))
        for _turn in range(20):
            await asyncio.sleep(0)
        is_over.set()
        await emitting

    with closing(Simulator(fleet)) as simulator:
        asyncio.run(scene())

    assert [line.split(":")[0] for line in said].count("the clock was set back") == 1


def test_max_backlog_is_how_many_intervals_are_held(tmp_path: Path, fleet: LiveFleet) -> None:
    run_until(tmp_path, fleet, at(3), at(4, 30))

    with (
        running(fleet, options_for(tmp_path, speed=1.0, max_backlog=3)) as server,
        httpx.stream("GET", f"{server.url}/stream?after={FIRST}") as answer,
    ):
        # Of 36 to 55, the last three are held: 53, 54, 55.
        assert json.loads(next(answer.iter_lines()))["meta"]["seq"] == FIRST + 53
        assert answer.headers["capsim-missed-intervals"] == "52"


def test_a_speed_that_is_too_high_is_said_and_costs_no_client_that_reads_a_sample(
    tmp_path: Path, fleet: LiveFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may keep a client that reads from running for longer than is waited for it.
    monkeypatch.setattr(serve_module, "_BREATH_S", 30.0)
    # An interval each 3 µs, which no simulation keeps up with.
    with running(fleet, options_for(tmp_path, speed=1e8, max_backlog=2)) as server:
        numbers = [json.loads(line)["meta"]["seq"] for line in streamed(server.url, 60 * HOSTS)[::HOSTS]]

    assert numbers == list(range(numbers[0], numbers[0] + 60))
    assert [line for line in server.said if line.endswith("intervals late: --speed is too high for this machine")]
    assert not [line for line in server.said if line.startswith("dropped")]


def test_a_client_that_takes_its_time_is_given_it_while_many_intervals_are_due(
    tmp_path: Path, fleet: LiveFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_module, "_BREATH_S", 30.0)

    async def scene() -> list[int]:
        session = LiveSession(simulator, options, lambda _line: None)
        session.catch_up()
        numbers = []
        with session.feed.subscribed() as client:
            emitting = asyncio.create_task(session.emit_all(asyncio.Event()))
            for _read in range(15):
                interval = await session.feed.next_for(client)
                assert interval is not None
                await asyncio.sleep(0.03)
                client.sent = interval.number
                numbers.append(interval.number)
            assert session.feed.dropped == 0
            emitting.cancel()
            with suppress(asyncio.CancelledError):
                await emitting
        return numbers

    options = options_for(tmp_path, speed=1e8, max_backlog=2)
    with closing(Simulator(fleet)) as simulator:
        numbers = asyncio.run(scene())

    assert numbers == list(range(FIRST + 36, FIRST + 51))


def test_a_second_server_on_the_same_archive_is_refused(tmp_path: Path, fleet: LiveFleet) -> None:
    with running(fleet, options_for(tmp_path)), pytest.raises(PublicationError, match="another server writes the arch"):
        serve(fleet, options_for(tmp_path), lambda _line: None)


def test_a_port_that_is_taken_is_an_error_that_names_it(tmp_path: Path, fleet: LiveFleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PublicationError, match=f"127.0.0.1 port {port} cannot be had: Address already in use"):
            serve(fleet, options_for(tmp_path / "archive", port=port), lambda _line: None)

    assert not (tmp_path / "archive").exists()


def test_beyond_loopback_without_a_token_nothing_is_bound_or_written(tmp_path: Path, fleet: LiveFleet) -> None:
    open_to_all = replace(options_for(tmp_path / "archive"), host="0.0.0.0")  # noqa: S104 it must be refused
    with pytest.raises(SettingsError, match=r"0\.0\.0\.0 is not loopback"):
        serve(fleet, open_to_all, lambda _line: None)

    assert not (tmp_path / "archive").exists()


def test_a_disk_that_is_full_ends_the_server_with_the_reason_and_a_later_start_goes_on(
    tmp_path: Path, fleet: LiveFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each interval is flushed once, each new hour's folder and the one above it once more.
    room, fsync = iter(range(10)), os.fsync

    def flush(descriptor: int) -> None:
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", flush)
        with pytest.raises(StorageError, match=r"03\.jsonl\.gz\.part cannot be written: No space left on device"):
            serve(fleet, options_for(tmp_path, speed=60_000.0), lambda _line: None)

    run_until(tmp_path, fleet, at(3), at(4))
    assert numbers_in(tmp_path, fleet) == list(range(FIRST + 36, FIRST + 49))
