"""What is there and what is not, decided from what is recorded and what lies on disk: plain facts in, `Status` out.

How the records are read is in `history`, how the disk is looked at in `pipeline.on_disk`; the words are in `states`.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from capsim_dagster.orchestration.catalog import CATALOG, DATED, KnownAsset
from capsim_dagster.orchestration.history import (
    History,
    Judged,
    Made,
    Records,
    Run,
    Slot,
    read_history,
    why_failed,
    why_run_failed,
)
from capsim_dagster.orchestration.months import dates_asked, key_of, month_of, months_asked
from capsim_dagster.orchestration.states import (
    LOST,
    AssetStatus,
    CheckStatus,
    DatedStatus,
    RunStatus,
    State,
    Status,
    Verdict,
)
from capsim_dagster.pipeline.on_disk import OnDisk

LAST_RUNS: Final = 5
LOADING_JOBS: Final = ("full_refresh", "monthly_refresh", "refine_feed")
"""The jobs that load months: an unfinished run of theirs is at what it asks for before it has planned it."""
_PUBLICATION_JOBS: Final = ("daily_publication", "hourly_publication")
_DATED: Final = frozenset(asset.name for asset in DATED)
_WORST: Final = (State.FAILED, State.DAMAGED, State.GONE, State.RUNNING, State.MATERIALIZED)
_FAILURE: Final = "FAILURE"
_OF_A_FEED: Final = ("processed_data", "refinery_audit")
"""What a user's feed fills."""


@dataclass(frozen=True)
class Seen:
    """All that is decided from.

    Attributes:
        history: What is recorded.
        disk: What lies on disk; None = it is not looked at.
        months: Months that could be there, as YYYYMM.
        now: When, in UTC.
    """

    history: History
    disk: OnDisk | None
    months: Sequence[int]
    now: dt.datetime


def recorded_status(
    records: Records, names: Collection[str] | None, months: Sequence[int], *, disk: OnDisk | None = None
) -> Status:
    """Return what is recorded of some assets and months, compared with the disk where that was looked at."""
    now = dt.datetime.now(dt.UTC)
    history = read_history(records, bodiless=_DATED, last_runs=LAST_RUNS)
    return status_of(
        Seen(history, disk, months, now),
        names,
        why=why_failed(records, _refused_verdicts(history)),
        reasons={r.run_id: why_run_failed(records, r.run_id) for r in history.runs if r.status == "FAILURE"},
    )


def shown_status(found: Status, *, is_own: bool) -> Status:
    """Return of what there is what a person wants to see: nothing of a simulator that was never asked for.

    Args:
        found: What there is.
        is_own: Whether the feed is capsim's own, and not a user's.
    """
    there = [asset for asset in found.assets if asset.state is not State.MISSING]
    is_begun = any(not asset.is_on_demand for asset in there) or any(run.months for run in found.runs)
    is_other = bool(there) or any(not dated.is_empty for dated in found.publication)
    if is_own and (is_begun or not is_other):
        return found
    names = {asset.asset for asset in there} | (set() if is_own else set(_OF_A_FEED))
    assets = [asset for asset in found.assets if asset.asset in names]
    return replace(found, assets=assets, checks=[check for check in found.checks if check.asset in names])


def status_of(
    seen: Seen, names: Collection[str] | None, *, why: Mapping[int, str], reasons: Mapping[str, str]
) -> Status:
    """Return what there is.

    Args:
        seen: What is recorded, and what lies on disk.
        names: Which assets; None = all, those of publication too.
        why: What failed checks said, by the id of the verdict.
        reasons: Why runs failed, by their ids.
    """
    chosen = [known for known in CATALOG if names is None or known.name in names]
    found = {known: _months(seen, known) if known.unit else _whole(seen, known) for known in chosen}
    return Status(
        assets=list(found.values()),
        checks=[
            _check(seen, asset, check, is_blocking=is_blocking, why=why)
            for known, asset in found.items()
            for check, is_blocking in known.checks.items()
        ],
        runs=[_run(run, reasons.get(run.run_id, ""), seen.now) for run in seen.history.runs],
        publication=[_dated(seen, known) for known in DATED] if names is None else [],
    )


def _refused_verdicts(history: History) -> list[Judged]:
    """Return the verdicts of which is told what the check said."""
    return [verdict for verdict in history.judged.values() if not verdict.passed]


