"""A person operates the fleet from the UI: real web server, daemon and run processes, asked through GraphQL.

After each act every month, day and hour must show its own state, of the asset and of its checks.
"""

import datetime as dt
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from capsim_dagster.orchestration.months import hour_key
from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.months import months_between, yearmonth
from capsim_dagster.settings import load_settings
from capsim_dagster_tests.conftest import CONFIG, ROOT
from capsim_dagster_tests.support.foreign_feed import OTHER_TOOL, file_of, write_feed
from capsim_dagster_tests.support.orchestration.server import Server, serving, wait

FLEET: dict[str, Any] = {"num_servers": 12, "start_date": "2023-01-01", "end_date": "2025-12-31"}
SETTINGS = f"base: {CONFIG}\narchive: {{interval_minutes: 30}}\npublication: {{max_null_share: 0.5}}\n"
FEED = [f"monthly_csv/{name}" for name in ("cpu", "memory", "disk", "network")]
TABLE_CHECKS = ("hosts_are_known", "keys_are_unique", "reconciliation", "row_parity")
SENSOR_SECONDS = 240
"""A file counts once it has rested for two ticks; then a run must start."""
QUARTER = [202301, 202302, 202303]
FIRST = dt.date(2023, 1, 10)
DAYS = [str(FIRST + dt.timedelta(days=offset)) for offset in range(4)]
HOURS = [hour_key(FIRST, hour) for hour in range(6, 12)]


