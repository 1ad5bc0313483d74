"""`capsim run`: the main job, and what a run did as tables in the terminal."""

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from capsim_dagster.cli.options import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    command_line,
    config_option,
    console,
    data_dir_option,
    fleet_options,
    layout_of,
    read_settings,
    window,
)
from capsim_dagster.cli.refine import print_audit_page
from capsim_dagster.settings import DEFAULT_DIRT, Settings

if TYPE_CHECKING:
    from capsim_dagster.orchestration.run_summary import RunSummary

_MEGA: Final = 1_000_000


@click.command()
@config_option
@data_dir_option
@fleet_options
@click.option("--dirty", is_flag=True, help="Put every kind of harmless and harmful dirt into the feed's lines.")
def run(
    config: Path | None,
    data_dir: Path | None,
    hosts: int | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    *,
    dirty: bool,
) -> None:
    """Simulate the fleet, write the feed, load the table, audit everything.

    Running it again changes nothing. The run is recorded: `capsim ui` shows it.
    """
    dirt = {"defects": DEFAULT_DIRT} if dirty else {}
    settings = read_settings(config, data_dir, generation=window(hosts, start, end), feed=dirt)
    sys.exit(_run_main_job(settings, console()))


def _run_main_job(settings: Settings, terminal: Console) -> int:
    """Run `full_refresh` for the configured window and print what happened; return the exit code."""
    from dagster import DagsterExecutionInterruptedError

    from capsim_dagster.definitions import build_definitions
    from capsim_dagster.orchestration.bars import BarProgress
    from capsim_dagster.orchestration.instance import open_instance
    from capsim_dagster.orchestration.jobs import FULL_REFRESH
    from capsim_dagster.orchestration.launch import run_job
    from capsim_dagster.orchestration.month_span import widen_span
    from capsim_dagster.orchestration.origin import command_tag
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster.simulation.time_dimension import months_between, yearmonth

    generation = settings.data_generation
    months = [yearmonth(month) for month in months_between(generation.start_date, generation.end_date)]
    layout = layout_of(settings)
    terminal.print(
        f"capsim: {generation.num_servers:,} hosts x 4 resources, {generation.start_date} to {generation.end_date} "
        f"({len(months)} months), seed {generation.random_seed}, into {layout.root}",
        soft_wrap=True,
    )
    progress = BarProgress(terminal)
    definitions = build_definitions(settings, today=dt.datetime.now(dt.UTC).date(), progress=progress)
    try:
        with open_instance(layout) as instance, progress.shown():
            widen_span(layout, months)
            summary = run_job(definitions, instance, FULL_REFRESH, months, command_tag(command_line()))
    except (DagsterExecutionInterruptedError, KeyboardInterrupt):
        return report_interrupt()
    if summary.interrupted:
        return report_interrupt()
    print_summary(summary, terminal)
    if not summary.succeeded and layout.warehouse.exists():
        # The asset that writes the page is not reached then, and it is wanted most.
        print_audit_page(Platform(settings), terminal)
    return 0 if summary.succeeded else EXIT_FAILED


def report_interrupt() -> int:
    """Say that nothing is lost, and return the exit code."""
    click.secho("interrupted: what was complete stays; run it again to go on", fg="yellow", err=True)
    return EXIT_INTERRUPTED


def print_summary(summary: "RunSummary", terminal: Console) -> None:
    """Print what a run did: its assets, its checks, and the verdict."""
    assets = Table("asset", "months", "rows", "MB", title="Assets", title_justify="left")
    for column in assets.columns[1:]:
        column.justify = "right"
    for asset in summary.assets:
        size = f"{asset.bytes / _MEGA:,.1f}" if asset.bytes else ""
        assets.add_row(asset.asset, str(asset.partitions or ""), f"{asset.rows:,}", size)
    checks = Table("", "asset", "check", "months", "detail", title="Checks", title_justify="left")
    checks.columns[3].justify = "right"
    for check in summary.checks:
        verdict = "[green]✓" if check.passed else "[yellow]![/]" if check.is_warning else "[red]✗"
        checks.add_row(verdict, check.asset, check.check, str(check.months or ""), escape(check.detail))
    terminal.print(assets, checks)
    passed = sum(check.passed for check in summary.checks)
    for failure in summary.failures:
        terminal.print(f"[red]failed[/] {escape(failure)}", soft_wrap=True, highlight=False)
    verdict = (
        "[green]all gates hold[/]" if summary.succeeded else "[red]a gate failed: later assets were not touched[/]"
    )
    terminal.print(
        f"{passed} of {len(summary.checks)} checks passed; {verdict}. Run {summary.run_id[:8]}; see: capsim ui"
    )
