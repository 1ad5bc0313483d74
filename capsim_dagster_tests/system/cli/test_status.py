"""`capsim status`: what it tells of a data directory, in words and in JSON, and which command it advises."""

import datetime as dt
import json
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import click
import dagster as dg
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from capsim_dagster.cli import capsim
from capsim_dagster.definitions import build_definitions
from capsim_dagster.errors import SettingsError
from capsim_dagster.orchestration.keys import MASTER_PARQUET, ON_DEMAND, PROCESSED_DATA, REFINERY_AUDIT, SERVER_METRICS
from capsim_dagster.schemas.months import month_name, yearmonth
from capsim_dagster_tests.conftest import ROOT, small_settings
from capsim_dagster_tests.support.foreign_feed import OTHER_TOOL, write_feed
from capsim_dagster_tests.support.orchestration.memory import Kept, MemoryInstance, in_memory, read_from
from capsim_dagster_tests.support.orchestration.reported import (
    TABLE_CHECK,
    report_all,
    report_asset,
    report_months,
    report_verdict,
    report_verdicts,
    run_under_way,
)

TODAY = dt.datetime.now(dt.UTC).date()
# A window that lies ahead: its months can be there, and no other can, whatever the day.
WINDOW = {"num_servers": 12, "start_date": "2190-01-01", "end_date": "2190-03-31"}
OPTIONS = ["--hosts", "12", "--start", "2190-01-01", "--end", "2190-03-31"]
MONTHS = [219001, 219002, 219003]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture(scope="module")
def memory() -> Iterator[MemoryInstance]:
    with in_memory() as made:
        yield made


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return definitions_of(tmp_path_factory.mktemp("status"))


@pytest.fixture(scope="module")
def _whole(memory: MemoryInstance, definitions: dg.Definitions) -> Kept:
    report_all(memory.put_back(), definitions, small_settings(Path(), **WINDOW), MONTHS)
    return memory.keep()


