import datetime as dt
from dataclasses import replace
from pathlib import Path

from capsim_dagster.legacy_feed.dialects import plain_dialect
from capsim_dagster.legacy_feed.dirt.damage import ADDED, LineDamage, SoundLine, shifted
from capsim_dagster.schemas import LineFault, Resource
from capsim_dagster.settings import INJECTED_LINE_FAULTS, FeedColumns
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.cases import each_case

FEED = small_settings(Path("unused")).legacy_feed
PLAIN = plain_dialect(FEED, Resource.CPU)
COLUMNS = FEED.resources[Resource.CPU]
EUROPEAN = replace(PLAIN, delimiter=";", decimal=",", is_quoted=True, date_format="%Y-%m-%dT%H:%M:%SZ")
DAY = dt.date(2023, 3, 31)


def damaged(kind: LineFault, number: float, *, value: str = "20.5", columns: FeedColumns = COLUMNS) -> str:
    texts = {"date": "2023-03-31", "host_id": "srv-000007", "p95_util": value, "capacity": "64"}
    return LineDamage(PLAIN, PLAIN, columns, FEED).text(kind, SoundLine(DAY, texts, "unused"), number)


def damaged_in_quotes(kind: LineFault, number: float) -> str:
    texts = {"date": "2023-03-31T00:00:00Z", "host_id": "srv-000007", "p95_util": "20,5", "capacity": "64"}
    return LineDamage(EUROPEAN, PLAIN, COLUMNS, FEED).text(kind, SoundLine(DAY, texts, "unused"), number)


@each_case(
    ("kind", "number", "text"),
    [
        ("blank_line", 0.5, ""),
        ("invalid_encoding", 0.2, "2023-03-31,srv-000007\ud800,20.5,64"),
        ("invalid_encoding", 0.8, "2023-03-31,srv-000007\0,20.5,64"),
        ("unclosed_quote", 0.2, '2023-03-31,"srv-000007,20.5,64'),
        ("unclosed_quote", 0.8, '2023-03-31,srv-0"00007,20.5,64'),
        ("repeated_header", 0.5, "date,host_id,cpu_p95,max_cores"),
        ("field_count", 0.1, "2023-03-31,srv-000007,20.5"),
        ("field_count", 0.4, "srv-000007,20.5,64"),
        ("field_count", 0.6, "2023-03-31,srv-000007,20.5,64,"),
        ("field_count", 0.9, "2023-03-31,srv-000007,20.5,64,0"),
        ("missing_date", 0.5, ",srv-000007,20.5,64"),
        ("unparsable_date", 0.1, "yesterday,srv-000007,20.5,64"),
        ("unparsable_date", 0.5, "2023-03-32,srv-000007,20.5,64"),
        ("unparsable_date", 0.9, "2023-02-30,srv-000007,20.5,64"),
        ("outside_month", 0.1, "2023-02-28,srv-000007,20.5,64"),
        ("outside_month", 0.4, "2023-04-30,srv-000007,20.5,64"),
        ("outside_month", 0.6, "2022-03-31,srv-000007,20.5,64"),
        ("outside_month", 0.9, "2024-03-31,srv-000007,20.5,64"),
        ("missing_host", 0.5, "2023-03-31,,20.5,64"),
        ("unknown_host", 0.1, "2023-03-31,srv-000007x,20.5,64"),
        ("unknown_host", 0.5, "2023-03-31,host000007,20.5,64"),
        ("unknown_host", 0.9, "2023-03-31,srv-1000000000007,20.5,64"),
        ("unparsable_value", 0.1, "2023-03-31,srv-000007,abc,64"),
        ("unparsable_value", 0.3, "2023-03-31,srv-000007,12.3.4,64"),
        ("unparsable_value", 0.5, "2023-03-31,srv-000007,1O.5,64"),
        ("not_finite", 0.1, "2023-03-31,srv-000007,NaN,64"),
        ("not_finite", 0.5, "2023-03-31,srv-000007,inf,64"),
        ("not_finite", 0.9, "2023-03-31,srv-000007,-inf,64"),
        ("value_out_of_range", 0.1, "2023-03-31,srv-000007,100.5,64"),
        ("value_out_of_range", 0.4, "2023-03-31,srv-000007,150.0,64"),
        ("value_out_of_range", 0.6, "2023-03-31,srv-000007,-0.5,64"),
        ("value_out_of_range", 0.9, "2023-03-31,srv-000007,-5.0,64"),
        ("missing_capacity", 0.5, "2023-03-31,srv-000007,20.5,"),
        ("unparsable_capacity", 0.1, "2023-03-31,srv-000007,20.5,many"),
        ("unparsable_capacity", 0.4, "2023-03-31,srv-000007,20.5,64x"),
        ("unparsable_capacity", 0.6, "2023-03-31,srv-000007,20.5,-64"),
        ("unparsable_capacity", 0.9, "2023-03-31,srv-000007,20.5,inf"),
        ("exact_duplicate", 0.5, "2023-03-31,srv-000007,20.5,64"),
        ("conflicting_duplicate", 0.1, "2023-03-31,srv-000007,,64"),
        ("conflicting_duplicate", 0.375, "2023-03-31,srv-000007,50.0,64"),
    ],
)
def test_fault_of_a_plain_line(kind: str, number: float, text: str) -> None:
    assert damaged(LineFault(kind), number) == text


