"""`capsim retention`: removes the days that are older than the settings keep them."""

import sys
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from capsim_dagster.cli import options
from capsim_dagster.cli.recording import warn
from capsim_dagster.cli.terminal import console, escape, tell, titled
from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.text import megabytes

if TYPE_CHECKING:
    from capsim_dagster.publication.retention import Dataset, DayFolder, LeftDay, RetentionPlan
    from capsim_dagster.storage import DataLayout

_COLUMNS: Final = ("dataset", "days", "oldest", "newest", "files", "MB", "")


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option(
    "--unpublished",
    is_flag=True,
    help="Let days of the archive go although tier 3 is kept longer and does not hold all of their samples.",
)
@options.config_option
@options.data_dir_option
def retention(config: Path | None, data_dir: Path | None, *, dry_run: bool, unpublished: bool) -> None:
    """Remove days of the archive and of the published datasets that are older than they are kept.

    publication.retention says for how many days, today's UTC day included: archive_days, tier2_days and tier3_days;
    null = for ever. A day of the archive stays while tier 3 would be kept longer and was not made of it. Nothing is
    removed in a bucket. The history of runs is kept for automation.keep_runs_days; the latest materializations and
    verdicts stay. Exit code 1 if a day stays that is older than it is kept.

    \b
    capsim retention --dry-run                  what is there, and what would be removed
    capsim retention
    """  # noqa: D301 click formats this text
    from capsim_dagster.publication.dataset.export import now_utc
    from capsim_dagster.publication.retention import expired

    settings = options.read_settings(config, data_dir)
    layout, limits, terminal = options.layout_of(settings), settings.publication.retention, console()
    plan = expired(layout, limits, today=now_utc().date(), unpublished=unpublished)
    left = [each for dataset in plan.datasets for each in dataset.left]
    left += [] if dry_run else _removed(plan, terminal)
    if plan.has_limit and not dry_run and layout.dagster_home.is_dir():
        _forget(plan, layout)
    table = _table(plan, left, dry_run=dry_run)
    _add_history(table, layout, settings.automation.keep_runs_days, dry_run=dry_run)
    terminal.print(table)
    _print_left(left, terminal)
    if not plan.has_limit:
        names = ", ".join(dataset.dataset.setting for dataset in plan.datasets)
        terminal.print(f"nothing is ever removed: publication.retention ({names}) sets no limit", soft_wrap=True)
    tell(terminal, escape(f"in {layout.root}"))
    sys.exit(options.EXIT_FAILED if left else 0)


def _removed(plan: "RetentionPlan", terminal: Console) -> "list[LeftDay]":
    """Remove what is to be removed, with a bar in a terminal; return the days that stayed."""
    from capsim_dagster.publication.retention import remove

    with Progress(console=terminal, disable=not terminal.is_terminal, transient=True) as progress:
        task = progress.add_task("removing", total=sum(len(folder.files) for folder in plan.expired))
        return [*remove(plan, advance=lambda files: progress.advance(task, files))]


def _forget(plan: "RetentionPlan", layout: "DataLayout") -> None:
    """Tell the run history which days are gone; those that an earlier, killed removal took along too."""
    from capsim_dagster.orchestration.command_runs import forget_removed
    from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE, TIER2_HOURLY, TIER3_DAILY
    from capsim_dagster.orchestration.months import day_of

    def is_gone(dataset: "Dataset", key: str) -> bool:
        day = day_of(key)
        return dataset.is_expired(day, plan.rules.today) and not dataset.folder(day).exists()

    assets = (HOURLY_ARCHIVE, TIER2_HOURLY, TIER3_DAILY)
    of = {key: partial(is_gone, each.dataset) for key, each in zip(assets, plan.datasets, strict=True)}
    forget_removed(layout, of, options.command_line(), warn)


def _table(plan: "RetentionPlan", left: "Sequence[LeftDay]", *, dry_run: bool) -> Table:
    """Return what became of the days: a row a dataset and outcome."""
    table = titled("Retention", *_COLUMNS, numbers=range(1, 6))
    stayed = [each.folder for each in left]
    done = _done(dry_run=dry_run)
    for of in plan.datasets:
        left_here = [folder for folder in stayed if folder.dataset == of.dataset]
        rows = {
            done: [folder for folder in of.expired if folder not in left_here],
            "[red]left, see below": left_here,
            _kept(of.dataset): of.kept,
        }
        shown = {outcome: folders for outcome, folders in rows.items() if folders} or {_kept(of.dataset): []}
        for outcome, folders in shown.items():
            table.add_row(of.dataset.name, *_facts(folders), outcome)
    return table


def _add_history(table: Table, layout: "DataLayout", keep_days: int | None, *, dry_run: bool) -> None:
    """Remove the runs that are older than they are kept, and add the rows that say so."""
    if keep_days is None or not layout.dagster_home.is_dir():
        return
    from capsim_dagster.orchestration.instance import open_instance
    from capsim_dagster.orchestration.run_retention import history_of, prune
    from capsim_dagster.publication.dataset.export import now_utc

    now = now_utc()
    with open_instance(layout) as instance:
        history = history_of(instance, keep_days, now=now)
        if not dry_run:
            prune(instance, history.old, now=now)
    if history.old:
        bounds, size = map(str, history.days), megabytes(history.bytes)
        table.add_row("runs", f"{len(history.old):,}", *bounds, "", size, _done(dry_run=dry_run))
    table.add_row("runs", f"{history.kept:,}", "", "", "", f"kept: younger than {keep_days:,} days, or telling")


def _done(*, dry_run: bool) -> str:
    return "[yellow]would be removed" if dry_run else "[green]removed"


def _kept(dataset: "Dataset") -> str:
    return "kept for ever" if dataset.keep_days is None else f"kept: younger than {dataset.keep_days:,} days"


def _facts(folders: "Sequence[DayFolder]") -> tuple[str, ...]:
    days = sorted(folder.day for folder in folders)
    bounds = (str(days[0]), str(days[-1])) if days else ("", "")
    files, size = sum(len(folder.files) for folder in folders), sum(folder.bytes for folder in folders)
    return f"{len(days):,}", *bounds, f"{files:,}", megabytes(size)


def _print_left(left: "Sequence[LeftDay]", terminal: Console) -> None:
    for each in islice(left, MAX_EXAMPLES):
        tell(terminal, f"[red]left[/] {escape(str(each.reason))}")
    if len(left) > MAX_EXAMPLES:
        terminal.print(f"and {len(left) - MAX_EXAMPLES:,} more days that were left")
