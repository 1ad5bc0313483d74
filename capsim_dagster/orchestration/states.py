"""The words for what is there: states of assets and months, verdicts of checks, runs, and what is open.

How they are read from the instance is in `status`.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """State of an asset or of one of its months."""

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
        asset: The asset.
        state: Of the whole; of one with months: the worst of those that were ever asked for.
        months: State by month as YYYYMM, of every month that could be there; None = it has no months.
        rows: Rows of the latest materialization, over all months.
        last: When it was last materialized, in UTC; None = never, or it is there and no run recorded it.
        is_on_demand: Whether no refresh makes it: that it was never made is nothing to be mended.
        problem: What is wrong with what is on disk, in words; empty = nothing.
        is_unreadable: Whether its file cannot be opened, and stands in the way of a new one.
    """

    asset: str
    state: State
    months: Mapping[int, State] | None
    rows: int
    last: dt.datetime | None
    is_on_demand: bool = False
    problem: str = ""
    is_unreadable: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether something of it is gone from the disk, or damaged there."""
        return self.state in LOST or bool(self.months_in(*LOST))

    def months_in(self, *states: State) -> list[int]:
        """Return the months in some states, ascending, as YYYYMM."""
        return [month for month, state in sorted((self.months or {}).items()) if state in states]


@dataclass(frozen=True)
class CheckStatus:
    """How a check stands; a verdict on an earlier materialization is none on what is there now.

    Attributes:
        asset: The asset.
        check: The check.
        is_blocking: Whether later assets are refused where it fails.
        verdict: On the whole; of a check of months: the worst of them. None = there is nothing to judge.
        months: Verdict by month as YYYYMM, of the months that are there; None = the asset has no months.
        detail: Why it failed, or failed first, in words; empty = it did not.
    """

    asset: str
    check: str
    is_blocking: bool
    verdict: Verdict | None
    months: Mapping[int, Verdict] | None
    detail: str

    def months_with(self, *verdicts: Verdict) -> list[int]:
        """Return the months with some verdicts, ascending, as YYYYMM."""
        return [month for month, verdict in sorted((self.months or {}).items()) if verdict in verdicts]


@dataclass(frozen=True)
class DatedStatus:
    """What there is of an asset with a partition a day or an hour; what nobody asked for is not missing.

    Attributes:
        asset: The asset.
        unit: What a partition is: days or hours.
        there: Partitions that are there.
        first: The earliest of them; empty = none.
        last: The latest of them.
        failed: Partitions that failed when they were last tried, ascending.
        running: Partitions that an unfinished run is at, ascending.
        refused: Partitions with a check that failed, ascending.
        latest: When one was last materialized, in UTC; None = never.
        gone: Partitions that were made and are no longer on disk, ascending; those apart that are kept no longer.
    """

    asset: str
    unit: str
    there: int
    first: str
    last: str
    failed: Sequence[str]
    running: Sequence[str]
    refused: Sequence[str]
    latest: dt.datetime | None
    gone: Sequence[str] = ()

    @property
    def has_failures(self) -> bool:
        """Whether a partition or a check of one failed, or one is gone."""
        return bool(self.failed or self.refused or self.gone)

    @property
    def is_empty(self) -> bool:
        """Whether nobody ever asked for any."""
        return not (self.there or self.failed or self.running or self.gone)


@dataclass(frozen=True)
class RunStatus:
    """One of the last runs.

    Attributes:
        run_id: Its id.
        job: Its job; the assets, where it was launched from assets.
        months: First and last month asked for, as YYYYMM; None = none.
        dates: First and last day or hour asked for, as partition keys; None = none.
        status: As Dagster names it, in lower case.
        started: When, in UTC; None = not yet.
        seconds: How long it took, or has been running; None = it has not started.
        reason: Why it failed, in words; empty = it did not.
    """

    run_id: str
    job: str
    months: tuple[int, int] | None
    dates: tuple[str, str] | None
    status: str
    started: dt.datetime | None
    seconds: float | None
    reason: str


@dataclass(frozen=True)
class Status:
    """All of it.

    Attributes:
        assets: In the order of the graph.
        checks: Likewise.
        runs: The last ones, latest first.
        publication: The assets with a partition a day or an hour, with their checks.
    """

    assets: Sequence[AssetStatus]
    checks: Sequence[CheckStatus]
    runs: Sequence[RunStatus]
    publication: Sequence[DatedStatus] = ()

    @property
    def has_failures(self) -> bool:
        """Whether an asset, one of its months, days or hours, or a blocking check failed, or something is lost."""
        failed = any(asset.state is State.FAILED or asset.is_lost for asset in self.assets)
        failed = failed or any(dated.has_failures for dated in self.publication)
        return failed or any(check.verdict is Verdict.FAILED for check in self.checks if check.is_blocking)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever made, or tried."""
        missing = all(asset.state is State.MISSING for asset in self.assets)
        return missing and not self.runs and all(dated.is_empty for dated in self.publication)

    @property
    def months(self) -> list[int]:
        """Every month that could be there, ascending, as YYYYMM."""
        return sorted({month for asset in self.assets for month in asset.months or ()})

    @property
    def running_months(self) -> list[int]:
        """Months that an unfinished run is at."""
        return sorted({month for asset in self.assets for month in asset.months_in(State.RUNNING)})

    @property
    def failed_months(self) -> list[int]:
        """Months that failed in an asset when they were last tried, or that a blocking check failed."""
        assets = {month for asset in self.assets for month in asset.months_in(State.FAILED)}
        barred = {month for gate in self._gates for month in gate.months_with(Verdict.FAILED)}
        return sorted((assets | barred) - set(self.running_months))

    @property
    def open_months(self) -> list[int]:
        """Months that no run is at and that are not whole: there in each asset, with each blocking check passed."""
        lacking = {m for asset in self.assets for m in asset.months_in(State.MISSING, State.FAILED)}
        unproven = {m for gate in self._gates for m in gate.months_with(Verdict.FAILED, Verdict.NOT_JUDGED)}
        return sorted((lacking | unproven) - set(self.running_months))

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

    @property
    def _open_whole(self) -> Sequence[AssetStatus]:
        unproven = {gate.asset for gate in self._gates if gate.verdict is Verdict.FAILED}
        if not self.is_busy:
            unproven |= {check.asset for check in self.checks if check.verdict is Verdict.NOT_JUDGED}
        whole = [asset for asset in self.assets if asset.months is None and asset.state is not State.RUNNING]
        return [asset for asset in whole if asset.state is not State.MATERIALIZED or asset.asset in unproven]

    def months_after(self, end: int) -> list[int]:
        """Return the months after `end` (YYYYMM) and after the last one that was ever asked for, ascending."""
        known = {*State} - {State.MISSING}
        last = max([end, *(month for asset in self.assets for month in asset.months_in(*known))])
        return [month for month in self.months if month > last]

    @property
    def _gates(self) -> Iterable[CheckStatus]:
        return (check for check in self.checks if check.is_blocking)
