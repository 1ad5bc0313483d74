"""What is open in a data directory, in words, and the command for it."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from capsim_dagster.cli.terminal import escape, tell
from capsim_dagster.errors import listed
from capsim_dagster.orchestration.months import day_of, month_name
from capsim_dagster.orchestration.states import LOST, AssetStatus, State, Status

AFTER_WINDOW: Final = "after the window, can be added"
"""Nothing is wrong with these months, and nobody has asked for them."""
ON_DEMAND: Final = "not made yet, job panel_refresh"
"""Nothing is wrong with these assets either: no refresh makes them."""
NEXT: Final = "next"
"""Nothing is open; this is what one would do now."""
_PAGE: Final = "refinery_audit"
_VALIDATED: Final = "validated_server_metrics"
_PANEL_COMMANDS: Final = {"server_metrics": "capsim panel generate", _VALIDATED: "capsim panel load"}
_PUBLISHING: Final = {
    "hourly_archive": "capsim archive",
    "tier3_daily": "capsim tier3 export",
    "tier2_hourly": "capsim tier2 export",
}


@dataclass(frozen=True)
class Advice:
    """What is open, in months or in assets without months, and the command for it; empty = nothing but to wait."""

    what: str
    months: Sequence[str]
    assets: Sequence[str]
    command: str


def print_next(terminal: Console, command: str, options: str) -> None:
    """Print the command that one would type next, with the options that lead it to the same data."""
    tell(terminal, escape(f"next: {command}{options}"))


@dataclass(frozen=True)
class Place:
    """What a command needs so that it goes to the same data.

    That are its options, each after a space: those of one that simulates, those of any other, and those of `capsim
    refine`, empty where the settings name the feed.
    """

    fleet: str
    data: str
    feed: str
    warehouse: str
    end: str
    is_own: bool

    @property
    def make(self) -> str:
        """The command that makes, or loads, all of it."""
        return f"capsim run{self.fleet}" if self.is_own else f"capsim refine{self.feed}{self.data}"


def advice(found: Status, place: Place) -> list[Advice]:
    """Return what is open, what is worst first, and the command for it.

    A command for some months leaves out those in between that are whole.
    """
    if found.is_empty:
        return [Advice("nothing is here yet", [], [], place.make)]
    lost = list(_lost(found, place))
    lines = [*lost, *_open_months(found, place)]
    later = found.months_after(place.end)
    is_settled = not lines and not found.is_busy
    whole = [name for name in found.open_assets if is_settled and place.is_own and found.months]
    if whole:
        # Any month's run makes them anew, and the last costs least: its files have not changed.
        last = max({*found.months} - {*later}, default=place.end)
        again = f"{_backfill([last])} --again{place.fleet}"
        lines.append(Advice("failed, missing or not judged", [], whole, again))
    if running := found.months_in(State.RUNNING):
        lines.append(Advice("under way", running, [], ""))
    if later and place.is_own:
        lines.append(Advice(AFTER_WINDOW, later, [], _backfill(later) + place.fleet))
    return [*lines, *_on_demand(found, f"capsim ui{place.fleet}"), *_next(found, place)]


def _open_months(found: Status, place: Place) -> list[Advice]:
    later, failed = {*found.months_after(place.end)}, {*found.failed_months}
    missing = {*found.months_in(State.MISSING)} - failed - later - {*found.months_in(State.RUNNING)}
    unjudged = {*found.open_months} - missing - failed - later - {*found.months_in(*LOST)}
    groups = (("failed", failed), ("missing", missing), ("not judged", unjudged))
    return [
        Advice(what, sorted(months), [], _backfill(months) + place.fleet if place.is_own else place.make)
        for what, months in groups
        if months
    ]


def _lost(found: Status, place: Place) -> Iterator[Advice]:
    """Yield what is gone from the disk or damaged there, and the command that makes it again."""
    lost = [asset for asset in found.assets if asset.is_lost and not asset.is_on_demand]
    months = sorted({month for asset in lost for month in asset.keys_in(*LOST)})
    names = [asset.asset for asset in lost]
    is_page_only = names == [_PAGE]
    if names:
        is_by_month = place.is_own and all(asset.partitions for asset in lost if asset.asset != _PAGE)
        again = f"{_backfill(months)} --again{place.fleet}" if is_by_month and months else place.make
        command = f"capsim audit{place.data}" if is_page_only else _put_away(lost, place) + again
        yield Advice(_in_words(lost), months, names, command)
    for asset in found.assets:
        if asset.is_lost and asset.is_on_demand:
            yield Advice(_in_words([asset]), [], [asset.asset], _PANEL_COMMANDS[asset.asset] + place.data)
    for dated in found.publication:
        if gone := dated.keys_in(State.GONE):
            days = sorted({str(day_of(key)) for key in gone})
            which = days[0] if len(days) == 1 else f"{days[0]}..{days[-1]}"
            command = f"{_PUBLISHING[dated.asset]} --date {which}{place.fleet}"
            yield Advice(str(State.GONE), [], [f"{listed(gone)} of {dated.asset}"], command)


def _in_words(lost: Sequence[AssetStatus]) -> str:
    states = {asset.state for asset in lost} | {
        state for asset in lost for state in LOST if asset.keys_in(state)
    }  # fmt: skip
    return " or ".join(state.value for state in LOST if state in states)


def _put_away(lost: Sequence[AssetStatus], place: Place) -> str:
    """Return what is to be done before: a warehouse that cannot be opened stands in the way of its successor."""
    if not any(asset.is_unreadable for asset in lost):
        return ""
    path = shlex.quote(place.warehouse)
    return f"mv {path} {path}.damaged && "


def _on_demand(found: Status, command: str) -> list[Advice]:
    """Return what is open of the assets that no refresh makes."""
    failed = [name for name in found.failed_on_demand if not any(a.asset == name and a.is_lost for a in found.assets)]
    groups = (("failed or not judged, job panel_refresh", failed), (ON_DEMAND, found.never_demanded))
    return [Advice(what, [], assets, command) for what, assets in groups if assets]


def _next(found: Status, place: Place) -> list[Advice]:
    """Return what one would look at next where a command of its own put something, and nothing is open."""
    there = {asset.asset for asset in found.assets if asset.state is State.MATERIALIZED}
    lines = []
    if not place.is_own and there:
        lines.append(Advice(f"{NEXT}: what became of every line", [], [], f"capsim audit{place.data}"))
    if not found.months and _VALIDATED in there:
        lines.append(Advice(f"{NEXT}: validate it again", [], [], f"capsim panel load{place.data}"))
    elif not found.months and "server_metrics" in there:
        lines.append(Advice(f"{NEXT}: look at the panel", [], [], f"capsim panel show{place.data}"))
    dated = {each.asset: each.keys_in(State.MATERIALIZED) for each in found.publication}
    if (archived := dated.get("hourly_archive")) and not dated["tier3_daily"]:
        days = f"{archived[0]}..{archived[-1]}"
        command = f"capsim tier3 export --date {days}{place.fleet}"
        lines.append(Advice(f"{NEXT}: publish what is archived", [], [], command))
    return lines


def _backfill(months: Collection[str]) -> str:
    first, last = month_name(min(months)), month_name(max(months))
    return f"capsim backfill {first}" + (f" {last}" if last != first else "")