@pytest.fixture
def instance(memory: MemoryInstance, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """Return the instance that the command reads: in memory, as a report of a whole fleet takes seconds on a disk."""
    made = memory.put_back()
    read_from(made, monkeypatch)
    return made


@pytest.fixture
def whole(memory: MemoryInstance, instance: dg.DagsterInstance, _whole: Kept) -> dg.DagsterInstance:
    """Return that instance, on which everything is there, and passed every check."""
    memory.put_back(_whole)
    return instance


def definitions_of(folder: Path, **generation: object) -> dg.Definitions:
    return build_definitions(small_settings(folder, **{**WINDOW, **generation}), today=TODAY)


def status(data_dir: Path, *arguments: str, options: Sequence[str] = OPTIONS) -> Result:
    return CliRunner().invoke(capsim, ["status", *options, "--data-dir", str(data_dir), *arguments])


def ended(result: Result, code: int) -> str:
    """Return the output of a command that ended with a code, and not with an error."""
    assert result.exit_code == code, (result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def command(data_dir: Path, text: str) -> str:
    """Return a command as it is advised, with the options that these tests give."""
    return f"{text} --data-dir {data_dir} --hosts 12 --start 2190-01-01 --end 2190-03-31"


# What is there.


def test_of_an_empty_folder_status_says_that_nothing_is_here_and_writes_nothing(data_dir: Path) -> None:
    output = ended(status(data_dir), 0)

    assert output.splitlines() == [
        f"capsim: 12 hosts x 4 resources, 2190-01-01 to 2190-03-31, seed 42, in {data_dir}",
        f"nothing is here yet → {command(data_dir, 'capsim run')}",
    ]
    assert not data_dir.exists()


def test_where_all_is_well_status_says_so_in_a_page(whole: dg.DagsterInstance, data_dir: Path) -> None:
    assert whole.get_runs_count() == 0

    output = ended(status(data_dir), 0)

    lines = output.splitlines()
    assert len(lines) <= 30
    assert lines[-1] == "everything that can be there is there"
    assert "checks  46 passed" in lines
    assert "processed_data       ■■■" in lines
    assert any(line.split()[:6] == ["processed_data", "■", "3", "of", "3", "months"] for line in lines)
    for absent in (
        "not judged",
        "panel_refresh",
        "not materialized",
        "keys_are_unique",
        "missing: ",
        "failed: ",
        "after the window",
    ):
        assert absent not in output


@pytest.mark.usefixtures("whole")
def test_status_lists_every_check_when_it_is_asked_to(data_dir: Path) -> None:
    output = ended(status(data_dir, "--checks"), 0)

    assert output.count("✓") == 46
    assert re.search(r"✓ +processed_data +keys_are_unique +2190-01 to 2190-03", output)


def test_a_failure_ends_status_with_one_and_is_told_with_its_reason_and_the_command(
    whole: dg.DagsterInstance, definitions: dg.Definitions, data_dir: Path
) -> None:
    report_verdict(whole, TABLE_CHECK, month=219001, passed=False, detail="3 lines are [red]lost")
    whole.report_run_failed(run_under_way(whole, definitions, [219002]), "its process is [gone]")

    output = ended(status(data_dir), 1)

    assert "processed_data       ■✗■" in output
    assert "checks  45 passed, 1 failed" in output
    assert re.search(r"✗ +processed_data +reconciliation +2190-01 +3 lines are \[red\]lost", output)
    assert "failed: its process is [gone]" in output
    assert f"failed: 2190-01 to 2190-02 → {command(data_dir, 'capsim backfill 2190-01 2190-02')}" in output


def test_a_warning_that_failed_is_shown_and_is_no_failure(whole: dg.DagsterInstance, data_dir: Path) -> None:
    check = dg.AssetCheckKey(MASTER_PARQUET, "behavioral_diversity")
    report_verdict(whole, check, passed=False, detail="1 host is not recognised", blocking=False)

    output = ended(status(data_dir), 0)

    assert re.search(r"! +master_parquet +behavioral_diversity +1 host is not recognised", output)
    assert output.splitlines()[-1] == "everything that can be there is there"


def test_what_is_missing_is_no_failure_and_is_told_with_the_command(
    instance: dg.DagsterInstance, definitions: dg.Definitions, data_dir: Path
) -> None:
    report_all(instance, definitions, small_settings(data_dir, **WINDOW), MONTHS[:1])

    output = ended(status(data_dir), 0)

    assert "processed_data       ■○○" in output
    advised = command(data_dir, "capsim backfill 2190-02 2190-03")
    assert output.splitlines()[-1] == f"missing: 2190-02 to 2190-03 → {advised}"


def test_what_was_not_judged_is_told_with_the_command(whole: dg.DagsterInstance, data_dir: Path) -> None:
    report_months(whole, [219002], [PROCESSED_DATA])

    output = ended(status(data_dir), 0)

    assert "checks  42 passed, 4 not judged" in output
    assert output.splitlines()[-1] == f"not judged: 2190-02 → {command(data_dir, 'capsim backfill 2190-02')}"


def test_an_asset_that_is_not_whole_is_told_with_the_command(whole: dg.DagsterInstance, data_dir: Path) -> None:
    report_asset(whole, REFINERY_AUDIT)

    last = ended(status(data_dir), 0).splitlines()[-1]

    advised = command(data_dir, "capsim backfill 2190-03 --again")
    assert last == f"failed, missing or not judged: refinery_audit → {advised}"


def test_months_that_a_run_is_at_are_told_as_under_way_and_nothing_is_advised(
    whole: dg.DagsterInstance, definitions: dg.Definitions, data_dir: Path
) -> None:
    report_asset(whole, REFINERY_AUDIT)
    run_under_way(whole, definitions, MONTHS[1:])

    output = ended(status(data_dir), 0)

    assert "processed_data       ■▶▶" in output
    assert "not judged " not in output
    assert output.splitlines()[-1] == "under way: 2190-02 to 2190-03"


# The panel, which no refresh makes.


def test_a_panel_that_was_never_made_is_nothing_to_be_mended_and_is_told_with_the_job(
    instance: dg.DagsterInstance, definitions: dg.Definitions, data_dir: Path
) -> None:
    report_all(instance, definitions, small_settings(data_dir, **WINDOW), MONTHS, but=ON_DEMAND)

    output = ended(status(data_dir), 0)

    assert "checks  26 passed, 20 with nothing to judge" in output
    assert re.search(r"\nvalidated_server_metrics +· not materialized +\n", output)
    assert output.splitlines()[-2:] == [
        "everything of the window is there",
        f"not made yet, job panel_refresh: server_metrics, validated_server_metrics → {command(data_dir, 'capsim ui')}",
    ]


def test_a_panel_that_failed_a_gate_is_a_failure_and_no_month_is_advised_for_it(
    whole: dg.DagsterInstance, data_dir: Path
) -> None:
    check = dg.AssetCheckKey(SERVER_METRICS, "row_parity")
    report_verdict(whole, check, passed=False, detail="2190-01 cpu_p95 has other values")

    output = ended(status(data_dir), 1)

    assert re.search(r"✗ +server_metrics +row_parity +2190-01 cpu_p95 has other values", output)
    advised = command(data_dir, "capsim ui")
    assert output.splitlines()[-1] == f"failed or not judged, job panel_refresh: server_metrics → {advised}"
    assert "capsim backfill" not in output


def months_ago(count: int) -> dt.date:
    months = TODAY.year * 12 + TODAY.month - 1 - count
    return dt.date(months // 12, months % 12 + 1, 1)


def test_months_after_the_window_look_like_no_error(instance: dg.DagsterInstance, data_dir: Path) -> None:
    first, later = months_ago(3), [month_name(yearmonth(months_ago(count))) for count in (2, 1)]
    end = (months_ago(2) - dt.timedelta(days=1)).isoformat()
    settings = small_settings(data_dir, start_date=first.isoformat(), end_date=end)
    report_all(instance, build_definitions(settings, today=TODAY), settings, [yearmonth(first)])

    output = ended(status(data_dir, options=["--hosts", "12", "--start", first.isoformat(), "--end", end]), 0)

    assert re.search(r"processed_data +■ 1 of 1 month", output)
    assert "· after the window, not asked for" in output
    last = output.splitlines()[-1]
    assert last.startswith(
        f"after the window, can be added: {later[0]} to {later[1]} → capsim backfill {later[0]} {later[1]} "
    )


@pytest.mark.usefixtures("whole")
def test_another_fleet_than_the_settings_describe_is_told_and_nothing_is_advised(data_dir: Path) -> None:
    output = ended(status(data_dir, options=["--hosts", "13", *OPTIONS[2:]]), 0)

    assert "what is here was made with other settings than these\n  -> give the options" in output
    assert "capsim backfill" not in output
    assert "everything that can be there is there" not in output


def test_tables_of_years_fit_the_terminal(
    instance: dg.DagsterInstance, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report_months(instance, [219001, 219412], rows=100_000_000)
    definitions = definitions_of(data_dir, end_date="2194-12-31")
    instance.report_run_failed(run_under_way(instance, definitions, [219001, 219412]))
    years = ["--hosts", "12", "--start", "2190-01-01", "--end", "2194-12-31"]

    for width in (80, 100, 140):
        terminal = Console(width=width)
        monkeypatch.setattr(import_module("capsim_dagster.cli.status"), "console", lambda shown=terminal: shown)
        lines = ended(status(data_dir, options=years), 1).splitlines()

        # What is a sentence or a command is wrapped by the terminal, so that it can be copied.
        tables = [line for line in lines if not re.search(r"→|^capsim: | failed:", line)]
        assert max(len(line) for line in tables) <= width
        assert not [line for line in tables if "…" in line]
        marked = [line for line in tables if line.startswith("processed_data  ") and " of " not in line]
        assert sum(line.count("✗") for line in marked) == 5 * 12
        assert any(line.split()[2:5] == ["2190-01", "to", "2194-12"] for line in tables)


# A user's feed.


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAPSIM__REFINERY__FEED_DIR", str(tmp_path / "exports"))
    return tmp_path / "exports"


def test_of_a_users_feed_status_tells_the_months_that_it_has_and_nothing_of_the_simulator(
    exports: Path, instance: dg.DagsterInstance, data_dir: Path
) -> None:
    write_feed(exports, [202405, 202406])
    report_months(instance, [202405], [PROCESSED_DATA])
    report_verdicts(instance, definitions_of(data_dir), [202405], [PROCESSED_DATA])

    output = ended(status(data_dir, options=["--config", str(OTHER_TOOL)]), 0)

    assert output.startswith(f"capsim: the feed in {exports}, loaded into {data_dir}\n")
    assert re.search(r"processed_data +■ 1 of 2 months", output)
    assert "master_parquet" not in output
    where = f"--config {OTHER_TOOL} --data-dir {data_dir}"
    assert output.splitlines()[-2:] == [
        f"missing: 2024-06 → capsim refine {where}",
        f"next: what became of every line → capsim audit {where}",
    ]


def test_a_users_feed_that_cannot_be_looked_at_is_told(exports: Path, data_dir: Path) -> None:
    output = ended(status(data_dir, options=["--config", str(OTHER_TOOL)]), 0)

    assert f"the feed cannot be looked at: no folder {exports}\n  -> name the root of a feed" in output


# JSON.


def test_json_holds_what_the_page_shows(whole: dg.DagsterInstance, definitions: dg.Definitions, data_dir: Path) -> None:
    report_verdict(whole, TABLE_CHECK, month=219001, passed=False, detail="3 lines are lost")
    run_under_way(whole, definitions, [219003])

    found = json.loads(ended(status(data_dir, "--json"), 1))

    assert found["fleet"] == {
        "hosts": 12,
        "first_day": "2190-01-01",
        "last_day": "2190-03-31",
        "seed": 42,
        "feed": None,
        "data_dir": str(data_dir),
    }
    table = next(asset for asset in found["assets"] if asset["asset"] == "processed_data")
    assert table["months"] == {"219001": "materialized", "219002": "materialized", "219003": "running"}
    assert (table["state"], table["rows"]) == ("running", 30)
    assert dt.datetime.fromisoformat(table["last"]).tzinfo is not None
    check = next(check for check in found["checks"] if check["verdict"] == "failed")
    assert (check["asset"], check["check"], check["detail"]) == ("processed_data", "reconciliation", "3 lines are lost")
    assert check["months"] == {"219001": "failed", "219002": "passed"}
    assert len(found["checks"]) == 46
    assert [run["months"] for run in found["runs"]] == [[219003, 219003]]
    assert (found["has_failures"], found["later_months"], found["note"]) == (True, [], "")
    assert found["advice"] == [
        {
            "what": "failed",
            "months": [219001],
            "assets": [],
            "command": command(data_dir, "capsim backfill 2190-01"),
        },
        {"what": "under way", "months": [219003], "assets": [], "command": ""},
    ]


def test_json_of_an_empty_folder_is_whole_too(data_dir: Path) -> None:
    found = json.loads(ended(status(data_dir, "--json"), 0))

    assert (found["has_failures"], found["runs"], len(found["assets"])) == (False, [], 12)
    assert found["advice"][0]["command"] == command(data_dir, "capsim run")


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hosts", "few"], "'few' is not a valid integer"),
        (["--start", "soon"], "found 'soon'; expected a date that exists, as YYYY-MM-DD"),
    ],
)
def test_status_refuses_arguments_that_cannot_be_used(data_dir: Path, arguments: list[str], message: str) -> None:
    result = status(data_dir, options=arguments)

    assert result.exit_code == 2
    assert message in result.output


def test_status_refuses_settings_that_cannot_be_used(data_dir: Path) -> None:
    result = status(data_dir, options=["--hosts", "9"])

    assert isinstance(result.exception, SettingsError)
    assert "data_generation.num_servers: found 9" in result.exception.found


@pytest.mark.parametrize("name", ["status", "backfill"])
def test_each_option_stands_in_the_readme(name: str) -> None:
    command = capsim.get_command(click.Context(capsim), name)
    assert command is not None
    options = [parameter.opts[0] for parameter in command.params if parameter.opts[0].startswith("--")]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [option for option in options if option not in readme] == []
