"""Whether the hours of a day are those of the daily dataset: aggregated again from its rows, by a second method."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, Final

import duckdb

from capsim_dagster.audits.report import Finding, Severity
from capsim_dagster.publication.dataset.folder import read_published
from capsim_dagster.publication.dataset.manifest import DATA_NAME
from capsim_dagster.publication.dataset.verify import claim, not_judged
from capsim_dagster.publication.tier2.columns import RESOURCES, STATISTICS
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.verify import MEAN_ROUNDING
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.storage.warehouse import statement

LINES_AT_ONCE: Final = 150_000
"""Samples of all resources that are aggregated at a time, unless an hour has more."""
_COMPARED: Final = (*STATISTICS, "samples")
_BROKEN: Final = "a folder holds no dataset that its manifest bears out: verify it, and publish it again"


@dataclass(frozen=True)
class _Hour:
    """A published hour whose data its manifest bears out."""

    folder: Path
    manifest: HourManifest


def agreement(daily_folder: Path, hour_folders: Iterable[Path]) -> list[Finding]:
    """Return whether the hours of a day agree with its daily dataset, and whether all of them are there.

    Percentiles, highest values and counts are equal; means may differ by what the order of a sum does.
    """
    folders = list(hour_folders)
    day = read_published(daily_folder, DayManifest)
    read = [(folder, read_published(folder, HourManifest)) for folder in folders]
    hours = [_Hour(folder, manifest) for folder, manifest in read if manifest is not None]
    broken = [str(folder) for folder, manifest in read if manifest is None]
    whole = claim("datasets_are_whole", [*([] if day else [str(daily_folder)]), *broken], message=_BROKEN)
    if day is None:
        return [whole, _not_compared()]
    same_day = [hour for hour in hours if hour.manifest.day == day.day]
    others = [f"{hour.folder} is of {hour.manifest.day}" for hour in hours if hour not in same_day]
    return [
        whole,
        claim("hours_are_of_the_day", others),
        claim("each_hour_of_the_day_is_published", _unmatched(day, same_day)),
        claim("sources_are_those_of_the_day", _other_sources(day, same_day), severity=Severity.WARNING),
        _same_values(daily_folder, same_day),
    ]


def _unmatched(day: DayManifest, hours: Sequence[_Hour]) -> list[str]:
    """Return in words which hours one of the two lacks, or has twice."""
    present = set(day.hours.present)
    found = [hour.manifest.hour for hour in hours]
    said = [f"hour {hour:02d} is missing" for hour in sorted(present - set(found))]
    said += [f"hour {hour:02d} is not in the daily dataset" for hour in sorted(set(found) - present)]
    return [*said, *(f"hour {hour:02d} is given twice" for hour in sorted(set(found)) if found.count(hour) > 1)]


def _other_sources(day: DayManifest, hours: Sequence[_Hour]) -> list[str]:
    of_day = {source.hour: source.hash for source in day.sources}
    return [
        f"hour {hour.manifest.hour:02d} is made of another file than the day"
        for hour in hours
        if of_day.get(hour.manifest.hour, hour.manifest.source.hash) != hour.manifest.source.hash
    ]


def _same_values(daily_folder: Path, hours: Sequence[_Hour]) -> Finding:
    if not hours:
        return _not_compared()
    try:
        with duckdb.connect() as connection:
            differing = [
                text for some in _pieces(hours) for text in _differing(connection, daily_folder / DATA_NAME, some)
            ]
    except duckdb.Error as error:
        differing = [f"the rows cannot be compared: {str(error).splitlines()[0]}"]
    return claim("hours_are_what_the_samples_of_the_day_come_to", differing)


def _pieces(hours: Sequence[_Hour]) -> Iterator[Sequence[_Hour]]:
    """Yield some hours at a time: what a day comes to at once does not fit in memory where the fleet is large."""
    lines = max(hour.manifest.source.lines for hour in hours)
    size = max(LINES_AT_ONCE // max(lines, 1), 1)
    for first in range(0, len(hours), size):
        yield hours[first : first + size]


def _differing(connection: duckdb.DuckDBPyConnection, daily: Path, hours: Sequence[_Hour]) -> list[str]:
    """Return in words the rows of hours that differ from the samples of the day."""
    query = statement(__package__, "agree", resources=", ".join(RESOURCES))
    # DuckDB takes a path for a pattern.
    paths = {"daily": escape(str(daily)), "hourly": [escape(str(hour.folder / DATA_NAME)) for hour in hours]}
    numbers = [hour.manifest.hour for hour in hours]
    result = connection.execute(query, {**paths, "hours": numbers, "rounding": MEAN_ROUNDING})
    names = [column[0] for column in result.description]
    return [_shown(dict(zip(names, row, strict=True))) for row in result.fetchall()]


def _shown(row: dict[str, Any]) -> str:
    where = f"hour {row['hour']:02d} {row['host_id']} {row['resource']}"
    if row["samples_found"] is None:
        return f"{where} is missing"
    if row["samples_expected"] is None:
        return f"{where} is not in the daily dataset"
    pairs = [(name, row[f"{name}_found"], row[f"{name}_expected"]) for name in _COMPARED]
    said = [f"{name} {found}, by the day {expected}" for name, found, expected in pairs if found != expected]
    return f"{where}: {'; '.join(said)}"


def _not_compared() -> Finding:
    return not_judged("hours_are_what_the_samples_of_the_day_come_to", "nothing to compare")
