"""What `capsim bench` prints: a fleet's measurements beside their floor, or beside those of an earlier bench."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.table import Table

from capsim_dagster.cli.floor import SHARES, bounds, ratios
from capsim_dagster.cli.terminal import escape, titled
from capsim_dagster.errors import SettingsError, listed

if TYPE_CHECKING:
    from capsim_dagster.cli.measure import Measurement

_NOISE_PCT: Final = 5.0
"""Change [%] of CPU seconds that the same work shows on a machine in use: it is not coloured."""
_WITH_NEXT: Final = {stage for stages, _ in SHARES for stage in stages[:-1]}


def ratios_of(measured: "Sequence[Measurement]") -> dict[str, float]:
    """Return what each stage costs as a multiple of its floor; stages without a floor of their own are left out."""
    return ratios({m.stage: m.cpu_s for m in measured})


def bench_table(hosts: int, measured: "Sequence[Measurement]") -> Table:
    """Return the measurements of a fleet, with the ratio to the floor where a stage has one."""
    table = titled(
        f"{hosts:,} hosts", "stage", "CPU s", "x floor", "wall s", "peak RSS MiB", "rows", "rows/s", numbers=range(1, 7)
    )
    found, allowed = ratios_of(measured), bounds({m.stage: m.cpu_s for m in measured})
    for m in measured:
        ratio = "with the next" if m.stage in _WITH_NEXT else _ratio(found.get(m.stage), allowed.get(m.stage))
        counted = (f"{m.rows:,}", f"{m.rows_per_s:,.0f}") if m.rows else ("", "")
        table.add_row(m.stage, f"{m.cpu_s:.2f}", ratio, f"{m.wall_s:.2f}", f"{m.peak_rss_mib:,.0f}", *counted)
    return table


def _ratio(found: float | None, allowed: float | None) -> str:
    if found is None:
        return ""
    if allowed is None:
        return f"{found:.2f}"
    holds = found <= allowed
    return f"[{'green' if holds else 'red'}]{found:.2f} {'<=' if holds else '>'} {allowed:.2f}[/]"


def comparison_table(hosts: int, before: "Sequence[Measurement]", now: "Sequence[Measurement]") -> Table:
    """Return CPU seconds and memory before and now by stage, in today's order, what is gone last."""
    head = ["CPU s before", "now", "change", "MiB before", "now", "change"]
    table = titled(f"{hosts:,} hosts", "stage", *head, numbers=range(1, 7))
    was, is_ = {m.stage: m for m in before}, {m.stage: m for m in now}
    for stage in [*is_, *(each for each in was if each not in is_)]:
        old, new = was.get(stage), is_.get(stage)
        table.add_row(escape(stage), *_cells(old, new, "cpu_s", 2), *_cells(old, new, "peak_rss_mib", 0))
    if other := [stage for stage in is_ if stage in was and is_[stage].rows != was[stage].rows]:
        table.caption = f"[yellow]another window or other data: rows differ in {escape(listed(other))}[/]"
    return table


def _cells(old: "Measurement | None", new: "Measurement | None", cost: str, decimals: int) -> tuple[str, str, str]:
    before, now = getattr(old, cost, None), getattr(new, cost, None)
    shown = ["" if value is None else f"{value:,.{decimals}f}" for value in (before, now)]
    return shown[0], shown[1], change(before, now)


def change(before: float | None, now: float | None) -> str:
    """Return the change from one cost to another, less in green, more in red; None = not measured.

    >>> change(4.0, 3.0), change(4.0, 6.0), change(4.0, 4.04), change(None, 1.0)
    ('[green]-25 %[/]', '[red]+50 %[/]', '+1 %', '[yellow]only now[/]')
    """
    if before is None or now is None:
        return f"[yellow]only {'now' if before is None else 'before'}[/]"
    if not before:
        return ""
    percent = 100 * (now / before - 1)
    shown = f"{percent:+.0f} %"
    return shown if abs(percent) < _NOISE_PCT else f"[{'red' if percent > 0 else 'green'}]{shown}[/]"


def read_bench(path: Path) -> "dict[int, list[Measurement]]":
    """Return what an earlier `capsim bench --json` printed, by fleet size.

    Raises:
        SettingsError: If the file is no such JSON.
    """
    from pydantic import TypeAdapter, ValidationError

    from capsim_dagster.cli.measure import Measurement

    try:
        return TypeAdapter(dict[int, list[Measurement]]).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = " of ".join(map(str, reversed(first["loc"]))) or "the file"
        raise SettingsError(
            f"{path} is not what `capsim bench --json` prints: {where}: {first['msg']}",
            remedy="name a file that was made by: capsim bench --json > FILE",
        ) from None


def require_sizes(before: "Mapping[int, Sequence[Measurement]]", sizes: Sequence[int], path: Path) -> None:
    """Refuse a comparison with a bench that has not measured these fleet sizes: minutes would pass for nothing.

    Raises:
        SettingsError: If one of them is not in it.
    """
    if missing := [size for size in sizes if size not in before]:
        raise SettingsError(
            f"{path} holds fleets of {listed(before) or 'no'} hosts, and none of {listed(missing)}",
            remedy="name the sizes that it holds by --hosts, or leave --hosts out",
        )
