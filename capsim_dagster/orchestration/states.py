"""The words for what is there: states of assets and their partitions, verdicts of checks, runs, and what is open.

A partition goes by its key, as Dagster names it. How they are read from the instance is in `status`.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """State of an asset or of one of its partitions."""

    MATERIALIZED = "materialized"
    FAILED = "failed"
    RUNNING = "running"
    MISSING = "missing"
    GONE = "gone"
    """It was made, and is no longer on disk."""
    DAMAGED = "damaged"
    """It is on disk, and not as it was made."""


LOST = (State.GONE, State.DAMAGED)
"""States that show on disk alone: what is recorded says that all is well."""


class Verdict(StrEnum):
    """How a check judged what is there now."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class AssetStatus:
    """What there is of an asset.

    Attributes:
        state: Of the whole; of one with partitions: the worst of those that were ever asked for.
        partitions: State by key: of each month that could be there, of days and hours those that somebody asked for;
            None = it has none. What is kept no longer is not gone.
        rows: Rows of the latest materialization, over all months; of days and hours they are not counted.
        last: When it was last materialized, in UTC; None = never, or it is there and no run recorded it.
        is_on_demand: Whether no refresh makes it: that it was never made is nothing to be mended.
        problem: What is wrong with what is on disk, in words; empty = nothing.
        is_unreadable: Whether its file cannot be opened, and stands in the way of a new one.
        unit: What a partition is: months, days or hours; empty = it has none.
        refused: Days or hours with a check that failed, ascending.
    """

    asset: str
    state: State
    partitions: Mapping[str, State] | None
    rows: int
    last: dt.datetime | None
    is_on_demand: bool = False
    problem: str = ""
    is_unreadable: bool = False
    unit: str = ""
    refused: Sequence[str] = ()

    @property
    def is_lost(self) -> bool:
        """Whether something of it is gone from the disk, or damaged there."""
        return self.state in LOST or bool(self.keys_in(*LOST))

    @property
    def has_failures(self) -> bool:
        """Whether it, a partition or a check of a day or an hour failed, or something is lost."""
        return self.state is State.FAILED or self.is_lost or bool(self.refused)

    def keys_in(self, *states: State) -> list[str]:
        """Return the partitions in some states, ascending."""
        return [key for key, state in sorted((self.partitions or {}).items()) if state in states]


@dataclass(frozen=True)
class CheckStatus:
    """How a check stands; a verdict on an earlier materialization is none on what is there now.

    Attributes:
        is_blocking: Whether later assets are refused where it fails.
        verdict: On the whole; of a check of months: the worst of them. None = there is nothing to judge.
        partitions: Verdict by month, of those that are there; None = the asset has no months.
        detail: Why it failed, or failed first, in words; empty = it did not.
    """

    asset: str
    check: str
    is_blocking: bool
    verdict: Verdict | None
    partitions: Mapping[str, Verdict] | None
    detail: str

    def keys_with(self, *verdicts: Verdict) -> list[str]:
        """Return the months with some verdicts, ascending."""
        return [key for key, verdict in sorted((self.partitions or {}).items()) if verdict in verdicts]


@dataclass(frozen=True)
class RunStatus:
    """One of the last runs.

    Attributes:
        job: Its job; the assets, where it was launched from assets.
        months: First and last month asked for, by key; None = none.
        dates: First and last day or hour asked for, likewise.
        started: When, in UTC; None = not yet.
        seconds: How long it took, or has been running; None = it has not started.
        reason: Why it failed, in words; empty = it did not.
    """

    run_id: str
    job: str
    months: tuple[str, str] | None
    dates: tuple[str, str] | None
    status: str
    started: dt.datetime | None
    seconds: float | None
    reason: str


@dataclass(frozen=True)
class Status:
    """All of it: assets and checks in the order of the graph, the last runs, latest first.

    Those with a partition a day or an hour, and their checks, are in `publication`.
    """

    assets: Sequence[AssetStatus]
    checks: Sequence[CheckStatus]
    runs: Sequence[RunStatus]
    publication: Sequence[AssetStatus] = ()

    @property
    def has_failures(self) -> bool:
        """Whether an asset, one of its months, days or hours, or a blocking check failed, or something is lost."""
        failed = any(asset.has_failures for asset in (*self.assets, *self.publication))
        return failed or any(check.verdict is Verdict.FAILED for check in self._gates)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever made, or tried."""
        return not self.runs and all(asset.state is State.MISSING for asset in (*self.assets, *self.publication))

    @property
    def months(self) -> list[str]:
        """Every month that could be there, ascending."""
        return self.months_in(*State)

    @property
    def failed_months(self) -> list[str]:
        """Months that failed in an asset when they were last tried, or that a blocking check failed."""
        failed = {*self.months_in(State.FAILED), *self._judged(Verdict.FAILED)}
        return sorted(failed - {*self.months_in(State.RUNNING)})

    @property
    def open_months(self) -> list[str]:
        """Months that no run is at and that are not whole: there in each asset, with each blocking check passed."""
        lacking = {*self.months_in(State.MISSING, State.FAILED), *self._judged(Verdict.FAILED, Verdict.NOT_JUDGED)}
        return sorted(lacking - {*self.months_in(State.RUNNING)})

    @property
    def is_busy(self) -> bool:
        """Whether an unfinished run is at an asset; its checks follow."""
        return any(asset.state is State.RUNNING for asset in self.assets)

    @property
    def open_assets(self) -> list[str]:
        """Assets that a refresh makes whole, no run is at, and that are not there, failed a gate or were not judged."""
        return [asset.asset for asset in self._open_whole if not asset.is_on_demand]

    @property
    def failed_on_demand(self) -> list[str]:
        """Assets on demand that no run is at and that were asked for, but failed, or a gate of theirs, or unjudged."""
        on_demand = [asset for asset in self._open_whole if asset.is_on_demand]
        return [asset.asset for asset in on_demand if asset.state is not State.MISSING]

    @property
    def never_demanded(self) -> list[str]:
        """Assets on demand that nobody has asked for."""
        return [a.asset for a in self.assets if a.is_on_demand and a.state is State.MISSING]

    def months_in(self, *states: State) -> list[str]:
        """Return the months that are in some states in any asset, ascending."""
        return sorted({month for asset in self.assets for month in asset.keys_in(*states)})

    def months_after(self, end: str) -> list[str]:
        """Return the months after `end` and after the last one that was ever asked for, ascending."""
        last = max([end, *self.months_in(*{*State} - {State.MISSING})])
        return [month for month in self.months if month > last]

    @property
    def _open_whole(self) -> Sequence[AssetStatus]:
        unproven = {gate.asset for gate in self._gates if gate.verdict is Verdict.FAILED}
        if not self.is_busy:
            unproven |= {check.asset for check in self.checks if check.verdict is Verdict.NOT_JUDGED}
        whole = [asset for asset in self.assets if asset.partitions is None and asset.state is not State.RUNNING]
        return [asset for asset in whole if asset.state is not State.MATERIALIZED or asset.asset in unproven]

    @property
    def _gates(self) -> Iterable[CheckStatus]:
        return (check for check in self.checks if check.is_blocking)

    def _judged(self, *verdicts: Verdict) -> Iterable[str]:
        return (month for gate in self._gates for month in gate.keys_with(*verdicts))