@each_case(
    ("kind", "number", "text"),
    [
        ("unclosed_quote", 0.2, '"2023-03-31T00:00:00Z";"srv-000007;"20,5";"64"'),
        ("unclosed_quote", 0.8, '"2023-03-31T00:00:00Z";"srv-"000007";"20,5";"64"'),
        ("repeated_header", 0.5, '"date";"host_id";"cpu_p95";"max_cores"'),
        ("field_count", 0.6, '"2023-03-31T00:00:00Z";"srv-000007";"20,5";"64";""'),
        ("missing_date", 0.5, '"";"srv-000007";"20,5";"64"'),
        ("unparsable_date", 0.3, '"2023-03-32T00:00:00Z";"srv-000007";"20,5";"64"'),
        ("unparsable_date", 0.9, '"2023-03-31T13:30:00Z";"srv-000007";"20,5";"64"'),
        ("outside_month", 0.1, '"2023-02-28T00:00:00Z";"srv-000007";"20,5";"64"'),
        ("value_out_of_range", 0.1, '"2023-03-31T00:00:00Z";"srv-000007";"100,5";"64"'),
        ("conflicting_duplicate", 0.375, '"2023-03-31T00:00:00Z";"srv-000007";"50,0";"64"'),
    ],
)
def test_fault_of_a_quoted_line_with_decimal_comma(kind: str, number: float, text: str) -> None:
    assert damaged_in_quotes(LineFault(kind), number) == text


def test_twin_of_a_gap_has_a_value_whatever_the_number() -> None:
    assert damaged(LineFault.CONFLICTING_DUPLICATE, 0.0, value="") == "2023-03-31,srv-000007,0.0,64"


def test_twin_whose_value_would_be_equal_is_a_gap() -> None:
    assert damaged(LineFault.CONFLICTING_DUPLICATE, 0.375, value="50.0") == "2023-03-31,srv-000007,,64"


@each_case("number", [0.0, 0.26, 0.5, 0.999])
def test_values_keep_to_the_range_of_the_resource_or_leave_it(number: float) -> None:
    narrow = COLUMNS.model_copy(update={"range": (20.004, 20.006)})
    twin = damaged(LineFault.CONFLICTING_DUPLICATE, number, columns=narrow).split(",")[2]
    outlier = damaged(LineFault.VALUE_OUT_OF_RANGE, number, columns=narrow).split(",")[2]
    assert twin == "" or 20.004 <= float(twin) <= 20.006
    assert not 20.004 <= float(outlier) <= 20.006


def test_spellings_of_no_value_are_never_a_fault() -> None:
    spellings = ("ABC", "12.3.4", " nan ", "-inf", "-5.0", "many")
    settings = FEED.model_copy(update={"null_values": spellings})
    damage = LineDamage(PLAIN, PLAIN, COLUMNS, settings)
    texts = {"date": "2023-03-31", "host_id": "srv-000007", "p95_util": "20.5", "capacity": "64"}
    line = SoundLine(DAY, texts, "unused")
    for kind in damage.possible():
        for step in range(20):
            fields = damage.text(kind, line, step / 20).split(",")
            assert not {"abc", "12.3.4", "nan", "-inf", "-5.0", "many"} & {field.casefold() for field in fields}


def test_fault_without_a_spelling_left_is_not_possible() -> None:
    settings = FEED.model_copy(update={"null_values": ("", "NaN", "INF", "-Inf")})
    possible = LineDamage(PLAIN, PLAIN, COLUMNS, settings).possible()
    assert set(INJECTED_LINE_FAULTS) - set(possible) == {LineFault.NOT_FINITE}


def test_every_fault_that_settings_may_name_can_be_made() -> None:
    assert LineDamage(PLAIN, PLAIN, COLUMNS, FEED).possible() == list(INJECTED_LINE_FAULTS)
    assert set(INJECTED_LINE_FAULTS) > ADDED


@each_case(
    ("day", "months", "expected"),
    [
        ("2024-02-29", -12, "2023-02-28"),
        ("2023-01-15", -1, "2022-12-15"),
        ("2023-12-31", 1, "2024-01-31"),
        ("2023-01-31", 1, "2023-02-28"),
    ],
)
def test_shifted_day_stays_within_its_new_month(day: str, months: int, expected: str) -> None:
    assert shifted(dt.date.fromisoformat(day), months) == dt.date.fromisoformat(expected)
