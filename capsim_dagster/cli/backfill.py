"""`capsim backfill`: months brought up to date, in this terminal."""

import datetime as dt
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import click
from rich.console import Console

from capsim_dagster.cli import options
from capsim_dagster.cli.advice import print_next
from capsim_dagster.cli.process import report_interrupt
from capsim_dagster.cli.recording import instance_to_read
from capsim_dagster.cli.run import BarProgress, print_summary
from capsim_dagster.cli.terminal import console, escape, tell
from capsim_dagster.errors import plural
from capsim_dagster.orchestration.months import ranges_named
from capsim_dagster.schemas.months import months_between

if TYPE_CHECKING:
    import dagster as dg

    from capsim_dagster.orchestration.launch import Plan
    from capsim_dagster.orchestration.run_summary import RunSummary
    from capsim_dagster.settings import Chosen


@click.command()
@click.argument("first", type=options.MONTH, required=False, metavar="[FIRST]", help="First month, such as 2024-01.")
@click.argument(
    "last", type=options.MONTH, required=False, metavar="[LAST]", help="Last month; FIRST alone is one month."
)
@click.option(
    "--month",
    "chosen",
    type=options.MONTH,
    metavar="MONTH",
    multiple=True,
    help="A month on its own; may be given more than once.",
)
@click.option("--again", is_flag=True, help="Run months too that are there already.")
@click.option("--dry-run", is_flag=True, help="Show which months would run, in which runs, and stop.")
@options.config_option
@options.data_dir_option
@options.fleet_options
def backfill(
    first: dt.datetime | None,
    last: dt.datetime | None,
    chosen: tuple[dt.datetime, ...],
    given: options.Given,
    *,
    again: bool,
    dry_run: bool,
) -> None:
    """Bring months up to date: from FIRST to LAST, those of --month, or without either every complete month.

    Months that are there, with every gate passed, are left out, so that a backfill that was interrupted or failed goes
    on where it was. Months in a row are one run; automation.max_months_per_run cuts longer ranges. Later months extend
    calendar, master and truth first. Everything is recorded: `capsim ui` and `capsim status` show it.

    \b
    capsim backfill 2024-01 2024-12
    capsim backfill 2026-01                          one month
    capsim backfill --month 2024-03 --month 2024-07  just these
    capsim backfill                                  whatever is missing or failed
    """  # noqa: D301 click formats this text
    opened = options.open_directory(given.config, options.overrides_of(given.data_dir, data_generation=given.fleet))
    months = _months(first, last, chosen)
    sys.exit(_backfill(opened, months, console(), again=again, is_dry=dry_run))


def _months(first: dt.datetime | None, last: dt.datetime | None, chosen: Sequence[dt.datetime]) -> list[str] | None:
    """Return the months asked for; None = whatever is missing."""
    asked = [str(month.date()) for month in chosen]
    if first is not None:
        until = last or first
        if until < first:
            raise click.UsageError(f"FIRST comes before LAST; found {first:%Y-%m} and {until:%Y-%m}.")
        asked += [str(month) for month in months_between(first.date(), until.date())]
    return sorted(set(asked)) or None


