"""The feed sensor: which months it asks for, and what it says when it asks for none."""

import datetime as dt
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from capsim_dagster.definitions import build_definitions
from capsim_dagster.legacy_feed import contract
from capsim_dagster.orchestration.feed import feed_sensor
from capsim_dagster.orchestration.keys import PROCESSED_DATA
from capsim_dagster.orchestration.months import key_of, month_of
from capsim_dagster.orchestration.partitions import monthly_partitions
from capsim_dagster.pipeline import feed_watch
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import MakeSettings
from capsim_dagster_tests.support.foreign_feed import expected_rows, file_of, foreign_platform, refined, write_feed
from capsim_dagster_tests.support.orchestration.month_states import check_states
from capsim_dagster_tests.support.orchestration.reported import asking_for
from capsim_dagster_tests.support.sabotage import change_lines, rows_in

TODAY = dt.date(2025, 1, 15)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
YEAR = [202401 + index for index in range(12)]


@dataclass
class Ticking:
    """A sensor that ticks when it is told, with the cursor that its last tick left."""

    platform: Platform
    instance: dg.DagsterInstance
    cursor: str | None = None

    def tick(self) -> list[dg.RunRequest] | str:
        """Return the requests, or why there is none."""
        months = monthly_partitions(self.platform.generation, today=TODAY)
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, sensor_name="feed_sensor")
        with context:
            result = feed_sensor(self.platform, months)(context)
        if isinstance(result, dg.SkipReason):
            return str(result.skip_message)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return list(result.run_requests or []) or str(result.skip_reason.skip_message if result.skip_reason else "")

    def settle(self) -> "Ticking":
        self.tick()
        self.tick()
        return self


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    return write_feed(tmp_path / "exports")


@pytest.fixture
def sensor(tmp_path: Path, exports: Path, instance: dg.DagsterInstance) -> Ticking:
    return Ticking(foreign_platform(tmp_path / "work", exports), instance)


def with_automation(platform: Platform, **automation: int | None) -> Platform:
    changed = platform.settings.automation.model_copy(update=automation)
    return Platform(platform.settings.model_copy(update={"automation": changed}))


def asked(found: list[dg.RunRequest] | str) -> list[tuple[str, str]]:
    """Return the first and the last month of each request."""
    assert not isinstance(found, str), found
    return [(request.tags[START][:7], request.tags[END][:7]) for request in found]


def keys(found: list[dg.RunRequest] | str) -> list[str | None]:
    assert not isinstance(found, str), found
    return [request.run_key for request in found]


def report_loaded(instance: dg.DagsterInstance, months: Sequence[int]) -> None:
    for month in months:
        instance.report_runless_asset_event(dg.AssetMaterialization(PROCESSED_DATA, partition=key_of(month)))


def run_requested(sensor: Ticking, found: list[dg.RunRequest] | str) -> dg.ExecuteInProcessResult:
    """Do what the one request asks for, in this process."""
    assert not isinstance(found, str), found
    (request,) = found
    job = build_definitions(sensor.platform.settings, today=TODAY).resolve_job_def("refine_feed")
    return job.execute_in_process(
        instance=sensor.instance, tags=dict(request.tags), run_config=QUIET, raise_on_error=False
    )


def loaded_by(result: dg.ExecuteInProcessResult) -> list[int]:
    """Return the months that a run loaded."""
    events = result.asset_materializations_for_node("processed_data")
    return [month_of(event.partition) for event in events if event.partition]


def states(sensor: Ticking) -> dict[str, str]:
    months = monthly_partitions(sensor.platform.generation, today=TODAY)
    found = sensor.instance.get_status_by_partition(PROCESSED_DATA, ["2024-05-01", "2024-06-01"], months) or {}
    return {key[:7]: status.name for key, status in found.items() if status}


def reconciled(sensor: Ticking) -> dict[int, str]:
    return check_states(sensor.instance, "processed_data", "reconciliation")


def test_sensor_is_defined_stopped_and_teaches_with_and_without_a_feed(
    make_settings: MakeSettings, sensor: Ticking
) -> None:
    for settings in (make_settings(), sensor.platform.settings):
        found = build_definitions(settings, today=TODAY).resolve_sensor_def("feed_sensor")
        assert found.job_name == "refine_feed"
        assert found.minimum_interval_seconds == 30
        assert found.default_status is dg.DefaultSensorStatus.STOPPED
        assert "two ticks in a row" in (found.description or "")


def test_sensor_without_a_feed_says_how_to_name_one(make_settings: MakeSettings, instance: dg.DagsterInstance) -> None:
    found = Ticking(Platform(make_settings()), instance).tick()

    assert "set refinery.feed_dir (CAPSIM__REFINERY__FEED_DIR)" in found


