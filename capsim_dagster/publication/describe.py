"""The manifest of a day of the archive, from what was found, read and written."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from capsim_dagster.publication.columns import COLUMNS, KEY
from capsim_dagster.publication.hours import ArchiveHour
from capsim_dagster.publication.manifest import (
    DATA_NAME,
    DATA_RESOURCE,
    PRODUCER,
    PROFILE,
    AbsentHour,
    Constraints,
    DataFile,
    FieldFacts,
    Hours,
    Manifest,
    Producer,
    SourceFile,
    TableSchema,
)
from capsim_dagster.publication.tally import DayTally
from capsim_dagster.schemas import Column

DATASET = "tier3_daily"
"""Name of the daily dataset, and of its folder."""
RATIO_DECIMALS = 6
"""Of null ratios in manifests."""


@dataclass(frozen=True)
class Provenance:
    """What decides the values of a dataset.

    Attributes:
        seed: Seed of the fleet.
        settings_hash: 16 hex digits over every setting that decides a value.
        version: Version of capsim.
        start: First day of the fleet's window; None = not known.
    """

    seed: int
    settings_hash: str
    version: str
    start: dt.date | None = None


@dataclass(frozen=True)
class WrittenDay:
    """What was found, read and written of a day.

    Attributes:
        day: Day of the archive's folder.
        hours: All 24 of them.
        rejected: Lines by hour that became no rows.
        tally: Counts of the rows.
        interval_s: Time between two samples of a host [s].
        bytes: Size of the file with the rows.
        sha256: Its digest in hex.
    """

    day: dt.date
    hours: Sequence[ArchiveHour]
    rejected: dict[int, int]
    tally: DayTally
    interval_s: int
    bytes: int
    sha256: str

    @property
    def samples_per_hour(self) -> int:
        """Rows of a host in an hour file."""
        return 3_600 // self.interval_s

    @property
    def partial(self) -> list[int]:
        """The whole hours that lack samples of some host."""
        whole = [hour.hour for hour in self.hours if hour.is_whole]
        return [hour for hour in whole if self.tally.hosts_lacking(hour, self.samples_per_hour)]

    @property
    def is_complete(self) -> bool:
        """Whether all hours are there, with one row a host and interval, and every line is a row."""
        all_whole = all(hour.is_whole for hour in self.hours)
        return all_whole and not self.partial and not any(self.rejected.values()) and self.tally.rows > 0


def describe(written: WrittenDay, provenance: Provenance, created: dt.datetime) -> Manifest:
    """Return the sealed manifest of a day.

    Args:
        written: What was found, read and written.
        provenance: What decides its values.
        created: Now, UTC.
    """
    tally = written.tally
    return Manifest(
        profile=PROFILE,
        manifest_version=1,
        name=name_of(written.day),
        dataset=DATASET,
        day=written.day,
        complete=written.is_complete,
        hours=_hours(written),
        rows=tally.rows,
        rejected=sum(written.rejected.values()),
        hosts=tally.hosts,
        interval_s=written.interval_s,
        first_ts=tally.first_ts,
        last_ts=tally.last_ts,
        astray=tally.astray,
        resources=(data_file(table_schema(tally), tally.rows, bytes_=written.bytes, sha256=written.sha256),),
        sources=tuple(
            source_of(
                hour, rows=written.tally.rows_by_hour.get(hour.hour, 0), rejected=written.rejected.get(hour.hour, 0)
            )
            for hour in written.hours
            if hour.is_whole
        ),
        producer=Producer(name=PRODUCER, version=provenance.version),
        settings_hash=provenance.settings_hash,
        seed=provenance.seed,
        created=created.replace(microsecond=0),
    ).sealed()


def name_of(day: dt.date) -> str:
    """Return the name that a day's manifest has."""
    return f"{PRODUCER}-{DATASET}-{day}"


def _hours(written: WrittenDay) -> Hours:
    return Hours(
        present=tuple(hour.hour for hour in written.hours if hour.is_whole),
        partial=tuple(written.partial),
        missing=tuple(AbsentHour(hour=hour.hour, state=hour.state) for hour in written.hours if not hour.is_whole),
    )


def data_file(table: TableSchema, rows: int, *, bytes_: int, sha256: str) -> DataFile:
    """Return what manifests say of the file with the rows.

    Args:
        table: Its columns.
        rows: Its rows.
        bytes_: Its size.
        sha256: Its digest in hex.
    """
    return DataFile(
        name=DATA_RESOURCE,
        path=DATA_NAME,
        format="parquet",
        mediatype="application/vnd.apache.parquet",
        bytes=bytes_,
        hash=f"sha256:{sha256}",
        rows=rows,
        table=table,
    )


def table_schema(tally: DayTally) -> TableSchema:
    """Return the columns of the daily dataset with what was counted in them."""
    return described(COLUMNS, KEY, tally.nulls, tally.rows)


def described(columns: Sequence[Column], key: Sequence[str], nulls: Mapping[str, int], rows: int) -> TableSchema:
    """Return the columns of a dataset with what was counted in them.

    Args:
        columns: In the order of the file.
        key: Columns that tell any two rows apart.
        nulls: Missing values by column.
        rows: Rows.
    """
    return TableSchema(
        fields=tuple(
            FieldFacts(
                name=column.name,
                type=column.field_type,
                unit=column.unit,
                description=column.description,
                constraints=_constraints(column),
                nulls=nulls[column.name],
                null_ratio=round(nulls[column.name] / max(rows, 1), RATIO_DECIMALS),
            )
            for column in columns
        ),
        primary_key=tuple(key),
    )


def _constraints(column: Column) -> Constraints:
    bounds = {"minimum": column.minimum, "maximum": column.maximum}
    return Constraints(
        required=not column.nullable, **{name: bound for name, bound in bounds.items() if bound is not None}
    )


def source_of(hour: ArchiveHour, rows: int, *, rejected: int = 0) -> SourceFile:
    """Return what a manifest says of an hour file that it was made of."""
    return SourceFile(
        path="/".join(hour.path.parts[-2:]),
        hour=hour.hour,
        bytes=hour.bytes,
        hash=f"sha256:{hour.sha256}",
        lines=hour.lines,
        rows=rows,
        rejected=rejected,
    )
