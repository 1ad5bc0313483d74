"""The open hour: the bytes of `capsim archive`, whole hours untouched, and any torn end mended."""

import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsim_dagster.errors import PublicationError, StorageError
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.live import open_hour
from capsim_dagster.publication.live.interval import LiveFleet, Simulator
from capsim_dagster.publication.live.open_hour import OpenArchive, mend, whole_members
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


@pytest.fixture(scope="module")
def fleet() -> LiveFleet:
    return live_fleet()


@pytest.fixture(scope="module")
def simulator(fleet: LiveFleet) -> Iterator[Simulator]:
    made = Simulator(fleet)
    yield made
    made.close()


@pytest.mark.parametrize("minutes", [5, 20])
def test_an_hour_that_was_written_live_has_the_bytes_of_the_same_hour_of_the_archive(
    tmp_path: Path, minutes: int
) -> None:
    fleet = live_fleet(minutes)
    run_until(tmp_path / "live", fleet, at(22), at(0, day=DAY.replace(day=15)))

    for hour in (22, 23):
        assert whole_path(tmp_path / "live", hour).read_bytes() == archived_hour(fleet, tmp_path / "at_once", hour)
    assert not list((tmp_path / "live" / "20230214").glob("*.part"))


def test_an_hour_stays_open_until_the_next_one_begins(tmp_path: Path, fleet: LiveFleet) -> None:
    run_until(tmp_path, fleet, at(3), at(3, 59))
    assert open_path(tmp_path, 3).exists()
    assert not whole_path(tmp_path, 3).exists()

    run_until(tmp_path, fleet, at(3), at(4))
    assert not open_path(tmp_path, 3).exists()
    assert whole_path(tmp_path, 3).exists()
    assert open_path(tmp_path, 4).exists()


def test_the_next_hour_is_begun_before_the_last_one_gets_its_name(
    tmp_path: Path, fleet: LiveFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(_root: Path, _hour: DayHour) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(open_hour, "close_hour", kill)
    with pytest.raises(KeyboardInterrupt):
        run_until(tmp_path, fleet, at(3), at(4))

    assert (open_path(tmp_path, 3).exists(), open_path(tmp_path, 4).exists()) == (True, True)


def test_an_hour_that_is_whole_is_left_alone(tmp_path: Path, fleet: LiveFleet) -> None:
    archived_hour(fleet, tmp_path, 3)
    before = whole_path(tmp_path, 3).stat().st_mtime_ns

    resumed = run_until(tmp_path, fleet, at(3), at(4, 5))

    assert whole_path(tmp_path, 3).stat().st_mtime_ns == before
    assert not open_path(tmp_path, 3).exists()
    assert resumed.writer.appended == 2
    assert numbers_in(tmp_path, fleet) == list(range(FIRST + 36, FIRST + 50))


@settings(max_examples=12)
@given(share=st.floats(0, 1), garbage=st.binary(max_size=40))
def test_an_open_hour_that_is_torn_anywhere_is_completed_to_the_same_bytes(
    simulator: Simulator, share: float, garbage: bytes
) -> None:
    hour = DayHour(DAY, 3)
    members = [simulator.interval(FIRST + 36 + place).member for place in range(12)]
    content = b"".join(members)
    size = round(share * len(content))
    with tempfile.TemporaryDirectory() as folder:
        path = hour.open_path(Path(folder))
        path.parent.mkdir()
        path.write_bytes(content[:size] + garbage)
        kept = mend(Path(folder), simulator, hour)
        mended = path.read_bytes()
        OpenArchive(Path(folder), simulator).finish(hour, kept)

        assert mended == b"".join(members[:kept])
        assert len(mended) <= size
        assert kept == 12 or size < len(mended) + len(members[kept])
        assert hour.whole_path(Path(folder)).read_bytes() == content


def test_an_open_hour_with_samples_of_another_fleet_is_refused_and_not_touched(
    tmp_path: Path, simulator: Simulator
) -> None:
    run_until(tmp_path, live_fleet(random_seed=7), at(3), at(3, 10))
    before = open_path(tmp_path, 3).read_bytes()

    with pytest.raises(PublicationError, match="holds other samples than this fleet's, from its interval 1 on"):
        mend(tmp_path, simulator, DayHour(DAY, 3))

    assert open_path(tmp_path, 3).read_bytes() == before


def test_an_open_hour_with_more_than_an_hour_in_it_is_refused(tmp_path: Path, simulator: Simulator) -> None:
    members = [simulator.interval(FIRST + 36 + place).member for place in range(12)]
    open_path(tmp_path, 3).parent.mkdir()
    open_path(tmp_path, 3).write_bytes(b"".join([*members, members[0]]))

    with pytest.raises(PublicationError, match="from its interval 13 on"):
        mend(tmp_path, simulator, DayHour(DAY, 3))


def test_a_disk_that_refuses_is_an_error_that_says_so(tmp_path: Path, simulator: Simulator) -> None:
    (tmp_path / "20230214").write_text("no folder")

    with pytest.raises(StorageError, match=r"03\.jsonl\.gz\.part cannot be written"):
        OpenArchive(tmp_path, simulator).append(simulator.interval(FIRST + 36))


def test_members_are_told_apart_up_to_the_first_that_is_not_whole() -> None:
    one, two = gzip.compress(b"one", mtime=0), gzip.compress(b"two", mtime=0)

    assert list(whole_members(one + two)) == [(len(one), b"one"), (len(one + two), b"two")]
    assert list(whole_members(one + two[:-1])) == [(len(one), b"one")]
    assert list(whole_members(one + b"\0\0\0")) == [(len(one), b"one")]
    assert list(whole_members(b"")) == []
