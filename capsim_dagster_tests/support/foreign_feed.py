"""A feed of another tool, written in the layout that config/other_tool.yaml describes, and the rows that it must give.

Everything is written by hand here, and in whole hundredths, so that what is expected owes nothing to the refinery.
"""

import calendar
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from capsim_dagster.pipeline import refine
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.load import LoadedMonth
from capsim_dagster.schemas import Resource
from capsim_dagster.settings.load import build_settings
from capsim_dagster_tests.conftest import CONFIG, read_once

OTHER_TOOL: Final = CONFIG.with_name("other_tool.yaml")
MONTHS: Final = [202405, 202406]
PREFIXES: Final = {Resource.CPU: "CPU", Resource.MEMORY: "MEM", Resource.DISK: "DSK"}
HOSTS: Final = ("db-003", "web-017", "zürich-1")
DAYS: Final = {202405: 31, 202406: 30}
LINES: Final = {month: days * len(HOSTS) * len(PREFIXES) for month, days in DAYS.items()}
"""Data lines of a month, over all files."""
SIMULATED: Final = ("hosts", "business_hierarchy", "time_periods", "region_calendar", "bank_holidays")
"""Tables that only the simulator fills."""
_GAPS: Final = ("", "n/a", "-", "N/A")
Row = tuple[dt.datetime, str, str, float | None, float, float | None]
"""A row of `processed_data`."""


@dataclass(frozen=True)
class Reading:
    """What the other tool measured; hundredths of a percent, None = nothing; size in tenths, None = not told."""

    day: dt.date
    host: str
    resource: Resource
    hundredths: int | None
    tenths: int | None

    @property
    def line(self) -> str:
        """The line as the tool writes it; the size stands there even where the settings do not ask for it."""
        gap = _GAPS[self.day.day % len(_GAPS)]
        value = gap if self.hundredths is None else f"{self.hundredths // 100},{self.hundredths % 100:02d}"
        size = "" if self.tenths is None else f"{self.tenths // 10},{self.tenths % 10}"
        return f"{self.host};{self.day.day:02d}.{self.day.month:02d}.{self.day.year};{value};{size};FRA"

    @property
    def row(self) -> Row:
        """The row that it must become."""
        value = None if self.hundredths is None else self.hundredths / 100
        capacity = None if self.tenths is None else self.tenths / 10
        moment = dt.datetime(self.day.year, self.day.month, self.day.day)  # noqa: DTZ001 the table's are naive
        return moment, self.host, self.resource.value, value, 100.0, capacity


def readings(month: int, resource: Resource) -> Iterator[Reading]:
    """Yield what the tool measured in a month; every eleventh value is missing."""
    year, number = divmod(month, 100)
    of_resource = list(PREFIXES).index(resource)
    for day in range(1, calendar.monthrange(year, number)[1] + 1):
        for index, host in enumerate(HOSTS):
            seed = day * 331 + index * 1_009 + of_resource * 2_111 + number * 53
            value = None if seed % 11 == 0 else seed % 10_001
            size = None if resource is Resource.DISK else 160 + index * 5
            yield Reading(dt.date(year, number, day), host, resource, value, size)


def file_of(root: Path, month: int, resource: Resource = Resource.CPU) -> Path:
    """Return where the tool writes a file."""
    return root / f"{month // 100}-{month % 100:02d}" / f"{PREFIXES[resource]}.csv"


def write_feed(root: Path, months: Sequence[int] = MONTHS) -> Path:
    """Write the tree of the other tool, and return its root."""
    for month in months:
        for resource in PREFIXES:
            path = file_of(root, month, resource)
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = ["node_name;day;util_pct;size;site", *(reading.line for reading in readings(month, resource))]
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return root


def expected_rows(months: Sequence[int] = MONTHS) -> list[Row]:
    """Return what the table must hold of these months, in order."""
    rows = [reading.row for month in months for resource in PREFIXES for reading in readings(month, resource)]
    return sorted(rows, key=lambda row: row[:3])


def foreign_platform(data_dir: Path, feed_dir: Path, **refinery: Any) -> Platform:  # noqa: ANN401 any setting
    """Return a platform that refines the other tool's feed, by its shipped settings."""
    overrides = {
        "storage": {"local_base_path": data_dir, "lock_timeout_seconds": 0.5},
        "refinery": {"feed_dir": feed_dir, **refinery},
    }
    return Platform(build_settings(read_once(OTHER_TOOL), overrides))


def refined(platform: Platform, months: Sequence[int] | None = None) -> list[LoadedMonth]:
    """Load months of the feed; None = all that it has."""
    chosen = refine.feed_months(platform) if months is None else months
    return list(refine.processed_data(platform, chosen, run="test"))


def with_refinery(platform: Platform, **refinery: Any) -> Platform:  # noqa: ANN401 any setting
    """Return a platform with other settings of the refinery."""
    changed = platform.settings.refinery.model_copy(update=refinery)
    return Platform(platform.settings.model_copy(update={"refinery": changed}))
