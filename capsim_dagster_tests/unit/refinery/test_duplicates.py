import itertools

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsim_dagster.refinery.judge import Policy, duplicate_lines
from capsim_dagster_tests.support.cases import each_case

POLICIES: tuple[Policy, ...] = ("reject", "first", "last")
Says = tuple[float | None, float | None]
A, B, GAP = (20.5, 64.0), (30.5, 64.0), (None, 64.0)


def frame(*lines: tuple[int, int, Says], first_line: int = 2) -> pl.DataFrame:
    """Return rows of day, host and what they say, numbered from a line."""
    return pl.DataFrame(
        [(first_line + index, day, host, *says) for index, (day, host, says) in enumerate(lines)],
        schema={"line": pl.Int64, "day": pl.Int8, "host": pl.Int32, "util": pl.Float64, "capacity": pl.Float64},
        orient="row",
    )


def faults(policy: Policy, *says: Says) -> dict[int, str]:
    """Return the faults of lines 2, 3, … that all say the same host and day."""
    return {line: fault.value for line, fault in duplicate_lines(frame(*((5, 7, s) for s in says)), policy).items()}


def marks(policy: Policy, *says: Says) -> str:
    """Return one letter a line: kept, exact duplicate or conflicting one."""
    letters = {"exact_duplicate": "e", "conflicting_duplicate": "c", None: "k"}
    found = faults(policy, *says)
    return "".join(letters[found.get(line)] for line in range(2, 2 + len(says)))


@each_case("policy", POLICIES)
@each_case("says", [A, GAP, (None, None), (20.5, None)])
def test_lines_that_say_the_same_keep_the_first(policy: Policy, says: Says) -> None:
    assert marks(policy, says) == "k"
    assert marks(policy, says, says) == "ke"
    assert marks(policy, says, says, says) == "kee"


@each_case(
    ("says", "reject", "first", "last"),
    [
        ([A, B], "cc", "kc", "ck"),
        ([A, GAP], "cc", "kc", "ck"),
        ([GAP, A], "cc", "kc", "ck"),
        ([A, (20.5, 32.0)], "cc", "kc", "ck"),
        ([A, A, B], "ccc", "kec", "cck"),
        ([A, B, A], "ccc", "kce", "eck"),
        ([A, B, B], "ccc", "kcc", "cek"),
        ([A, B, GAP], "ccc", "kcc", "cck"),
    ],
)
def test_lines_that_differ_keep_what_the_policy_says(says: list[Says], reject: str, first: str, last: str) -> None:
    assert [marks(policy, *says) for policy in POLICIES] == [reject, first, last]


@pytest.mark.parametrize("policy", POLICIES)
def test_other_hosts_and_days_are_left_alone(policy: Policy) -> None:
    rows = frame((1, 0, A), (31, 0, A), (1, 1, A), (31, 1, B), (2, 0, A))
    assert duplicate_lines(rows, policy) == {}
    assert duplicate_lines(rows.clear(), policy) == {}


def test_order_of_the_file_counts_not_the_order_of_the_rows() -> None:
    rows = frame((5, 7, A), (5, 7, B)).reverse()
    assert list(duplicate_lines(rows, "first")) == [3]
    assert list(duplicate_lines(rows, "last")) == [2]


def plain_rule(rows: pl.DataFrame, policy: Policy) -> dict[int, str]:
    """Return the faults by the words of the documentation, group by group."""
    found: dict[int, str] = {}
    ordered = sorted(rows.iter_rows(), key=lambda row: (row[2], row[1], row[0]))
    for _, group in itertools.groupby(ordered, key=lambda row: (row[2], row[1])):
        said = {line: says for line, _, _, *says in group}
        lines = list(said)
        kept = lines[-1] if policy == "last" else lines[0]
        if len({tuple(says) for says in said.values()}) == 1:
            kept = lines[0]
        elif policy == "reject":
            found |= dict.fromkeys(lines, "conflicting_duplicate")
            continue
        for line in lines:
            if line != kept:
                found[line] = "exact_duplicate" if said[line] == said[kept] else "conflicting_duplicate"
    return found


@settings(max_examples=30)
@given(
    lines=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.sampled_from([A, B, GAP])), max_size=25),
    policy=st.sampled_from(POLICIES),
)
def test_any_lines_are_told_apart_as_the_plain_rule_does(lines: list[tuple[int, int, Says]], policy: Policy) -> None:
    rows = frame(*lines)
    assert {line: fault.value for line, fault in duplicate_lines(rows, policy).items()} == plain_rule(rows, policy)
