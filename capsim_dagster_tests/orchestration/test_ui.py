import signal
import time

import psutil
import pytest

from capsim_dagster.pipeline.platform import Platform
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
