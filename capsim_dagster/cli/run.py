"""`capsim run`: the main job, and what a run did as tables in the terminal."""

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from capsim_dagster.cli.advice import print_next
from capsim_dagster.cli.options import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    config_option,
    console,
    data_dir_option,
    fleet_options,
    layout_of,
    read_settings,
    window,
)
from capsim_dagster.cli.refine import print_audit_page
from capsim_dagster.errors import plural
from capsim_dagster.settings import DEFAULT_DIRT, Settings

if TYPE_CHECKING:
    from capsim_dagster.orchestration.run_summary import CheckSummary, RunSummary

_MEGA: Final = 1_000_000


@click.command()
@config_option
@data_dir_option
@fleet_options
@click.option("--checks", "with_checks", is_flag=True, help="List every check, those too that passed.")
@click.option("--dirty", is_flag=True, help="Put every kind of harmless and harmful dirt into the feed's lines.")
def run(  # noqa: PLR0913 one argument an option
    config: Path | None,
    data_dir: Path | None,
    hosts: int | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    *,
    dirty: bool,
    with_checks: bool,
) -> None:
    """Simulate the fleet, write the feed, load the table, audit everything.

    Running it again changes nothing. The run is recorded: `capsim ui` shows it.
    """
    dirt = {"defects": DEFAULT_DIRT} if dirty else {}
    settings = read_settings(config, data_dir, generation=window(hosts, start, end), feed=dirt)
    given = {"--config": config, "--data-dir": data_dir, "--hosts": hosts, "--start": start, "--end": end}
    sys.exit(_run_main_job(settings, console(), given, with_checks=with_checks))


def _run_main_job(settings: Settings, terminal: Console, given: Mapping[str, Any], *, with_checks: bool) -> int:
    """Run `full_refresh` for the configured window and print what happened; return the exit code."""
    from dagster import DagsterExecutionInterruptedError

    from capsim_dagster.definitions import build_definitions
    from capsim_dagster.orchestration.bars import BarProgress
    from capsim_dagster.orchestration.instance import open_instance
    from capsim_dagster.orchestration.jobs import FULL_REFRESH
    from capsim_dagster.orchestration.launch import run_job
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
            summary = run_job(definitions, instance, FULL_REFRESH, months)
    except (DagsterExecutionInterruptedError, KeyboardInterrupt):
        return report_interrupt()
    if summary.interrupted:
        return report_interrupt()
    print_summary(summary, terminal, with_checks=with_checks)
    if summary.succeeded:
        terminal.print(escape(f"audit page: {layout.audit}"), soft_wrap=True, highlight=False)
        print_next(terminal, "capsim ui", given)
    elif layout.warehouse.exists():
        # The asset that writes the page is not reached then, and it is wanted most.
        print_audit_page(Platform(settings), terminal)
        print_next(terminal, "capsim status", given)
    return 0 if summary.succeeded else EXIT_FAILED


def report_interrupt() -> int:
    """Say that nothing is lost, and return the exit code."""
    click.secho("interrupted: what was complete stays; run it again to go on", fg="yellow", err=True)
    return EXIT_INTERRUPTED


def print_summary(summary: "RunSummary", terminal: Console, *, with_checks: bool = False) -> None:
    """Print what a run did: its assets, its checks, and the verdict.

    Args:
        summary: What it did.
        terminal: Where to.
        with_checks: Whether each check is listed, and not only those that failed.
    """
    assets = Table("asset", "months", "rows", "MB", title="Assets", title_justify="left")
    for column in assets.columns[1:]:
        column.justify = "right"
    for asset in summary.assets:
        size = f"{asset.bytes / _MEGA:,.1f}" if asset.bytes else ""
        assets.add_row(asset.asset, str(asset.partitions or ""), f"{asset.rows:,}", size)
    terminal.print(assets)
    _print_checks(summary.checks, terminal, with_all=with_checks)
    for failure in summary.failures:
        terminal.print(f"[red]failed[/] {escape(failure)}", soft_wrap=True, highlight=False)
    passed = sum(check.passed for check in summary.checks)
    warned = sum(check.is_warning and not check.passed for check in summary.checks)
    warnings = f", {plural(warned, 'warning')}" if warned else ""
    verdict = (
        "[green]all gates hold[/]" if summary.succeeded else "[red]a gate failed: later assets were not touched[/]"
    )
    counted = f"{passed} of {plural(len(summary.checks), 'check')} passed{warnings}"
    terminal.print(f"{counted}; {verdict}. Run {summary.run_id[:8]}", soft_wrap=True)


def _print_checks(checks: "Sequence[CheckSummary]", terminal: Console, *, with_all: bool) -> None:
    """Print the checks that failed in full, and how many passed of each asset in a line; or all of them in full."""
    shown = [check for check in checks if with_all or not check.passed]
    if shown:
        table = Table("", "check", "months", "detail", title="Checks", title_justify="left")
        table.columns[1].overflow = "fold"
        table.columns[2].justify = "right"
        for check in shown:
            verdict = "[green]✓" if check.passed else "[yellow]![/]" if check.is_warning else "[red]✗[/]"
            table.add_row(verdict, f"{check.asset} {check.check}", str(check.months or ""), escape(check.detail))
        terminal.print(table)
    for asset in dict.fromkeys(check.asset for check in checks):
        of_asset = [check.passed for check in checks if check.asset == asset]
        mark = "[green]✓[/]" if all(of_asset) else "[yellow]![/]"
        told = f"{mark} {asset}: {sum(of_asset)} of {plural(len(of_asset), 'check')}"
        terminal.print(told, soft_wrap=True, highlight=False)