def _whole(seen: Seen, known: KnownAsset) -> AssetStatus:
    """Return the state of an asset without partitions: as made last, unless a later run did not get there."""
    made = seen.history.made.get((known.name, None))
    state = _attempted(seen.history, (known.name, None)) or (State.MATERIALIZED if made else State.MISSING)
    state, problem, rows = _compared(seen.disk, known.name, None, state, made)
    return AssetStatus(
        asset=known.name,
        state=state,
        months=None,
        rows=made.rows if made else rows,
        last=made.time if made else None,
        is_on_demand=known.is_on_demand,
        problem=problem,
        is_unreadable=_is_unreadable(seen.disk, known),
    )


def _months(seen: Seen, known: KnownAsset) -> AssetStatus:
    """Return the states of the months of an asset; what was made of a fleet that was replaced is not there."""
    history, since = seen.history, seen.history.fleet_since
    found_made = {month: history.made.get((known.name, key_of(month))) for month in seen.months}
    made = {month: each for month, each in found_made.items() if each and each.storage_id >= since}
    asked = {month for run in history.unfinished if _loads(run, known) for month in months_asked(run.tags, seen.months)}
    months, problems, rows = dict[int, State](), list[str](), 0
    for month in seen.months:
        attempted = State.RUNNING if month in asked else _attempted(history, (known.name, key_of(month)))
        state = attempted or (State.MATERIALIZED if month in made else State.MISSING)
        months[month], problem, found = _compared(seen.disk, known.name, month, state, made.get(month))
        problems += [problem] if problem else []
        rows += made[month].rows if month in made else found
    return AssetStatus(
        asset=known.name,
        state=next((state for state in _WORST if state in months.values()), State.MISSING),
        months=months,
        rows=rows,
        last=max((each.time for each in made.values()), default=None),
        problem=problems[0] if problems else "",
        is_unreadable=_is_unreadable(seen.disk, known),
    )


def _is_unreadable(disk: OnDisk | None, known: KnownAsset) -> bool:
    return disk is not None and disk.is_in_warehouse(known.name) and bool(disk.warehouse.problem)


def _loads(run: Run, known: KnownAsset) -> bool:
    return run.job in LOADING_JOBS and (run.assets is None or known.name in run.assets)


def _attempted(history: History, slot: Slot) -> State | None:
    """Return what became of the attempt since it was made last; None = there was none, or it was cancelled."""
    status = history.attempts.get(slot)
    if status is None or status in ("CANCELED", "SUCCESS"):
        return None
    return State.FAILED if status == _FAILURE else State.RUNNING


def _compared(
    disk: OnDisk | None, asset: str, month: int | None, state: State, made: Made | None
) -> tuple[State, str, int]:
    """Return a state as the disk bears it out, what is wrong there, and rows that no run recorded."""
    if disk is None or state not in (State.MATERIALIZED, State.MISSING) or disk.is_unknown(asset):
        return state, "", 0
    if disk.is_in_warehouse(asset) and disk.warehouse.problem:
        return (State.DAMAGED, disk.warehouse.problem, 0) if made else (state, "", 0)
    there, promised = disk.size_of(asset, month), None
    if there is None:
        return (State.GONE, "", 0) if made else (state, "", 0)
    if made is None:
        return State.MATERIALIZED, "", there if disk.is_in_warehouse(asset) else 0
    if disk.is_measured(asset):
        promised = made.rows if disk.is_in_warehouse(asset) else made.bytes
    if promised is None or promised == there:
        return state, "", 0
    unit = "rows" if disk.is_in_warehouse(asset) else "bytes"
    return State.DAMAGED, f"{there:,} {unit} instead of {promised:,}", 0


def _check(seen: Seen, asset: AssetStatus, check: str, *, is_blocking: bool, why: Mapping[int, str]) -> CheckStatus:
    judged = {
        partition: verdict for (name, called, partition), verdict in seen.history.judged.items()
        if name == asset.asset and called == check
    }  # fmt: skip
    if asset.months is None:
        months, verdict = None, _whole_verdict(seen, asset, judged.get(None))
        failed = judged.get(None)
    else:
        months = _month_verdicts(seen, asset, judged)
        verdict = _worst(months.values())
        first = min((month for month, found in months.items() if found is Verdict.FAILED), default=None)
        failed = None if first is None else judged[key_of(first)]
    told = why.get(failed.id, "") if failed and verdict is Verdict.FAILED else ""
    return CheckStatus(asset.asset, check, is_blocking, verdict, months, told)


