"""`capsim backfill`: months brought up to date, in this terminal."""

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from capsim_dagster.cli.options import (
    EXIT_FAILED,
    MONTH,
    config_option,
    console,
    data_dir_option,
    fleet_options,
    layout_of,
    read_settings,
    window,
)
from capsim_dagster.cli.run import print_summary, report_interrupt

if TYPE_CHECKING:
    from capsim_dagster.orchestration.backfill import Plan
    from capsim_dagster.settings import Settings


@click.command()
@click.argument("first", type=MONTH, required=False, help="First month, such as 2024-01.")
@click.argument("last", type=MONTH, required=False, help="Last month; FIRST alone is one month.")
@click.option("--month", "chosen", type=MONTH, multiple=True, help="A month on its own; may be given more than once.")
@click.option("--again", is_flag=True, help="Run months too that are there already.")
@click.option("--dry-run", is_flag=True, help="Show which months would run, in which runs, and stop.")
@config_option
@data_dir_option
@fleet_options
def backfill(  # noqa: PLR0913 one argument an option
    first: dt.datetime | None,
    last: dt.datetime | None,
    chosen: tuple[dt.datetime, ...],
    config: Path | None,
    data_dir: Path | None,
    hosts: int | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
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
    settings = read_settings(config, data_dir, generation=window(hosts, start, end))
    months = _months(first, last, chosen)
    sys.exit(_backfill(settings, months, console(), again=again, is_dry=dry_run))


def _months(first: dt.datetime | None, last: dt.datetime | None, chosen: Sequence[dt.datetime]) -> list[int] | None:
    """Return the months asked for as YYYYMM; None = whatever is missing.

    Raises:
        click.UsageError: If the range is upside down.
    """
    from capsim_dagster.simulation.time_dimension import months_between, yearmonth

    asked = [yearmonth(month.date()) for month in chosen]
    if first is not None:
        until = last or first
        if until < first:
            raise click.UsageError(f"FIRST comes before LAST; found {first:%Y-%m} and {until:%Y-%m}.")
        asked += [yearmonth(month) for month in months_between(first.date(), until.date())]
    return sorted(set(asked)) or None


def _backfill(settings: "Settings", months: list[int] | None, terminal: Console, *, again: bool, is_dry: bool) -> int:
    """Plan and run; return the exit code."""
    from dagster import DagsterExecutionInterruptedError

    from capsim_dagster.definitions import build_definitions
    from capsim_dagster.orchestration.backfill import plan_backfill, run_backfill
    from capsim_dagster.orchestration.bars import BarProgress
    from capsim_dagster.orchestration.instance import open_instance
    from capsim_dagster.orchestration.partitions import ranges_named

    progress = BarProgress(terminal)
    definitions = build_definitions(settings, today=dt.datetime.now(dt.UTC).date(), progress=progress)
    is_good = True
    with open_instance(layout_of(settings)) as instance:
        plan = plan_backfill(definitions, instance, settings, months, again=again)
        _print_plan(terminal, plan)
        if is_dry or not plan.runs:
            return 0
        summaries = run_backfill(definitions, instance, plan)
        for number, part in enumerate(plan.runs, start=1):
            terminal.rule(f"run {number} of {len(plan.runs)}: {ranges_named(part)}", align="left")
            try:
                with progress.shown():
                    summary = next(summaries)
            except (DagsterExecutionInterruptedError, KeyboardInterrupt):
                return report_interrupt()
            if summary.interrupted:
                return report_interrupt()
            print_summary(summary, terminal)
            is_good = is_good and summary.succeeded
        left = plan_backfill(definitions, instance, settings, months)
    if left.runs:
        due = ranges_named([month for part in left.runs for month in part])
        terminal.print(f"[red]not there yet[/]: {due}; mend the cause above and run it again: only these are tried")
        return EXIT_FAILED
    return 0 if is_good else EXIT_FAILED


def _print_plan(terminal: Console, plan: "Plan") -> None:
    from capsim_dagster.orchestration.partitions import ranges_named

    if plan.done:
        terminal.print(f"there already: {ranges_named(plan.done)} (--again runs them too)", soft_wrap=True)
    if plan.running:
        terminal.print(f"[yellow]another run is at[/] {ranges_named(plan.running)}: left out", soft_wrap=True)
    if not plan.runs:
        terminal.print("nothing to do: every month asked for is there, or on its way")
        return
    count = sum(map(len, plan.runs))
    terminal.print(
        f"to do: {count} month{'s' * (count > 1)} in {len(plan.runs)} run{'s' * (len(plan.runs) > 1)} of {plan.job}: "
        + "; ".join(map(ranges_named, plan.runs)),
        soft_wrap=True,
    )
