"""The manifest of a published hour."""

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from capsim_dagster.publication.dataset.manifest import Count, Digest, Head, Hour, Manifest, SourceFile, TableSchema
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.tier2.columns import COLUMNS, KEY, RESOURCES
from capsim_dagster.publication.tier3.tally import SECONDS_PER_HOUR
from capsim_dagster.schemas.resources import RESOURCE_COUNT


class _OfHour(Head):
    """What is said of an hour alone."""

    hour: Hour = Field(description="Hour file of the archive, UTC.")
    rows: Count = Field(description=f"Rows of the dataset: {RESOURCE_COUNT} a host.")
    hosts: Count = Field(description="Hosts of the hour file.")
    interval_s: int = Field(ge=60, le=3600, description="Time between two samples of a host [s].")
    samples: Count = Field(description="Values that were aggregated.")
    gaps: Count = Field(
        description=f"Values that agents did not report; with the samples, {RESOURCE_COUNT} a line of the source."
    )
    astray: Count = Field(description="Lines of the source whose timestamp lies in another hour.")


class HourManifest(Manifest, _OfHour):
    """Everything that is said of a published hour."""

    DATASET: ClassVar = "tier2_hourly"
    UNIT: ClassVar = "hour"
    COLUMNS: ClassVar = COLUMNS
    KEY: ClassVar = KEY

    sources: tuple[SourceFile, ...] = Field(
        min_length=1, max_length=1, description="The file of the archive that it was made of."
    )
    # Hours were published before they could be replaced in a bucket: the text of those has no such field.
    supersedes: Digest | None = Field(
        default=None,
        exclude_if=lambda digest: digest is None,
        description="SHA-256 of the manifest that was published before with other content; absent = none.",
    )

    @property
    def day_hour(self) -> DayHour:
        """The hour."""
        return DayHour(self.day, self.hour)

    @property
    def time(self) -> dict[str, str | int]:
        """What it is of, as footers say it."""
        return {**super().time, "hour": self.hour}

    @property
    def place(self) -> str:
        """Where its folder lies below that of the dataset, on disk and in a bucket."""
        return self.day_hour.place

    @property
    def source(self) -> SourceFile:
        """The file of the archive."""
        return self.sources[0]

    def contradictions(self) -> Mapping[str, bool]:
        """Return what its parts say of each other, and whether it is true."""
        source, values = self.source, self.source.rows * len(RESOURCES)
        return {
            **super().contradictions(),
            "the source is the file of the hour": source.hour == self.hour,
            "every line of the source was a sample": source.lines == source.rows and not source.rejected,
            "the source has a line a host and interval": source.rows == self.hosts * SECONDS_PER_HOUR / self.interval_s,
            "samples and gaps are the values of the source": self.samples + self.gaps == values,
            f"there are {RESOURCE_COUNT} rows a host": self.rows == self.data.rows == self.hosts * len(RESOURCES),
            "there is a host": self.hosts > 0,
            "lines that are astray are lines": self.astray <= source.lines,
        }


def described(rows: pa.Table) -> TableSchema:
    """Return the columns of an hour with what is counted in them."""
    return HourManifest.described({name: rows[name].null_count for name in rows.schema.names}, rows.num_rows)
