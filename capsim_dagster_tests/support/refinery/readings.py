"""Feed files of January 2024's CPU, read in tests: settings, and what a reading says in plain Python."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.refinery.dialect import Dialect, read_header
from capsim_dagster.refinery.judge import Judge
from capsim_dagster.refinery.read import read_feed_file
from capsim_dagster.refinery.rules import HostTable, ReadRules
from capsim_dagster.refinery.source import FeedSource
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import LegacyFeed, Refinery, Settings
from capsim_dagster_tests.conftest import small_settings

JANUARY = FeedPiece(202401, Resource.CPU)
HEADER = "date,host_id,cpu_p95,max_cores"

Said = tuple[int, str, float | None, float | None]
"""Day of the month, host, utilization and capacity of a line."""


@dataclass(frozen=True)
class Reading:
    """What was read of a file.

    Attributes:
        lines: Physical data lines.
        rows: What the sound lines say, by line number.
        faults: Reason and column of the other lines, by line number.
        raw: Their text.
        traits: Traits of the dialect.
        dialect: The whole dialect.
    """

    lines: int
    rows: dict[int, Said]
    faults: dict[int, tuple[str, str | None]]
    raw: dict[int, str]
    traits: set[str]
    dialect: Dialect

    @property
    def reasons(self) -> dict[int, str]:
        """Reasons of the rejected lines, by line number."""
        return {line: reason for line, (reason, _) in self.faults.items()}


@lru_cache
def _settings() -> Settings:
    return small_settings(Path("unused"))


def feed_settings(*, capacity: str | None = "max_cores", **fields: object) -> LegacyFeed:
    """Return the default feed with some fields replaced."""
    return LegacyFeed.model_validate(_feed_facts(capacity) | fields) if fields else _feed_settings(capacity)


@lru_cache
def _feed_facts(capacity: str | None) -> dict[str, Any]:
    facts = _settings().legacy_feed.model_dump(mode="json")
    facts["resources"]["cpu"]["capacity_column"] = capacity
    return facts


@lru_cache
def _feed_settings(capacity: str | None) -> LegacyFeed:
    return LegacyFeed.model_validate(_feed_facts(capacity))


def read_rules(hosts: set[str] | None = None, *, feed: LegacyFeed | None = None, **refinery: object) -> ReadRules:
    """Return the default rules with some settings of the refinery replaced."""
    usual = _settings().refinery
    changed = Refinery.model_validate(usual.model_dump() | refinery) if refinery else usual
    return ReadRules(feed or feed_settings(), changed, None if hosts is None else frozenset(hosts))


def judge_of(
    rules: ReadRules | None = None, header: str = HEADER, *, decimal: str = ".", date_format: str = "%Y-%m-%d"
) -> Judge:
    """Return the judge of a file with a header."""
    rules = rules or read_rules()
    understood = read_header(header.encode(), rules.feed, JANUARY.resource)
    dialect = Dialect(understood, decimal, date_format, "utf-8", frozenset())
    return Judge(HostTable(rules), dialect, JANUARY.month, JANUARY.resource)


def written(folder: Path, content: bytes | str) -> Path:
    """Write a file and return its path."""
    path = folder / "cpu.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def read_path(path: Path, rules: ReadRules | None = None) -> Reading:
    """Read January's CPU from a path."""
    table = HostTable(rules or read_rules())
    read = read_feed_file(FeedSource(path), JANUARY, table)
    rows = read.rows.with_columns(host=table.names(read.rows["host"])).select("line", "day", "host", "util", "capacity")
    return Reading(
        lines=read.lines,
        rows={line: said for line, *facts in rows.iter_rows() for said in [tuple(facts)]},
        faults={line: (reason, column) for line, reason, column, _ in read.rejected.iter_rows()},
        raw=dict(read.rejected.select("line", "raw").iter_rows()),
        traits={trait.value for trait in read.dialect.traits},
        dialect=read.dialect,
    )


def read_text(folder: Path, content: bytes | str, rules: ReadRules | None = None) -> Reading:
    """Read January's CPU from some content."""
    return read_path(written(folder, content), rules)


def with_header(*lines: str, header: str = HEADER) -> str:
    """Return a file of some data lines."""
    return "".join(f"{line}\n" for line in (header, *lines))
