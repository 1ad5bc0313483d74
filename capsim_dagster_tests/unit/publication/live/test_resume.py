"""A start goes on where the archive ends: no hole, no duplicate, and no more than a day is caught up."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.live.interval import LiveFleet, Simulator
from capsim_dagster.publication.live.open_hour import Resumption, resume
from capsim_dagster_tests.support.publication.live.fleets import (
    DAY,
    FIRST,
    archived_hour,
    at,
    live_fleet,
    numbers_in,
    open_path,
    run_until,
    whole_path,
)

NEXT_DAY = DAY.replace(day=15)


@pytest.fixture(scope="module")
def fleet() -> LiveFleet:
    return live_fleet()


@pytest.fixture(scope="module")
def simulator(fleet: LiveFleet) -> Iterator[Simulator]:
    made = Simulator(fleet)
    yield made
    made.close()


def in_the_present(root: Path, simulator: Simulator, now: dt.datetime) -> Resumption:
    return resume(root, simulator, now, is_present=True)


def test_an_empty_archive_begins_with_the_hour_that_it_is(tmp_path: Path, simulator: Simulator) -> None:
    for is_present in (True, False):
        resumed = resume(tmp_path, simulator, at(3, 17), is_present=is_present)

        assert (resumed.first, resumed.start) == (FIRST + 36, at(3, 17))
        assert not resumed.is_continued


def test_what_was_missed_since_the_last_interval_is_caught_up(
    tmp_path: Path, fleet: LiveFleet, simulator: Simulator
) -> None:
    run_until(tmp_path, fleet, at(3), at(3, 25))

    resumed = in_the_present(tmp_path, simulator, at(9, 2))

    # 03:00 to 03:25 are six intervals.
    assert (resumed.first, resumed.is_continued, resumed.skipped) == (FIRST + 36 + 6, True, ())


def test_after_whole_hours_alone_it_goes_on_with_the_next_one(
    tmp_path: Path, fleet: LiveFleet, simulator: Simulator
) -> None:
    archived_hour(fleet, tmp_path, 3)

    assert in_the_present(tmp_path, simulator, at(6, 1)).first == FIRST + 48


def test_an_open_hour_before_a_whole_one_is_completed(tmp_path: Path, fleet: LiveFleet, simulator: Simulator) -> None:
    run_until(tmp_path, fleet, at(3), at(3, 25))
    archived_hour(fleet, tmp_path, 4)

    resumed = in_the_present(tmp_path, simulator, at(6, 1))

    assert resumed.first == FIRST + 60
    assert whole_path(tmp_path, 3).read_bytes() == archived_hour(fleet, tmp_path / "expected", 3)


def test_more_than_a_day_is_not_caught_up_but_the_open_hour_is_completed_and_the_days_are_named(
    tmp_path: Path, fleet: LiveFleet, simulator: Simulator
) -> None:
    run_until(tmp_path, fleet, at(3), at(3, 25))

    near = in_the_present(tmp_path, simulator, at(3, 25, NEXT_DAY))
    assert (near.first, near.skipped, open_path(tmp_path, 3).exists()) == (FIRST + 42, (), True)

    far = in_the_present(tmp_path, simulator, at(3, 30, NEXT_DAY))
    assert (far.first, far.skipped) == (FIRST + 288, (DAY,))
    assert whole_path(tmp_path, 3).read_bytes() == archived_hour(fleet, tmp_path / "expected", 3)
    assert not open_path(tmp_path, 3).exists()


def test_the_interval_that_is_there_already_is_not_written_again(
    tmp_path: Path, fleet: LiveFleet, simulator: Simulator
) -> None:
    run_until(tmp_path, fleet, at(3), at(3, 25))

    assert in_the_present(tmp_path, simulator, at(3, 27)).first == FIRST + 42


def test_a_simulation_goes_on_where_it_stopped_and_its_clock_too(
    tmp_path: Path, fleet: LiveFleet, simulator: Simulator
) -> None:
    run_until(tmp_path, fleet, at(3, 17), at(7, 40))

    resumed = resume(tmp_path, simulator, at(3, 17), is_present=False)

    assert (resumed.first, resumed.start, resumed.is_continued) == (FIRST + 7 * 12 + 9, at(7, 45), True)


def test_a_simulation_that_was_killed_before_its_start_came_still_starts_there(
    tmp_path: Path, fleet: LiveFleet, simulator: Simulator
) -> None:
    run_until(tmp_path, fleet, at(3, 17), at(3, 5))

    resumed = resume(tmp_path, simulator, at(3, 17), is_present=False)

    assert (resumed.first, resumed.start) == (FIRST + 38, at(3, 17))


def test_an_open_hour_that_a_start_does_not_come_to_is_told(
    tmp_path: Path, fleet: LiveFleet, simulator: Simulator
) -> None:
    run_until(tmp_path, fleet, at(3), at(3, 25))

    later = resume(tmp_path, simulator, at(5), is_present=False)
    assert (later.first, later.left_open) == (FIRST + 60, (DayHour(DAY, 3),))
    # The clock of the machine was set back meanwhile.
    assert in_the_present(tmp_path, simulator, at(1)).left_open == (DayHour(DAY, 3),)
    archived_hour(fleet, tmp_path, 3)
    assert resume(tmp_path, simulator, at(5), is_present=False).left_open == ()


def test_an_open_hour_that_a_run_comes_to_is_gone_on_with_and_not_written_twice(
    tmp_path: Path, fleet: LiveFleet, simulator: Simulator
) -> None:
    run_until(tmp_path, fleet, at(3), at(3, 25))

    # In the present, a clock that was set back.
    resumed = in_the_present(tmp_path, simulator, at(1))
    for number in range(resumed.first, FIRST + 49):
        resumed.writer.append(simulator.interval(number))

    assert whole_path(tmp_path, 3).read_bytes() == archived_hour(fleet, tmp_path / "expected", 3)
    assert numbers_in(tmp_path, fleet) == list(range(FIRST + 12, FIRST + 49))
    assert resumed.writer.appended == 37 - 6


def test_a_kill_between_the_new_hour_and_the_name_of_the_old_one_is_mended(tmp_path: Path, fleet: LiveFleet) -> None:
    run_until(tmp_path, fleet, at(3), at(4))
    whole_path(tmp_path, 3).rename(open_path(tmp_path, 3))

    run_until(tmp_path, fleet, at(3), at(4, 30))

    assert whole_path(tmp_path, 3).exists()
    assert numbers_in(tmp_path, fleet) == list(range(FIRST + 36, FIRST + 55))


def test_a_kill_at_the_first_interval_of_an_hour_leaves_no_trace(tmp_path: Path, fleet: LiveFleet) -> None:
    run_until(tmp_path, fleet, at(3), at(4))
    open_path(tmp_path, 4).write_bytes(open_path(tmp_path, 4).read_bytes()[:-1])

    run_until(tmp_path, fleet, at(3), at(4))

    assert numbers_in(tmp_path, fleet) == list(range(FIRST + 36, FIRST + 49))


def test_files_of_other_names_and_other_windows_are_not_looked_at(tmp_path: Path, simulator: Simulator) -> None:
    for name in (
        "20230214/24.jsonl.gz.part",
        "20230214/.03.jsonl.gz.1.2.tmp",
        "notes/03.jsonl.gz",
        "20221231/03.jsonl.gz",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")

    assert in_the_present(tmp_path, simulator, at(6, 1)).first == FIRST + 72


def test_a_start_before_the_window_is_refused(tmp_path: Path, simulator: Simulator) -> None:
    with pytest.raises(PublicationError, match="2022-12-31 23:59 lies before the fleet's window, which starts on 2023"):
        resume(tmp_path, simulator, at(23, 59, dt.date(2022, 12, 31)), is_present=False)
