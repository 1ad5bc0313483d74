"""What `capsim status` shows: the records of runs compared with what lies on disk, as tables, and what to do next."""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from capsim_dagster.cli.advice import AFTER_WINDOW, NEXT, ON_DEMAND, Advice, Place, advice
from capsim_dagster.cli.options import layout_of, options_given
from capsim_dagster.cli.recording import records_to_read
from capsim_dagster.cli.terminal import escape, tell
from capsim_dagster.errors import listed, plural
from capsim_dagster.legacy_feed.contract import FeedContract
from capsim_dagster.orchestration.findings import is_of_other_fleet, recorded_status, shown_status
from capsim_dagster.orchestration.months import day_of, key_of, month_name, month_of, ranges_named
from capsim_dagster.orchestration.states import LOST, AssetStatus, CheckStatus, RunStatus, State, Status, Verdict
from capsim_dagster.pipeline.on_disk import OnDisk, look_at_disk
from capsim_dagster.schemas.months import month_span, month_start, months_between

if TYPE_CHECKING:
    from capsim_dagster.settings import Settings

_MARKS: Final = {
    State.MATERIALIZED: "[green]■[/]",
    State.FAILED: "[red]✗[/]",
    State.RUNNING: "[yellow]▶[/]",
    State.MISSING: "[yellow]○[/]",
    State.GONE: "[red]?[/]",
    State.DAMAGED: "[red]![/]",
}
_LATER: Final = "[dim]·[/]"
_NOT_MADE: Final = "[dim]· not materialized[/]"
"""State of an asset that no refresh makes and nobody has asked for."""
_NOT_RECORDED: Final = "[dim]by a command[/]"
"""Where others have a time: it is on disk, and no run recorded it."""
_NO_MONTH: Final = " "
_MONTHS_A_YEAR: Final = 12
_GAP: Final = "  "
_COLOURS: Final = {"success": "green", "failure": "red", "canceled": "yellow", "started": "yellow"}


@dataclass(frozen=True)
class View:
    """What is shown; months after the window that nobody has asked for are later.

    A note says what makes the rest hard to read; empty = nothing.
    """

    fleet: Mapping[str, Any]
    found: Status
    later: Collection[str]
    advice: Sequence[Advice]
    note: str


def look(settings: "Settings", given: Mapping[str, Any]) -> View:
    """Return what there is of what the settings describe."""
    today, layout = dt.datetime.now(dt.UTC).date(), layout_of(settings)
    disk = look_at_disk(settings, today)
    feed = settings.refinery.feed_dir or disk.warehouse.foreign_feed
    months, note = _own_months(settings, today) if feed is None else _foreign_months(settings, feed, disk)
    with records_to_read(layout) as records:
        recorded = recorded_status(records, None, months, disk=disk)
        if feed is None and is_of_other_fleet(records, settings.data_generation):
            note = (
                "what is here was made with other settings than these\n  -> give the options that it was made with "
                "(--hosts, --start, --config), or name another --data-dir; capsim run --replace replaces it"
            )
    found = shown_status(recorded, is_own=feed is None)
    end = str(month_start(settings.data_generation.end_date)) if feed is None else max(found.months, default="")
    place = Place(
        fleet=options_given(given),
        data=options_given({name: given[name] for name in ("--config", "--data-dir")}),
        feed=options_given({"--feed": feed}) if settings.refinery.feed_dir is None else "",
        warehouse=str(layout.warehouse),
        end=end,
        is_own=feed is None,
    )
    return View(
        fleet={**_fleet(settings), "feed": feed},
        found=found,
        later=found.months_after(end),
        advice=[] if note else advice(found, place),
        note=note,
    )


def _own_months(settings: "Settings", today: dt.date) -> tuple[list[str], str]:
    """Return the months that could be there: those of the window, and those since that are over."""
    generation = settings.data_generation
    over = dt.date(today.year, today.month, 1) - dt.timedelta(days=1)
    last = max(over, generation.end_date)
    return [str(day) for day in months_between(generation.start_date, last)], ""


def _foreign_months(settings: "Settings", feed: Path | str, disk: OnDisk) -> tuple[list[str], str]:
    """Return the months of a user's feed and of the table, and why the feed cannot be looked at; empty = it can.

    What lies in a bucket is not asked for.
    """
    contract = FeedContract(Path(feed).absolute(), settings.legacy_feed)
    claimed = [piece.month for piece in contract.pieces()] if contract.root.is_dir() else []
    months = [*map(key_of, sorted({*month_span(claimed), *disk.warehouse.months}))]
    if contract.root.is_dir() or Path(feed).parts[:1] == ("s3:",):
        return months, ""
    return (
        months,
        f"the feed cannot be looked at: no folder {feed}\n  -> name the root of a feed: capsim refine --feed DIR",
    )


def _fleet(settings: "Settings") -> dict[str, Any]:
    generation = settings.data_generation
    return {
        "hosts": generation.num_servers,
        "first_day": generation.start_date,
        "last_day": generation.end_date,
        "seed": generation.random_seed,
        "data_dir": layout_of(settings).root,
    }


