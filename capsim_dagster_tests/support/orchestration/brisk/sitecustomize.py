"""What a process of a served UI does first: its daemon looks at backfills and sensors every few seconds.

By itself it looks every half minute, and a test would do nothing but wait for it. All else is as users have it.
"""

import sys
from typing import Final

_EVERY_SECONDS: Final = 5

if "dagster._daemon" in sys.orig_argv:
    from dagster._core.remote_representation.external import RemoteSensor
    from dagster._daemon import controller

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = _EVERY_SECONDS
    RemoteSensor.min_interval_seconds = property(lambda _sensor: _EVERY_SECONDS)  # type: ignore[method-assign, assignment]
