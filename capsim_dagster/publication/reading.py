"""Hours of the archive while a dataset is made of them: their samples, their counts, and the lines that are none."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from capsim_dagster.publication.dataset.export import Site
from capsim_dagster.publication.dataset.manifest import SourceFile
from capsim_dagster.publication.hours import ArchiveHour, read_hour
from capsim_dagster.publication.lines import RejectedLine, parse_lines
from capsim_dagster.publication.tier3.tally import SECONDS_PER_HOUR, DayTally


@dataclass
class Reading:
    """Hours of a day while they are read.

    Attributes:
        site: Where they come from.
        day: The day.
        hours: The hours so far.
        rejected: Lines that became no rows, by hour that is whole.
        tally: Counts of the rows so far.
    """

    site: Site
    day: dt.date
    hours: list[ArchiveHour] = field(default_factory=list)
    rejected: dict[int, list[RejectedLine]] = field(default_factory=dict)
    tally: DayTally = field(init=False)

    def __post_init__(self) -> None:
        """Start with no rows."""
        self.tally = DayTally(self.day)

    def read(self, hour: int) -> pa.Table | None:
        """Return the rows of an hour, one a sample; None = it is not whole.

        Raises:
            PublicationError: If its file is there and cannot be read.
        """
        found, text = read_hour(self.site.archive_root, self.day, hour)
        self.hours.append(found)
        if not found.is_whole:
            return None
        parsed = parse_lines(text, hour, self.site.rule)
        repeated = self.tally.repeats(parsed.rows, hour)
        rows = parsed.rows.filter(pa.array(~repeated)) if repeated.any() else parsed.rows
        self.rejected[hour] = parsed.refused(repeated)
        self.tally.add(rows, hour)
        return rows

    @property
    def samples_per_hour(self) -> int:
        """Rows of a host in an hour file."""
        return SECONDS_PER_HOUR // self.site.rule.interval_s

    @property
    def partial(self) -> Sequence[int]:
        """The whole hours that lack samples of some host."""
        return [hour for hour in self.rejected if self.tally.hosts_lacking(hour, self.samples_per_hour)]

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """What a manifest says of the files of the whole hours."""
        return tuple(
            SourceFile(
                path="/".join(hour.path.parts[-2:]),
                hour=hour.hour,
                bytes=hour.bytes,
                hash=f"sha256:{hour.sha256}",
                lines=hour.lines,
                rows=self.tally.rows_by_hour[hour.hour],
                rejected=len(self.rejected[hour.hour]),
            )
            for hour in self.hours
            if hour.is_whole
        )
