import json

from capsim_dagster.audits.report import Finding, Findings, Severity, by_claim

CLAIM = "all_is_well"


def test_finding_with_nothing_against_it_holds() -> None:
    finding = Finding(CLAIM, counts={"rows": 1_234_567, "lost_rows": 0})
    assert finding.passed
    assert finding.verdict == "1,234,567 rows, 0 lost rows"


def test_finding_with_an_example_does_not_hold_and_shows_it_before_note_and_numbers() -> None:
    finding = Finding(CLAIM, examples=["one is lost"], counts={"rows": 9}, note="not judged")
    assert not finding.passed
    assert finding.verdict == "one is lost"


def test_finding_shows_five_examples_and_counts_the_rest() -> None:
    finding = Finding(CLAIM, examples=[f"p{number}" for number in range(8)])
    assert (finding.total, finding.verdict) == (8, "p0, p1, p2, p3, p4 and 3 more")


def test_note_stands_in_place_of_numbers() -> None:
    finding = Finding(CLAIM, counts={"rows": 0}, note="nothing to judge")
    assert finding.passed
    assert finding.verdict == "nothing to judge"


def test_what_could_not_be_judged_does_not_hold_though_nothing_is_against_it() -> None:
    finding = Finding(CLAIM, Severity.INFO, message="the file is torn", judged=False)
    assert (finding.passed, finding.total) == (False, 0)
    assert not finding.fails(strict=True)


def test_count_says_how_many_are_against_it_where_not_all_are_examples() -> None:
    assert Finding(CLAIM, count=7, examples=["one"]).total == 7
    assert not Finding(CLAIM, count=7).passed


def test_findings_are_the_json_that_verifiers_always_wrote() -> None:
    findings = Findings("here", [Finding(CLAIM), Finding("other", Severity.WARNING, 2, "two", ("a", "b"))], rows=3)
    sound = {"name": CLAIM, "severity": "error", "passed": True, "count": 0, "message": "", "examples": []}
    wrong = {"name": "other", "severity": "warning", "passed": False, "count": 2, "message": "two"}
    told = [{**sound, "threshold": {}}, {**wrong, "examples": ["a", "b"], "threshold": {}}]
    whole = {"passed": True, "where": "here", "findings": told, "rows": 3}
    assert findings.as_json() == json.dumps(whole, indent=2) + "\n"
    assert [each.claim for each in findings.against] == ["other"]


def test_findings_are_found_by_their_claim() -> None:
    finding = Finding(CLAIM)
    assert by_claim(finding) == {CLAIM: finding}
