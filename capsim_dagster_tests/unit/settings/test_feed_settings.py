"""Settings of feed, defects and refinery: what contradicts itself or is out of range is an error that names the key."""

from typing import Any

import pytest

from capsim_dagster.errors import SettingsError
from capsim_dagster.schemas import DialectTrait, FileFault, LineFault, Resource
from capsim_dagster.settings import (
    INJECTED_FILE_FAULTS,
    INJECTED_LINE_FAULTS,
    INJECTED_TRAITS,
    LegacyFeed,
)
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.shipped_settings import shipped_settings

NAMES_A_MONTH = "it must name {prefix}, and {yearmonth} or {year} and {month}"
ALL_FIELDS = "fields are {prefix}, {yearmonth}, {year}, {month}"
A_PATH = "it must be a path under the feed directory"


def refusal(section: str, values: dict[str, Any]) -> str:
    """Return the message of the error that some settings are."""
    with pytest.raises(SettingsError) as caught:
        shipped_settings({section: values})
    return str(caught.value)


def accepted(**values: Any) -> LegacyFeed:  # noqa: ANN401 any setting
    return shipped_settings({"legacy_feed": values}).legacy_feed


@each_case(
    ("layout", "said"),
    [
        ("{year}/{month}.csv", NAMES_A_MONTH),
        ("{prefix}.csv", NAMES_A_MONTH),
        ("{prefix}_{year}.csv", NAMES_A_MONTH),
        ("{prefix}_{month}.csv", NAMES_A_MONTH),
        ("", NAMES_A_MONTH),
        ("{prefix}_{yearmonth}_{host}.csv", ALL_FIELDS),
        ("{prefix}_{}_{yearmonth}.csv", ALL_FIELDS),
        ("{prefix}_{0}_{yearmonth}.csv", ALL_FIELDS),
        ("{prefix}{prefix.upper}_{yearmonth}.csv", ALL_FIELDS),
        ("{prefix:>20}_{yearmonth}.csv", ALL_FIELDS),
        ("{prefix!r}_{yearmonth}.csv", ALL_FIELDS),
        ("{prefix_{yearmonth}.csv", "unexpected '{'"),
        ("{prefix}_{yearmonth}}.csv", "Single '}'"),
        ("{prefix}_{yearmonth", "expected '}'"),
        ("/srv/{prefix}_{yearmonth}.csv", A_PATH),
        ("../{prefix}_{yearmonth}.csv", A_PATH),
        ("a/../{prefix}_{yearmonth}.csv", A_PATH),
        ("./{prefix}_{yearmonth}.csv", A_PATH),
        ("a//{prefix}_{yearmonth}.csv", A_PATH),
        ("{prefix}/{yearmonth}/", A_PATH),
        ("{yearmonth}/.{prefix}.csv", A_PATH),
        ("{prefix}_{yearmonth}\n", A_PATH),
        ("{prefix}_{yearmonth}.csv.gz", ".gz may follow"),
    ],
)
def test_layout_that_does_not_name_each_file_is_an_error_that_says_why(layout: str, said: str) -> None:
    message = refusal("legacy_feed", {"layout": layout})

    assert f"legacy_feed.layout: found {layout!r}: " in message
    assert said in message
    assert "e.g. {year}/{month}/{prefix}_{yearmonth}.csv" in message


@each_case(
    ("values", "said"),
    [
        ({"prefix": "x"}, ["legacy_feed.prefix: no such setting", "layout, date_columns"]),
        ({"date_columns": []}, ["legacy_feed.date_columns: found []", "at least 1 item"]),
        ({"host_columns": []}, ["legacy_feed.host_columns: found []", "at least 1 item"]),
        ({"date_columns": [""]}, ["legacy_feed.date_columns.0: found ''", "at least 1 character"]),
        ({"host_columns": ["host", " \t"]}, ["legacy_feed.host_columns.1: found ' \\t'", "pattern"]),
        ({"host_columns": ["x" * 201]}, ["legacy_feed.host_columns.0: found 'xxx", "at most 200"]),
        ({"date_columns": "day"}, ["legacy_feed.date_columns: found 'day'", "valid tuple"]),
        ({"date_formats": []}, ["legacy_feed.date_formats: found []", "at least 1 item"]),
        ({"date_formats": ["%Y-%m-%d", "%Y-%m"]}, ["legacy_feed.date_formats: found '%Y-%m';", "e.g. %Y-%m-%d"]),
        ({"date_formats": ["%d.%m.", ""]}, ["legacy_feed.date_formats: found '%d.%m.', '';", "year, month and day"]),
        ({"date_formats": ["%Y-%d-%d"]}, ["legacy_feed.date_formats: found '%Y-%d-%d'"]),
        ({"date_formats": ["%Y-%m-%d %Q"]}, ["legacy_feed.date_formats: found '%Y-%m-%d %Q'"]),
        ({"date_formats": ["%Y-%m-%d %"]}, ["legacy_feed.date_formats: found '%Y-%m-%d %'"]),
        ({"date_formats": ["YYYY-MM-DD"]}, ["legacy_feed.date_formats: found 'YYYY-MM-DD'"]),
        ({"null_values": None}, ["legacy_feed.null_values: found None", "valid tuple"]),
        ({"null_values": [1]}, ["legacy_feed.null_values.0: found 1", "valid string"]),
        ({"delimiters": []}, ["legacy_feed.delimiters: found []", "at least 1 item"]),
        ({"delimiters": [",", ";;"]}, ["legacy_feed.delimiters.1: found ';;'", "at most 1 character"]),
        ({"delimiters": [""]}, ["legacy_feed.delimiters.0: found ''", "at least 1 character"]),
        *(
            ({"delimiters": [sign]}, [f"legacy_feed.delimiters: found {sign!r};", "a tab, a blank or an ASCII sign"])
            for sign in ('"', "\n", "\r", "\0", "1", "e", "_", ".", "+", "-", "§", "¦")
        ),
        ({"decimal_signs": []}, ["legacy_feed.decimal_signs: found []", "at least 1 item"]),
        ({"decimal_signs": ["'"]}, ['legacy_feed.decimal_signs.0: found "\'"', "'.' or ','"]),
        ({"resources": {"gpu": {}}}, ["legacy_feed.resources.gpu: found 'gpu'", "'network'"]),
    ],
)
def test_unusable_setting_of_the_feed_is_an_error_that_names_the_key(values: dict[str, Any], said: list[str]) -> None:
    message = refusal("legacy_feed", values)

    assert [fragment for fragment in said if fragment not in message] == []


