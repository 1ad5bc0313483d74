"""`capsim run`: the main job, and what a run did as tables in the terminal."""

import datetime as dt
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich import progress as bars
from rich.console import Console

from capsim_dagster.cli import options
from capsim_dagster.cli.advice import print_next
from capsim_dagster.cli.process import report_interrupt
from capsim_dagster.cli.refine import print_audit_page
from capsim_dagster.cli.terminal import console, escape, tell, titled
from capsim_dagster.errors import CapsimError, SettingsError, plural
from capsim_dagster.schemas import Resource
from capsim_dagster.schemas.months import months_between
from capsim_dagster.text import megabytes

if TYPE_CHECKING:
    from capsim_dagster.orchestration.progress import Advance
    from capsim_dagster.orchestration.run_summary import CheckSummary, RunSummary
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster.settings import Chosen, Settings


@click.command()
@options.config_option
@options.data_dir_option
@options.fleet_options
@click.option("--checks", "with_checks", is_flag=True, help="List every check, those too that passed.")
@click.option("--dirty", is_flag=True, help="Put every kind of harmless and harmful dirt into the feed's lines.")
@click.option("--force", is_flag=True, help="Make everything again, although nothing has changed.")
@click.option("--replace", is_flag=True, help="Replace what the directory holds where other settings made it.")
def run(given: options.Given, *, dirty: bool, force: bool, replace: bool, with_checks: bool) -> None:
    """Simulate the fleet, write the feed, load the table, audit everything.

    Where nothing has changed since, running it again only looks and says so; what was lost, damaged or edited is made
    again, and a later --end adds days. The run is recorded: `capsim ui` shows it.

    The directory records the settings, and every command there takes them as its default. Other settings, but for a
    later --end, make another fleet: that needs --replace, and what would go is said first.
    """
    from capsim_dagster.settings import DEFAULT_DIRT, choose_settings

    dirt = {"defects": DEFAULT_DIRT} if dirty else {}
    overrides = options.overrides_of(given.data_dir, data_generation=given.fleet, legacy_feed=dirt)
    chosen = choose_settings(given.config, overrides, adopts_edits=True)
    _begin(chosen, may_replace=replace)
    sys.exit(_run_main_job(chosen.settings, console(), with_checks=with_checks, force=force))


def _begin(chosen: "Chosen", *, may_replace: bool) -> None:
    """Record the settings in the directory; what others made there goes only if that was asked for."""
    from capsim_dagster.pipeline.directory import clear, require_simulated, unrecorded_mismatch, write_record
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster.settings import Kind

    platform = Platform(chosen.settings)
    require_simulated(platform)
    unlike = [each for each in chosen.differences if not each.is_later_end]
    sections = {each.key[0] for each in unlike}
    told = f"was made with other settings:\n  {chosen.told(unlike)}"
    if chosen.record is None and (mismatch := unrecorded_mismatch(platform)):
        sections, told = {"data_generation"}, mismatch
    if sections and not may_replace:
        _ask_to_replace(platform, told, sections)
    write_record(chosen, Kind.SIMULATED)
    clear(platform, sections)


def _ask_to_replace(platform: "Platform", told: str, sections: Collection[str]) -> None:
    """Say what would go, and go on only if a person at a terminal agrees."""
    from capsim_dagster.pipeline.directory import made_of

    going = "\n    ".join(made_of(platform, sections)) or "nothing yet"
    found = f"{platform.layout.root} {told}\n  These would go:\n    {going}"
    if sys.stdin.isatty() and sys.stdout.isatty():
        click.echo(found, err=True)
        if click.confirm("Replace them?", err=True):
            return
        raise SettingsError("nothing was replaced", remedy="name another --data-dir for this fleet")
    raise SettingsError(
        found, remedy="leave them out to work on what is there, add --replace to replace it, or name another --data-dir"
    )


