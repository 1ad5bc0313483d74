"""Every hostile field, and every pair of them, is read as it is judged."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from capsim_dagster_tests.support.refinery.agreement import HOSTILE_FIELDS, assert_readings_agree, read_both
from capsim_dagster_tests.support.refinery.readings import HEADER, feed_settings, read_rules, with_header

WITH_NOTE = f"{HEADER},note"


def hostile_lines(delimiter: str, hostile: int) -> Iterator[str]:
    """Yield a line for every choice of some columns and hostile fields in them, each with a host of its own."""
    for columns in itertools.combinations(range(5), hostile):
        for number, texts in enumerate(itertools.product(HOSTILE_FIELDS, repeat=hostile)):
            fields = ["2024-01-05", f"srv-{columns}-{number}", "20.5", "64", "note"]
            for column, text in zip(columns, texts, strict=True):
                fields[column] = text.replace("|", delimiter)
            yield delimiter.join(fields)


@pytest.mark.parametrize(
    ("turn", "delimiter", "null_values"),
    [(0, ",", ["", "NULL", "NA"]), (1, ";", ["0", "-1"]), (2, "\t", ["nan"])],
)
def test_every_pair_of_hostile_fields_is_read_as_it_is_judged(
    tmp_path: Path, turn: int, delimiter: str, null_values: list[str]
) -> None:
    """Each pair stands in a file of one of the delimiters."""
    rules = read_rules(feed=feed_settings(null_values=null_values))
    too_short = [line.removesuffix(f"{delimiter}note") for line in hostile_lines(delimiter, hostile=1)]
    lines = [*itertools.islice(hostile_lines(delimiter, hostile=2), turn, None, 3), *too_short]
    text = with_header(*lines, header=WITH_NOTE.replace(",", delimiter))
    content = text.encode("utf-8", "surrogatepass")
    both = read_both(tmp_path, content, content, rules)
    assert both is not None
    assert_readings_agree(content, *both, rules)
    assert len(set(both[0].reasons.values())) > 12


@pytest.mark.parametrize(
    ("delimiter", "hosts"),
    [(",", None), ("\t", {"srv-1", "NA", " srv-1", "", "a\u200bb"})],
    ids=["any host", "inventory"],
)
def test_every_hostile_field_is_read_as_it_is_judged_where_it_comes_first(
    tmp_path: Path, delimiter: str, hosts: set[str] | None
) -> None:
    rules = read_rules(hosts)
    for line in hostile_lines(delimiter, hostile=1):
        # An inventory matters to the column of hosts alone; after the four columns nothing is judged.
        if "srv-(4,)" in line or (hosts and "srv-(" in line):
            continue
        named = re.sub(r"srv-\(.*?\)-\d+", "srv-1", line)
        text = with_header(named, "", named.replace("01-05", "01-06"), "x", header=WITH_NOTE.replace(",", delimiter))
        content = text.encode("utf-8", "surrogatepass")
        both = read_both(tmp_path, content, content, rules)
        if both is not None:
            assert_readings_agree(content, *both, rules)
