"""`capsim tier2`: the hourly dataset, published and verified."""

import datetime as dt
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table

from capsim_dagster.cli.options import (
    EXIT_FAILED,
    config_option,
    console,
    data_dir_option,
    days_in,
    days_option,
    fleet_options,
    read_settings,
    window,
)
from capsim_dagster.cli.recording import recording
from capsim_dagster.cli.terminal import escape
from capsim_dagster.cli.verification import print_verification
from capsim_dagster.errors import MAX_EXAMPLES, PublicationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capsim_dagster.orchestration.command_runs import CommandRun
    from capsim_dagster.publication.hour_files import DayHour
    from capsim_dagster.publication.tier2.export import ExportedHour
    from capsim_dagster.publication.tier2.site import HourlySite
    from capsim_dagster.settings import Settings

_KILO: Final = 1e3
_LAST_HOUR: Final = 23
_FOLDER: Final = click.Path(path_type=Path, file_okay=False)


@click.group()
def tier2() -> None:
    """The hourly dataset: each hour of the archive by host and resource, with a manifest that anyone can verify.

    \b
    capsim tier2 export                          hours that are new, late or corrected
    capsim tier2 export --date 2026-01-15        all hours of a day
    capsim tier2 verify --local data/output/tier2_hourly/2026-01-15
    capsim tier2 verify --local data/output/tier2_hourly/2026-01-15 --daily data/output/tier3_daily/2026-01-15
    """  # noqa: D301 click formats this text


@tier2.command()
@days_option("what is pending")
@click.option(
    "--hour", "hours", type=click.IntRange(0, _LAST_HOUR), multiple=True, help="Only this hour, may be repeated."
)
@click.option("--dry-run", is_flag=True, help="Go through everything, and write nothing.")
@config_option
@data_dir_option
@fleet_options
def export(  # noqa: PLR0913 click hands over each option
    dates: tuple[tuple[dt.date, ...], ...],
    hours: tuple[int, ...],
    config: Path | None,
    data_dir: Path | None,
    hosts: int | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    *,
    dry_run: bool,
) -> None:
    """Publish hours of the archive: output/tier2_hourly/YYYY-MM-DD/HH/data.parquet, and manifest.json last.

    Of the days that are given all hours that are over; without --date the pending hours of the last days
    (automation.late_hours_days): those whose file is new, late or corrected. Refused are hours that are not over or lie
    before the window, files that are not whole, and lines that are no samples; the other hours go on, and the exit code
    is 1.
    """
    from capsim_dagster.publication.tier2.site import hourly_site_of

    settings = read_settings(config, data_dir, generation=window(hosts, start, end))
    job = _Export(hourly_site_of(settings), console(), settings, dry_run=dry_run)
    job.run(days_in(dates), hours)
    sys.exit(EXIT_FAILED if job.refused else 0)


