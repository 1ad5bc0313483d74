"""`capsim status`: what the UI shows, in the terminal, and the command for what is missing."""

import datetime as dt
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from capsim_dagster.cli.options import (
    EXIT_FAILED,
    config_option,
    console,
    data_dir_option,
    fleet_options,
    layout_of,
    read_settings,
    window,
)

if TYPE_CHECKING:
    from capsim_dagster.orchestration.status import AssetStatus, CheckStatus, Status

_MARKS: Final = {
    "materialized": "[green]■[/]",
    "failed": "[red]✗[/]",
    "running": "[yellow]▶[/]",
    "missing": "[dim]·[/]",
}
_NO_MONTH: Final = " "
_MONTHS_A_YEAR: Final = 12


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
@data_dir_option
@fleet_options
def status(
    config: Path | None,
    data_dir: Path | None,
    hosts: int | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    *,
    as_json: bool,
) -> None:
    """Show what is there: assets by month, checks, the last runs, what is missing, and the command for it.

    The same as the UI shows, from the same records. Exit code 1 if an asset, a month or a blocking check failed; what
    is merely missing is no failure.
    """
    from capsim_dagster.definitions import build_definitions
    from capsim_dagster.orchestration.instance import open_instance
    from capsim_dagster.orchestration.launch import release_dead_runs
    from capsim_dagster.orchestration.status import read_status

    settings = read_settings(config, data_dir, generation=window(hosts, start, end))
    today = dt.datetime.now(dt.UTC).date()
    with open_instance(layout_of(settings)) as instance:
        release_dead_runs(instance)
        found = read_status(instance, build_definitions(settings, today=today), today=today)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2, default=str))
    else:
        _print(found, console())
    sys.exit(EXIT_FAILED if found.has_failures else 0)


def _print(found: "Status", terminal: Console) -> None:
    _print_assets(found.assets, terminal)
    _print_checks(found.checks, terminal)
    _print_runs(found, terminal)
    for line in advice(found.assets):
        terminal.print(line, soft_wrap=True, highlight=False)


def _print_assets(assets: Sequence["AssetStatus"], terminal: Console) -> None:
    years = sorted({month // 100 for asset in assets for month in asset.months})
    table = Table(
        "asset", "state", *map(str, years), "rows", "last materialized (UTC)", title="Assets", title_justify="left"
    )
    table.columns[len(years) + 2].justify = "right"
    for asset in assets:
        marks = ["".join(_mark(asset, year * 100 + month + 1) for month in range(_MONTHS_A_YEAR)) for year in years]
        rows = f"{asset.rows:,}" if asset.rows else ""
        table.add_row(asset.asset, _state(asset), *marks, rows, f"{asset.last:%Y-%m-%d %H:%M}" if asset.last else "")
    terminal.print(table)
    terminal.print("  ".join(f"{mark} {state}" for state, mark in _MARKS.items()))


def _mark(asset: "AssetStatus", month: int) -> str:
    return _MARKS[asset.months[month]] if month in asset.months else _NO_MONTH


def _state(asset: "AssetStatus") -> str:
    if not asset.months:
        return f"{_MARKS[asset.state]} {asset.state}"
    there = sum(1 for state in asset.months.values() if state == "materialized")
    return f"{_MARKS[asset.state]} {there} of {len(asset.months)}"


def _print_checks(checks: Sequence["CheckStatus"], terminal: Console) -> None:
    from capsim_dagster.orchestration.partitions import ranges_named

    table = Table("", "asset", "check", "passed", "failed", "not judged", title="Checks", title_justify="left")
    for check in checks:
        is_whole = 0 in (*check.failed, *check.unjudged) or (check.passed == 1 and not check.failed and check.detail)
        bad = "[red]✗[/]" if check.is_blocking else "[yellow]![/]"
        mark = bad if check.failed else "[dim]·[/]" if not check.passed else "[green]✓[/]"
        if is_whole:
            table.add_row(mark, check.asset, check.check, "", escape(check.detail) if check.failed else "", "")
        else:
            failed, unjudged = (ranges_named(months) for months in (check.failed, check.unjudged))
            table.add_row(mark, check.asset, check.check, str(check.passed or ""), failed, unjudged)
    terminal.print(table)


def _print_runs(found: "Status", terminal: Console) -> None:
    from capsim_dagster.orchestration.partitions import ranges_named

    table = Table("run", "job", "months", "status", "started (UTC)", "took", title="Last runs", title_justify="left")
    colours = {"success": "green", "failure": "red", "canceled": "yellow"}
    for run in found.runs:
        months = ranges_named(_span(*run.months)) if run.months else ""
        colour = colours.get(run.status, "default")
        began = f"{run.started:%Y-%m-%d %H:%M}" if run.started else ""
        took = f"{run.seconds:,.0f} s" if run.seconds is not None else ""
        table.add_row(run.run_id[:8], run.job, months, f"[{colour}]{run.status}", began, took)
    terminal.print(table if found.runs else "No run yet.")


def advice(assets: Iterable["AssetStatus"]) -> list[str]:
    """Return what is missing or failed, and the command for it, a line each."""
    from capsim_dagster.orchestration.partitions import month_ranges, ranges_named

    lines = []
    broken = [asset.asset for asset in assets if not asset.months and asset.state in ("failed", "missing")]
    if broken:
        lines.append(f"missing or failed: {', '.join(broken)} → [bold]capsim run[/]")
    for word, colour in (("failed", "red"), ("missing", "default")):
        months = sorted({m for asset in assets for m, state in asset.months.items() if state == word})
        if not months:
            continue
        ranges = month_ranges(months)
        if len(ranges) == 1:
            first, last = (f"{month // 100}-{month % 100:02d}" for month in (ranges[0][0], ranges[0][-1]))
            command = f"capsim backfill {first}" + (f" {last}" if last != first else "")
        else:
            command = "capsim backfill"
        lines.append(f"[{colour}]{word}[/]: {ranges_named(months)} → [bold]{command}[/]")
    return lines or ["Everything that can be there is there."]


def _span(first: int, last: int) -> list[int]:
    from capsim_dagster.simulation.time_dimension import first_day, months_between, yearmonth

    return [yearmonth(month) for month in months_between(first_day(first), first_day(last))]
