from collections.abc import Mapping

import polars as pl
import pytest

from capsim_dagster.audits.report import Finding
from capsim_dagster.audits.score import score

CPU, MEMORY, DISK = (f"2023/02/{name}_202302.csv" for name in ("cpu", "memory", "disk"))
Row = tuple[str, int | None, str]
INJECTED: list[Row] = [
    (CPU, 5, "missing_host"),
    (CPU, 9, "missing_host"),
    (CPU, 12, "not_finite"),
    (MEMORY, None, "bom"),
    (MEMORY, 20, "truncated_line"),
    (DISK, None, "empty"),
]
REJECTED: list[Row] = [row for row in INJECTED if row[1] is not None]
REFUSED = [(DISK, "empty")]
DIALECTS: dict[str, set[str]] = {CPU: set(), MEMORY: {"bom"}}


def scored(
    injected: list[Row] = INJECTED,
    rejected: list[Row] = REJECTED,
    refused: list[tuple[str, str]] = REFUSED,
    dialects: Mapping[str, set[str]] = DIALECTS,
) -> Finding:
    schema = {"path": pl.String, "line": pl.Int64, "kind": pl.String}
    return score(
        pl.DataFrame(injected, schema=schema, orient="row").with_columns(original=pl.lit(None, pl.String)),
        pl.DataFrame(rejected, schema=schema, orient="row").rename({"kind": "reason"}),
        pl.DataFrame(refused, schema={"path": pl.String, "reason": pl.String}, orient="row"),
        dialects,
    )


def row_of(report: Finding, kind: str) -> Mapping[str, object]:
    return next(row for row in report.table if row["kind"] == kind)


def test_all_found_and_nothing_else_holds() -> None:
    report = scored()
    assert report.passed
    assert report.counts == {
        "injected": 6,
        "found": 6,
        "missed": 0,
        "false_alarms": 0,
        "recall": 1.0,
        "precision": 1.0,
    }
    assert [(row["level"], row["kind"], row["injected"], row["found"]) for row in report.table] == [
        ("line", "truncated_line", 1, 1),
        ("line", "missing_host", 2, 2),
        ("line", "not_finite", 1, 1),
        ("file", "empty", 1, 1),
        ("dialect", "bom", 1, 1),
    ]


def test_missed_line_is_named_and_lowers_recall_of_its_kind() -> None:
    report = scored(rejected=[row for row in REJECTED if row[1] != 9])
    assert report.examples == [f"{CPU}, line 9: missing_host is missed"]
    assert row_of(report, "missing_host") == {
        "level": "line",
        "kind": "missing_host",
        "injected": 2,
        "found": 1,
        "missed": 1,
        "false_alarms": 0,
        "recall": 0.5,
        "precision": 1.0,
    }
    assert row_of(report, "not_finite")["recall"] == 1.0


def test_false_alarm_is_named_and_lowers_precision_of_its_kind() -> None:
    report = scored(rejected=[*REJECTED, (CPU, 1_234, "not_finite")])
    assert report.examples == [f"{CPU}, line 1,234: not_finite is a false alarm"]
    assert (row_of(report, "not_finite")["recall"], row_of(report, "not_finite")["precision"]) == (1.0, 0.5)


def test_line_with_another_reason_is_missed_and_a_false_alarm() -> None:
    report = scored(rejected=[*[row for row in REJECTED if row[1] != 12], (CPU, 12, "unparsable_value")])
    assert report.examples == [
        f"{CPU}, line 12: not_finite is missed",
        f"{CPU}, line 12: unparsable_value is a false alarm",
    ]
    assert row_of(report, "unparsable_value")["injected"] == 0


def test_lines_of_a_file_that_no_list_names_are_false_alarms() -> None:
    report = scored(rejected=[*REJECTED, ("2023/01/cpu_202301.csv", 3, "missing_date")])
    assert report.examples == ["2023/01/cpu_202301.csv, line 3: missing_date is a false alarm"]


@pytest.mark.parametrize("reason", ["unreadable", "not_csv"])
def test_file_refused_for_another_reason_is_missed_and_a_false_alarm(reason: str) -> None:
    report = scored(refused=[(DISK, reason)])
    assert set(report.examples) == {f"{DISK}: empty is missed", f"{DISK}: {reason} is a false alarm"}


def test_dialect_that_was_not_recorded_is_missed_and_one_that_is_not_there_a_false_alarm() -> None:
    report = scored(dialects={CPU: {"tab"}})
    assert set(report.examples) == {f"{MEMORY}: bom is missed", f"{CPU}: tab is a false alarm"}


@pytest.mark.parametrize(("listed", "said"), [(".gz", ""), ("", ".gz"), (".gz", ".gz")])
def test_compressed_and_plain_names_are_one_file(listed: str, said: str) -> None:
    report = scored(
        [(path + listed, line, kind) for path, line, kind in INJECTED],
        [(path + said, line, kind) for path, line, kind in REJECTED],
        [(path + said, reason) for path, reason in REFUSED],
        {path + said: traits for path, traits in DIALECTS.items()},
    )
    assert report.passed


def test_too_many_rejected_follows_from_injected_lines_and_is_a_false_alarm_without_them() -> None:
    assert scored(refused=[*REFUSED, (CPU, "too_many_rejected")]).passed
    report = scored(injected=[row for row in INJECTED if row[0] != CPU], refused=[*REFUSED, (CPU, "too_many_rejected")])
    assert f"{CPU}: too_many_rejected is a false alarm" in report.examples


def test_no_final_newline_follows_from_a_cut_off_line_and_is_a_false_alarm_without_one() -> None:
    assert scored(dialects={MEMORY: {"bom", "no_final_newline"}}).passed
    report = scored(dialects={MEMORY: {"bom"}, CPU: {"no_final_newline"}})
    assert report.examples == [f"{CPU}: no_final_newline is a false alarm"]


def test_traits_of_a_file_damaged_as_a_whole_are_not_judged() -> None:
    assert scored(dialects={**DIALECTS, DISK: {"utf_16"}}).passed


def test_finding_told_twice_counts_once() -> None:
    assert scored(rejected=REJECTED * 2).counts == scored().counts


def test_clean_feed_passes_with_a_note() -> None:
    report = scored([], [], [], {CPU: set()})
    assert report.passed
    assert report.verdict == "no defect was injected, and none is found"
    assert report.table == []
    assert report.counts["recall"] == report.counts["precision"] == 1.0


def test_finding_in_a_clean_feed_is_a_false_alarm() -> None:
    report = scored([], [(CPU, 3, "missing_date")], [], {})
    assert report.examples == [f"{CPU}, line 3: missing_date is a false alarm"]
    assert report.counts["precision"] == 0.0
