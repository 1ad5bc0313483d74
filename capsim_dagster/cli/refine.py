"""`capsim refine`: monthly CSV files, capsim's own or a user's, into the table for forecasting."""

import datetime as dt
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import track

from capsim_dagster.cli import options
from capsim_dagster.cli.advice import print_next
from capsim_dagster.cli.recording import recording
from capsim_dagster.cli.terminal import console, escape, tell, titled
from capsim_dagster.errors import MAX_EXAMPLES, CapsimError, FeedError, GateError, SettingsError, listed, plural
from capsim_dagster.orchestration.months import key_of, ranges_named
from capsim_dagster.schemas.months import month_name
from capsim_dagster.text import share

_OWN_SECTIONS: Final = ("refinery", "legacy_feed")
"""What decides how a feed is read is for this command to change."""

if TYPE_CHECKING:
    from capsim_dagster.orchestration.command_runs import CommandRun
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster.pipeline.refine import AuditPage, RefinedMonth
    from capsim_dagster.refinery.load import LoadedMonth
    from capsim_dagster.settings import Chosen


@click.command()
@click.option(
    "--feed",
    type=click.Path(path_type=Path, file_okay=False),
    help="Root of a feed that capsim did not write. Default: capsim's own feed under the data directory.",
)
@click.option(
    "--inventory",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV of the hosts that may occur; lines of others are rejected. Default: any host.",
)
@click.option("--month", "months", type=options.MONTH, multiple=True, help="Month to load. Default: all.")
@click.option("--max-rejected-share", type=float, help="Share of a month's lines that may be rejected, 0 to 1.")
@click.option("--allow-partial", is_flag=True, default=None, help="Load what is sound of a month refused otherwise.")
@click.option("--score", is_flag=True, help="Compare what was rejected with the defects put into capsim's own feed.")
@options.config_option
@options.data_dir_option
def refine(  # noqa: PLR0913 one argument an option
    feed: Path | None,
    inventory: Path | None,
    months: tuple[dt.datetime, ...],
    max_rejected_share: float | None,
    allow_partial: bool | None,
    config: Path | None,
    data_dir: Path | None,
    *,
    score: bool,
) -> None:
    """Load monthly CSV files into processed_data, and account for every line.

    Each data line is loaded, or stands in rejected_lines with file, line, reason and raw text. A month is loaded in
    one transaction or not at all: whatever is wrong with a file, its previous rows stay. Files that were loaded already
    and have not changed are skipped.

    How the files are named and written is told by the section legacy_feed of the settings file.

    \b
    capsim refine --feed /srv/feeds/monitoring --data-dir work
    capsim refine --feed exports --inventory hosts.csv --config config/their_feed.yaml --data-dir work
    capsim refine --feed exports --month 2024-06 --allow-partial --data-dir work
    """  # noqa: D301
    from capsim_dagster.cli.unchanged import keep_feed, months_that_hold
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster.pipeline.refine import feed_months, foreign_hosts

    began_ns = time.time_ns()
    chosen_options = {
        "feed_dir": feed,
        "inventory": inventory,
        "max_rejected_share": max_rejected_share,
        "allow_partial": allow_partial,
    }
    chosen = options.open_directory(
        config, options.overrides_of(data_dir, refinery=chosen_options), may_change=_OWN_SECTIONS
    )
    platform = Platform(chosen.settings)
    _require_same_origin(chosen)
    if score and not platform.refines_own_feed:
        raise click.UsageError("--score compares with the defects in capsim's own feed, so it does not go with --feed.")
    # What is wrong with the whole feed is no refusal of its months.
    foreign_hosts(platform)
    asked = sorted({month.year * 100 + month.month for month in months}) or feed_months(platform)
    terminal = console()
    if not score and not chosen.differences and chosen.record and (before := months_that_hold(platform, asked)):
        _tell_unchanged(platform, terminal, asked, before)
        return
    is_good, is_whole = _refine(chosen, platform, asked, terminal)
    if is_whole and not months:
        keep_feed(platform, began_ns)
    is_scored = _print_score(terminal, platform) if score else True
    print_next(terminal, "capsim status", options.directory_option(platform.settings))
    sys.exit(0 if is_good and is_scored else options.EXIT_FAILED)


