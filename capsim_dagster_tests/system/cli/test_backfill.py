"""`capsim backfill`: what it runs, says and ends with, and how it goes on after it was interrupted or killed."""

import datetime as dt
import json
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, nullcontext
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster.definitions import build_definitions
from capsim_dagster.errors import CapsimError, FeedError, PartitionError, SettingsError
from capsim_dagster.orchestration.keys import PROCESSED_DATA, REFINERY_AUDIT
from capsim_dagster.orchestration.months import key_of, month_of, ranges_named
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.commands import Capsim, Command
from capsim_dagster_tests.support.foreign_feed import OTHER_TOOL, expected_rows, file_of, foreign_platform, write_feed
from capsim_dagster_tests.support.orchestration.memory import MemoryInstance, in_memory
from capsim_dagster_tests.support.orchestration.reported import report_all, report_asset, run_under_way
from capsim_dagster_tests.support.sabotage import rows_in

TODAY = dt.datetime.now(dt.UTC).date()
# A window that lies ahead: its months can be there, and no other can, whatever the day.
WINDOW = {"num_servers": 12, "start_date": "2190-01-01", "end_date": "2190-04-30"}
OPTIONS = ["--hosts", "12", "--start", "2190-01-01", "--end", "2190-04-30"]
MONTHS = [219001, 219002, 219003, 219004]
ONE_MONTH_A_RUN = {"CAPSIM__AUTOMATION__MAX_MONTHS_PER_RUN": "1"}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture(scope="module")
def memory() -> Iterator[MemoryInstance]:
    with in_memory() as made:
        yield made


@pytest.fixture
def instance(memory: MemoryInstance, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """Return the instance that the command plans by, in memory; nothing can be run on it."""
    made = memory.put_back()
    monkeypatch.setattr(import_module("capsim_dagster.cli.backfill"), "instance_to_read", lambda _: nullcontext(made))
    return made


@pytest.fixture
def definitions(data_dir: Path) -> dg.Definitions:
    return build_definitions(small_settings(data_dir, **WINDOW), today=TODAY)


def report(instance: dg.DagsterInstance, definitions: dg.Definitions, data_dir: Path, *months: int) -> None:
    """Report that all assets are there, with some months, and passed every check."""
    report_all(instance, definitions, small_settings(data_dir, **WINDOW), months)


def backfill(data_dir: Path, *arguments: str, options: list[str] = OPTIONS) -> Result:
    return CliRunner().invoke(capsim, ["backfill", *options, "--data-dir", str(data_dir), *arguments])


def ended(result: Result, code: int) -> list[str]:
    """Return the lines of a command that ended with a code, and not with an error."""
    assert result.exit_code == code, (result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output.splitlines()


# What would run.


def test_a_dry_run_on_an_empty_folder_tells_the_runs_and_writes_nothing(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSIM__AUTOMATION__MAX_MONTHS_PER_RUN", "3")

    assert ended(backfill(data_dir, "--dry-run"), 0) == [
        "to do: 2190-01 to 2190-04, 4 months in 2 runs of full_refresh",
        "  run 1: 2190-01 to 2190-03",
        "  run 2: 2190-04",
    ]
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["2190-02"], ["to do: 2190-02, 1 month in 1 run of full_refresh", "  run 1: 2190-02"]),
        (
            ["2190-02", "2190-03"],
            ["to do: 2190-02 to 2190-03, 2 months in 1 run of full_refresh", "  run 1: 2190-02 to 2190-03"],
        ),
        (
            ["--month", "2190-04", "--month", "2190-01", "2190-02", "--month", "2190-01"],
            [
                "to do: 2190-01 to 2190-02, 2190-04, 3 months in 2 runs of full_refresh",
                "  run 1: 2190-01 to 2190-02",
                "  run 2: 2190-04",
            ],
        ),
    ],
)
def test_chosen_months_are_those_that_would_run(data_dir: Path, arguments: list[str], expected: list[str]) -> None:
    assert ended(backfill(data_dir, *arguments, "--dry-run"), 0) == expected


