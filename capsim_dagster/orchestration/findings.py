"""What is there and what is not, decided from what is recorded and what lies on disk: plain facts in, `Status` out.

How the records are read is in `history`, how the disk is looked at in `pipeline.on_disk`; the words are in `states`.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, TypeVar

from capsim_dagster.audits.claims import CATALOG, DATED, KnownAsset
from capsim_dagster.orchestration.history import (
    History,
    Judged,
    Made,
    Records,
    Run,
    Slot,
    inventory_versions,
    read_history,
    why_failed,
    why_run_failed,
)
from capsim_dagster.orchestration.months import dates_asked, month_of, months_asked
from capsim_dagster.orchestration.states import LOST, AssetStatus, CheckStatus, RunStatus, State, Status, Verdict
from capsim_dagster.pipeline.on_disk import OnDisk
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation.telemetry import fleet_hash

Word = TypeVar("Word", State, Verdict)

LAST_RUNS: Final = 5
LOADING_JOBS: Final = ("full_refresh", "monthly_refresh", "refine_feed")
"""The jobs that load months: an unfinished run of theirs is at what it asks for before it has planned it."""
_PUBLICATION_JOBS: Final = ("daily_publication", "hourly_publication")
_DATED: Final = frozenset(asset.name for asset in DATED)
_STATES: Final = (State.FAILED, State.DAMAGED, State.GONE, State.RUNNING, State.MATERIALIZED)
"""Those that tell of an attempt, the worst first."""
_VERDICTS: Final = (Verdict.FAILED, Verdict.NOT_JUDGED, Verdict.PASSED)
"""Likewise."""
_FAILURE: Final = "FAILURE"
_OF_A_FEED: Final = ("processed_data", "refinery_audit")
"""What a user's feed fills."""


@dataclass(frozen=True)
class Seen:
    """All that is decided from: the records, the disk if it is looked at, which months could be there, and the time."""

    history: History
    disk: OnDisk | None
    months: Sequence[str]
    now: dt.datetime


def recorded_status(
    records: Records, names: Collection[str] | None, months: Sequence[str], *, disk: OnDisk | None = None
) -> Status:
    """Return what is recorded of some assets and months, compared with the disk where that was looked at."""
    now = dt.datetime.now(dt.UTC)
    history = read_history(records, bodiless=_DATED, last_runs=LAST_RUNS)
    return status_of(
        Seen(history, disk, months, now),
        names,
        why=why_failed(records, [verdict for verdict in history.judged.values() if not verdict.passed]),
        reasons={r.run_id: why_run_failed(records, r.run_id) for r in history.runs if r.status == "FAILURE"},
    )


def is_of_other_fleet(records: Records, generation: DataGeneration) -> bool:
    """Return whether the inventory that is there was made with other settings than these."""
    versions = inventory_versions(records)
    return bool(versions) and versions[0][1] not in (None, fleet_hash(generation))


def shown_status(found: Status, *, is_own: bool) -> Status:
    """Return of what there is what a person wants to see: nothing of a simulator that was never asked for."""
    there = [asset for asset in found.assets if asset.state is not State.MISSING]
    is_begun = any(not asset.is_on_demand for asset in there) or any(run.months for run in found.runs)
    is_other = bool(there) or any(dated.partitions for dated in found.publication)
    if is_own and (is_begun or not is_other):
        return found
    names = {asset.asset for asset in there} | (set() if is_own else set(_OF_A_FEED))
    assets = [asset for asset in found.assets if asset.asset in names]
    return replace(found, assets=assets, checks=[check for check in found.checks if check.asset in names])


