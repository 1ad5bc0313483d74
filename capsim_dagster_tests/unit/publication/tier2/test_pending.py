"""Which hours are to be published: late and corrected ones too, and none that is published or not over."""

import datetime as dt
import os
from pathlib import Path

import pytest

from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.tier2.export import pending_hours
from capsim_dagster_tests.support.publication.days import DAY, NOW, START, hour_file
from capsim_dagster_tests.support.publication.tier2.hours import HOUR, OVER, export, site, write

THIS = DayHour(DAY, HOUR)
BEFORE = DAY - dt.timedelta(days=1)


def pending(root: Path, *days: dt.date, now: dt.datetime = NOW) -> list[DayHour]:
    return pending_hours(site(root), days or [DAY], now=now)


def test_an_hour_is_pending_until_it_is_published(archive: Path) -> None:
    assert pending(archive) == [THIS]
    export(archive)
    assert pending(archive) == []


def test_an_hour_is_not_pending_before_it_is_over(archive: Path) -> None:
    assert pending(archive, now=OVER - dt.timedelta(microseconds=1)) == []
    assert pending(archive, now=OVER) == [THIS]


def test_a_late_hour_is_picked_up_and_hours_come_in_their_order(archive: Path, hour: Path) -> None:
    assert hour.is_dir()
    for number, day in ((23, BEFORE), (4, DAY), (0, DAY), (3, BEFORE)):
        write(archive, number, day)

    expected = [DayHour(BEFORE, 3), DayHour(BEFORE, 23), DayHour(DAY, 0), DayHour(DAY, 4)]
    assert pending(archive, DAY, BEFORE, DAY) == expected


@pytest.mark.parametrize("keeps_size", [True, False], ids=["same size and time", "another size"])
def test_a_corrected_hour_is_picked_up_by_its_content(keeps_size: bool, archive: Path, hour: Path) -> None:
    assert hour.is_dir()
    path = hour_file(archive, HOUR)
    at, content = path.stat(), path.read_bytes()
    # The fifth byte of a gzip member is its time, which readers pass over.
    path.write_bytes(content[:4] + b"\1" + content[5:] if keeps_size else content + content)
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))

    assert pending(archive) == [THIS]
    if keeps_size:
        assert path.stat().st_size == at.st_size
        export(archive)
        assert pending(archive) == []


def test_a_file_that_was_written_again_with_the_same_content_is_not_pending(archive: Path, hour: Path) -> None:
    assert hour.is_dir()
    path = hour_file(archive, HOUR)
    os.utime(path, (0, 0))

    assert pending(archive) == []


@pytest.mark.parametrize("name", ["data.parquet", "manifest.json"])
def test_an_hour_whose_published_files_are_damaged_or_lost_is_pending(name: str, archive: Path, hour: Path) -> None:
    (hour / name).write_bytes((hour / name).read_bytes()[:-1])
    assert pending(archive) == [THIS]
    (hour / name).unlink()
    assert pending(archive) == [THIS]


def test_the_hour_of_another_folder_does_not_count_as_published(archive: Path, hour: Path) -> None:
    path = hour_file(archive, HOUR)
    path.rename(hour_file(archive, 4))
    hour.rename(hour.with_name("04"))

    assert pending(archive) == [DayHour(DAY, 4)]


@pytest.mark.parametrize("suffix", [".part", ".tmp"])
def test_an_open_hour_and_an_empty_file_are_not_pending(suffix: str, archive: Path) -> None:
    path = hour_file(archive, HOUR)
    path.rename(path.with_name(path.name + suffix))
    assert pending(archive) == []
    path.write_bytes(b"")
    assert pending(archive) == []


def test_a_day_before_the_window_has_no_pending_hour(tmp_path: Path) -> None:
    write(tmp_path, day=START - dt.timedelta(days=1))

    assert pending(tmp_path, START - dt.timedelta(days=1)) == []


def test_an_archive_that_is_not_there_has_no_pending_hour(tmp_path: Path) -> None:
    assert pending(tmp_path) == []
