import pytest

from capsim_dagster.audits.fingerprints import fingerprints, view_table
from capsim_dagster.audits.report import Finding
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.reconciliation import reconciliation
from capsim_dagster_tests.support.sabotage import feed_file, run_sql

FEBRUARY_CPU = "yearmonth = 202302 AND resource = 'cpu'"
LINES = {"2023-01": 31 * 12 * 4, "2023-02": 28 * 12 * 4, "2023-03": 31 * 12 * 4}


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


def reconciled(platform: Platform) -> Finding:
    with platform.reading() as connection:
        view_table(connection)
        return reconciliation(connection, fingerprints(connection, "table_rows"), platform.layout.legacy)


def test_each_month_is_accounted_for_by_itself(platform: Platform) -> None:
    report = reconciled(platform)
    assert report.passed
    assert report.counts == {"files": 12, "lines": 4320, "loaded": 4320, "rejected": 0}
    assert report.table == [
        {"month": month, "files": 4, "lines": lines, "loaded": lines, "rejected": 0, "verdict": "accounted for"}
        for month, lines in LINES.items()
    ]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (f"UPDATE feed_files SET lines = 337 WHERE {FEBRUARY_CPU}", "337 lines, but 336 loaded + 0 rejected"),
        (f"UPDATE feed_files SET lines = 337, rejected = 1 WHERE {FEBRUARY_CPU}", "0 rejected lines are kept, not 1"),
        (
            "DELETE FROM processed_data WHERE month(ds) = 2 AND resource = 'cpu' AND host_id = 'srv-000003'",
            "the table holds 308 of its 336 rows",
        ),
        (
            "UPDATE processed_data SET capacity = capacity + 1 WHERE month(ds) = 2 AND resource = 'cpu'",
            "the table holds other values than the file",
        ),
        (f"UPDATE feed_files SET sha256 = repeat('0', 64) WHERE {FEBRUARY_CPU}", "has changed since it was loaded"),
    ],
)
def test_month_that_does_not_add_up_is_named_and_the_others_stand(platform: Platform, damage: str, says: str) -> None:
    run_sql(platform, damage)
    report = reconciled(platform)
    assert [problem.partition(": ")[0].partition(" has")[0] for problem in report.examples] == [
        "2023/02/cpu_utilization_202302.csv"
    ]
    assert says in report.examples[0]
    assert [row["verdict"] for row in report.table] == ["accounted for", "1 problem", "accounted for"]


def test_file_that_is_gone_and_rows_of_no_file_are_named(platform: Platform) -> None:
    feed_file(platform).unlink()
    run_sql(platform, "DELETE FROM feed_files WHERE yearmonth = 202303 AND resource = 'disk'")
    report = reconciled(platform)
    assert report.examples == [
        "2023/02/cpu_utilization_202302.csv was loaded but is no longer there",
        "2023-03 disk: 372 rows come from no file",
    ]