def test_second_tick_asks_for_every_month_as_one_range(sensor: Ticking) -> None:
    first, second, third = (sensor.tick() for _ in range(3))

    assert isinstance(first, str)
    assert first.startswith("2024-05 to 2024-06: waiting for files to come to rest")
    assert asked(second) == [("2024-05", "2024-06")]
    assert third == f"6 files under {sensor.platform.refined.root} are as they were"


def test_months_that_are_not_in_a_row_are_a_run_each(sensor: Ticking, exports: Path) -> None:
    write_feed(exports, [202403, 202408])
    sensor.tick()

    assert asked(sensor.tick()) == [("2024-03", "2024-03"), ("2024-05", "2024-06"), ("2024-08", "2024-08")]


def test_ranges_are_cut_into_runs_of_the_months_that_one_may_have(sensor: Ticking, exports: Path) -> None:
    write_feed(exports, YEAR)
    sensor.platform = with_automation(sensor.platform, max_months_per_run=5)
    sensor.tick()

    assert asked(sensor.tick()) == [("2024-01", "2024-05"), ("2024-06", "2024-10"), ("2024-11", "2024-12")]


def test_tick_that_is_repeated_names_the_same_runs(sensor: Ticking) -> None:
    sensor.tick()
    cursor = sensor.cursor
    first = sensor.tick()
    sensor.cursor = cursor

    assert keys(sensor.tick()) == keys(first)
    (key,) = keys(first)
    assert str(key).startswith("2024-05 to 2024-06 ")


def test_changed_month_is_the_only_one_that_is_loaded_again(sensor: Ticking, exports: Path) -> None:
    sensor.tick()
    assert loaded_by(run_requested(sensor, sensor.tick())) == [202405, 202406]
    change_lines(file_of(exports, 202406), lambda lines: [line.replace(";FRA", ";MUC") for line in lines[:-1]])
    sensor.tick()

    result = run_requested(sensor, sensor.tick())

    assert result.success
    assert loaded_by(result) == [202406]
    with sensor.platform.reading() as connection:
        query = "SELECT yearmonth, resource FROM feed_files WHERE run = ?"
        assert connection.execute(query, [result.run_id]).fetchall() == [(202406, "cpu")]
    assert len(rows_in(sensor.platform, "processed_data")) == len(expected_rows()) - 1
    assert sensor.tick() == f"6 files under {exports} are as they were"


def test_removed_file_turns_its_month_red_and_its_return_green(sensor: Ticking, exports: Path) -> None:
    sensor.tick()
    run_requested(sensor, sensor.tick())
    assert states(sensor) == {"2024-05": "MATERIALIZED", "2024-06": "MATERIALIZED"}

    away = file_of(exports, 202406).rename(exports / "away")
    sensor.tick()
    removed = sensor.tick()
    assert asked(removed) == [("2024-06", "2024-06")]
    assert not run_requested(sensor, removed).success
    assert states(sensor) == {"2024-05": "MATERIALIZED", "2024-06": "FAILED"}
    assert reconciled(sensor) == {202405: "SUCCEEDED", 202406: "FAILED"}

    away.rename(file_of(exports, 202406))
    sensor.tick()
    restored = sensor.tick()
    assert set(keys(restored)).isdisjoint(keys(removed))
    assert run_requested(sensor, restored).success
    assert states(sensor) == {"2024-05": "MATERIALIZED", "2024-06": "MATERIALIZED"}
    assert reconciled(sensor) == {202405: "SUCCEEDED", 202406: "SUCCEEDED"}
    assert rows_in(sensor.platform, "processed_data") == expected_rows()


def test_folder_that_is_gone_asks_for_nothing_and_keeps_the_cursor(sensor: Ticking, exports: Path) -> None:
    sensor.settle()
    before = sensor.cursor
    away = exports.rename(exports.with_name("unmounted"))
    gone = [sensor.tick() for _ in range(3)]
    exports.mkdir()
    empty = sensor.tick()

    assert set(gone) == {
        f"nothing is asked for while the feed cannot be seen: no folder {exports}\n"
        "  -> name the root of a feed: capsim refine --feed DIR"
    }
    assert f"none of the 0 files under {exports} is in the layout, e.g. 2024-01/CPU.csv" in empty
    assert sensor.cursor == before
    exports.rmdir()
    away.rename(exports)
    assert "are as they were" in sensor.tick()


def test_feed_of_resources_that_are_not_in_use_is_named_so(sensor: Ticking, exports: Path) -> None:
    shutil.rmtree(exports)
    (exports / "2024-05").mkdir(parents=True)
    (exports / "2024-05" / "NET.csv").write_text("")

    assert sensor.tick() == f"no file of the resources in use (refinery.resources) under {exports}"


