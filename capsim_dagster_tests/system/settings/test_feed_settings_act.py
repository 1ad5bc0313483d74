"""The law that every setting of feed and refinery acts: changing it changes what is loaded, rejected or refused.

Those of `legacy_feed.defects` change what is written, which `legacy_feed/test_defects.py` holds leaf by leaf.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from capsim_dagster.errors import FeedError, GateError
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.legacy_feed.dialects import plain_dialect
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import Defects
from capsim_dagster.settings.load import build_settings
from capsim_dagster_tests.conftest import CONFIG, read_once
from capsim_dagster_tests.support.foreign_feed import refined
from capsim_dagster_tests.support.sabotage import rows_in

MONTH: Final = 202401
WHOLE: Final = "24 loaded, sum 492"
"""Of each resource two hosts on three days, with 10.5, 20.5 and 30.5 %: 4 x 2 x 61.5."""
ANY_SHARE: Final = {"max_rejected_share": 1}

pytestmark = pytest.mark.usefixtures("_opened_once")


@dataclass(frozen=True)
class Case:
    """A change of one setting, the feed in which it shows, and what becomes of that before and after."""

    change: Any
    before: str = WHOLE
    after: str = ""
    in_feed: tuple[tuple[str, str], ...] = ()
    """Texts of each file that are replaced, and by what."""
    appended: str = ""
    """Text at the end of each file."""
    refinery: Mapping[str, Any] | None = None
    """Other settings of the refinery, before and after."""


CASES: Final[dict[str, Case]] = {
    "legacy_feed.layout": Case("{yearmonth}/{prefix}.csv", after="none of the 4 files is in the layout"),
    "legacy_feed.date_columns": Case(["day"], after="0 loaded, no_usable_header 4"),
    "legacy_feed.host_columns": Case(["node_name"], after="0 loaded, no_usable_header 4"),
    "legacy_feed.date_formats": Case(["%d.%m.%Y"], after="0 loaded, unparsable_date 24", refinery=ANY_SHARE),
    "legacy_feed.null_values": Case(
        ["-"],
        in_feed=((",20.5,", ",NA,"),),
        before="24 loaded, sum 328",
        after="16 loaded, sum 328, unparsable_value 8",
        refinery=ANY_SHARE,
    ),
    "legacy_feed.delimiters": Case([";", "|"], after="0 loaded, no_usable_header 4"),
    "legacy_feed.decimal_signs": Case(
        ["."], in_feed=((",", ";"), (".", ",")), after="0 loaded, unparsable_value 24", refinery=ANY_SHARE
    ),
    "legacy_feed.resources.*.file_prefix": Case("renamed", after="none of the 4 files is in the layout"),
    "legacy_feed.resources.*.value_column": Case("util", after="0 loaded, no_usable_header 4"),
    "legacy_feed.resources.*.capacity_column": Case("size", after="0 loaded, no_usable_header 4"),
    "legacy_feed.resources.*.range": Case(
        [10.5, 20.5], after="16 loaded, sum 248, value_out_of_range 8", refinery=ANY_SHARE
    ),
    "refinery.feed_dir": Case("elsewhere", after="no folder"),
    "refinery.inventory": Case("hosts.csv", after="12 loaded, sum 246, unknown_host 12", refinery=ANY_SHARE),
    "refinery.resources": Case(["cpu", "disk"], after="12 loaded, sum 246"),
    "refinery.max_rejected_share": Case(
        0.5,
        in_feed=(("2024-01-02,a,20.5", "2024-01-02,a,many"),),
        before="0 loaded, too_many_rejected 4",
        after="20 loaded, sum 410, unparsable_value 4",
    ),
    "refinery.max_rejected_lines": Case(
        1,
        in_feed=(("2024-01-02", "2024-01-32"),),
        before="16 loaded, sum 328, unparsable_date 8",
        after="0 loaded, too_many_rejected 4",
        refinery=ANY_SHARE,
    ),
    "refinery.max_text_mb": Case(0.0001, after="0 loaded, too_large 4"),
    "refinery.allow_partial": Case(
        True,
        in_feed=(("cpu_p95", "cpu_p99"),),
        before="0 loaded, no_usable_header 1",
        after="18 loaded, sum 369, no_usable_header 1",
    ),
    "refinery.conflicting_duplicates": Case(
        "first",
        appended="2024-01-02,a,90.5,16\n",
        before="20 loaded, sum 410, conflicting_duplicate 8",
        after="24 loaded, sum 492, conflicting_duplicate 4",
        refinery=ANY_SHARE,
    ),
    "refinery.unterminated_last_line": Case(
        "accept",
        appended="2024-01-04,a,50.5,16",
        before="24 loaded, sum 492, truncated_line 4",
        after="28 loaded, sum 694",
        refinery=ANY_SHARE,
    ),
}


def write_feed(root: Path, case: Case) -> None:
    """Write one month in the shipped layout."""
    platform = Platform(build_settings(read_once(CONFIG), {"refinery": {"feed_dir": root}}))
    for resource in Resource:
        header = plain_dialect(platform.refined.settings, resource).header
        lines = [f"2024-01-0{day},{host},{day}0.5,16" for day in (1, 2, 3) for host in "ab"]
        path = platform.refined.path(FeedPiece(MONTH, resource))
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{line}\n" for line in [header, *lines])
        for old, new in case.in_feed:
            text = text.replace(old, new)
        path.write_text(text + case.appended)


def outcome(data_dir: Path, feed_dir: Path, refinery: Mapping[str, Any] | None, change: Mapping[str, Any]) -> str:
    """Refine the feed and return in words what became of it."""
    overrides: dict[str, dict[str, Any]] = {
        "storage": {"local_base_path": data_dir},
        "refinery": {"feed_dir": feed_dir, **(refinery or {})},
    }
    for section, values in change.items():
        overrides[section] = {**overrides.get(section, {}), **values}
    platform = Platform(build_settings(read_once(CONFIG), overrides))
    try:
        refined(platform)
    except (FeedError, GateError) as error:
        if not platform.layout.warehouse.exists():
            return error.found.partition(f" under {feed_dir}")[0].partition(" /")[0] + (
                " is in the layout" if "layout" in error.found else ""
            )
    with platform.reading() as connection:
        rows, total = connection.execute("SELECT count(*), sum(y) FROM processed_data").fetchall()[0]
        faults = connection.execute(
            "SELECT reason, count(*) FROM (FROM rejected_lines SELECT reason::VARCHAR AS reason "
            "UNION ALL FROM refused_files SELECT reason::VARCHAR) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    loaded = f"{rows} loaded" + (f", sum {total:g}" if rows else "")
    return ", ".join([loaded, *(f"{kind} {count}" for kind, count in faults)])


def nested(path: str, value: object) -> dict[str, Any]:
    """Return a value under its dotted path; * stands for each resource, with a name of its own."""
    for part in reversed(path.split(".")):
        value = {part: value} if part != "*" else {resource.value: own(value, resource) for resource in Resource}
    assert isinstance(value, dict)
    return value


def test_plain_feed_is_loaded_whole_by_the_shipped_settings(tmp_path: Path) -> None:
    write_feed(tmp_path / "feed", Case(None))

    assert outcome(tmp_path, tmp_path / "feed", None, {}) == WHOLE


def own(value: object, resource: Resource) -> object:
    named = value.items() if isinstance(value, dict) else ()
    return {name: f"{text}_{resource}" if isinstance(text, str) else text for name, text in named}


@pytest.mark.parametrize("path", CASES)
def test_setting_acts(path: str, tmp_path: Path) -> None:
    """A setting that each resource has is changed for all of them, and all of them show it."""
    case, feed_dir = CASES[path], tmp_path / "feed"
    write_feed(feed_dir, case)
    inventory = tmp_path / "hosts.csv"
    inventory.write_text("host_id\na\n")
    places = {"elsewhere": tmp_path / "elsewhere", "hosts.csv": inventory}
    value = places.get(case.change, case.change) if isinstance(case.change, str) else case.change

    if case.in_feed or case.appended:
        assert outcome(tmp_path / "before", feed_dir, case.refinery, {}) == case.before
    assert outcome(tmp_path / "after", feed_dir, case.refinery, nested(path, value)) == case.after
    assert case.before != case.after


def test_each_duplicate_policy_loads_another_line(tmp_path: Path) -> None:
    """Of 20.5 and 90.5 for one host and day of each resource: neither, the first, or the last."""
    write_feed(tmp_path / "feed", CASES["refinery.conflicting_duplicates"])

    said = {
        policy: outcome(
            tmp_path / policy, tmp_path / "feed", ANY_SHARE, {"refinery": {"conflicting_duplicates": policy}}
        )
        for policy in ("reject", "first", "last")
    }

    assert said["reject"] == "20 loaded, sum 410, conflicting_duplicate 8"
    assert said["first"] == "24 loaded, sum 492, conflicting_duplicate 4"
    assert said["last"] == "24 loaded, sum 772, conflicting_duplicate 4"


def test_resource_without_a_capacity_column_has_none_in_the_table(tmp_path: Path) -> None:
    write_feed(tmp_path / "feed", Case(None))
    change = nested("legacy_feed.resources.memory.capacity_column", None)

    assert outcome(tmp_path, tmp_path / "feed", None, change) == WHOLE
    rows = rows_in(
        Platform(build_settings(read_once(CONFIG), {"storage": {"local_base_path": tmp_path}})), "processed_data"
    )
    assert {(row[2], row[5]) for row in rows} == {
        (other, None if other is Resource.MEMORY else 16.0) for other in Resource
    }


def test_cases_cover_every_setting_of_feed_and_refinery() -> None:
    settings = build_settings(read_once(CONFIG), None)
    facts = {"legacy_feed": settings.legacy_feed.model_dump(), "refinery": settings.refinery.model_dump()}
    del facts["legacy_feed"]["defects"]

    assert set(leaves(facts)) == set(CASES)


def test_settings_of_the_defects_are_those_whose_acts_are_tested() -> None:
    shares = {"line_share", "truncated_share", "dialect_share", "file_share"}

    assert set(Defects.model_fields) == {"seed", *shares, "line_faults", "dialects", "file_faults"}


def leaves(facts: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of every value; a list is one, and * is each resource."""
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{'*' if isinstance(name, Resource) else name}.")
        else:
            yield f"{prefix}{name}"
