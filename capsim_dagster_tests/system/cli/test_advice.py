"""What is advised for what is open, and that it can be typed as it stands."""

import datetime as dt
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from capsim_dagster.cli.advice import Advice, Place, advice
from capsim_dagster.cli.options import options_given
from capsim_dagster.orchestration.states import AssetStatus, CheckStatus, RunStatus, State, Status, Verdict

DONE = {"2190-01-01": State.MATERIALIZED, "2190-02-01": State.MATERIALIZED, "2190-03-01": State.MATERIALIZED}
RAN = RunStatus("1", "full_refresh", ("2190-01-01", "2190-03-01"), None, "success", None, None, "")


def place(*, is_own: bool = True, options: str = " --hosts 12") -> Place:
    return Place(options, " --data-dir d", " --feed /f", "/w/capsim.duckdb", "2190-03-01", is_own)


def made(months: Mapping[str, State], *checks: CheckStatus, audit: State = State.MATERIALIZED) -> Status:
    """Return the status of a table with some months, and of an audit."""
    state = State.RUNNING if State.RUNNING in months.values() else State.MATERIALIZED
    table = AssetStatus("processed_data", state, months, 0, None)
    return Status([table, AssetStatus("refinery_audit", audit, None, 0, None)], checks, [RAN])


def gate(**months: Verdict) -> CheckStatus:
    verdicts = {f"{name[1:5]}-{name[5:]}-01": verdict for name, verdict in months.items()}
    return CheckStatus("processed_data", "row_parity", True, None, verdicts, "")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (made(DONE), []),
        (
            made({**DONE, "2190-01-01": State.FAILED, "2190-03-01": State.FAILED}),
            [("failed", "capsim backfill 2190-01 2190-03")],
        ),
        (
            made({**DONE, "2190-01-01": State.MISSING, "2190-03-01": State.FAILED}),
            [("failed", "capsim backfill 2190-03"), ("missing", "capsim backfill 2190-01")],
        ),
        (made(DONE, gate(m219002=Verdict.FAILED)), [("failed", "capsim backfill 2190-02")]),
        (made(DONE, gate(m219002=Verdict.NOT_JUDGED)), [("not judged", "capsim backfill 2190-02")]),
        (made({**DONE, "2190-02-01": State.RUNNING}), [("under way", "")]),
        (made(DONE, audit=State.FAILED), [("failed, missing or not judged", "capsim backfill 2190-03 --again")]),
        (made({**DONE, "2190-03-01": State.FAILED}, audit=State.FAILED), [("failed", "capsim backfill 2190-03")]),
        (made({**DONE, "2190-03-01": State.RUNNING}, audit=State.FAILED), [("under way", "")]),
        (made({**DONE, "2190-04-01": State.MISSING}), [("after the window, can be added", "capsim backfill 2190-04")]),
        (
            made({**DONE, "2190-04-01": State.MISSING}, audit=State.MISSING),
            [
                ("failed, missing or not judged", "capsim backfill 2190-03 --again"),
                ("after the window, can be added", "capsim backfill 2190-04"),
            ],
        ),
        (
            made({**DONE, "2190-04-01": State.MISSING, "2190-05-01": State.MATERIALIZED}),
            [("missing", "capsim backfill 2190-04")],
        ),
    ],
)
def test_advice_names_what_is_open_and_the_command_for_it(found: Status, expected: list[tuple[str, str]]) -> None:
    lines = advice(found, place())

    assert [(line.what, line.command) for line in lines] == [
        (what, command and f"{command} --hosts 12") for what, command in expected
    ]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.MATERIALIZED, []),
        (State.MISSING, ["not made yet, job panel_refresh"]),
        (State.FAILED, ["failed or not judged, job panel_refresh"]),
        (State.RUNNING, []),
    ],
)
def test_advice_for_an_asset_on_demand_is_its_job_and_no_month(state: State, expected: list[str]) -> None:
    panel = AssetStatus("server_metrics", state, None, 0, None, is_on_demand=True)
    others = made(DONE)

    lines = advice(Status([*others.assets, panel], [], [RAN]), place())

    assert [line.what for line in lines] == expected
    assert {line.command for line in lines} <= {"capsim ui --hosts 12"}


