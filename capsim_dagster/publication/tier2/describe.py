"""The manifest and the footer of an hour: what they are, and how they come of what was read and aggregated."""

import datetime as dt
import hashlib
import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AwareDatetime, Field

from capsim_dagster.publication.describe import Provenance, data_file, described, source_of
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.hours import ArchiveHour
from capsim_dagster.publication.manifest import (
    PRODUCER,
    PROFILE,
    UNSEALED,
    Count,
    DataFile,
    Digest,
    Hour,
    Producer,
    SealedManifest,
    SourceFile,
    TableSchema,
)
from capsim_dagster.publication.tier2.columns import COLUMNS, DATASET, KEY, RESOURCES


class HourManifest(SealedManifest):
    """Everything that is said of a published hour."""

    hour: Hour = Field(description="Hour file of the archive, UTC.")
    rows: Count = Field(description="Rows of the dataset: four a host.")
    hosts: Count = Field(description="Hosts of the hour file.")
    interval_s: int = Field(ge=60, le=3600, description="Time between two samples of a host [s].")
    samples: Count = Field(description="Values that were aggregated.")
    gaps: Count = Field(description="Values that agents did not report; with the samples, four a line of the source.")
    astray: Count = Field(description="Lines of the source whose timestamp lies in another hour.")
    resources: tuple[DataFile, ...] = Field(min_length=1, max_length=1, description="The files of the dataset.")
    sources: tuple[SourceFile, ...] = Field(
        min_length=1, max_length=1, description="The file of the archive that it was made of."
    )
    producer: Producer = Field(description="What made it.")
    settings_hash: str = Field(pattern=r"^[0-9a-f]{16}$", description="Hash of every setting that decides a value.")
    seed: Count = Field(description="Seed of the simulated fleet.")
    created: AwareDatetime = Field(description="When it was made, UTC.")
    hash: Digest = Field(default=UNSEALED, description="SHA-256 of this text with 64 zeros in this place.")

    @property
    def data(self) -> DataFile:
        """The file with the rows."""
        return self.resources[0]

    @property
    def source(self) -> SourceFile:
        """The file of the archive."""
        return self.sources[0]


@dataclass(frozen=True)
class AggregatedHour:
    """What was read and aggregated of an hour.

    Attributes:
        hour: The hour.
        source: Its file of the archive, of which every line is a sample.
        astray: Lines whose timestamp lies in another hour.
        interval_s: Time between two samples of a host [s].
        rows: The aggregates, by `columns.SCHEMA`.
    """

    hour: DayHour
    source: ArchiveHour
    astray: int
    interval_s: int
    rows: pa.Table


def describe_hour(
    aggregated: AggregatedHour, content: bytes, provenance: Provenance, created: dt.datetime
) -> HourManifest:
    """Return the sealed manifest of an hour.

    Args:
        aggregated: What was read and aggregated.
        content: The file with the rows.
        provenance: What decides its values.
        created: Now, UTC.
    """
    rows, hour, lines = aggregated.rows, aggregated.hour, aggregated.source.lines
    samples = pc.sum(rows["samples"]).as_py()
    digest = hashlib.sha256(content).hexdigest()
    return HourManifest(
        profile=PROFILE,
        manifest_version=1,
        name=name_of(hour),
        dataset=DATASET,
        day=hour.day,
        hour=hour.hour,
        rows=rows.num_rows,
        hosts=rows.num_rows // len(RESOURCES),
        interval_s=aggregated.interval_s,
        samples=samples,
        gaps=lines * len(RESOURCES) - samples,
        astray=aggregated.astray,
        resources=(data_file(described_rows(rows), rows.num_rows, bytes_=len(content), sha256=digest),),
        sources=(source_of(aggregated.source, aggregated.source.lines),),
        producer=Producer(name=PRODUCER, version=provenance.version),
        settings_hash=provenance.settings_hash,
        seed=provenance.seed,
        created=created.replace(microsecond=0),
    ).sealed()


def name_of(hour: DayHour) -> str:
    """Return the name that an hour's manifest has."""
    return f"{PRODUCER}-{DATASET}-{hour.day}-{hour.hour:02d}"


def described_rows(rows: pa.Table) -> TableSchema:
    """Return the columns of the dataset with what is counted in them."""
    return described(COLUMNS, KEY, {name: rows[name].null_count for name in rows.schema.names}, rows.num_rows)


def footer_of(hour: DayHour, provenance: Provenance) -> str:
    """Return what the footer of the file with the rows says of an hour."""
    facts = {"dataset": DATASET, "day": str(hour.day), "hour": hour.hour, "seed": provenance.seed}
    facts |= {"producer": PRODUCER, "version": provenance.version, "settings_hash": provenance.settings_hash}
    return json.dumps(facts, sort_keys=True)
