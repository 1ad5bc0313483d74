import datetime as dt

import pytest

from capsim_dagster.audits.fleet import behavioral_diversity, contiguous_calendar, fleet_size, present_varieties
from capsim_dagster.schemas import VARIETIES
from capsim_dagster_tests.support.audits.relations_of_rows import RELATION, Row, show, warehouse_with
from capsim_dagster_tests.support.cases import each_case

ALL: list[tuple[str | None, str | None, int]] = [(v.scenario.value, v.variant.value, 3) for v in VARIETIES]
START, END = dt.date(2024, 2, 27), dt.date(2024, 3, 2)
DAYS = [START + dt.timedelta(day) for day in range(5)]


def test_all_ten_varieties_are_diverse() -> None:
    report = behavioral_diversity(reversed(ALL))
    assert report.passed
    assert report.claim == "behavioral_diversity"
    assert report.counts == {"varieties": 10, "hosts": 30}
    assert report.table[0] == {"variety": "STEADY_GROWTH/NORMAL", "hosts": 3}
    assert len(report.table) == 10


@each_case("index", range(10))
def test_each_missing_variety_is_named(index: int) -> None:
    report = behavioral_diversity([*ALL[:index], *ALL[index + 1 :]])
    assert report.examples == [f"no host of {VARIETIES[index]}"]
    assert report.counts == {"varieties": 9, "hosts": 27}


def test_variety_with_no_host_counts_as_missing() -> None:
    report = behavioral_diversity([(*ALL[0][:2], 0), *ALL[1:]])
    assert report.examples == ["no host of STEADY_GROWTH/NORMAL"]


@pytest.mark.parametrize("strange", [(None, None, 4), ("BURST", "SEVERE", 4), ("burst", "EXTREME", 4)])
def test_hosts_of_unknown_behaviour_are_counted(strange: tuple[str | None, str | None, int]) -> None:
    report = behavioral_diversity([*ALL, strange])
    assert report.examples == ["4 hosts whose behaviour the inventory does not know"]


def test_present_varieties_count_hosts_that_have_rows() -> None:
    hosts = [("srv-000001", "BURST", "MODERATE"), ("srv-000002", "BURST", "MODERATE"), ("srv-000003", "LOW_IDLE", "S")]
    with warehouse_with(hosts, DAYS) as connection:
        show(connection, [Row(day, host) for day in DAYS for host in ("srv-000001", "srv-000002", "srv-000009")])
        found = present_varieties(connection, RELATION)
    assert sorted(found, key=str) == [("BURST", "MODERATE", 2), (None, None, 1)]


def test_configured_number_of_hosts_holds() -> None:
    report = fleet_size(12, 12, 12)
    assert report.passed
    assert report.counts == {"hosts": 12, "expected_hosts": 12}


@each_case(
    ("hosts", "distinct", "problems"),
    [
        (11, 11, ["11 hosts, expected data_generation.num_servers = 12"]),
        (1_300, 1_300, ["1,300 hosts, expected data_generation.num_servers = 12"]),
        (12, 10, ["2 host ids stand more than once"]),
        (13, 12, ["13 hosts, expected data_generation.num_servers = 12", "1 host ids stand more than once"]),
    ],
)
def test_other_number_of_hosts_does_not_hold(hosts: int, distinct: int, problems: list[str]) -> None:
    assert fleet_size(hosts, distinct, 12).examples == problems


@pytest.mark.parametrize("end", [END, END - dt.timedelta(1)])
def test_calendar_without_a_gap_is_contiguous(end: dt.date) -> None:
    report = contiguous_calendar(DAYS, start=START, end=end)
    assert report.passed
    assert report.counts == {"days": 5}


@each_case(
    ("days", "problems"),
    [
        ([], ["starts on no day, expected 2024-02-27"]),
        (DAYS[1:], ["starts on 2024-02-28, expected 2024-02-27"]),
        ([START - dt.timedelta(1), *DAYS], ["starts on 2024-02-26, expected 2024-02-27"]),
        (DAYS[:-1], ["ends on 2024-03-01, expected 2024-03-02 or later"]),
        ([*DAYS[:2], *DAYS[3:]], ["1 gaps or repeats: 2024-02-28 to 2024-03-01"]),
        ([*DAYS[:2], *DAYS[1:]], ["1 gaps or repeats: 2024-02-28 to 2024-02-28"]),
        (DAYS[::2], ["2 gaps or repeats: 2024-02-27 to 2024-02-29, 2024-02-29 to 2024-03-02"]),
    ],
)
def test_broken_calendar_is_told_with_its_days(days: list[dt.date], problems: list[str]) -> None:
    assert contiguous_calendar(days, start=START, end=END).examples == problems
