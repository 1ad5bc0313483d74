"""How checks went: a row a check, a mark an evaluation, the newest on the right with its time."""

import datetime as dt

import pytest

from capsim_dagster.audits.report import CheckTrend, Evaluation, Verdict
from capsim_dagster.pictures.canvas import WIDTH_PX
from capsim_dagster.pictures.checks import (
    MOST_EVALUATIONS,
    NEVER,
    check_trends_picture,
)
from capsim_dagster_tests.support.pictures.views import crowded, strokes, svg_size, texts

START = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
LETTERS = {"p": Verdict.PASSED, "w": Verdict.WARNED, "f": Verdict.FAILED}
SLOT = 14 * 0.72
"""Distance between two marks [points]."""


def trend(verdicts: str, check: str = "keys_are_unique", asset: str = "processed_data") -> CheckTrend:
    """Return a check that was evaluated once a day, with one letter a verdict."""
    days = [Evaluation(START + dt.timedelta(days=day), LETTERS[letter]) for day, letter in enumerate(verdicts)]
    return CheckTrend(asset, check, days)


def passed_marks(svg: bytes) -> list[tuple[int, int]]:
    """Return the first mark of each run of passed evaluations, counted back from the newest (0), and its length."""
    right = max(end[0] for _, end in strokes(svg, "passed"))
    return [
        (round((right - end[0]) / SLOT), round((end[0] - start[0]) / SLOT + 1 / 3))
        for start, end in strokes(svg, "passed")
    ]


def test_a_row_names_asset_and_check_and_the_time_and_verdict_of_its_newest_evaluation() -> None:
    said = texts(check_trends_picture([trend("fpw"), trend("pp", "row_parity", "monthly_csv/cpu")], "of the last runs"))

    assert {"processed_data: keys_are_unique", "2026-01-03 12:00 warned"} <= set(said)
    assert {"monthly_csv/cpu: row_parity", "2026-01-02 12:00 passed"} <= set(said)
    assert "now 1 warned, 1 passed · of the last runs" in said


def test_each_evaluation_has_a_mark_and_runs_of_passed_ones_are_one_dashed_line() -> None:
    svg = check_trends_picture([trend("ppfpppw"), trend("p")], "")

    assert passed_marks(svg) == [(5, 2), (1, 3), (0, 1)]
    assert len(strokes(svg, "warned")) == 1
    assert len(strokes(svg, "failed")) == 2  # a cross
    (triangle,), cross = strokes(svg, "warned"), strokes(svg, "failed")
    newest = (strokes(svg, "passed")[-1][0][0] + strokes(svg, "passed")[-1][1][0]) / 2
    assert (triangle[0][0] + triangle[2][0]) / 2 == pytest.approx(newest, abs=0.02)
    assert newest - (cross[0][0][0] + cross[0][1][0]) / 2 == pytest.approx(4 * SLOT, abs=0.03)


def test_only_the_newest_evaluations_are_shown_in_whatever_order_they_come() -> None:
    long = trend("f" * 10 + "p" * MOST_EVALUATIONS)
    shuffled = CheckTrend(long.asset, long.check, [*long.evaluations[::2], *long.evaluations[1::2]])
    svg = check_trends_picture([shuffled], "")

    assert passed_marks(svg) == [(0, MOST_EVALUATIONS)]
    assert strokes(svg, "failed") == []
    assert svg == check_trends_picture([long], "")


def test_times_are_in_utc_and_naive_ones_are_taken_for_it() -> None:
    abroad = dt.datetime(2026, 1, 1, 23, 30, tzinfo=dt.timezone(dt.timedelta(hours=-5)))
    rows = [
        CheckTrend("a", "aware", [Evaluation(abroad, Verdict.PASSED)]),
        CheckTrend("a", "naive", [Evaluation(dt.datetime(2026, 1, 2, 4, 31), Verdict.FAILED)]),  # noqa: DTZ001
    ]

    assert {"2026-01-02 04:30 passed", "2026-01-02 04:31 failed"} <= set(texts(check_trends_picture(rows, "")))


def test_a_check_that_was_never_evaluated_says_so() -> None:
    said = texts(check_trends_picture([trend("")], ""))

    assert {NEVER, f"now 1 {NEVER}"} <= set(said)


def test_no_check_at_all_says_so() -> None:
    assert "there is no check" in texts(check_trends_picture([], "note"))


def test_several_dozen_rows_can_be_read_and_stored() -> None:
    asset, check = "validated_server_metrics", "telemetry_has_one_row_per_host_resource_day"
    rows = [trend("p" * (n % 20) + "w" + "p" * 20 + "f" * (n % 2), f"{check}_{n}", asset) for n in range(48)]
    svg = check_trends_picture(rows, "note")

    assert len(svg) < 60_000
    assert crowded(svg) == []
    assert sum(text.startswith(f"{asset}: telemetry_has_one_row_per_host_resource_d") for text in texts(svg)) == 48


def test_verdicts_differ_in_shape_and_the_legend_names_them() -> None:
    svg = check_trends_picture([trend("pwf")], "")

    assert {"passed", "warned", "failed"} <= set(texts(svg))
    assert [len(strokes(svg, verdict)[0]) for verdict in Verdict] == [2, 5, 2]


def test_picture_of_checks_is_the_same_each_time_and_can_be_png() -> None:
    assert check_trends_picture([trend("pwfp")], "") == check_trends_picture([trend("pwfp")], "")
    assert svg_size(check_trends_picture([trend("pwfp")] * 3, "")) == (WIDTH_PX, 3 * 20 + 110)
