"""`capsim archive`: the samples of days that are over, one gzip JSON-lines file an hour."""

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from capsim_dagster.cli.options import (
    EXIT_FAILED,
    config_option,
    console,
    data_dir_option,
    days_in,
    days_option,
    fleet_options,
    open_simulated,
    overrides_of,
    record_simulated,
    window,
    yesterday,
)
from capsim_dagster.cli.recording import recording
from capsim_dagster.cli.terminal import escape
from capsim_dagster.errors import PublicationError

if TYPE_CHECKING:
    from capsim_dagster.pipeline.platform import Platform

_MEGA: Final = 1e6


@click.command()
@days_option("yesterday, UTC")
@config_option
@data_dir_option
@fleet_options
def archive(
    dates: tuple[tuple[dt.date, ...], ...],
    config: Path | None,
    data_dir: Path | None,
    hosts: int | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
) -> None:
    """Write the samples of a day as agents report them: archive/YYYYMMDD/HH.jsonl.gz, 24 files a UTC day.

    Each host reports every few minutes (archive.interval_minutes); the P95 of its samples of a day is its value in the
    master, and a gap there is a gap here. Hours that hold the same already are not touched.

    \b
    capsim archive                                      yesterday
    capsim archive --date 2025-12-01..2025-12-31        a month
    """  # noqa: D301 click formats this text
    from capsim_dagster.pipeline.platform import Platform

    chosen = open_simulated(config, overrides_of(data_dir, generation=window(hosts, start, end)))
    days = days_in(dates) or [yesterday()]
    refused = _archive(Platform(chosen.settings), days, dt.datetime.now(dt.UTC).date(), console())
    if refused < len(days):
        record_simulated(chosen)
    sys.exit(EXIT_FAILED if refused else 0)


def _archive(platform: "Platform", days: list[dt.date], today: dt.date, terminal: Console) -> int:
    """Write the days, with a bar in a terminal; return how many were refused."""
    from capsim_dagster.orchestration.jobs import DAILY_PUBLICATION
    from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE
    from capsim_dagster.orchestration.publication_assets import day_of_archive
    from capsim_dagster.pipeline.publication import hourly_archive

    table = Table("day", "hours", "lines", "MB", "", title="Archive", title_justify="left")
    for column in table.columns[1:4]:
        column.justify = "right"
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
            table.add_row(str(day), str(len(made.files)), f"{made.lines:,}", f"{made.bytes / _MEGA:,.1f}", state)
    terminal.print(table)
    for refusal in refused:
        terminal.print(f"[red]refused[/] {escape(str(refusal))}", soft_wrap=True, highlight=False)
    terminal.print(escape(f"in {platform.layout.archive}"), soft_wrap=True, highlight=False)
    return len(refused)
