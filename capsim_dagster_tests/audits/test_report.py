from capsim_dagster.audits.report import AuditReport

CLAIM = "all is well"


def test_report_without_problems_holds() -> None:
    report = AuditReport(CLAIM, counts={"rows": 1_234_567, "lost_rows": 0})
    assert report.passed
    assert report.verdict == "1,234,567 rows, 0 lost rows"
    assert str(report) == "all is well: holds (1,234,567 rows, 0 lost rows)"


def test_report_with_a_problem_does_not_hold_and_shows_it_before_numbers() -> None:
    report = AuditReport(CLAIM, problems=["one is lost"], counts={"rows": 9}, note="not judged")
    assert not report.passed
    assert str(report) == "all is well: does not hold (one is lost)"


def test_report_shows_five_problems_and_counts_the_rest() -> None:
    report = AuditReport(CLAIM, problems=[f"p{number}" for number in range(8)])
    assert report.verdict == "p0, p1, p2, p3, p4 and 3 more"


def test_note_stands_in_place_of_numbers() -> None:
    report = AuditReport(CLAIM, counts={"rows": 0}, note="nothing to judge")
    assert report.passed
    assert report.verdict == "nothing to judge"