@each_case(
    ("values", "said"),
    [
        ({"file_prefix": ""}, ["file_prefix: found ''", "pattern"]),
        ({"file_prefix": "a/b"}, ["file_prefix: found 'a/b'", "pattern"]),
        ({"file_prefix": ".."}, ["file_prefix: found '..'", "pattern"]),
        ({"file_prefix": ".cpu"}, ["file_prefix: found '.cpu'", "pattern"]),
        ({"file_prefix": "cpu\n"}, ["file_prefix: found 'cpu\\n'", "pattern"]),
        ({"value_column": ""}, ["value_column: found ''", "at least 1 character"]),
        ({"capacity_column": ""}, ["capacity_column: found ''", "at least 1 character"]),
        ({"unit": "%"}, ["unit: no such setting", "file_prefix, value_column"]),
        ({"range": [-1, 100]}, ["range: found [-1, 100]", "between 0 and 100 percent"]),
        ({"range": [0, 100.5]}, ["range: found [0, 100.5]", "between 0 and 100 percent"]),
        ({"range": [60, 40]}, ["range: found [60, 40]", "lower bound comes first"]),
        ({"range": [0]}, ["range.1: not found"]),
        ({"range": [0, float("nan")]}, ["range.1: found nan", "finite"]),
    ],
)
def test_unusable_setting_of_a_resource_is_an_error_that_names_the_key(values: dict[str, Any], said: list[str]) -> None:
    message = refusal("legacy_feed", {"resources": {"disk": values}})

    assert [fragment for fragment in said if fragment not in message] == []
    assert "legacy_feed.resources.disk." in message


@each_case(
    ("values", "said"),
    [
        ({"date_columns": ["day", "DAY"]}, "the header of cpu: label day stands twice"),
        ({"host_columns": ["host", " Host "]}, "the header of cpu: label host stands twice"),
        ({"host_columns": ["Date"]}, "the header of cpu: label date stands twice"),
        ({"resources": {"memory": {"value_column": "HOST"}}}, "the header of memory: label host stands twice"),
        (
            {"resources": {"memory": {"value_column": "Memory_GB"}}},
            "the header of memory: label memory_gb stands twice",
        ),
        ({"resources": {"disk": {"capacity_column": " ds"}}}, "the header of disk: label ds stands twice"),
        ({"resources": {"disk": {"file_prefix": "cpu_utilization"}}}, "file_prefix cpu_utilization stands twice"),
    ],
)
def test_label_or_prefix_that_stands_twice_is_an_error_that_names_it(values: dict[str, Any], said: str) -> None:
    message = refusal("legacy_feed", values)

    assert f"legacy_feed: {said}" in message or f"legacy_feed: resources: {said}" in message
    assert "each" in message


