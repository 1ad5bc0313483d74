"""`capsim panel`: the server-metrics panel, made, loaded and looked at."""

import datetime as dt
import shlex
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress

from capsim_dagster.cli import options
from capsim_dagster.cli.advice import print_next
from capsim_dagster.cli.recording import recording
from capsim_dagster.cli.terminal import claims_in_words, console, escape, print_against, tell, titled
from capsim_dagster.errors import CapsimError, plural
from capsim_dagster.text import megabytes

if TYPE_CHECKING:
    from capsim_dagster.panel.generate import GeneratedPanel
    from capsim_dagster.panel.show import PanelView


@click.group()
def panel() -> None:
    """The server-metrics panel: one Parquet file, a row a server a day, a column a metric; local or in a bucket.

    \b
    capsim panel generate --config config/server_metrics_120.yaml --env local
    capsim panel load     --config config/server_metrics_120.yaml --env local
    capsim panel show
    capsim panel load --input their_panel.parquet --strict

    Columns, thresholds, bucket and prefixes are the sections panel and storage of the settings file. Credentials of a
    bucket come from the environment, a profile or the machine's role.
    """  # noqa: D301 click formats this text


@panel.command()
@options.config_option
@options.env_option
@options.data_dir_option
@options.fleet_options
def generate(given: options.Given, env: str | None) -> None:
    """Simulate the fleet and save its panel, with a summary and a sample beside it, once every gate has passed.

    The numbers are those of the master for the same hosts and days: the same settings decide them. The file is
    raw_server_metrics_{first day}_to_{last day}.parquet in storage.raw_prefix.
    """
    from capsim_dagster.orchestration.jobs import PANEL_REFRESH
    from capsim_dagster.orchestration.keys import SERVER_METRICS
    from capsim_dagster.orchestration.panel_assets import made_panel
    from capsim_dagster.panel.generate import generate_panel
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster.storage import store_of

    chosen = options.open_simulated(given, env=env)
    settings = chosen.settings
    generation, terminal = settings.data_generation, console()
    days = (generation.end_date - generation.start_date).days + 1
    with (
        recording(settings, PANEL_REFRESH, [SERVER_METRICS]) as record,
        Progress(console=terminal, disable=not terminal.is_terminal, transient=True) as progress,
    ):
        task = progress.add_task("server_metrics", total=generation.num_servers * days)
        made = generate_panel(
            generation,
            settings.panel,
            store_of(settings),
            prefix=settings.storage.raw_prefix,
            end=generation.end_date,
            advance=lambda rows: progress.advance(task, rows),
        )
        record.made(SERVER_METRICS, made_panel(Platform(settings), made))
    options.record_simulated(chosen)
    _print_panel(terminal, made)


@panel.command()
@click.argument("source", required=False, metavar="[PANEL]")
@options.config_option
@options.env_option
@options.data_dir_option
@click.option("--rows", type=click.IntRange(0, 1_000), default=5, show_default=True, help="First rows to show.")
def show(source: str | None, config: Path | None, env: str | None, data_dir: Path | None, rows: int) -> None:
    """Look at a panel: columns, servers, days, what is missing, the course of each metric, and the first rows.

    PANEL is a path, an s3:// URL or the name of a file in storage.raw_prefix. Default: the newest panel there.

    \b
    capsim panel show
    capsim panel show data/panel/staged/validated_server_metrics_20220101_to_20251231.parquet --rows 20
    """  # noqa: D301 click formats this text
    from capsim_dagster.panel.find import find_panel
    from capsim_dagster.panel.show import look_at_panel
    from capsim_dagster.storage import store_of

    settings = options.read_settings(config, data_dir, env=env)
    found = find_panel(settings, store_of(settings), source)
    with found.store.reading(found.key) as path:
        _print_view(console(), found.url, look_at_panel(path, head=rows))