def test_files_with_names_that_are_no_text_do_not_break_the_tick(sensor: Ticking, exports: Path) -> None:
    shutil.rmtree(exports)
    exports.mkdir()
    (exports / "caf\udce9.csv").write_text("")

    found = sensor.tick()

    assert isinstance(found, str)
    assert "caf\\udce9.csv" in found
    found.encode()


def test_feed_that_cannot_be_read_is_a_reason_and_not_an_exception(
    sensor: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(path: Path | str) -> PermissionError:
        return PermissionError(13, "Permission denied", str(path))

    def refuse(path: Path) -> str:
        raise refusal(path)

    monkeypatch.setattr(feed_watch, "sha256", refuse)
    sensor.tick()
    unread = sensor.tick()
    monkeypatch.setattr(contract, "_listed", lambda folder, on_error: on_error(refusal(folder)) or [])
    unlisted = sensor.tick()

    assert "CPU.csv: Permission denied" in unread
    assert "nothing is asked for while the feed cannot be seen: [Errno 13] Permission denied" in unlisted


def test_months_that_are_loaded_already_are_not_asked_for_by_a_new_watch(sensor: Ticking) -> None:
    refined(sensor.platform)
    report_loaded(sensor.instance, [202405])

    sensor.tick()

    assert asked(sensor.tick()) == [("2024-06", "2024-06")]


def test_new_watch_over_a_loaded_feed_asks_for_nothing(sensor: Ticking) -> None:
    refined(sensor.platform)
    report_loaded(sensor.instance, [202405, 202406])

    sensor.tick()

    assert sensor.tick() == "2024-05 to 2024-06: the table holds these files already"


def test_new_watch_asks_for_a_loaded_month_whose_files_have_changed_since(sensor: Ticking, exports: Path) -> None:
    refined(sensor.platform)
    report_loaded(sensor.instance, [202405, 202406])
    change_lines(file_of(exports, 202406), lambda lines: lines[:-1])

    sensor.tick()

    assert asked(sensor.tick()) == [("2024-06", "2024-06")]


def test_new_watch_asks_for_a_month_whose_last_try_failed(sensor: Ticking) -> None:
    refined(sensor.platform)
    report_loaded(sensor.instance, [202405, 202406])
    job = build_definitions(sensor.platform.settings, today=TODAY).resolve_job_def("refine_feed")
    sensor.instance.report_run_failed(sensor.instance.create_run_for_job(job, tags=asking_for([202405])))

    sensor.tick()

    assert asked(sensor.tick()) == [("2024-05", "2024-05")]


@pytest.mark.parametrize("damage", ["{", '{"version": 0}', "an older form"])
def test_damaged_cursor_is_a_warning_and_a_watch_from_the_start(
    sensor: Ticking, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor.tick()
    before = keys(sensor.tick())
    sensor.cursor = damage

    sensor.tick()

    assert "WARNING - the cursor is damaged, or of another version of capsim" in capsys.readouterr().err
    again = sensor.tick()
    assert asked(again) == [("2024-05", "2024-06")]
    assert set(keys(again)).isdisjoint(before)


def test_cursor_of_another_feed_is_a_watch_from_the_start(
    sensor: Ticking, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor.settle()
    sensor.platform = foreign_platform(tmp_path / "work", write_feed(tmp_path / "other", [202407]))

    sensor.tick()

    assert "every month is looked at anew" in capsys.readouterr().err
    assert asked(sensor.tick()) == [("2024-07", "2024-07")]


def test_months_outside_the_partitions_are_named_with_what_to_change(
    sensor: Ticking, exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_feed(exports, [202211, 202212, 209912])
    sensor.tick()

    found = sensor.tick()
    logged = capsys.readouterr().err
    reason = sensor.tick()

    assert asked(found) == [("2024-05", "2024-06")]
    for text in (logged, reason):
        assert "2022-11 to 2022-12: asked for once they are partitions -> reload the definitions" in text
        assert "2099-12: not over yet; asked for when it is" in text


def test_request_is_accepted_by_the_definitions(sensor: Ticking) -> None:
    definitions = build_definitions(sensor.platform.settings, today=TODAY)
    found = definitions.resolve_sensor_def("feed_sensor")
    repository = definitions.get_repository_def()
    cursor = None
    for _ in range(2):
        with dg.build_sensor_context(
            instance=sensor.instance, cursor=cursor, repository_def=repository, sensor_name="feed_sensor"
        ) as context:
            data = found.evaluate_tick(context)
        cursor = data.cursor

    (request,) = data.run_requests or []
    assert (request.tags[START], request.tags[END]) == ("2024-05-01", "2024-06-01")