class _Export:
    """The hours of one command."""

    def __init__(self, site: "HourlySite", terminal: Console, settings: "Settings", *, dry_run: bool) -> None:
        self._site, self._terminal, self._settings, self._dry_run = site, terminal, settings, dry_run
        self._days_back = settings.automation.late_hours_days
        self._now = dt.datetime.now(dt.UTC)
        self.refused: list[PublicationError] = []
        self._table = Table("hour", "hosts", "rows", "samples", "gaps", "kB", "", title="tier2_hourly")
        self._table.title_justify = "left"
        for column in self._table.columns[1:6]:
            column.justify = "right"

    def run(self, days: "Sequence[dt.date]", hours: "Sequence[int]") -> None:
        """Publish the hours that were asked for, and print what became of each."""
        chosen = self._hours(days, hours)
        with self._recording(chosen) as record:
            for hour in chosen:
                self._publish(hour, record)
        if chosen:
            self._terminal.print(self._table)
        else:
            self._terminal.print(f"nothing is pending: every hour file of the last {self._days_back} days is published")
        self._print_refused()
        self._terminal.print(escape(f"in {self._site.output_root}"), soft_wrap=True, highlight=False)

    def _hours(self, days: "Sequence[dt.date]", hours: "Sequence[int]") -> "list[DayHour]":
        from capsim_dagster.publication.tier2.pending import pending_hours

        if days:
            return [hour for day in days for hour in self._of_day(day, hours)]
        last = [self._now.date() - dt.timedelta(days=back) for back in range(self._days_back)]
        pending = pending_hours(self._site, last, now=self._now)
        return [hour for hour in pending if not hours or hour.hour in hours]

    def _of_day(self, day: dt.date, hours: "Sequence[int]") -> "list[DayHour]":
        """Return the hours of a day that are asked for; if none is, those that are over, or the first to refuse."""
        from capsim_dagster.publication.hour_files import DayHour
        from capsim_dagster.publication.tier2.site import hours_of

        if hours:
            return [DayHour(day, hour) for hour in sorted(set(hours))]
        over = [hour for hour in hours_of(day) if hour.is_over(self._now)]
        return over or [DayHour(day, 0)]

    def _recording(self, chosen: "Sequence[DayHour]") -> "AbstractContextManager[CommandRun | None]":
        """Record the hours as they are published; there is nothing to record of none."""
        if self._dry_run or not chosen:
            return nullcontext()
        from capsim_dagster.orchestration.jobs import HOURLY_PUBLICATION
        from capsim_dagster.orchestration.keys import TIER2_HOURLY
        from capsim_dagster.orchestration.months import hour_key

        keys = [hour_key(hour.day, hour.hour) for hour in chosen]
        return recording(self._settings, HOURLY_PUBLICATION, [TIER2_HOURLY], keys)

    def _record(self, exported: "ExportedHour", record: "CommandRun") -> None:
        """Look at the hour as a consumer would, and record what is found."""
        from capsim_dagster.orchestration.keys import TIER2_HOURLY
        from capsim_dagster.orchestration.months import hour_key
        from capsim_dagster.orchestration.publication_assets import hour_of_tier2
        from capsim_dagster.pipeline.platform import Platform
        from capsim_dagster.pipeline.publication_hours import verified_hour

        made = hour_of_tier2(verified_hour(Platform(self._settings), exported))
        record.made(TIER2_HOURLY, made, hour_key(exported.hour.day, exported.hour.hour))

    def _publish(self, hour: "DayHour", record: "CommandRun | None") -> None:
        from capsim_dagster.orchestration.keys import TIER2_HOURLY
        from capsim_dagster.publication.tier2.export import export_hour

        try:
            exported = export_hour(self._site, hour.day, hour.hour, now=self._now, dry_run=self._dry_run)
        except PublicationError as error:
            self.refused.append(error)
            if record is not None:
                record.refused(TIER2_HOURLY, error)
            self._table.add_row(str(hour), "", "", "", "", "", "[red]refused")
        else:
            if record is not None:
                self._record(exported, record)
            self._add(exported)

    def _add(self, exported: "ExportedHour") -> None:
        facts = exported.manifest
        counts = (facts.hosts, facts.rows, facts.samples, facts.gaps)
        state = "unchanged" if exported.is_unchanged else "would be written" if self._dry_run else "[green]written"
        size = f"{facts.data.bytes / _KILO:,.0f}"
        self._table.add_row(str(exported.hour), *(f"{count:,}" for count in counts), size, state)

    def _print_refused(self) -> None:
        for error in self.refused[:MAX_EXAMPLES]:
            self._terminal.print(f"[red]refused[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        if len(self.refused) > MAX_EXAMPLES:
            self._terminal.print(f"and {len(self.refused) - MAX_EXAMPLES} more were refused")


@tier2.command()
@click.option("--local", type=_FOLDER, required=True, help="Folder of an hour, or of a day: all its hours.")
@click.option("--daily", type=_FOLDER, help="The same day of the daily dataset, to compare a day's hours with.")
@click.option("--json", "as_json", is_flag=True, help="Print every finding as JSON, one object an hour.")
def verify(local: Path, daily: Path | None, *, as_json: bool) -> None:
    """Verify published hours: bytes, digests, manifest, columns and every row; exit code 1 if there is an error.

    Nothing is needed but the folder. With --daily the day's hours are compared with the rows of the daily dataset,
    and those that are missing are named.
    """
    from capsim_dagster.publication.findings import Verification
    from capsim_dagster.publication.tier2.agree import agreement
    from capsim_dagster.publication.tier2.verify import hour_folders, verify_hour

    folders = hour_folders(local)
    if daily is not None and not folders:
        raise click.UsageError("--daily needs the folder of a day with its hours as --local")
    results = [verify_hour(folder) for folder in folders or [local]]
    if daily is not None:
        rows = sum(result.rows for result in results)
        results.append(Verification(f"{local} and {daily}", agreement(daily, folders), rows))
    for result in results:
        if as_json:
            click.echo(result.as_json(), nl=False)
        else:
            print_verification(console(), result)
    sys.exit(0 if all(result.passed for result in results) else EXIT_FAILED)