def _backfill(opened: "Chosen", months: list[str] | None, terminal: Console, *, again: bool, is_dry: bool) -> int:
    """Plan and run; return the exit code."""
    from capsim_dagster.definitions import build_definitions
    from capsim_dagster.orchestration.instance import open_instance
    from capsim_dagster.orchestration.launch import plan_backfill
    from capsim_dagster.orchestration.partitions import widen_span
    from capsim_dagster.pipeline.directory import require_simulated
    from capsim_dagster.pipeline.platform import Platform

    settings = opened.settings
    today, layout, bars = dt.datetime.now(dt.UTC).date(), options.layout_of(settings), BarProgress(terminal)
    definitions = build_definitions(settings, today=today, progress=bars, months=months or ())
    with instance_to_read(layout) as instance:
        plan = plan_backfill(definitions, instance, settings, months, today=today, again=again)
    _print_plan(terminal, plan, with_runs=is_dry)
    if is_dry or not plan.runs:
        return 0
    if settings.refinery.feed_dir is None:
        require_simulated(Platform(settings))
        options.record_simulated(opened)
    with open_instance(layout) as instance:
        widen_span(layout, plan.months)
        code = _run_all(definitions, instance, plan, bars, terminal, options.directory_option(settings))
        if code == options.EXIT_INTERRUPTED:
            return report_interrupt()
        left = plan_backfill(definitions, instance, settings, months, today=today)
    if left.runs:
        due = ranges_named(left.months) + (f" for {', '.join(left.assets)}" if left.assets else "")
        tell(terminal, f"[red]not there yet:[/] {due}; mend the cause above and run it again: only these are tried")
        return options.EXIT_FAILED
    if len(plan.runs) > 1 and code == 0:
        see = escape(f"see: capsim status{options.directory_option(settings)}")
        tell(terminal, f"[green]all there:[/] {ranges_named(plan.months)}; {see}")
    return code


def _run_all(
    definitions: "dg.Definitions",
    instance: "dg.DagsterInstance",
    plan: "Plan",
    bars: BarProgress,
    terminal: Console,
    data_option: str,
) -> int:
    """Run a plan and print what each run did; return the exit code."""
    from dagster import DagsterExecutionInterruptedError

    from capsim_dagster.orchestration.instance import command_tag
    from capsim_dagster.orchestration.launch import run_backfill

    summaries, code = run_backfill(definitions, instance, plan, command_tag(options.command_line())), 0
    for number, part in enumerate(plan.runs, start=1):
        if len(plan.runs) > 1:
            terminal.rule(f"run {number} of {len(plan.runs)}: {ranges_named(part)}", align="left")
        try:
            with bars.shown():
                summary = next(summaries)
        except (DagsterExecutionInterruptedError, KeyboardInterrupt):
            return options.EXIT_INTERRUPTED
        if summary.interrupted:
            return options.EXIT_INTERRUPTED
        if len(plan.runs) > 1:
            _print_run(summary, terminal)
        else:
            print_summary(summary, terminal)
            print_next(terminal, "capsim status", data_option)
        code = code if summary.succeeded else options.EXIT_FAILED
    return code


def _print_plan(terminal: Console, plan: "Plan", *, with_runs: bool) -> None:
    """Print what is to be done, and what is not; with the months of each run, if asked for."""
    say = partial(tell, terminal)
    if plan.done:
        say(f"there already: {ranges_named(plan.done)} (--again runs them too)")
    if plan.running:
        say(f"[yellow]another run is at[/] {ranges_named(plan.running)}: left out")
    if not plan.runs:
        say("nothing to do: every month asked for is there, or on its way")
        return
    why = f", again, for {', '.join(plan.assets)}: failed, missing or not judged" if plan.assets else ""
    counted = f"{plural(len(plan.months), 'month')} in {plural(len(plan.runs), 'run')}"
    say(f"to do: {ranges_named(plan.months)}{why}, {counted} of {plan.job}")
    for number, part in enumerate(plan.runs, start=1):
        if with_runs:
            say(f"  run {number}: {ranges_named(part)}")


def _print_run(summary: "RunSummary", terminal: Console) -> None:
    passed = sum(check.passed for check in summary.checks)
    rows = next((asset.rows for asset in summary.assets if asset.asset == "processed_data"), 0)
    mark = "[green]✓[/]" if summary.succeeded else "[red]✗[/]"
    counted = f"{passed} of {plural(len(summary.checks), 'check')} passed"
    lines = [f"{mark} {rows:,} rows loaded, {counted} (run {summary.run_id[:8]})"]
    lines += [
        f"[{'yellow' if check.is_warning else 'red'}]{check.asset} {check.check}:[/] {escape(check.detail)}"
        for check in summary.checks
        if not check.passed
    ]
    lines += [f"[red]failed[/] {escape(failure)}" for failure in summary.failures]
    for line in lines:
        tell(terminal, line)
