"""Where hours lie by the settings, and what an hour is."""

import datetime as dt
from pathlib import Path

from capsim_dagster.publication.dataset.export import site_of
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.tier2.export import hours_of
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.publication.days import DAY


def test_hours_lie_in_the_data_directory_and_come_from_the_same_archive_as_days(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)
    hourly, daily = site_of(settings, HourManifest), site_of(settings, DayManifest)

    assert hourly.output_root / DayHour(DAY, 7).place == tmp_path / "output" / "tier2_hourly" / "2026-01-15" / "07"
    assert DayHour(DAY, 7).whole_path(hourly.archive_root) == tmp_path / "archive" / "20260115" / "07.jsonl.gz"
    assert (hourly.archive_root, hourly.provenance, hourly.rule) == (daily.archive_root, daily.provenance, daily.rule)


def test_the_seed_of_the_settings_is_that_of_the_manifest(tmp_path: Path) -> None:
    first, second = (site_of(small_settings(tmp_path, random_seed=seed), HourManifest).provenance for seed in (1, 2))

    assert (first.seed, second.seed) == (1, 2)
    assert first.settings_hash != second.settings_hash


def test_a_day_has_24_hours_that_follow_each_other() -> None:
    hours = hours_of(DAY)

    assert [hour.start - hours[0].start for hour in hours] == [dt.timedelta(hours=n) for n in range(24)]
    assert sorted([*hours[12:], *hours[:12]]) == hours
    assert str(hours[7]) == "2026-01-15 07:00"