def test_months_that_are_there_are_left_out_unless_they_are_asked_for_again(
    instance: dg.DagsterInstance, definitions: dg.Definitions, data_dir: Path
) -> None:
    report(instance, definitions, data_dir, *MONTHS[:3])

    assert ended(backfill(data_dir, "--dry-run"), 0)[:2] == [
        "there already: 2190-01 to 2190-03 (--again runs them too)",
        "to do: 2190-04, 1 month in 1 run of monthly_refresh",
    ]
    assert ended(backfill(data_dir, "2190-02", "2190-04", "--again", "--dry-run"), 0)[0] == (
        "to do: 2190-02 to 2190-04, 3 months in 1 run of monthly_refresh"
    )


def test_months_that_another_run_is_at_are_left_out_and_nothing_runs(
    instance: dg.DagsterInstance, definitions: dg.Definitions, data_dir: Path
) -> None:
    report(instance, definitions, data_dir, *MONTHS[:2])
    run_under_way(instance, definitions, MONTHS[2:])

    assert ended(backfill(data_dir), 0) == [
        "there already: 2190-01 to 2190-02 (--again runs them too)",
        "another run is at 2190-03 to 2190-04: left out",
        "nothing to do: every month asked for is there, or on its way",
    ]


def test_an_asset_that_is_not_whole_is_named_as_the_reason_for_the_last_month(
    instance: dg.DagsterInstance, definitions: dg.Definitions, data_dir: Path
) -> None:
    report(instance, definitions, data_dir, *MONTHS)
    report_asset(instance, REFINERY_AUDIT)

    assert ended(backfill(data_dir, "--dry-run"), 0)[1] == (
        "to do: 2190-04, again, for refinery_audit: failed, missing or not judged, 1 month in 1 run of monthly_refresh"
    )


# What is refused.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["2190-03", "2190-01"], "FIRST comes before LAST; found 2190-03 and 2190-01."),
        (["2190-13"], "found '2190-13'; expected a date that exists, as YYYY-MM"),
        (["march"], "found 'march'; expected a date that exists, as YYYY-MM"),
        (["--month", "2190-01-01"], "found '2190-01-01'; expected a date that exists, as YYYY-MM"),
        (["2190-01", "2190-02", "2190-03"], "unexpected extra argument"),
    ],
)
def test_backfill_refuses_arguments_that_cannot_be_used(data_dir: Path, arguments: list[str], message: str) -> None:
    result = backfill(data_dir, *arguments)

    assert result.exit_code == 2
    assert message in result.output
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["2190-05"], PartitionError, "2190-05 cannot be there; months that can: 2190-01 to 2190-04"),
        (["2189-12", "2190-02"], PartitionError, "2189-12 cannot be there"),
        (["--hosts", "9"], SettingsError, "data_generation.num_servers: found 9"),
        (["--config", "/nowhere.yaml"], SettingsError, "settings file /nowhere.yaml not found"),
    ],
)
def test_backfill_refuses_what_cannot_be_there_before_anything_is_written(
    data_dir: Path, arguments: list[str], error: type[CapsimError], message: str
) -> None:
    result = backfill(data_dir, *arguments)

    assert isinstance(result.exception, error)
    assert message in result.exception.found
    assert result.exception.remedy
    assert not data_dir.exists()


def test_a_month_that_is_not_over_is_refused(data_dir: Path) -> None:
    options = ["--hosts", "12", "--start", "2023-01-01", "--end", "2023-03-31"]

    result = backfill(data_dir, f"{TODAY:%Y-%m}", options=options)

    assert isinstance(result.exception, PartitionError)
    assert result.exception.found.startswith(f"{TODAY:%Y-%m} cannot be there; months that can: 2023-01 to ")


def test_backfill_replaces_no_fleet(instance: dg.DagsterInstance, definitions: dg.Definitions, data_dir: Path) -> None:
    report(instance, definitions, data_dir, *MONTHS[:1])

    result = backfill(data_dir, options=["--hosts", "13", *OPTIONS[2:]])

    assert isinstance(result.exception, SettingsError)
    assert "holds another fleet than 13 hosts" in result.exception.found


# Running.


