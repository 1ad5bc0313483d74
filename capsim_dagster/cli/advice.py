"""What is open in a data directory, in words, and the command for it."""

import datetime as dt
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from capsim_dagster.orchestration.states import State, Status
from capsim_dagster.schemas.months import month_name

AFTER_WINDOW: Final = "after the window, can be added"
"""Nothing is wrong with these months, and nobody has asked for them."""
ON_DEMAND: Final = "not made yet, job panel_refresh"
"""Nothing is wrong with these assets either: no refresh makes them."""


@dataclass(frozen=True)
class Advice:
    """What is open, and the command for it.

    Attributes:
        what: What is open, in a few words.
        months: Which months, as YYYYMM.
        assets: Which assets without months.
        command: What to type; empty = nothing but to wait.
    """

    what: str
    months: Sequence[int]
    assets: Sequence[str]
    command: str


def options_given(given: Mapping[str, Any]) -> str:
    """Return the options of a command as they are typed, so that another command goes to the same data.

    >>> options_given({"--hosts": 12, "--start": None, "--end": dt.datetime(2024, 2, 29)})
    ' --hosts 12 --end 2024-02-29'
    """
    words = []
    for name, value in given.items():
        if value is not None:
            shown = value.date().isoformat() if isinstance(value, dt.datetime) else str(value)
            words.append(f" {name} {shlex.quote(shown)}")
    return "".join(words)


def advice(found: Status, *, end: int, is_own: bool, options: str) -> list[Advice]:
    """Return what is open, what is worst first, and the command for it.

    A command for some months leaves out those in between that are whole.

    Args:
        found: What there is.
        end: Last month of the window, as YYYYMM.
        is_own: Whether the feed is capsim's own, and not a user's.
        options: Options that the commands need, each after a space.
    """
    if found.is_empty:
        return [Advice("nothing is here yet", [], [], ("capsim run" if is_own else "capsim backfill") + options)]
    later = set(found.months_after(end))
    failed = set(found.failed_months)
    missing = {month for asset in found.assets for month in asset.months_in(State.MISSING)}
    missing -= failed | later | {*found.running_months}
    unjudged = {*found.open_months} - missing - failed - later
    groups = (("failed", failed), ("missing", missing), ("not judged", unjudged))
    lines = [Advice(what, sorted(months), [], _backfill(months) + options) for what, months in groups if months]
    if not lines and not found.is_busy and found.open_assets:
        # Any month's run makes them anew, and the last costs least: its files have not changed.
        last = max({*found.months} - later, default=end)
        lines.append(
            Advice("failed, missing or not judged", [], found.open_assets, f"{_backfill([last])} --again{options}")
        )
    if found.running_months:
        lines.append(Advice("under way", found.running_months, [], ""))
    if later:
        lines.append(Advice(AFTER_WINDOW, sorted(later), [], _backfill(later) + options))
    return [*lines, *_on_demand(found, f"capsim ui{options}")]


def _on_demand(found: Status, command: str) -> list[Advice]:
    """Return what is open of the assets that no refresh makes."""
    groups = (("failed or not judged, job panel_refresh", found.failed_on_demand), (ON_DEMAND, found.never_demanded))
    return [Advice(what, [], assets, command) for what, assets in groups if assets]


def _backfill(months: Collection[int]) -> str:
    first, last = month_name(min(months)), month_name(max(months))
    return f"capsim backfill {first}" + (f" {last}" if last != first else "")