def _print_panel(terminal: Console, made: "GeneratedPanel") -> None:
    metrics = titled("Metrics", "metric", "mean", "std", "min", "P95", "max", "missing", numbers=range(1, 7))
    for name, found in made.metrics.items():
        numbers = (found.mean, found.std, found.low, found.p95, found.high)
        metrics.add_row(name, *(f"{number:,.2f}" for number in numbers), f"{found.missing_share:.2%}")
    gates = titled("Gates", "", "gate", "detail")
    for name, report in made.reports.items():
        gates.add_row("[green]✓" if report.passed else "[red]✗", name, escape(report.verdict))
    terminal.print(metrics, gates)
    beside = [url for url in (made.summary_url, made.sample_url) if url]
    tell(
        terminal,
        f"{made.rows:,} rows: {made.facts['servers']:,} servers, {made.facts['start']} to {made.facts['end']}; "
        f"{megabytes(made.bytes)} MB, sha256 {made.sha256[:12]}",
        *(escape(f"  {url}") for url in (made.url, *beside)),
    )


def _print_view(terminal: Console, url: str, view: "PanelView") -> None:
    columns = titled("Columns", "column", "type", "missing", "min", "mean", "max", "over time", numbers=range(2, 6))
    for shown in view.columns:
        numbers = [f"{number:,.2f}" if number is not None else "" for number in (shown.low, shown.mean, shown.high)]
        columns.add_row(
            escape(shown.name), escape(shown.type), f"{shown.missing_percent:.2f} %", *numbers, shown.sparkline
        )
    head = titled("First rows", *(escape(column.name) for column in view.columns))
    for row in view.head:
        head.add_row(*(escape(_cell(value)) for value in row.values()))
    servers = "no column server_id" if view.servers is None else plural(view.servers, "server")
    days = "no column of days" if view.first is None else f"{_cell(view.first)} to {_cell(view.last)}"
    tell(terminal, f"{escape(url)}\n{plural(view.rows, 'row')}, {servers}, {days}")
    terminal.print(columns)
    if view.head:
        terminal.print(head)


def _cell(value: object) -> str:
    """Return a value as a person writes it: a midnight as its day, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


if TYPE_CHECKING:
    from capsim_dagster.orchestration.command_runs import CommandRun
    from capsim_dagster.panel.load import LoadOutcome
    from capsim_dagster.settings import Chosen, Settings


@panel.command()
@click.option(
    "--input",
    "source",
    help="Panel to load: a path, an s3:// URL, or the name of a file in the raw folder. Default: the newest one there.",
)
@click.option("--strict", is_flag=True, help="Let warnings fail the panel too.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@options.env_option
@options.config_option
@options.data_dir_option
def load(
    source: str | None, env: str | None, config: Path | None, data_dir: Path | None, *, strict: bool, as_json: bool
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
    chosen = options.open_directory(config, options.overrides_of(data_dir, env=env))
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
            print_next(terminal, look, options.directory_option(chosen.settings))
    sys.exit(0 if outcome.report.validation_passed else options.EXIT_FAILED)


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
        table = titled("Repairs", "repair", "column", "count", "examples", numbers=[2])
        for each in report.repairs:
            table.add_row(each.name, escape(each.column), f"{each.count:,}", "\n".join(map(escape, each.examples)))
        terminal.print(table)
    print_against(terminal, report.findings)
    counts = [claims_in_words(report.findings)]
    if (facts := report.facts) is not None:
        window = f", {facts.start} to {facts.end}" if facts.start else ""
        counts.append(f"{plural(facts.rows, 'row')}, {plural(facts.servers, 'server')}{window}")
    lines = [f"loaded {report.source.url}", f"  {'; '.join(counts)}", f"report: {outcome.report_url}"]
    if report.staged:
        lines.append(f"validated panel: {report.staged.url}")
    for line in lines:
        tell(terminal, escape(line))
    tell(terminal, _verdict(outcome))


def _verdict(outcome: "LoadOutcome") -> str:
    report = outcome.report
    if not report.validation_passed:
        names = ", ".join(finding.claim for finding in report.failed)
        return f"[red]failed[/]: {names}; nothing was staged"
    warned = sum(not finding.passed and finding.severity == "warning" for finding in report.findings)
    return f"[yellow]passed[/] with {plural(warned, 'warning')}" if warned else "[green]passed[/]"