@pytest.mark.parametrize(
    ("is_own", "expected"), [(True, "capsim run"), (False, "capsim refine --feed /f --data-dir d")]
)
def test_advice_for_an_empty_folder_is_to_begin(is_own: bool, expected: str) -> None:
    table = AssetStatus("processed_data", State.MISSING, dict.fromkeys(DONE, State.MISSING), 0, None)

    lines = advice(Status([table], [], []), place(is_own=is_own, options=""))

    assert lines == [Advice("nothing is here yet", [], [], expected)]


GONE, DAMAGED = State.GONE, State.DAMAGED
AGAIN = "capsim backfill 2190-02 --again --hosts 12"


@pytest.mark.parametrize(
    ("master", "february", "audit", "expected"),
    [
        (State.MATERIALIZED, GONE, State.MATERIALIZED, ("gone", ["2190-02-01"], ["processed_data"], AGAIN)),
        (
            State.MATERIALIZED,
            DAMAGED,
            GONE,
            ("gone or damaged", ["2190-02-01"], ["processed_data", "refinery_audit"], AGAIN),
        ),
        (GONE, DONE["2190-02-01"], State.MATERIALIZED, ("gone", [], ["master_parquet"], "capsim run --hosts 12")),
        (
            DAMAGED,
            GONE,
            State.MATERIALIZED,
            ("gone or damaged", ["2190-02-01"], ["master_parquet", "processed_data"], "capsim run --hosts 12"),
        ),
        (State.MATERIALIZED, DONE["2190-02-01"], GONE, ("gone", [], ["refinery_audit"], "capsim audit --data-dir d")),
    ],
)
def test_what_is_lost_is_told_with_the_least_command_that_makes_it_again(
    master: State, february: State, audit: State, expected: tuple[str, list[str], list[str], str]
) -> None:
    found = made({**DONE, "2190-02-01": february}, audit=audit)
    whole = AssetStatus("master_parquet", master, None, 0, None)

    (line,) = advice(Status([whole, *found.assets], [], [RAN]), place())

    assert (line.what, list(line.months), list(line.assets), line.command) == expected


@pytest.mark.parametrize(("is_own", "remake"), [(True, "capsim run --hosts 12"), (False, place(is_own=False).make)])
def test_a_warehouse_that_cannot_be_opened_is_put_away_before_another_is_made(is_own: bool, remake: str) -> None:
    lost = dict.fromkeys(DONE, DAMAGED)
    table = AssetStatus("processed_data", DAMAGED, lost, 0, None, problem="it is truncated", is_unreadable=True)
    inventory = AssetStatus("host_inventory", DAMAGED, None, 0, None, problem="it is truncated", is_unreadable=True)
    assets = [inventory, table] if is_own else [table]

    first, *_ = advice(Status(assets, [], [RAN]), place(is_own=is_own))

    assert first.command == f"mv /w/capsim.duckdb /w/capsim.duckdb.damaged && {remake}"


def test_of_a_users_feed_every_advice_is_to_refine_it_or_to_look() -> None:
    missing = made({**DONE, "2190-02-01": State.MISSING, "2190-03-01": State.FAILED})

    lines = advice(missing, place(is_own=False))
    settled = advice(made(DONE), place(is_own=False))

    refine = "capsim refine --feed /f --data-dir d"
    assert [(line.what, line.command) for line in lines if "next" not in line.what] == [
        ("failed", refine),
        ("missing", refine),
    ]
    assert [line.command for line in settled] == ["capsim audit --data-dir d"]


def test_days_that_are_gone_are_told_with_the_command_that_makes_them_again() -> None:
    gone = ["2190-01-15-07:00", "2190-01-16-00:00"]
    hours = AssetStatus("tier2_hourly", GONE, dict.fromkeys(gone, GONE), 0, None, unit="hours")

    (line,) = advice(Status(made(DONE).assets, [], [RAN], [hours]), place())

    assert line.assets == ["2190-01-15-07:00, 2190-01-16-00:00 of tier2_hourly"]
    assert line.command == "capsim tier2 export --date 2190-01-15..2190-01-16 --hosts 12"


def test_options_are_advised_as_the_shell_needs_them() -> None:
    given = {"--data-dir": Path("/srv/my data"), "--hosts": 12, "--config": None, "--end": dt.datetime(2024, 2, 29)}  # noqa: DTZ001 as click gives it

    assert shlex.split(options_given(given)) == ["--data-dir", "/srv/my data", "--hosts", "12", "--end", "2024-02-29"]
