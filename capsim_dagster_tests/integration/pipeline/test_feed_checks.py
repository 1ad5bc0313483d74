"""A feed file is read once by its audit and the refinery, as long as it is the same file read by the same rules."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from capsim_dagster.errors import GateError
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.pipeline import refine
from capsim_dagster.pipeline.feed_checks import FeedMonths
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery import load, read
from capsim_dagster.refinery.read import ReadFile
from capsim_dagster.refinery.rules import HostTable
from capsim_dagster.refinery.source import FeedSource
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.conftest import MONTHS
from capsim_dagster_tests.support.sabotage import change_lines, feed_file, replace_field, rows_in, run_sql

MONTH = 202302


@pytest.fixture
def read_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that the refinery reads itself."""
    original, names = read.read_feed_file, list[str]()

    def counted(source: FeedSource, piece: FeedPiece, hosts: HostTable) -> ReadFile:
        names.append(piece.resource.value)
        return original(source, piece, hosts)

    monkeypatch.setattr(load, "read_feed_file", counted)
    return names


def audited(platform: Platform) -> dict[Resource, str]:
    """Audit all months; return what is wrong with one."""
    audits = FeedMonths(platform)
    found = {month: audits.audit(month, Resource) for month in MONTHS}
    return {resource: "; ".join(reports["row_parity"].examples) for resource, reports in found[MONTH].items()}


def emptied(platform: Platform) -> list[tuple[object, ...]]:
    """Take the rows out of the table as if nothing were loaded; return them."""
    rows = rows_in(platform, "processed_data")
    run_sql(platform, "DELETE FROM processed_data")
    return rows


def test_what_was_audited_is_loaded_without_reading_it_again_and_is_the_same(
    platform: Platform, read_again: list[str]
) -> None:
    rows = emptied(platform)
    assert set(audited(platform).values()) == {""}

    assert all(not month.is_unchanged for month in refine.processed_data(platform, MONTHS, run="test"))

    assert read_again == []
    assert rows_in(platform, "processed_data") == rows
    emptied(platform)
    list(refine.processed_data(platform, MONTHS, run="later"))
    assert len(read_again) == len(MONTHS) * len(Resource)
    assert rows_in(platform, "processed_data") == rows


def test_a_file_that_has_changed_since_its_audit_is_read_again_and_refused(
    platform: Platform, read_again: list[str]
) -> None:
    emptied(platform)
    audited(platform)
    change_lines(feed_file(platform, MONTH), replace_field(6, 2, "20.01"))

    with pytest.raises(GateError, match="differs from the master"):
        list(refine.processed_data(platform, [MONTH], run="test"))
    assert read_again == ["cpu"]


def test_other_rules_read_again(platform: Platform, read_again: list[str]) -> None:
    emptied(platform)
    audited(platform)
    refinery = platform.settings.refinery.model_copy(update={"unterminated_last_line": "accept"})
    other = Platform(platform.settings.model_copy(update={"refinery": refinery}), platform.parsed)

    list(refine.processed_data(other, [MONTH], run="test"))

    assert sorted(read_again) == sorted(resource.value for resource in Resource)


def test_without_room_for_what_was_read_it_is_read_again(
    platform: Platform, read_again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    rows = emptied(platform)
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "TemporaryFile", full)
        assert set(audited(platform).values()) == {""}

    list(refine.processed_data(platform, MONTHS, run="test"))
    assert len(read_again) == len(MONTHS) * len(Resource)
    assert rows_in(platform, "processed_data") == rows


def respell_a_gap(row: list[str]) -> list[str]:
    """Spell that there is no value in a way that the refinery knows."""
    return [*row[:2], row[2] or "n/a", *row[3:]]


def quote_the_host(row: list[str]) -> list[str]:
    return [row[0], f'"{row[1]}"', *row[2:]]


@pytest.mark.parametrize(
    ("respell", "said"),
    [(respell_a_gap, "Could not convert string"), (quote_the_host, "other hosts or days")],
)
def test_what_the_refinery_would_understand_but_capsim_does_not_write_is_told(
    platform: Platform, respell: Callable[[list[str]], list[str]], said: str
) -> None:
    change_lines(
        feed_file(platform, MONTH), lambda lines: [lines[0], *(",".join(respell(x.split(","))) for x in lines[1:])]
    )

    problems = audited(platform)

    assert said in problems.pop(Resource.CPU)
    assert set(problems.values()) == {""}


def test_nothing_is_left_on_the_disk(platform: Platform, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    audited(platform)

    assert sorted(tmp_path.rglob("*")) == before
