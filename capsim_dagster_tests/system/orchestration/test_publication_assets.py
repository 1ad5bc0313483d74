"""Days and hours by their jobs: archived, published and judged one by one; what is refused stays as it was."""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from capsim_dagster.audits.report import Findings
from capsim_dagster.orchestration.keys import DATED, TIER1_REALTIME, every_check
from capsim_dagster.orchestration.months import day_of, hour_of
from capsim_dagster.orchestration.states import State
from capsim_dagster.orchestration.status import read_status
from capsim_dagster.pipeline import publication
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.publication.hour_files import ArchiveHour, hour_path, inspect_day
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.verify import verify_hour
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster_tests.support.orchestration.dataset_sabotages import (
    edit_manifest,
    raise_values,
    seal,
    truncate_data,
)
from capsim_dagster_tests.support.orchestration.fixtures import TODAY, failure_texts
from capsim_dagster_tests.support.orchestration.published_days import (
    DAY,
    LINES,
    NEXT_DAY,
    Publishing,
    publishing,
    publishing_platform,
    verdicts,
)
from capsim_dagster_tests.support.sabotage import files_under

Damage = Callable[[Path], None]
OF_ARCHIVE = {check.name for check in every_check() if check.asset_key == dg.AssetKey("hourly_archive")}
OF_TIER3 = {check.name for check in every_check() if check.asset_key == dg.AssetKey("tier3_daily")}
OF_TIER2 = {check.name for check in every_check() if check.asset_key == dg.AssetKey("tier2_hourly")}
RED_IN_TIER3: dict[str, Damage] = {
    "manifest_is_sound": edit_manifest,
    "bytes_are_those_of_the_manifest": truncate_data,
    "rows_are_those_of_the_manifest": partial(seal, kind=DayManifest, hosts=13),
    "rows_are_samples": partial(raise_values, kind=DayManifest, column="cpu", by=1_000.0),
    "p95_is_that_of_the_master": partial(raise_values, kind=DayManifest, column="cpu", by=0.5),
}
RED_IN_TIER2: dict[str, Damage] = {
    "manifest_is_sound": edit_manifest,
    "bytes_are_those_of_the_manifest": truncate_data,
    "rows_are_those_of_the_manifest": partial(seal, kind=HourManifest, hosts=13),
    "rows_are_aggregates": partial(raise_values, kind=HourManifest, column="mean", by=60.0),
}
SHOWN_ELSEWHERE = {"null_ratios_are_within_bounds", "agrees_with_tier2", "agrees_with_tier3"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Publishing]:
    """Return a place of which nothing has been made yet, not even a master."""
    with publishing(publishing_platform(tmp_path / "data")) as made:
        yield made


