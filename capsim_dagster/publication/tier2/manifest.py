"""The manifest of an hour: what it is, the file of the archive that it was made of, and the digests of both."""

from pydantic import AwareDatetime, Field

from capsim_dagster.publication.manifest import (
    UNSEALED,
    Count,
    DataFile,
    Digest,
    Hour,
    Producer,
    SealedManifest,
    SourceFile,
)


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
