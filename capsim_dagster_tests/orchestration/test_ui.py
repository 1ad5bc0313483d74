import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from capsim_dagster.orchestration import ui
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.storage import DataLayout
from capsim_dagster_tests.orchestration.server import serving

pytestmark = pytest.mark.slow


def test_ui_answers_on_loopback_says_so_and_ends_cleanly(platform: Platform) -> None:
    with serving(platform.layout.root, num_servers=12, end_date="2023-03-31") as ui:
        assert ui.address.startswith("http://127.0.0.1:")
        assert ui.ask("query { version }")["version"]

        began = time.monotonic()
        ui.process.send_signal(signal.SIGINT)
        assert ui.process.wait(timeout=30) == 0
        assert time.monotonic() - began < 20


def test_ui_that_ends_on_its_own_tells_what_its_log_holds(platform: Platform) -> None:
    with serving(platform.layout.root, num_servers=12, end_date="2023-03-31") as ui:
        for child in psutil.Process(ui.process.pid).children(recursive=True):
            child.kill()

        assert ui.process.wait(timeout=30) == 1
    assert (platform.layout.root / ".dagster" / "ui.log").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ui_kills_what_does_not_end_and_leaves_no_timer_or_handler_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    started = []

    def deaf(*_arguments: object) -> "subprocess.Popen[bytes]":
        code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(60)"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        started.append(process)
        threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
        return process

    monkeypatch.setattr(ui, "_start", deaf)
    monkeypatch.setattr(ui, "_END_SECONDS", 1.0)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]

    assert ui.serve(DataLayout(tmp_path), port=None, environment={}, announce=print) == 0
    assert started[0].returncode == -signal.SIGKILL
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
