"""Hostile files, each with its verdict: what a careful capacity engineer would have them read as."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from capsim_dagster.refinery.rules import FileRefused
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.refinery.readings import Said, read_path

CORPUS = Path(__file__).parent / "corpus"
VERDICTS: dict[str, dict[str, Any]] = tomllib.loads((CORPUS / "verdicts.toml").read_text(encoding="utf-8"))
REFUSED = {name: verdict["refused"] for name, verdict in VERDICTS.items() if "refused" in verdict}
READ = {name: verdict for name, verdict in VERDICTS.items() if name not in REFUSED}
SAME_TABLE = [name for name, verdict in READ.items() if verdict.keys() <= {"traits"}]

UTILIZATION: dict[str, list[float | None]] = {"srv-1": [20.5, 0.0, None, 100.0], "srv-2": [33.25, 7.125, 55.5, 12.0]}
CAPACITY = {"srv-1": 64.0, "srv-2": 32.0}
PLAIN_ROWS: dict[tuple[int, str], Said] = {
    (day, host): (day, host, util, CAPACITY[host])
    for host, utils in UTILIZATION.items()
    for day, util in enumerate(utils, 1)
}
"""What `plain.csv` says, by day and host."""


def expected_rows(verdict: dict[str, Any]) -> list[Said]:
    """Return what a file must load: the rows of `plain.csv`, but for those lost, and what is extra."""
    lost = [(int(day), host) for day, host in (key.split(" ") for key in verdict.get("lost", []))]
    assert set(lost) <= PLAIN_ROWS.keys()
    rows = [said for key, said in PLAIN_ROWS.items() if key not in lost]
    for text in verdict.get("extra", []):
        day, host, util, capacity = text.split("|")
        rows.append((int(day), host, float(util), float(capacity)))
    return rows


def _key(said: Said) -> tuple[int, str]:
    return said[:2]


def expected_reasons(verdict: dict[str, Any]) -> dict[int, str]:
    return {int(line): reason for line, reason in (entry.split(" ") for entry in verdict.get("rejected", []))}


def test_every_file_has_a_verdict_and_there_are_many() -> None:
    assert {path.name for path in CORPUS.iterdir()} == VERDICTS.keys() | {"verdicts.toml", ".gitattributes"}
    assert len(VERDICTS) >= 60
    assert (CORPUS / ".gitattributes").read_text() == "* -text\n"


@each_case(("name", "fault"), REFUSED.items())
def test_file_that_cannot_be_used_is_refused(name: str, fault: str) -> None:
    with pytest.raises(FileRefused) as caught:
        read_path(CORPUS / name)
    assert caught.value.fault == fault
    assert caught.value.found
    assert caught.value.remedy


@each_case(("name", "verdict"), READ.items())
def test_every_line_of_a_file_is_loaded_or_rejected_for_its_reason(name: str, verdict: dict[str, Any]) -> None:
    found = read_path(CORPUS / name)
    assert found.reasons == expected_reasons(verdict)
    assert found.lines == verdict.get("lines", len(PLAIN_ROWS)) == len(found.rows) + len(found.reasons)
    assert sorted(found.rows.values(), key=_key) == sorted(expected_rows(verdict), key=_key)
    assert found.traits == set(verdict.get("traits", []))


def test_many_dialects_say_the_same_table() -> None:
    assert len(SAME_TABLE) > 40