def status_of(
    seen: Seen, names: Collection[str] | None, *, why: Mapping[int, str], reasons: Mapping[str, str]
) -> Status:
    """Return what there is of some assets; None = of all, those of publication too.

    Why checks failed goes by the id of the verdict, why runs failed by their ids.
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


def _whole(seen: Seen, known: KnownAsset) -> AssetStatus:
    """Return the state of an asset without partitions: as made last, unless a later run did not get there."""
    made = seen.history.made.get((known.name, None))
    state = _attempted(seen.history, (known.name, None)) or (State.MATERIALIZED if made else State.MISSING)
    state, problem, rows = _compared(seen.disk, known.name, None, state, made)
    return AssetStatus(
        asset=known.name,
        state=state,
        partitions=None,
        rows=made.rows if made else rows,
        last=made.time if made else None,
        is_on_demand=known.is_on_demand,
        problem=problem,
        is_unreadable=_is_unreadable(seen.disk, known),
    )


def _months(seen: Seen, known: KnownAsset) -> AssetStatus:
    """Return the states of the months of an asset; what was made of a fleet that was replaced is not there."""
    history, name = seen.history, known.name
    latest = {month: history.made.get((name, month)) for month in seen.months}
    made = {month: each for month, each in latest.items() if each and each.storage_id >= history.fleet_since}
    asked = {month for run in history.unfinished if _loads(run, known) for month in months_asked(run.tags, seen.months)}
    months, problems, rows = dict[str, State](), list[str](), 0
    for month in seen.months:
        attempted = State.RUNNING if month in asked else _attempted(history, (name, month))
        state = attempted or (State.MATERIALIZED if month in made else State.MISSING)
        months[month], problem, found = _compared(seen.disk, name, month, state, made.get(month))
        problems += [problem] if problem else []
        rows += made[month].rows if month in made else found
    return AssetStatus(
        asset=name,
        state=_worst(_STATES, months) or State.MISSING,
        partitions=months,
        rows=rows,
        last=max((each.time for each in made.values()), default=None),
        problem=problems[0] if problems else "",
        is_unreadable=_is_unreadable(seen.disk, known),
        unit=known.unit,
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
    disk: OnDisk | None, asset: str, month: str | None, state: State, made: Made | None
) -> tuple[State, str, int]:
    """Return a state as the disk bears it out, what is wrong there, and rows that no run recorded."""
    if disk is None or state not in (State.MATERIALIZED, State.MISSING) or disk.is_unknown(asset):
        return state, "", 0
    if disk.is_in_warehouse(asset) and disk.warehouse.problem:
        return (State.DAMAGED, disk.warehouse.problem, 0) if made else (state, "", 0)
    there, promised = disk.size_of(asset, month_of(month) if month else None), None
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
    if asset.partitions is None:
        months, verdict, failed = None, _whole_verdict(seen, asset, judged.get(None)), judged.get(None)
    else:
        months = _month_verdicts(seen, asset, judged)
        verdict = _worst(_VERDICTS, months)
        first = min((month for month, found in months.items() if found is Verdict.FAILED), default=None)
        failed = None if first is None else judged[first]
    told = why.get(failed.id, "") if failed and verdict is Verdict.FAILED else ""
    return CheckStatus(asset.asset, check, is_blocking, verdict, months, told)


def _whole_verdict(seen: Seen, asset: AssetStatus, judged: Judged | None) -> Verdict | None:
    if asset.last is None or asset.state is State.RUNNING or asset.state in LOST:
        return None
    latest = seen.history.made[(asset.asset, None)].storage_id
    if judged is None or judged.target not in (None, latest):
        return Verdict.NOT_JUDGED
    return Verdict.PASSED if judged.passed else Verdict.FAILED


def _month_verdicts(seen: Seen, asset: AssetStatus, judged: Mapping[str | None, Judged]) -> dict[str, Verdict]:
    """Return how a check judged the months that are there; what is being made is judged after it."""
    made = {month: seen.history.made.get((asset.asset, month)) for month in asset.partitions or ()}
    there = {month: Verdict.NOT_JUDGED for month in asset.keys_in(State.MATERIALIZED) if made[month]}
    for month, latest in made.items():
        verdict = judged.get(month)
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


def _worst(order: Sequence[Word], found: Mapping[str, Word]) -> Word | None:
    return next((word for word in order if word in found.values()), None)


def _dated(seen: Seen, known: KnownAsset) -> AssetStatus:
    """Return what there is of an asset with a partition a day or an hour: on disk, where that is looked at."""
    history, disk, name = seen.history, seen.disk, known.name
    made = {partition: each for (asset, partition), each in history.made.items() if asset == name and partition}
    tried = {
        partition: _attempted(history, (asset, partition)) for asset, partition in history.attempts if asset == name
    }
    there: Collection[str] = made if disk is None else disk.dated.get(name, ())
    kept_from = "" if disk is None else disk.kept_from.get(name, "")
    wanted = [key for key, each in made.items() if each.storage_id >= history.fleet_since and key >= kept_from]
    partitions = {
        **dict.fromkeys(wanted if disk else (), State.GONE),
        **dict.fromkeys(there, State.MATERIALIZED),
        **{partition: state for partition, state in tried.items() if partition and state},
    }
    return AssetStatus(
        asset=name,
        state=_worst(_STATES, partitions) or State.MISSING,
        partitions=partitions,
        rows=0,
        last=max((each.time for each in made.values()), default=None),
        unit=known.unit,
        refused=sorted(_refused(history, name, made)),
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
        months=None if is_dated else asked,
        dates=asked if is_dated else None,
        status=run.status.lower(),
        started=dt.datetime.fromtimestamp(run.started, dt.UTC) if run.started else None,
        seconds=until - run.started if run.started else None,
        reason=reason if run.status == _FAILURE else "",
    )