def _run_main_job(settings: "Settings", terminal: Console, *, with_checks: bool, force: bool) -> int:
    """Run `full_refresh` for the configured window and print what happened; return the exit code."""
    from capsim_dagster.cli.unchanged import keep_as_whole, run_that_holds
    from capsim_dagster.pipeline.platform import Platform

    generation = settings.data_generation
    months = [str(month) for month in months_between(generation.start_date, generation.end_date)]
    layout = options.layout_of(settings)
    terminal.print(
        f"capsim: {generation.num_servers:,} hosts x {len(Resource)} resources, "
        f"{generation.start_date} to {generation.end_date} ({len(months)} months), "
        f"seed {generation.random_seed}, into {layout.root}",
        soft_wrap=True,
    )
    platform = Platform(settings)
    if not force and (run := run_that_holds(platform)):
        return _tell_unchanged(platform, terminal, run, with_checks=with_checks)
    from dagster import DagsterExecutionInterruptedError

    from capsim_dagster.definitions import build_definitions
    from capsim_dagster.orchestration.instance import command_tag, open_instance
    from capsim_dagster.orchestration.jobs import FULL_REFRESH
    from capsim_dagster.orchestration.launch import run_job
    from capsim_dagster.orchestration.partitions import widen_span

    progress = BarProgress(terminal)
    definitions = build_definitions(settings, today=dt.datetime.now(dt.UTC).date(), progress=progress)
    try:
        with open_instance(layout) as instance, progress.shown():
            widen_span(layout, months)
            summary = run_job(definitions, instance, FULL_REFRESH, months, command_tag(options.command_line()))
    except (DagsterExecutionInterruptedError, KeyboardInterrupt):
        return report_interrupt()
    if summary.interrupted:
        return report_interrupt()
    print_summary(summary, terminal, with_checks=with_checks)
    if summary.succeeded:
        keep_as_whole(platform, summary)
        tell(terminal, escape(f"audit page: {layout.audit}"))
        print_next(terminal, "capsim ui", options.directory_option(settings))
    elif layout.warehouse.exists():
        # The asset that writes the page is not reached then, and it is wanted most.
        print_audit_page(platform, terminal)
        print_next(terminal, "capsim status", options.directory_option(settings))
    return 0 if summary.succeeded else options.EXIT_FAILED


def _tell_unchanged(platform: "Platform", terminal: Console, run: "RunSummary", *, with_checks: bool) -> int:
    """Record that a run looked and found what an earlier one has left, and print what that one did."""
    import sqlite3

    from dagster import AssetKey, DagsterError
    from sqlalchemy.exc import SQLAlchemyError

    from capsim_dagster.cli.recording import warn
    from capsim_dagster.orchestration.command_runs import record_look
    from capsim_dagster.orchestration.jobs import FULL_REFRESH

    layout = platform.layout
    told = f"unchanged since run {run.run_id[:8]}, whose checks hold"
    try:
        assets = [AssetKey(asset.asset.split("/")) for asset in run.assets]
        record_look(layout, FULL_REFRESH, assets, told, options.command_line())
    except (OSError, sqlite3.Error, SQLAlchemyError, DagsterError, CapsimError) as error:
        warn(f"the run history cannot be written, so the UI does not show this command: {error}")
    print_summary(run, terminal, with_checks=with_checks)
    tell(terminal, escape("nothing has changed since that run, and nothing was made again (capsim run --force does)"))
    tell(terminal, escape(f"audit page: {layout.audit}"))
    print_next(terminal, "capsim ui", options.directory_option(platform.settings))
    return 0


def print_summary(summary: "RunSummary", terminal: Console, *, with_checks: bool = False) -> None:
    """Print what a run did: its assets, its checks, and the verdict."""
    assets = titled("Assets", "asset", "months", "rows", "MB", numbers=range(1, 4))
    for asset in summary.assets:
        size = megabytes(asset.bytes) if asset.bytes else ""
        assets.add_row(asset.asset, str(asset.partitions or ""), f"{asset.rows:,}", size)
    terminal.print(assets)
    _print_checks(summary.checks, terminal, with_all=with_checks)
    for failure in summary.failures:
        tell(terminal, f"[red]failed[/] {escape(failure)}")
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
        table = titled("Checks", "", "check", "months", "detail")
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
        tell(terminal, told)


class BarProgress:
    """Shows each stage as a bar in the terminal, or as a line once it is done where there is no terminal."""

    def __init__(self, console: Console) -> None:
        """Prepare bars on a console; nothing is shown yet."""
        self._console = console
        self._starting = bars.TaskID(0)
        self._bars = bars.Progress(
            bars.SpinnerColumn(finished_text="[green]✓"),
            bars.TextColumn("{task.description:<28}"),
            bars.BarColumn(bar_width=32),
            bars.TaskProgressColumn(),
            bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[unit]}"),
            bars.TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bars while a run lasts; those of the run before it go."""
        for task in self._bars.task_ids:
            self._bars.remove_task(task)
        with self._bars:
            self._starting = self._bars.add_task("starting the run", total=1, unit="run")
            yield

    @contextmanager
    def stage(self, _context: object, *, name: str, total: int, unit: str) -> "Iterator[Advance]":
        """Open a stage of `total` units."""
        self._bars.update(self._starting, completed=1)
        task = self._bars.add_task(name, total=total, unit=unit)

        def advance(amount: int, what: str = "", /) -> None:
            self._bars.update(task, advance=amount, description=f"{name} {what}".strip())

        yield advance
        self._bars.update(task, description=name)
        if not self._console.is_terminal:
            self._console.print(f"{name}: {total:,} {unit}")

    def say(self, text: str) -> None:
        """Say what keeps all stages from going on, above the bars."""
        tell(self._console, f"[yellow]{escape(text)}[/]")