def as_json(view: View) -> dict[str, Any]:
    """Return what is shown as JSON has it."""
    return {
        "fleet": view.fleet,
        "note": view.note,
        "assets": [_asset_as_json(asset) for asset in view.found.assets],
        "checks": [_check_as_json(check) for check in view.found.checks],
        "runs": [asdict(run) | {"months": run.months and [*map(month_of, run.months)]} for run in view.found.runs],
        "publication": [_dated_as_json(dated) for dated in view.found.publication],
        "later_months": [*map(month_of, view.later)],
        "has_failures": view.found.has_failures,
        "advice": [asdict(line) | {"months": [*map(month_of, line.months)]} for line in view.advice],
    }


def _asset_as_json(asset: AssetStatus) -> dict[str, Any]:
    return {
        "asset": asset.asset,
        "state": asset.state,
        "months": _by_month(asset.partitions),
        **{name: getattr(asset, name) for name in ("rows", "last", "is_on_demand", "problem", "is_unreadable")},
    }


def _check_as_json(check: CheckStatus) -> dict[str, Any]:
    return {
        **{name: getattr(check, name) for name in ("asset", "check", "is_blocking", "verdict")},
        "months": _by_month(check.partitions),
        "detail": check.detail,
    }


def _dated_as_json(dated: AssetStatus) -> dict[str, Any]:
    there = dated.keys_in(State.MATERIALIZED)
    return {
        "asset": dated.asset,
        "unit": dated.unit,
        "there": len(there),
        "first": there[0] if there else "",
        "last": there[-1] if there else "",
        "failed": dated.keys_in(State.FAILED),
        "running": dated.keys_in(State.RUNNING),
        "refused": dated.refused,
        "latest": dated.last,
        "gone": dated.keys_in(State.GONE),
    }


def _by_month(found: Mapping[str, State] | Mapping[str, Verdict] | None) -> dict[int, str] | None:
    """Return states or verdicts by month as YYYYMM: so JSON has had them from the beginning."""
    return None if found is None else {month_of(key): word for key, word in found.items()}


def show(view: View, terminal: Console, *, with_checks: bool) -> None:
    """Print it; with every check if asked for, else with those that need a look."""
    found = view.found
    tell(terminal, _headline(view.fleet))
    if view.note:
        tell(terminal, f"[yellow]{escape(view.note)}[/]")
    if not found.is_empty:
        _print_assets(view, terminal)
        _print_months(view, terminal)
        _print_publication(found.publication, terminal)
        _print_checks(found, terminal, with_all=with_checks)
        _print_runs(found.runs, terminal)
    settled = [line for line in view.advice if not line.what.startswith(NEXT)]
    if not view.note and all(line.what in (AFTER_WINDOW, ON_DEMAND) for line in settled):
        terminal.print(f"everything {'of the window' if settled else 'that can be there'} is there", highlight=False)
    for line in view.advice:
        tell(terminal, _advice_line(line))


def _headline(fleet: Mapping[str, Any]) -> str:
    if fleet["feed"] is not None:
        return f"capsim: the feed in {escape(str(fleet['feed']))}, loaded into {escape(str(fleet['data_dir']))}"
    return (
        f"capsim: {fleet['hosts']:,} hosts x 4 resources, {fleet['first_day']} to {fleet['last_day']}, "
        f"seed {fleet['seed']}, in {escape(str(fleet['data_dir']))}"
    )