def _whole_verdict(seen: Seen, asset: AssetStatus, judged: Judged | None) -> Verdict | None:
    if asset.last is None or asset.state is State.RUNNING or asset.state in LOST:
        return None
    latest = seen.history.made[(asset.asset, None)].storage_id
    if judged is None or judged.target not in (None, latest):
        return Verdict.NOT_JUDGED
    return Verdict.PASSED if judged.passed else Verdict.FAILED


def _month_verdicts(seen: Seen, asset: AssetStatus, judged: Mapping[str | None, Judged]) -> dict[int, Verdict]:
    """Return how a check judged the months that are there; what is being made is judged after it."""
    made = {month: seen.history.made.get((asset.asset, key_of(month))) for month in asset.months or ()}
    recorded = [month for month in asset.months_in(State.MATERIALIZED) if made[month]]
    there = dict.fromkeys(recorded, Verdict.NOT_JUDGED)
    for month, latest in made.items():
        verdict = judged.get(key_of(month))
        if verdict is None or latest is None or latest.storage_id < seen.history.fleet_since:
            continue
        if verdict.target != latest.storage_id:
            continue
        if not verdict.passed:
            # Of a month that failed too: it keeps its previous rows, and this may be why.
            there[month] = Verdict.FAILED
        elif month in there:
            there[month] = Verdict.PASSED
    return there


def _worst(verdicts: Collection[Verdict]) -> Verdict | None:
    worst = (Verdict.FAILED, Verdict.NOT_JUDGED, Verdict.PASSED)
    return next((verdict for verdict in worst if verdict in verdicts), None)


def _dated(seen: Seen, known: KnownAsset) -> DatedStatus:
    """Return what there is of an asset with a partition a day or an hour: on disk, where that is looked at."""
    history, disk = seen.history, seen.disk
    made = {partition: each for (name, partition), each in history.made.items() if name == known.name and partition}
    states = {
        partition: _attempted(history, (name, partition)) for name, partition in history.attempts if name == known.name
    }
    failed = {partition for partition, state in states.items() if partition and state is State.FAILED}
    running = {partition for partition, state in states.items() if partition and state is State.RUNNING}
    there = {*made} if disk is None else {*disk.dated.get(known.name, ())}
    there -= failed | running
    gone = {key for key, each in made.items() if each.storage_id >= history.fleet_since} - there - failed - running
    return DatedStatus(
        asset=known.name,
        unit=known.unit,
        there=len(there),
        first=min(there, default=""),
        last=max(there, default=""),
        failed=sorted(failed),
        running=sorted(running),
        refused=sorted(_refused(history, known.name, made)),
        latest=max((each.time for each in made.values()), default=None),
        gone=[] if disk is None else sorted(key for key in gone if key >= disk.kept_from.get(known.name, "")),
    )


def _refused(history: History, asset: str, made: Mapping[str, Made]) -> Iterator[str]:
    """Yield the partitions that a check looked at as they are now, and did not pass."""
    failing = [key for key, verdict in history.judged.items() if key[0] == asset and not verdict.passed]
    for partition, keys in groupby(sorted(failing, key=lambda key: key[2] or ""), key=lambda key: key[2]):
        latest = made[partition].storage_id if partition in made else None
        if partition and any(latest in (None, history.judged[key].target) for key in keys):
            yield partition


def _run(run: Run, reason: str, now: dt.datetime) -> RunStatus:
    asked = dates_asked(run.tags)
    is_dated = run.job in _PUBLICATION_JOBS or bool(run.assets and {*run.assets} <= _DATED)
    until = run.ended if run.ended is not None else now.timestamp()
    return RunStatus(
        run_id=run.run_id,
        job=", ".join(sorted(run.assets)) if run.assets and run.job.startswith("__") else run.job,
        months=(month_of(asked[0]), month_of(asked[1])) if asked and not is_dated else None,
        dates=asked if is_dated else None,
        status=run.status.lower(),
        started=dt.datetime.fromtimestamp(run.started, dt.UTC) if run.started else None,
        seconds=until - run.started if run.started else None,
        reason=reason if run.status == _FAILURE else "",
    )