def _tell_unchanged(
    platform: "Platform", terminal: Console, asked: Sequence[int], months: "Sequence[LoadedMonth]"
) -> None:
    """Print what is loaded, which is what the files hold now."""
    _print_months(terminal, asked, months)
    _print_strays(terminal, platform)
    _print_verdict(terminal, platform, asked, months, None)
    tell(terminal, escape(f"nothing has changed since; audit page: {platform.layout.audit}"))
    print_next(terminal, "capsim status", options.directory_option(platform.settings))


def _refine(chosen: "Chosen", platform: "Platform", asked: Sequence[int], terminal: Console) -> tuple[bool, bool]:
    """Load the months, audit them and print what became of them.

    Returns:
        Whether no month was refused, and whether there is nothing to be told again of what has not changed.
    """
    from capsim_dagster.orchestration.checks import made_audit
    from capsim_dagster.orchestration.jobs import REFINE_FEED
    from capsim_dagster.orchestration.keys import PROCESSED_DATA, REFINERY_AUDIT
    from capsim_dagster.pipeline.directory import write_record
    from capsim_dagster.pipeline.refine import rotated_months
    from capsim_dagster.settings import Kind

    assets, months_asked = [PROCESSED_DATA, REFINERY_AUDIT], [key_of(month) for month in asked]
    with recording(platform.settings, REFINE_FEED, assets, months_asked) as record:
        loaded, failure = _load(platform, asked, terminal, record)
        kind = Kind.SIMULATED if platform.refines_own_feed else Kind.FEED
        if chosen.record is None or chosen.differences or chosen.record.kind is not kind:
            write_record(chosen, kind)
        _print_months(terminal, asked, loaded)
        _print_strays(terminal, platform)
        rotated = [key_of(month) for month in rotated_months(platform) if month not in asked]
        if rotated:
            tell(terminal, f"no longer in the feed, and kept as loaded: {ranges_named(rotated)}")
        _print_verdict(terminal, platform, asked, loaded, failure)
        record.made(REFINERY_AUDIT, made_audit(platform, print_audit_page(platform, terminal), asked))
    return failure is None, failure is None and not rotated and not any(month.is_partial for month in loaded)


def _require_same_origin(chosen: "Chosen") -> None:
    """Keep a user's feed out of a directory of simulated data, and its settings out of what made those."""
    from capsim_dagster.settings import Kind

    if chosen.record is None or chosen.record.kind is not Kind.SIMULATED:
        return
    own = [each for each in chosen.differences if each.key[0] == "legacy_feed" or each.key[-1] == "feed_dir"]
    if own:
        raise SettingsError(
            f"{chosen.settings.data_dir} holds simulated data, and its own feed:\n  {chosen.told(own)}",
            remedy="name another --data-dir for a feed of your own",
        )


def _load(
    platform: "Platform", months: Sequence[int], terminal: Console, record: "CommandRun"
) -> "tuple[list[LoadedMonth], CapsimError | None]":
    """Load the months one by one, with a bar in a terminal; return them and what was wrong with the others."""
    from capsim_dagster.orchestration.keys import PROCESSED_DATA
    from capsim_dagster.pipeline.refine import refined_months

    loaded = []
    run = f"refine {dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    shown = track(
        refined_months(platform, months, run=run, barred={}),
        description="refining",
        total=len(months),
        console=terminal,
        disable=not terminal.is_terminal,
    )
    try:
        for month in shown:
            _record(platform, month, record)
            if month.loaded is not None:
                loaded.append(month.loaded)
    except (FeedError, GateError) as error:
        record.refused(PROCESSED_DATA, error)
        return loaded, error
    return loaded, None