@dataclass(frozen=True)
class Site:
    """A fleet in operation.

    Attributes:
        ui: Its UI.
        root: Its data directory.
        config: Its settings.
        later: The months after the first quarter.
    """

    ui: Server
    root: Path
    config: Path
    later: list[int]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a fleet with a feed of 36 months, of which nothing is in the table yet and nothing is recorded."""
    folder = tmp_path_factory.mktemp("site")
    config = folder / "settings.yaml"
    config.write_text(SETTINGS)
    chosen = {"data_generation": FLEET, "storage": {"local_base_path": folder / "data"}}
    platform = Platform(load_settings(config, chosen))
    for stage in (stages.host_inventory, stages.time_calendar, stages.master_parquet, stages.ground_truth):
        stage(platform)
    generation = platform.generation
    months = [yearmonth(month) for month in months_between(generation.start_date, generation.end_date)]
    list(stages.monthly_csv(platform, months))
    with serving(folder / "data", config=config, **FLEET) as ui:
        yield Site(ui, folder / "data", config, [month for month in months if month not in QUARTER])


def states(months: list[int], state: str) -> dict[int, str]:
    return dict.fromkeys(months, state)


def caught_half_way(ui: Server, months: list[int]) -> str:
    """Launch a load of all months and return its run once a few of them are recorded."""
    run = ui.materialize(["processed_data"], months)
    wait(lambda: len(ui.materialized_in(run, "processed_data")) >= 3, "three months", every_s=0.1)
    return run


def test_one_month_and_then_a_quarter_as_a_backfill_show_as_what_they_are(site: Site) -> None:
    ui = site.ui
    run = ui.materialize([*FEED, "processed_data"], [202302])
    assert ui.ended(run) == "SUCCESS"
    for asset in (*FEED, "processed_data"):
        assert ui.months(asset) == {202302: "MATERIALIZED"}
        assert set(map(str, ui.checks(asset).values())) == {"{202302: 'SUCCEEDED'}"}

    found = ui.ended_backfill(ui.backfill(QUARTER, [*FEED, "processed_data"]), seconds=180)

    assert found["status"] == "COMPLETED_SUCCESS"
    assert len(found["runs"]) == 1
    for asset in (*FEED, "processed_data"):
        assert ui.months(asset) == states(QUARTER, "MATERIALIZED")
        assert set(map(str, ui.checks(asset).values())) == {str(states(QUARTER, "SUCCEEDED"))}

    everything = ui.ended_backfill(ui.backfill(QUARTER, job="full_refresh"), seconds=180)

    assert everything["status"] == "COMPLETED_SUCCESS"
    assert len(everything["runs"]) == 1
    assert ui.months("processed_data") == states(QUARTER, "MATERIALIZED")
    assert set(map(str, ui.checks("refinery_audit").values())) == {"{0: 'SUCCEEDED'}"}


def test_days_and_hours_as_backfills_are_one_run_each_and_show_as_what_they_are(site: Site) -> None:
    ui = site.ui
    days = ui.ended_backfill(ui.backfill_keys(DAYS, job="daily_publication"), seconds=180)

    assert (days["status"], len(days["runs"])) == ("COMPLETED_SUCCESS", 1)
    for asset in ("hourly_archive", "tier3_daily"):
        assert ui.ranges(asset) == [(DAYS[0], DAYS[-1], "MATERIALIZED")]
        assert {*map(tuple, ui.check_ranges(asset).values())} == {((DAYS[0], DAYS[-1], "SUCCEEDED"),)}

    hours = ui.ended_backfill(ui.backfill_keys(HOURS, ["tier2_hourly"]), seconds=180)

    assert (hours["status"], len(hours["runs"])) == ("COMPLETED_SUCCESS", 1)
    assert ui.ranges("tier2_hourly") == [(HOURS[0], HOURS[-1], "MATERIALIZED")]
    assert {*map(tuple, ui.check_ranges("tier2_hourly").values())} == {((HOURS[0], HOURS[-1], "SUCCEEDED"),)}


def test_runs_that_are_cancelled_or_killed_keep_the_months_they_reached_and_show_just_the_others_as_open(
    site: Site,
) -> None:
    ui, months = site.ui, site.later
    reached = cancelled_half_way(ui, months)
    reached += killed_half_way(ui, reached, months[len(reached) :])
    rest = months[len(reached) :]

    again = ui.ended_backfill(ui.backfill(rest, ["processed_data"]), seconds=180)

    assert again["status"] == "COMPLETED_SUCCESS"
    (last,) = again["runs"]
    assert ui.materialized_in(last["runId"], "processed_data") == rest
    assert later(ui) == states(months, "MATERIALIZED")
    for found in ui.checks("processed_data").values():
        assert {month: found[month] for month in rest} == states(rest, "SUCCEEDED")
    require_end_of_a_killed_run_of_a_terminal(site)


def later(ui: Server) -> dict[int, str]:
    """Return the state of each month of the table after the first quarter that is not missing."""
    return {month: state for month, state in ui.months("processed_data").items() if month not in QUARTER}


def cancelled_half_way(ui: Server, months: list[int]) -> list[int]:
    """Cancel a load of months that are missing half-way, and return those that it reached."""
    run = caught_half_way(ui, months)
    began = time.monotonic()
    ui.terminate(run)
    assert ui.ended(run) == "CANCELED"
    assert time.monotonic() - began < 60

    reached = ui.materialized_in(run, "processed_data")
    assert reached == months[: len(reached)]
    assert 3 <= len(reached) < len(months)
    assert later(ui) == states(reached, "MATERIALIZED")
    judged = {
        name: [month for month in months if found.get(month) == "SUCCEEDED"]
        for name, found in ui.checks("processed_data").items()
    }
    # The month that was just being judged may have some verdicts and lack others.
    assert all(found[: len(reached) - 1] == reached[:-1] for found in judged.values())
    return reached


def killed_half_way(ui: Server, before: list[int], months: list[int]) -> list[int]:
    """Kill a load of further months half-way, and return those that it reached."""
    run = caught_half_way(ui, months)
    ui.run_process(run).send_signal(signal.SIGKILL)
    assert ui.ended(run, seconds=90) == "FAILURE"

    reached = ui.materialized_in(run, "processed_data")
    rest = months[len(reached) :]
    assert reached == months[: len(reached)]
    assert rest
    assert later(ui) == {**states([*before, *reached], "MATERIALIZED"), **states(rest, "FAILED")}
    for name, found in ui.checks("processed_data").items():
        assert name in TABLE_CHECKS
        assert [found[month] for month in reached[:-1]] == ["SUCCEEDED"] * (len(reached) - 1)
        assert {found[month] for month in rest} == {"EXECUTION_FAILED"}
    return reached


def require_end_of_a_killed_run_of_a_terminal(site: Site) -> None:
    """Assert that a run of a terminal that is killed ends as failed while the UI is open, and frees the pool."""
    ui, fleet = site.ui, ["--hosts", "12", "--start", "2023-01-01", "--end", "2025-12-31"]
    arguments = ["run", *fleet, "--config", str(site.config), "--data-dir", str(site.root)]
    terminal = subprocess.Popen(
        [sys.executable, "-m", "capsim_dagster.cli", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    wait(lambda: ui.statuses()[0] == "STARTED", "the run of the terminal")
    terminal.kill()
    terminal.wait()

    wait(lambda: ui.statuses()[0] == "FAILURE", "the end of the killed run", SENSOR_SECONDS)

    assert ui.ended(ui.materialize(["processed_data"], QUARTER)) == "SUCCESS"


def test_the_sensor_loads_a_users_months_as_their_files_arrive_and_go(tmp_path: Path) -> None:
    exports = write_feed(tmp_path / "exports", [202405])
    with serving(tmp_path / "work", config=OTHER_TOOL, feed_dir=exports) as ui:
        ui.start_sensor("feed_sensor")
        wait(lambda: ui.months("processed_data") == {202405: "MATERIALIZED"}, "May", SENSOR_SECONDS)

        write_feed(exports, [202406])
        file_of(exports, 202405).unlink()
        now = {202405: "FAILED", 202406: "MATERIALIZED"}
        wait(lambda: ui.months("processed_data") == now, "June, and May without a file", SENSOR_SECONDS)
        assert ui.checks("processed_data")["reconciliation"] == {202405: "FAILED", 202406: "SUCCEEDED"}
