"""`capsim archive`: the samples of days that are over, one gzip JSON-lines file an hour."""

import datetime as dt
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress

from capsim_dagster.cli import options
from capsim_dagster.cli.recording import recording
from capsim_dagster.cli.terminal import console, escape, tell, titled
from capsim_dagster.errors import PublicationError
from capsim_dagster.text import megabytes

if TYPE_CHECKING:
    from capsim_dagster.pipeline.platform import Platform


@click.command()
@options.days_option("yesterday, UTC")
@options.config_option
@options.data_dir_option
@options.fleet_options
def archive(dates: tuple[tuple[dt.date, ...], ...], given: options.Given) -> None:
    """Write the samples of a day as agents report them: archive/YYYYMMDD/HH.jsonl.gz, 24 files a UTC day.

    Each host reports every few minutes (archive.interval_minutes); the P95 of its samples of a day is its value in the
    master, and a gap there is a gap here. Hours that hold the same already are not touched.

    \b
    capsim archive                                      yesterday
    capsim archive --date 2025-12-01..2025-12-31        a month
    """  # noqa: D301 click formats this text
    from capsim_dagster.pipeline.platform import Platform

    chosen = options.open_simulated(given)
    days = options.days_in(dates) or [options.yesterday()]
    refused = _archive(Platform(chosen.settings), days, dt.datetime.now(dt.UTC).date(), console())
    if refused < len(days):
        options.record_simulated(chosen)
    sys.exit(options.EXIT_FAILED if refused else 0)


def _archive(platform: "Platform", days: list[dt.date], today: dt.date, terminal: Console) -> int:
    """Write the days, with a bar in a terminal; return how many were refused."""
    from capsim_dagster.orchestration.jobs import DAILY_PUBLICATION
    from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE
    from capsim_dagster.orchestration.publication_assets import day_of_archive
    from capsim_dagster.pipeline.publication import hourly_archive

    table = titled("Archive", "day", "hours", "lines", "MB", "", numbers=range(1, 4))
    refused = []
    with (
        recording(platform.settings, DAILY_PUBLICATION, [HOURLY_ARCHIVE], [str(day) for day in days]) as record,
        Progress(console=terminal, disable=not terminal.is_terminal, transient=True) as progress,
    ):
        task = progress.add_task("archiving", total=len(days) * 24)
        for day in days:
            try:
                made = hourly_archive(platform, day, today=today, advance=lambda _lines: progress.advance(task))
            except PublicationError as error:
                refused.append(error)
                record.refused(HOURLY_ARCHIVE, error)
                table.add_row(str(day), "", "", "", "[red]refused")
                continue
            record.made(HOURLY_ARCHIVE, day_of_archive(platform, made), str(day))
            fresh = sum(not file.is_unchanged for file in made.files)
            state = f"[green]{fresh} written" if fresh else "unchanged"
            table.add_row(str(day), str(len(made.files)), f"{made.lines:,}", megabytes(made.bytes), state)
    terminal.print(table)
    for refusal in refused:
        tell(terminal, f"[red]refused[/] {escape(str(refusal))}")
    tell(terminal, escape(f"in {platform.layout.archive}"))
    return len(refused)