def _record(platform: "Platform", month: "RefinedMonth", record: "CommandRun") -> None:
    """Record what became of a month; one that was refused is judged by the rows that it keeps."""
    from capsim_dagster.orchestration.assets import month_of_table
    from capsim_dagster.orchestration.keys import PROCESSED_DATA

    if month.loaded is not None:
        record.made(PROCESSED_DATA, month_of_table(platform, month.loaded, month.reports), key_of(month.month))
    else:
        record.judged(PROCESSED_DATA, record.results(PROCESSED_DATA, month.reports), key_of(month.month))


def _print_months(terminal: Console, asked: Iterable[int], loaded: "Iterable[LoadedMonth]") -> None:
    table = titled("Months", "month", "lines", "loaded", "rejected", "", numbers=range(1, 4))
    by_month = {month.month: month for month in loaded}
    for number in asked:
        month = by_month.get(number)
        name = month_name(number)
        if month is None:
            table.add_row(name, "", "", "", "[red]refused: keeps its previous rows")
            continue
        state = "[yellow]partial" if month.is_partial else "unchanged" if month.is_unchanged else "[green]loaded"
        table.add_row(name, f"{month.lines:,}", f"{month.rows:,}", f"{month.rejected:,}", state)
    terminal.print(table)
    reasons: Counter[str] = Counter()
    for month in by_month.values():
        for file in month.files:
            reasons.update(file.reasons)
    if reasons:
        counts = titled("Rejected lines", "reason", "lines", numbers=[1])
        for reason, lines in reasons.most_common():
            counts.add_row(reason, f"{lines:,}")
        terminal.print(counts)


def _print_strays(terminal: Console, platform: "Platform") -> None:
    """Name the files of a user's feed that are in no month because of their names."""
    from capsim_dagster.pipeline.remote import strays_of

    strays = strays_of(platform)
    if strays.total:
        count = plural(strays.total, "file is", "files are")
        more = strays.total - len(strays.names)
        names = listed(strays.names) if not more else f"{', '.join(strays.names[:MAX_EXAMPLES])} …"
        told = f"[yellow]{count} not in the layout, and not read:[/] {escape(names)}"
        tell(terminal, told)


def _print_verdict(
    terminal: Console,
    platform: "Platform",
    asked: Sequence[int],
    loaded: "Sequence[LoadedMonth]",
    failure: CapsimError | None,
) -> None:
    if failure is not None:
        tell(terminal, f"[red]refused[/] {escape(str(failure))}")
    lines, rows, rejected = (sum(getattr(month, name) for month in loaded) for name in ("lines", "rows", "rejected"))
    tell(
        terminal,
        f"{len(loaded)} of {plural(len(asked), 'month')}: {lines:,} lines = {rows:,} loaded + {rejected:,} rejected, "
        f"in {escape(str(platform.layout.warehouse))}",
    )


def print_audit_page(platform: "Platform", terminal: Console) -> "AuditPage":
    """Write the audit page, print where it is and what it says, and return it."""
    from capsim_dagster.pipeline.refine import write_audit_page

    page = write_audit_page(platform)
    tell(terminal, escape(f"audit page: {page.path}\n  {page.verdict}"))
    return page


def _print_score(terminal: Console, platform: "Platform") -> bool:
    """Print how well the injected defects were found; return whether all were, and nothing else."""
    from capsim_dagster.audits.claims import told
    from capsim_dagster.pipeline.dirt import defects_score

    report = defects_score(platform)
    rows = report.table
    if rows:
        table = titled("Score", *rows[0])
        for row in rows:
            table.add_row(*map(_shown, row.values()))
        terminal.print(table)
    tell(terminal, escape(told("refinery_audit", report)))
    return report.passed


def _shown(value: str | int | float) -> str:
    """Return a cell: shares as percentages, of which 100 means all, and counts with separators."""
    if isinstance(value, float):
        return share(value)
    return f"{value:,}" if isinstance(value, int) else value
