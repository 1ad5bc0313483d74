"""`capsim panel load`: validate a panel, and stage it if it passes."""

import shlex
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from capsim_dagster.cli.advice import print_next
from capsim_dagster.cli.options import (
    EXIT_FAILED,
    config_option,
    console,
    data_dir_option,
    directory_option,
    env_option,
    open_directory,
    overrides_of,
)
from capsim_dagster.cli.recording import recording
from capsim_dagster.cli.terminal import escape, titled
from capsim_dagster.cli.verification import claims_in_words, print_against
from capsim_dagster.errors import CapsimError, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capsim_dagster.orchestration.command_runs import CommandRun
    from capsim_dagster.panel.load import LoadOutcome
    from capsim_dagster.panel.retype import Repair
    from capsim_dagster.settings import Chosen, Settings


@click.command()
@click.option(
    "--input",
    "source",
    help="Panel to load: a path, an s3:// URL, or the name of a file in the raw folder. Default: the newest one there.",
)
@click.option("--strict", is_flag=True, help="Let warnings fail the panel too.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@env_option
@config_option
@data_dir_option
def load(
    source: str | None,
    env: str | None,
    config: Path | None,
    data_dir: Path | None,
    *,
    strict: bool,
    as_json: bool,
) -> None:
    """Validate a server-metrics panel, capsim's own or another, and stage it for forecasting if it passes.

    What can be repaired without doubt is, and each repair is listed; everything else that is wrong is a finding with
    count and examples. The report is written whatever the verdict. A panel that fails leaves the validated one of
    before in place.

    What a panel must hold is told by the section panel.validation of the settings file.

    \b
    capsim panel load                                    the newest panel of capsim panel generate
    capsim panel load --input exports/servers.parquet    one of your own
    capsim panel load --strict --json
    """  # noqa: D301
    chosen = open_directory(config, overrides_of(data_dir, env=env))
    terminal = console()
    # Recorded when it is done: Dagster beside the panel would be a sixth of the memory.
    try:
        outcome = _loaded(chosen.settings, source, terminal, strict=strict, quiet=as_json)
    except CapsimError:
        with _recording(chosen.settings):
            raise
    with _recording(chosen.settings) as record:
        _record_events(outcome, record)
    _record_settings(chosen, source)
    if as_json:
        click.echo(outcome.report.as_json(), nl=False)
    else:
        _print_outcome(terminal, outcome)
        if outcome.report.staged:
            look = f"capsim panel show {shlex.quote(outcome.report.staged.url)}"
            print_next(terminal, look, directory_option(chosen.settings))
    sys.exit(0 if outcome.report.validation_passed else EXIT_FAILED)


def _recording(settings: "Settings") -> "AbstractContextManager[CommandRun]":
    from capsim_dagster.orchestration.jobs import PANEL_REFRESH
    from capsim_dagster.orchestration.keys import VALIDATED_SERVER_METRICS

    return recording(settings, PANEL_REFRESH, [VALIDATED_SERVER_METRICS])


def _record_settings(chosen: "Chosen", source: str | None) -> None:
    """Record the settings where the panel is the first thing in its directory, and whether it is capsim's own."""
    from capsim_dagster.panel.find import find_panel
    from capsim_dagster.pipeline.directory import record_first
    from capsim_dagster.settings import Kind
    from capsim_dagster.storage import store_of

    is_own = source is None or find_panel(chosen.settings, store_of(chosen.settings), source).is_own
    record_first(chosen, Kind.SIMULATED if is_own else Kind.PANEL)


def _loaded(settings: "Settings", source: str | None, terminal: Console, *, strict: bool, quiet: bool) -> "LoadOutcome":
    """Load the panel, with a bar in a terminal."""
    from capsim_dagster.panel.load import load_panel
    from capsim_dagster.storage import store_of

    with Progress(console=terminal, disable=quiet or not terminal.is_terminal, transient=True) as progress:
        task = progress.add_task("loading", total=None)

        def advance(rows: int, of: int) -> None:
            progress.update(task, advance=rows, total=of)

        return load_panel(settings, store_of(settings), source=source, strict=strict, advance=advance)


def _record_events(outcome: "LoadOutcome", record: "CommandRun") -> None:
    """Record what came of it, each claim as its check."""
    from capsim_dagster.orchestration.keys import VALIDATED_SERVER_METRICS
    from capsim_dagster.orchestration.panel_assets import loaded_panel, panel_results, refusal

    if outcome.report.validation_passed:
        record.made(VALIDATED_SERVER_METRICS, loaded_panel(outcome))
    else:
        record.refused(VALIDATED_SERVER_METRICS, refusal(outcome.report, outcome.report_url))
    record.judged(VALIDATED_SERVER_METRICS, panel_results(outcome.report))


def _print_outcome(terminal: Console, outcome: "LoadOutcome") -> None:
    report = outcome.report
    if report.repairs:
        terminal.print(_repairs_table(report.repairs))
    print_against(terminal, report.findings)
    counts = [claims_in_words(report.findings)]
    if (facts := report.facts) is not None:
        window = f", {facts.start} to {facts.end}" if facts.start else ""
        counts.append(f"{plural(facts.rows, 'row')}, {plural(facts.servers, 'server')}{window}")
    lines = [f"loaded {report.source.url}", f"  {'; '.join(counts)}", f"report: {outcome.report_url}"]
    if report.staged:
        lines.append(f"validated panel: {report.staged.url}")
    for line in lines:
        terminal.print(escape(line), soft_wrap=True, highlight=False)
    terminal.print(_verdict(outcome), soft_wrap=True, highlight=False)


def _verdict(outcome: "LoadOutcome") -> str:
    report = outcome.report
    if not report.validation_passed:
        names = ", ".join(finding.claim for finding in report.failed)
        return f"[red]failed[/]: {names}; nothing was staged"
    warned = sum(not finding.passed and finding.severity == "warning" for finding in report.findings)
    return f"[yellow]passed[/] with {plural(warned, 'warning')}" if warned else "[green]passed[/]"


def _repairs_table(repairs: "Sequence[Repair]") -> Table:
    table = titled("Repairs", "repair", "column", "count", "examples", numbers=[2])
    for repair in repairs:
        table.add_row(repair.name, escape(repair.column), f"{repair.count:,}", "\n".join(map(escape, repair.examples)))
    return table