@pytest.fixture(scope="module")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish a day and two of its hours once."""
    data_dir = tmp_path_factory.mktemp("published") / "data"
    with publishing(publishing_platform(data_dir)) as place:
        assert place.run("daily_publication", DAY).success
        assert place.run("hourly_publication", f"{DAY}-07:00", f"{DAY}-08:00").success
    return data_dir


@pytest.fixture
def published(_published: Path, tmp_path: Path) -> Iterator[Publishing]:
    """Return a place in whose folders a day and two of its hours are, of which no run is recorded."""
    shutil.copytree(_published, tmp_path / "data")
    with publishing(publishing_platform(tmp_path / "data")) as made:
        yield made


def folder_of(place: Publishing, asset: str, key: str) -> Path:
    folder = place.platform.layout.output / asset / str(day_of(key))
    return folder / f"{hour_of(key):02d}" if asset == "tier2_hourly" else folder


def damaged(real: Callable[..., Findings], damages: Mapping[str, Damage]) -> Callable[..., Findings]:
    """Return a verifier before whose look each dataset is damaged in a way of its own, by the name of its folder."""

    def verify(folder: Path, **options: object) -> Findings:
        damages[folder.name](folder)
        return real(folder, **options)

    return verify


def test_a_range_of_days_is_archived_and_published_as_one_run_each_with_its_rows_and_verdicts(
    place: Publishing,
) -> None:
    result = place.run("daily_publication", DAY, NEXT_DAY)

    assert result.success
    expected = {("hourly_archive", name) for name in OF_ARCHIVE} | {("tier3_daily", name) for name in OF_TIER3}
    assert verdicts(result) == {(*check, key): True for check in expected for key in (DAY, NEXT_DAY)}
    for asset in ("hourly_archive", "tier3_daily"):
        assert place.there(asset) == {DAY, NEXT_DAY}
    events = [event for event in result.get_asset_materialization_events() if event.partition]
    rows = [event.materialization.metadata["dagster/partition_row_count"].value for event in events]
    assert rows == [LINES] * 4
    assert place.instance.get_runs_count() == 1


def test_hours_agree_with_the_day_that_is_published_before_or_after_them(published: Publishing) -> None:
    hours = published.run("hourly_publication", f"{DAY}-07:00", f"{DAY}-10:00")
    day = published.run("daily_publication", DAY, "", "tier3_daily")

    assert hours.success
    assert day.success
    hour_keys = [f"{DAY}-{hour:02d}:00" for hour in range(7, 11)]
    assert verdicts(hours) == {("tier2_hourly", name, key): True for name in OF_TIER2 for key in hour_keys}
    (compared,) = [
        event.asset_check_evaluation_data.metadata["hours_compared"].value
        for event in day.all_events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        and event.asset_check_evaluation_data.check_name == "agrees_with_tier2"
    ]
    assert compared == 4


def test_publishing_twice_touches_no_file(published: Publishing) -> None:
    root = published.platform.layout.root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}

    assert published.run("daily_publication", DAY).success
    assert published.run("hourly_publication", f"{DAY}-07:00", f"{DAY}-08:00").success

    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before


def test_a_day_that_is_refused_keeps_none_of_the_others_from_being_published(place: Publishing) -> None:
    in_the_way = folder_of(place, "tier3_daily", DAY)
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("no folder")

    result = place.run("daily_publication", DAY, NEXT_DAY)

    assert not result.success
    assert str(in_the_way) in failure_texts(result)[0]
    assert place.there("hourly_archive") == {DAY, NEXT_DAY}
    assert place.there("tier3_daily") == {NEXT_DAY}
    found = read_status(place.definitions, place.instance, today=TODAY).publication
    (status,) = [each for each in found if each.keys_in(State.FAILED)]
    assert (status.asset, status.partitions) == ("tier3_daily", {DAY: State.FAILED, NEXT_DAY: State.MATERIALIZED})


@pytest.mark.parametrize(("most", "made"), [(2, True), (1, False)])
def test_a_run_that_asks_for_more_days_than_it_may_make_makes_none(tmp_path: Path, most: int, made: bool) -> None:
    platform = publishing_platform(tmp_path / "data", automation={"max_days_per_run": most})
    with publishing(platform) as place:
        result = place.run("daily_publication", DAY, NEXT_DAY)

    assert result.success is made
    assert platform.layout.archive.exists() is made
    assert made or "raise automation.max_days_per_run" in failure_texts(result)[0]


def test_samples_whose_p95_is_not_the_masters_are_refused_before_anything_is_written(place: Publishing) -> None:
    assert place.run("daily_publication", DAY, "", "hourly_archive").success
    settings = place.platform.settings
    other = settings.model_copy(
        update={"data_generation": settings.data_generation.model_copy(update={"random_seed": 7})}
    )

    with publishing(Platform(other)) as stranger:
        result = stranger.run("daily_publication", DAY, "", "tier3_daily")

    assert not result.success
    assert "is not that of the master" in failure_texts(result)[0]
    assert not folder_of(place, "tier3_daily", DAY).exists()


def test_each_damage_to_a_day_turns_its_check_red_and_fails_the_run(
    published: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = dt.date.fromisoformat(DAY)
    days = {str(first + dt.timedelta(days=index)): name for index, name in enumerate(RED_IN_TIER3)}
    assert published.run("daily_publication", DAY, max(days), "hourly_archive").success
    damages = {day: RED_IN_TIER3[name] for day, name in days.items()}
    monkeypatch.setattr(publication, "verify_dataset", damaged(verify_dataset, damages))

    result = published.run("daily_publication", DAY, max(days), "tier3_daily")

    assert not result.success
    found = verdicts(result)
    assert {day: found["tier3_daily", name, day] for day, name in days.items()} == dict.fromkeys(days, False)


def test_each_damage_to_an_hour_turns_its_check_red_and_fails_the_run(
    published: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = {f"{hour:02d}": name for hour, name in enumerate(RED_IN_TIER2, 7)}
    damages = {hour: RED_IN_TIER2[name] for hour, name in hours.items()}
    monkeypatch.setattr(publication, "verify_hour", damaged(verify_hour, damages))

    result = published.run("hourly_publication", f"{DAY}-07:00", f"{DAY}-{max(hours)}:00")

    assert not result.success
    found = verdicts(result)
    assert {hour: found["tier2_hourly", name, f"{DAY}-{hour}:00"] for hour, name in hours.items()} == dict.fromkeys(
        hours, False
    )


def test_more_nulls_than_are_allowed_turn_their_check_red(published: Publishing) -> None:
    strict = publishing_platform(published.platform.layout.root, publication={"max_null_share": 0.0})

    with publishing(strict) as place:
        found = verdicts(place.run("daily_publication", DAY, "", "tier3_daily"))

    assert [check for check, passed in found.items() if not passed] == [
        ("tier3_daily", "null_ratios_are_within_bounds", DAY)
    ]


def test_an_hour_of_other_values_than_the_day_turns_the_check_of_both_red(published: Publishing) -> None:
    raise_values(folder_of(published, "tier2_hourly", f"{DAY}-07:00"), HourManifest, "mean", 0.001)
    of_day = published.run("daily_publication", DAY, "", "tier3_daily")
    raise_values(folder_of(published, "tier3_daily", DAY), DayManifest, "cpu", 0.001)
    of_hour = published.run("hourly_publication", f"{DAY}-08:00")

    assert verdicts(of_day)["tier3_daily", "agrees_with_tier2", DAY] is False
    assert verdicts(of_hour)["tier2_hourly", "agrees_with_tier3", f"{DAY}-08:00"] is False


def test_every_check_of_published_datasets_is_shown_red_by_some_damage() -> None:
    assert RED_IN_TIER3.keys() | RED_IN_TIER2.keys() | SHOWN_ELSEWHERE == OF_TIER3 | OF_TIER2


def test_a_day_whose_archive_failed_its_check_is_refused_in_this_run_and_later_until_it_is_made_again(
    place: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_an_hour(root: Path, day: dt.date) -> Sequence[ArchiveHour]:
        hour_path(root, dt.date.fromisoformat(DAY), 5).unlink(missing_ok=True)
        return inspect_day(root, day)

    with monkeypatch.context() as patched:
        patched.setattr(publication, "inspect_day", without_an_hour)
        broken = place.run("daily_publication", DAY, NEXT_DAY)
    later = place.run("daily_publication", DAY, "", "tier3_daily")

    assert verdicts(broken)["hourly_archive", "row_parity", DAY] is False
    assert verdicts(broken)["hourly_archive", "row_parity", NEXT_DAY] is True
    assert place.there("tier3_daily") == {NEXT_DAY}
    for result in (broken, later):
        assert "its archive did not pass its checks" in failure_texts(result)[0]
    assert place.run("daily_publication", DAY).success
    assert place.there("tier3_daily") == {DAY, NEXT_DAY}


def test_an_archive_alone_that_fails_its_check_fails_its_run(
    place: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "inspect_day", lambda root, day: inspect_day(root / "elsewhere", day))

    assert not place.run("daily_publication", DAY, "", "hourly_archive").success


def test_the_refresh_of_months_leaves_publication_alone(place: Publishing) -> None:
    selected = place.definitions.resolve_job_def("full_refresh").asset_layer.selected_asset_keys

    assert not selected & {*DATED, TIER1_REALTIME}


def test_days_of_a_fleet_that_is_replaced_are_forgotten_and_their_files_stay(
    published: Publishing, instance: dg.DagsterInstance
) -> None:
    # Dagster's instance in memory cannot forget partitions.
    published = Publishing(published.platform, instance)
    for asset, key in (("hourly_archive", DAY), ("tier2_hourly", f"{DAY}-07:00")):
        published.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))
    published.instance.report_runless_asset_event(
        dg.AssetMaterialization("host_inventory", tags={"dagster/data_version": "another fleet"})
    )
    before = files_under(published.platform.layout.output)

    result = published.run("full_refresh", "2023-01-01", "", "host_inventory")

    assert result.success
    assert (published.there("hourly_archive"), published.there("tier2_hourly")) == (set(), set())
    assert files_under(published.platform.layout.output) == before


def test_observing_the_live_fleet_shows_its_latest_interval(place: Publishing) -> None:
    job = place.definitions.resolve_implicit_global_asset_job_def()

    def observed() -> Mapping[str, dg.MetadataValue[Any]]:
        result = job.execute_in_process(instance=place.instance, asset_selection=[TIER1_REALTIME])
        (event,) = result.get_asset_observation_events()
        return event.asset_observation_data.asset_observation.metadata

    nothing = observed()
    assert place.run("daily_publication", DAY, "", "hourly_archive").success
    found = observed()

    assert "nothing is archived yet" in nothing["state"].value
    midnight = dt.datetime.combine(day_of(NEXT_DAY), dt.time(), tzinfo=dt.UTC)
    assert found["latest_interval"].value == (midnight - dt.timedelta(minutes=30)).timestamp()
    assert (found["hosts"].value, found["intervals_in_the_hour"].value) == (12, 2)
