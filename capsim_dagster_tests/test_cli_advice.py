"""What is advised for what is open, and that it can be typed as it stands."""

import datetime as dt
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from capsim_dagster.cli.advice import Advice, advice
from capsim_dagster.cli.options import options_given
from capsim_dagster.orchestration.states import AssetStatus, CheckStatus, RunStatus, State, Status, Verdict

DONE = {219001: State.MATERIALIZED, 219002: State.MATERIALIZED, 219003: State.MATERIALIZED}
RAN = RunStatus("1", "full_refresh", (219001, 219003), None, "success", None, None, "")


def made(months: Mapping[int, State], *checks: CheckStatus, audit: State = State.MATERIALIZED) -> Status:
    """Return the status of a table with some months, and of an audit."""
    state = State.RUNNING if State.RUNNING in months.values() else State.MATERIALIZED
    table = AssetStatus("processed_data", state, months, 0, None)
    return Status([table, AssetStatus("refinery_audit", audit, None, 0, None)], checks, [RAN])


def gate(**months: Verdict) -> CheckStatus:
    verdicts = {int(name.removeprefix("m")): verdict for name, verdict in months.items()}
    return CheckStatus("processed_data", "row_parity", True, None, verdicts, "")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (made(DONE), []),
        (
            made({**DONE, 219001: State.FAILED, 219003: State.FAILED}),
            [("failed", "capsim backfill 2190-01 2190-03")],
        ),
        (
            made({**DONE, 219001: State.MISSING, 219003: State.FAILED}),
            [("failed", "capsim backfill 2190-03"), ("missing", "capsim backfill 2190-01")],
        ),
        (made(DONE, gate(m219002=Verdict.FAILED)), [("failed", "capsim backfill 2190-02")]),
        (made(DONE, gate(m219002=Verdict.NOT_JUDGED)), [("not judged", "capsim backfill 2190-02")]),
        (made({**DONE, 219002: State.RUNNING}), [("under way", "")]),
        (made(DONE, audit=State.FAILED), [("failed, missing or not judged", "capsim backfill 2190-03 --again")]),
        (made({**DONE, 219003: State.FAILED}, audit=State.FAILED), [("failed", "capsim backfill 2190-03")]),
        (made({**DONE, 219003: State.RUNNING}, audit=State.FAILED), [("under way", "")]),
        (made({**DONE, 219004: State.MISSING}), [("after the window, can be added", "capsim backfill 2190-04")]),
        (
            made({**DONE, 219004: State.MISSING}, audit=State.MISSING),
            [
                ("failed, missing or not judged", "capsim backfill 2190-03 --again"),
                ("after the window, can be added", "capsim backfill 2190-04"),
            ],
        ),
        (
            made({**DONE, 219004: State.MISSING, 219005: State.MATERIALIZED}),
            [("missing", "capsim backfill 2190-04")],
        ),
    ],
)
def test_advice_names_what_is_open_and_the_command_for_it(found: Status, expected: list[tuple[str, str]]) -> None:
    lines = advice(found, end=219003, is_own=True, options=" --hosts 12")

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

    lines = advice(Status([*others.assets, panel], [], [RAN]), end=219003, is_own=True, options=" --hosts 12")

    assert [line.what for line in lines] == expected
    assert {line.command for line in lines} <= {"capsim ui --hosts 12"}


@pytest.mark.parametrize(("is_own", "expected"), [(True, "capsim run"), (False, "capsim backfill")])
def test_advice_for_an_empty_folder_is_to_begin(is_own: bool, expected: str) -> None:
    table = AssetStatus("processed_data", State.MISSING, dict.fromkeys(DONE, State.MISSING), 0, None)

    lines = advice(Status([table], [], []), end=219003, is_own=is_own, options="")

    assert lines == [Advice("nothing is here yet", [], [], expected)]


def test_options_are_advised_as_the_shell_needs_them() -> None:
    given = {"--data-dir": Path("/srv/my data"), "--hosts": 12, "--config": None, "--end": dt.datetime(2024, 2, 29)}  # noqa: DTZ001 as click gives it

    assert shlex.split(options_given(given)) == ["--data-dir", "/srv/my data", "--hosts", "12", "--end", "2024-02-29"]