@each_case(
    ("values", "said"),
    [
        ({"rate": 1}, ["legacy_feed.defects.rate: no such setting", "seed, line_share"]),
        ({"seed": -1}, ["legacy_feed.defects.seed: found -1", "equal to 0"]),
        ({"seed": 2**63}, ["legacy_feed.defects.seed: found 9223372036854775808", "less than"]),
        ({"line_share": 0.21}, ["legacy_feed.defects.line_share: found 0.21", "equal to 0.2"]),
        *(
            ({share: wrong}, [f"legacy_feed.defects.{share}: found {wrong}", f"equal to {bound}"])
            for share in ("truncated_share", "dialect_share", "file_share")
            for wrong, bound in ((-0.1, 0), (1.1, 1))
        ),
        ({"line_faults": {"blank_line": -1}}, ["defects.line_faults.blank_line: found -1", "equal to 0"]),
        ({"line_faults": {"blank_line": float("inf")}}, ["defects.line_faults.blank_line: found inf", "finite"]),
        ({"dialects": {"cr": -1}}, ["defects.dialects.cr: found -1", "equal to 0"]),
        ({"file_faults": {"empty": -1}}, ["defects.file_faults.empty: found -1", "equal to 0"]),
        ({"line_faults": {"typo": 1}}, ["defects.line_faults.typo: found 'typo'", "'blank_line'"]),
        ({"line_faults": {"truncated_line": 1}}, ["line_faults: truncated_line cannot be injected", "blank_line"]),
        ({"dialects": {"header_alias": 1}}, ["dialects: header_alias cannot be injected; possible are bom, utf_16"]),
        (
            {"file_faults": {"ambiguous": 1, "unreadable": 1}},
            ["file_faults: ambiguous, unreadable cannot be injected", "possible are missing, empty"],
        ),
        (
            {"line_share": 0.1, "line_faults": dict.fromkeys(INJECTED_LINE_FAULTS, 0)},
            ["defects: line_faults has no kind with a weight above 0, but a share of 0.1"],
        ),
        (
            {"dialect_share": 0.5, "dialects": dict.fromkeys(INJECTED_TRAITS, 0)},
            ["defects: dialects has no kind with a weight above 0, but a share of 0.5"],
        ),
        (
            {"file_share": 1, "file_faults": dict.fromkeys(INJECTED_FILE_FAULTS, 0)},
            ["defects: file_faults has no kind with a weight above 0, but a share of 1"],
        ),
    ],
)
def test_unusable_setting_of_the_defects_is_an_error_that_names_the_key(
    values: dict[str, Any], said: list[str]
) -> None:
    message = refusal("legacy_feed", {"defects": values})

    assert [fragment for fragment in said if fragment not in message] == []


@each_case(
    ("values", "said"),
    [
        ({"feed": "x"}, ["refinery.feed: no such setting", "feed_dir, inventory, resources"]),
        ({"feed_dir": 1}, ["refinery.feed_dir: found 1", "path"]),
        ({"inventory": ["x"]}, ["refinery.inventory: found ['x']", "path"]),
        ({"resources": []}, ["refinery.resources: found []", "at least 1 item"]),
        ({"resources": ["gpu"]}, ["refinery.resources.0: found 'gpu'", "'network'"]),
        ({"resources": ["cpu", "disk", "cpu"]}, ["refinery.resources: resources: resource cpu stands twice"]),
        ({"max_rejected_share": -0.01}, ["refinery.max_rejected_share: found -0.01", "equal to 0"]),
        ({"max_rejected_share": 1.01}, ["refinery.max_rejected_share: found 1.01", "equal to 1"]),
        ({"max_rejected_share": float("nan")}, ["refinery.max_rejected_share: found nan", "finite"]),
        ({"allow_partial": "perhaps"}, ["refinery.allow_partial: found 'perhaps'", "valid boolean"]),
        ({"conflicting_duplicates": "mean"}, ["refinery.conflicting_duplicates: found 'mean'", "'first' or 'last'"]),
        ({"unterminated_last_line": "keep"}, ["refinery.unterminated_last_line: found 'keep'", "'reject' or 'accept'"]),
    ],
)
def test_unusable_setting_of_the_refinery_is_an_error_that_names_the_key(
    values: dict[str, Any], said: list[str]
) -> None:
    message = refusal("refinery", values)

    assert [fragment for fragment in said if fragment not in message] == []


@each_case("delimiter", [",", ";", "\t", "|", " ", "/", ":", "~"])
def test_any_usual_sign_between_fields_is_accepted(delimiter: str) -> None:
    assert accepted(delimiters=[delimiter]).delimiters == (delimiter,)


@each_case(
    "date_format",
    ["%Y%m%d", "%d.%m.%y", "%b %d, %Y", "%A, %d %B %Y", "%Y-%jT00:00", "%m/%d/%Y %I:%M %p", "%G-W%V-%u", "%c"],
)
def test_any_format_that_names_the_day_is_accepted(date_format: str) -> None:
    assert accepted(date_formats=[date_format]).date_formats == (date_format,)


@pytest.mark.parametrize("bounds", [(0, 100), (0, 0), (12.5, 80)])
def test_range_within_percent_is_accepted(bounds: tuple[float, float]) -> None:
    assert accepted(resources={"cpu": {"range": bounds}}).resources[Resource.CPU].range == bounds


def test_weights_without_a_share_may_all_be_zero() -> None:
    assert accepted(defects={"line_faults": dict.fromkeys(INJECTED_LINE_FAULTS, 0)}).defects.is_clean


def test_kinds_that_can_be_injected_are_all_but_those_that_are_not_in_a_file() -> None:
    assert set(LineFault) - set(INJECTED_LINE_FAULTS) == {"truncated_line"}
    assert set(DialectTrait) - set(INJECTED_TRAITS) == {"other_delimiter", "header_alias", "no_final_newline"}
    strange = {"unreadable", "ambiguous", "unlike_master", "too_many_rejected", "too_large", "changed"}
    assert set(FileFault) - set(INJECTED_FILE_FAULTS) == strange
