"""A server that is killed at any instant, and again: no hole and no duplicate in the archive, and the same bytes."""

import time
from pathlib import Path
from typing import Final

import numpy as np

from capsim_dagster_tests.support.child_process import FORK, nursery
from capsim_dagster_tests.support.publication.live.fleets import (
    FIRST,
    archived_hour,
    at,
    live_fleet,
    numbers_in,
    run_until,
    whole_path,
)

KILLS: Final = 12
SERVE: Final = f"""
from pathlib import Path
from capsim_dagster.publication.live.serve import serve
from capsim_dagster_tests.support.publication.live.fleets import live_fleet, options_for
fleet = live_fleet()
{FORK}
serve(fleet, options_for(Path(sys.argv[1]), speed=30_000.0), lambda _line: None)
"""


def test_a_server_that_is_killed_at_any_instant_goes_on_without_a_hole_or_a_duplicate(tmp_path: Path) -> None:
    root, fleet, reached = tmp_path / "archive", live_fleet(), []
    with nursery(SERVE) as serving:
        for instant in np.random.default_rng(5).uniform(0.05, 1.2, KILLS):
            with serving.child(root):
                time.sleep(instant)
            reached.append(sum(path.stat().st_size for path in root.glob("*/*")))
    end = max(fleet.timeline.begin(FIRST + 36 + len(list(root.glob("*/*"))) * 12), at(6))
    run_until(root, fleet, at(3), end)

    assert reached == sorted(reached)
    numbers = numbers_in(root, fleet)
    assert numbers == list(range(FIRST + 36, numbers[-1] + 1))
    assert len(numbers) > 36
    for hour in (3, 4, 5):
        assert whole_path(root, hour).read_bytes() == archived_hour(fleet, tmp_path / "expected", hour)