def _table(*columns: str) -> Table:
    """Return an empty table, narrow enough that it needs no more than 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print_assets(view: View, terminal: Console) -> None:
    """Print what there is of each asset, and what is wrong with what is on disk."""
    if view.found.assets:
        terminal.print(_asset_table(view))
    problems: dict[str, list[str]] = {}
    for asset in view.found.assets:
        if asset.problem:
            problems.setdefault(asset.problem, []).append(asset.asset)
    for problem, assets in problems.items():
        told = f"[red]damaged:[/] {', '.join(assets)}: {escape(problem)}"
        tell(terminal, told)


def _asset_table(view: View) -> Table:
    table = _table("asset", "state", "rows", "materialized (UTC)")
    table.columns[2].justify = "right"
    for asset in view.found.assets:
        rows = f"{asset.rows:,}" if asset.rows else ""
        last = _time(asset.last) or (_NOT_RECORDED if asset.state is State.MATERIALIZED else "")
        table.add_row(asset.asset, _state(asset, view.later), rows, last)
    return table


def _state(asset: AssetStatus, later: Collection[str]) -> str:
    if asset.is_on_demand and asset.state is State.MISSING:
        return _NOT_MADE
    if asset.partitions is None:
        return f"{_MARKS[asset.state]} {asset.state}"
    there, wanted = len(asset.keys_in(State.MATERIALIZED)), len(asset.partitions.keys() - {*later})
    return f"{_MARKS[asset.state]} {there} of {plural(wanted, 'month')}"


def _print_months(view: View, terminal: Console) -> None:
    """Print a mark a month, as many years side by side as there is room for."""
    assets = [asset for asset in view.found.assets if asset.partitions]
    years = sorted({day_of(month).year for month in view.found.months})
    label = max((len(asset.asset) for asset in assets), default=0)
    fitting = max(1, (terminal.width - label) // (_MONTHS_A_YEAR + len(_GAP)))
    for block in range(0, len(years), fitting):
        shown = years[block : block + fitting]
        head = _GAP.join(f"{year:<{_MONTHS_A_YEAR}}" for year in shown)
        tell(terminal, f"\n[bold]{'months':<{label}}{_GAP}{head.rstrip()}[/]")
        for asset in assets:
            marks = _GAP.join("".join(_year(asset, year, view.later)) for year in shown)
            tell(terminal, f"{asset.asset:<{label}}{_GAP}{marks}".rstrip())
    if assets:
        lost = {state for asset in assets for state in LOST if asset.keys_in(state)}
        legend = {state.value: mark for state, mark in _MARKS.items() if state not in LOST or state in lost}
        legend |= {"after the window, not asked for": _LATER} if view.later else {}
        tell(terminal, _GAP.join(f"{mark} {word}" for word, mark in legend.items()))


def _year(asset: AssetStatus, year: int, later: Collection[str]) -> Iterator[str]:
    months = asset.partitions or {}
    for month in (f"{year:04d}-{number:02d}-01" for number in range(1, 1 + _MONTHS_A_YEAR)):
        yield _NO_MONTH if month not in months else _LATER if month in later else _MARKS[months[month]]


def _print_checks(found: Status, terminal: Console, *, with_all: bool) -> None:
    """Print how many checks passed, and those that did not; while a run is under way, its verdicts are to come."""
    counts = Counter(check.verdict for check in found.checks)
    words = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
    silent = counts[None]
    words += [f"{silent} with nothing to judge"] if silent else []
    tell(terminal, f"\n[bold]checks[/]{_GAP}{', '.join(words)}")
    table = _table("", "asset", "check", "months", "detail")
    shown = (Verdict.FAILED,) if found.is_busy else (Verdict.FAILED, Verdict.NOT_JUDGED)
    for check in found.checks:
        if with_all or check.verdict in shown:
            wanted = () if check.verdict is None else (check.verdict,)
            months = ranges_named(check.keys_with(*wanted))
            table.add_row(_check_mark(check), check.asset, check.check, months, escape(check.detail or _word(check)))
    if table.rows:
        terminal.print(table)


def _check_mark(check: CheckStatus) -> str:
    if check.verdict is Verdict.FAILED:
        return "[red]✗[/]" if check.is_blocking else "[yellow]![/]"
    return "[green]✓[/]" if check.verdict is Verdict.PASSED else _MARKS[State.MISSING]


def _word(check: CheckStatus) -> str:
    return "" if check.verdict in (None, Verdict.PASSED) else str(check.verdict)


def _print_publication(publication: Sequence[AssetStatus], terminal: Console) -> None:
    asked = [dated for dated in publication if dated.partitions]
    if not asked:
        return
    terminal.print()
    table = _table("publication", "there", "first", "last", "to be looked at", "materialized (UTC)")
    for dated in asked:
        there = dated.keys_in(State.MATERIALIZED)
        count, ends = plural(len(there), dated.unit.removesuffix("s")), (there[0], there[-1]) if there else ("", "")
        table.add_row(dated.asset, count, *ends, _amiss(dated), _time(dated.last))
    terminal.print(table)


def _time(moment: dt.datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def _amiss(dated: AssetStatus) -> str:
    groups = (
        ("red", "gone", dated.keys_in(State.GONE)),
        ("red", "failed", dated.keys_in(State.FAILED)),
        ("red", "refused", dated.refused),
        ("yellow", "running", dated.keys_in(State.RUNNING)),
    )
    return "; ".join(f"[{colour}]{what}[/] {listed(keys)}" for colour, what, keys in groups if keys)


def _print_runs(runs: Sequence[RunStatus], terminal: Console) -> None:
    terminal.print()
    table = _table("last runs", "job", "asked for", "status", "started (UTC)", "took")
    table.columns[5].justify = "right"
    for run in runs:
        asked = run.dates or tuple(month_name(month) for month in run.months or ())
        took = f"{run.seconds:,.0f} s" if run.seconds is not None else ""
        shown = f"[{_COLOURS.get(run.status, 'default')}]{run.status}[/]"
        table.add_row(run.run_id[:8], run.job, " to ".join(dict.fromkeys(asked)), shown, _time(run.started), took)
    terminal.print(table)
    for run in runs[:1]:
        if run.reason:
            tell(terminal, f"[red]{run.run_id[:8]} failed:[/] {escape(run.reason)}")
    terminal.print()


def _advice_line(line: Advice) -> str:
    about = " of ".join(part for part in (ranges_named(line.months), ", ".join(line.assets)) if part)
    colour = "red" if line.what == "failed" else "default"
    told = f"[{colour}]{line.what}[/]" + (f": {about}" if about else "")
    return f"{told} → [bold]{escape(line.command)}[/]" if line.command else told