def test_backfill_of_an_empty_folder_just_works_and_a_second_call_runs_nothing(data_dir: Path) -> None:
    window = ["--hosts", "12", "--start", "2190-01-01", "--end", "2190-01-31"]

    first = ended(backfill(data_dir, options=window), 0)
    second = ended(backfill(data_dir, options=window), 0)
    status = CliRunner().invoke(capsim, ["status", *window, "--data-dir", str(data_dir), "--json"])

    assert first[0] == "to do: 2190-01, 1 month in 1 run of full_refresh"
    assert first[-2].startswith("26 of 26 checks passed; all gates hold.")
    assert first[-1] == f"next: capsim status --data-dir {data_dir}"
    assert second == [
        "there already: 2190-01 (--again runs them too)",
        "nothing to do: every month asked for is there, or on its way",
    ]
    assert status.exit_code == 0, status.output
    found = json.loads(status.stdout)
    assert [line["what"] for line in found["advice"]] == ["not made yet, job panel_refresh"]
    assert len(found["runs"]) == 1
    verdicts = [(check["verdict"], "server_metrics" in check["asset"]) for check in found["checks"]]
    assert Counter(verdicts) == {("passed", False): 26, (None, True): 20}
    states = {(asset["state"], asset["is_on_demand"]) for asset in found["assets"]}
    assert states == {("materialized", False), ("missing", True)}


