"""`capsim tier1 serve`: options and settings act, errors say what to do, and a signal ends it with a valid archive."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from capsim_dagster.cli.tier1 import tier1
from capsim_dagster.errors import PublicationError, SettingsError
from capsim_dagster.publication.live import serve as serve_module
from capsim_dagster.publication.live.interval import LiveFleet
from capsim_dagster.publication.live.serve import LiveOptions
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.publication.live.fleets import live_fleet, numbers_in

FLEET = ["--hosts", "12", "--start", "2023-01-01", "--end", "2023-03-31"]
TOKEN = "sentinel-of-20-chars"  # noqa: S105 it opens nothing
COMMAND = "from capsim_dagster.cli.tier1 import tier1; tier1()"


def settings_file(folder: Path, live: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(f"base: {CONFIG}\nlive: {{{live}}}\n")
    return path


def asked_for(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[LiveFleet, LiveOptions]:
    """Return what the command would serve."""
    asked: list[Any] = []
    monkeypatch.setattr(serve_module, "serve", lambda fleet, options, _say: asked.extend([fleet, options]))
    result = CliRunner().invoke(tier1, ["serve", *arguments, *FLEET])
    assert result.exit_code == 0, result.output
    return asked[0], asked[1]


def test_options_are_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSIM_LIVE_TOKEN", TOKEN)
    arguments = ["--from", "2026-01-15T06:30", "--speed", "60", "--host", "::1", "--port", "0"]
    fleet, options = asked_for(monkeypatch, *arguments, "--data-dir", str(tmp_path))

    assert options.archive_root == tmp_path / "archive"
    assert str(options.start) == "2026-01-15 06:30:00+00:00"
    assert (options.speed, options.host, options.port, options.token) == (60.0, "::1", 0, TOKEN)
    assert (fleet.hosts.height, str(fleet.generation.start_date)) == (12, "2023-01-01")
    assert not options.is_present


def test_without_options_it_is_the_present_at_its_own_speed_and_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    _fleet, options = asked_for(monkeypatch)

    assert options.is_present
    assert (options.host, options.port, options.token) == ("127.0.0.1", 9477, None)


@pytest.mark.parametrize(
    ("live", "name", "value"),
    [("port: 1234", "port", 1234), ("max_backlog: 7", "max_backlog", 7), ("hot_percent: 55.5", "hot_percent", 55.5)],
)
def test_each_setting_of_live_acts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live: str, name: str, value: float
) -> None:
    _fleet, options = asked_for(monkeypatch, "--config", str(settings_file(tmp_path, live)))

    assert getattr(options, name) == value


def test_the_port_of_the_settings_is_the_one_that_is_served(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = settings_file(tmp_path, f"port: {port}")
        arguments = ["serve", *FLEET, "--config", str(path), "--data-dir", str(tmp_path)]
        result = CliRunner().invoke(tier1, arguments)

    assert isinstance(result.exception, PublicationError)
    assert f"port {port} cannot be had: Address already in use" in str(result.exception)


def test_beyond_loopback_it_names_the_variable_of_the_token_and_never_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in ("", "sentinel"):
        monkeypatch.setenv("CAPSIM_LIVE_TOKEN", token)
        arguments = ["serve", *FLEET, "--host", "0.0.0.0", "--data-dir", str(tmp_path)]  # noqa: S104 it is refused
        result = CliRunner().invoke(tier1, arguments)

        assert isinstance(result.exception, SettingsError)
        assert "set CAPSIM_LIVE_TOKEN" in str(result.exception) or "set it to 16" in str(result.exception)
        assert "sentinel" not in result.output + str(result.exception)


def test_a_start_before_the_window_is_refused_and_nothing_is_left_behind(tmp_path: Path) -> None:
    arguments = ["serve", *FLEET, "--from", "2022-12-31T23:00", "--port", "0", "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(tier1, arguments)

    assert isinstance(result.exception, PublicationError)
    assert "2022-12-31 23:00 lies before the fleet's window" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_soon_and_the_archive_stays_valid(tmp_path: Path, number: signal.Signals) -> None:
    arguments = ["serve", *FLEET, "--from", "2023-02-14T03:00", "--speed", "6000", "--port", "0"]
    command = [sys.executable, "-c", COMMAND, *arguments, "--config", str(CONFIG), "--data-dir", str(tmp_path)]
    environment = {**os.environ, "CAPSIM_LIVE_TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        ready = child.stdout.readline()
        url = ready.split()[3]
        with httpx.stream("GET", f"{url}/stream", headers={"authorization": f"Bearer {TOKEN}"}) as answer:
            next(answer.iter_lines())
            child.send_signal(number)
            # Half a second where nothing else runs.
            out, err = child.communicate(timeout=60)

    assert ready.startswith("capsim: live on http://127.0.0.1:")
    assert (child.returncode, err) == (0, "")
    assert TOKEN not in ready + out
    numbers = numbers_in(tmp_path / "archive", live_fleet())
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
