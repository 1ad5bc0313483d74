"""The manifest of a published day."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import AwareDatetime, Field

from capsim_dagster.publication.dataset.manifest import Count, Head, Hour, Manifest, Part
from capsim_dagster.publication.tier3.columns import COLUMNS, KEY
from capsim_dagster.simulation.samples import HOURS_PER_DAY


class AbsentHour(Part):
    """An hour of which nothing is in the dataset."""

    hour: Hour = Field(description="The hour, UTC.")
    state: str = Field(description="Why: missing, open, empty, truncated or damaged.")


class Hours(Part):
    """Which hours of the day are in the dataset."""

    present: tuple[Hour, ...] = Field(description="Hours whose file was whole.")
    partial: tuple[Hour, ...] = Field(description="Those of them that lack samples of some host.")
    missing: tuple[AbsentHour, ...] = Field(description="The other hours.")


class _OfDay(Head):
    """What is said of a day alone."""

    complete: bool = Field(description="Whether all hours are there, with one row a host and interval.")
    hours: Hours = Field(description="Which hours are in it.")
    rows: Count = Field(description="Rows of the dataset.")
    rejected: Count = Field(description="Lines of the sources that became no rows.")
    hosts: Count = Field(description="Hosts with at least one row.")
    interval_s: int = Field(ge=60, le=3600, description="Time between two samples of a host [s].")
    first_ts: AwareDatetime | None = Field(description="Earliest timestamp; null = no row.")
    last_ts: AwareDatetime | None = Field(description="Latest timestamp; null = no row.")
    astray: Count = Field(description="Rows whose timestamp lies in another hour than that of their file: a warning.")


class DayManifest(Manifest, _OfDay):
    """Everything that is said of a published dataset."""

    DATASET: ClassVar = "tier3_daily"
    UNIT: ClassVar = "day"
    COLUMNS: ClassVar = COLUMNS
    KEY: ClassVar = KEY

    def contradictions(self) -> Mapping[str, bool]:
        """Return what its parts say of each other, and whether it is true."""
        hours, sources = self.hours, self.sources
        named = sorted([*hours.present, *(absent.hour for absent in hours.missing)])
        is_whole = not (hours.missing or hours.partial or self.rejected) and self.rows > 0
        return {
            **super().contradictions(),
            "rows are those of the sources": self.rows == sum(s.rows for s in sources) == self.data.rows,
            "rejected lines are those of the sources": self.rejected == sum(s.rejected for s in sources),
            "hours that are present have a source": hours.present == tuple(s.hour for s in sources),
            "each hour of the day is present or missing": named == list(range(HOURS_PER_DAY)),
            "partial hours are present": set(hours.partial) <= set(hours.present),
            "complete says whether anything is missing": self.complete == is_whole,
        }