def test_a_run_that_fails_keeps_no_other_from_being_tried_and_a_second_call_does_the_rest(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = write_feed(tmp_path / "exports", [202405, 202406])
    lost = file_of(exports, 202405)
    content = lost.read_bytes()
    lost.unlink()
    monkeypatch.setenv("CAPSIM__REFINERY__FEED_DIR", str(exports))
    monkeypatch.setenv(*next(iter(ONE_MONTH_A_RUN.items())))
    options = ["--config", str(OTHER_TOOL)]

    first = ended(backfill(data_dir, options=options), 1)
    lost.write_bytes(content)
    second = ended(backfill(data_dir, options=options), 0)

    assert first[0] == "to do: 2024-05 to 2024-06, 2 months in 2 runs of refine_feed"
    told = [line for line in first if not re.match(r"processed_data: |checks of ", line)]
    assert told[1].startswith("run 1 of 2: 2024-05 ")
    assert re.match(r"✗ 0 rows loaded, 0 of 0 checks passed \(run \w{8}\)", told[2])
    assert told[3].startswith("failed processed_data: 2024-05: 1 of its files cannot be loaded")
    assert told[5].startswith("run 2 of 2: 2024-06 ")
    assert re.match(r"✓ 270 rows loaded, 9 of 9 checks passed \(run \w{8}\)", told[6])
    assert told[7] == "not there yet: 2024-05; mend the cause above and run it again: only these are tried"
    assert second[:2] == [
        "there already: 2024-06 (--again runs them too)",
        "to do: 2024-05, 1 month in 1 run of refine_feed",
    ]
    assert rows_in(foreign_platform(data_dir, exports), "processed_data") == expected_rows()


def test_a_users_feed_that_is_not_there_is_refused(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSIM__REFINERY__FEED_DIR", str(tmp_path / "nowhere"))

    result = backfill(data_dir, options=["--config", str(OTHER_TOOL)])

    assert isinstance(result.exception, FeedError)
    assert "no folder" in result.exception.found


# Whole processes.

LONG = ["--hosts", "12", "--start", "2188-08-01", "--end", "2189-05-31"]
LONG_MONTHS = [*range(218808, 218813), *range(218901, 218906)]


def loaded_by_the_last_run(data_dir: Path) -> list[int]:
    """Return the months of the table that the last run made."""
    with dg.DagsterInstance.from_config(str(data_dir / ".dagster")) as instance:
        (run,) = instance.get_runs(limit=1)
        records = instance.fetch_materializations(PROCESSED_DATA, limit=1_000).records
    return sorted(month_of(str(record.partition_key)) for record in records if record.run_id == run.run_id)


def loaded_so_far(data_dir: Path) -> int:
    """Return how many months of the table the run under way has recorded: to open its history would take longer."""
    (run,) = (data_dir / ".dagster/storage/history/runs").glob("*-*.db")
    query = "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND asset_key = ?"
    with closing(sqlite3.connect(run, timeout=30)) as events:
        (count,) = events.execute(query, [PROCESSED_DATA.to_string()]).fetchone()
    return int(count)


def stopped_half_way(processes: Capsim, data_dir: Path, stop: signal.Signals) -> Command:
    """Start a backfill of ten months, stop it once some are loaded, and return it."""
    with processes.started("backfill", *LONG, "--data-dir", data_dir) as running:
        running.until_it_says("monthly_csv:")
        while loaded_so_far(data_dir) < 3:
            assert not running.process.is_over(), running.out + running.err
            time.sleep(0.01)
        running.process.send_signal(stop)
        running.wait()
    return running


def told(data_dir: Path) -> str:
    """Return what status tells."""
    return CliRunner().invoke(capsim, ["status", *LONG, "--data-dir", str(data_dir)]).output


def whole_months(data_dir: Path) -> list[int]:
    """Return the months that were made and judged, as status tells them: of the last there may be no verdict."""
    result = CliRunner().invoke(capsim, ["status", *LONG, "--data-dir", str(data_dir), "--json"])
    checks = [check["months"] for check in json.loads(result.stdout)["checks"] if check["asset"] == "processed_data"]
    return [month for month in LONG_MONTHS if all(found.get(str(month)) == "passed" for found in checks)]


def require_some_months_are_whole(reached: list[int]) -> None:
    assert reached == LONG_MONTHS[: len(reached)]
    assert 2 <= len(reached) < len(LONG_MONTHS)


def require_the_rest_is_done_by_the_next_call(data_dir: Path, reached: list[int]) -> None:
    """Assert that the next call makes just the months that were not reached, and that all is well then."""
    rest = [month for month in LONG_MONTHS if month not in reached]

    again = backfill(data_dir, options=LONG)

    assert again.exit_code == 0, again.output
    assert f"to do: {ranges_named(map(key_of, rest))}, {len(rest)} month" in again.output
    assert "in 1 run of monthly_refresh" in again.output
    assert loaded_by_the_last_run(data_dir) == rest
    assert whole_months(data_dir) == LONG_MONTHS
    whole, panel = told(data_dir).splitlines()[-2:]
    assert whole == "everything of the window is there"
    assert panel.startswith("not made yet, job panel_refresh: server_metrics, validated_server_metrics → capsim ui ")


def test_ctrl_c_leaves_the_months_that_were_reached_and_the_next_call_does_the_rest(
    data_dir: Path, loaded_capsim: Capsim
) -> None:
    stopped = stopped_half_way(loaded_capsim, data_dir, signal.SIGINT)

    assert stopped.wait() == 130, stopped.out + stopped.err
    assert "interrupted: what was complete stays; run it again to go on" in stopped.err
    assert "Traceback" not in stopped.out + stopped.err
    reached = whole_months(data_dir)
    require_some_months_are_whole(reached)
    page = told(data_dir)
    assert re.search(r"full_refresh +2188-08 to 2189-05 +canceled", page)
    assert "failed: " not in page
    require_the_rest_is_done_by_the_next_call(data_dir, reached)


def test_a_killed_run_is_shown_as_failed_with_the_command_and_the_next_call_does_the_rest(
    data_dir: Path, loaded_capsim: Capsim
) -> None:
    stopped = stopped_half_way(loaded_capsim, data_dir, signal.SIGKILL)

    assert stopped.wait() == -signal.SIGKILL
    reached = whole_months(data_dir)
    require_some_months_are_whole(reached)
    status = CliRunner().invoke(capsim, ["status", *LONG, "--data-dir", str(data_dir)])
    assert status.exit_code == 1, status.output
    assert re.search(r"full_refresh +2188-08 to 2189-05 +failure", status.stdout)
    assert "failed: its process is gone: it was killed, or the machine was restarted" in status.stdout
    options = f"--data-dir {data_dir} --hosts 12 --start 2188-08-01 --end 2189-05-31"
    months = r"218\d-\d\d to 2189-05 → capsim backfill 218\d-\d\d 2189-05"
    assert re.search(rf"^failed: {months} {options}$", status.stdout, re.M)
    require_the_rest_is_done_by_the_next_call(data_dir, reached)
