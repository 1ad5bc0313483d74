"""Whether a command has anything to do: what still holds of the last time, seen before Dagster is loaded."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from capsim_dagster.audits.claims import CATALOG
from capsim_dagster.errors import CapsimError
from capsim_dagster.orchestration.history import has_unfinished, latest_of, open_records
from capsim_dagster.pipeline import ledger as ledgers
from capsim_dagster.pipeline.ledger import Ledger, Scope, of_a_feed, of_the_run
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.accounts import loaded_files
from capsim_dagster.refinery.load import LoadedMonth

if TYPE_CHECKING:
    from capsim_dagster.orchestration.run_summary import RunSummary

_OF_THE_RUN: Final = tuple(known.name for known in CATALOG if not known.is_on_demand)
"""What the main job makes."""
_OF_A_FEED: Final = ("processed_data", "refinery_audit")


def run_that_holds(platform: Platform) -> "RunSummary | None":
    """Return the run that made what is there, if nothing has changed since: settings, files, or what is recorded."""
    ledger = _holding(platform, of_the_run(platform), _OF_THE_RUN) if platform.refines_own_feed else None
    if ledger is None:
        return None
    from capsim_dagster.orchestration.run_summary import AssetSummary, CheckSummary, RunSummary

    assets = [AssetSummary(**asset) for asset in ledger.run["assets"]]
    checks = [CheckSummary(**check) for check in ledger.run["checks"]]
    return RunSummary(**{**ledger.run, "assets": assets, "checks": checks})


def keep_as_whole(platform: Platform, run: "RunSummary") -> None:
    """Remember what a run left all of whose gates have passed."""
    if platform.refines_own_feed:
        _keep(platform, of_the_run(platform), _OF_THE_RUN, asdict(run))


def months_that_hold(platform: Platform, months: Sequence[int]) -> list[LoadedMonth] | None:
    """Return months, YYYYMM, of a feed that are loaded as their files are now; None = something has changed since."""
    scope = of_a_feed(platform)
    ledger = _holding(platform, scope, _OF_A_FEED)
    if ledger is None and platform.refines_own_feed:
        scope = of_the_run(platform)
        ledger = _holding(platform, scope, _OF_THE_RUN)
    if ledger is None:
        return None
    ledgers.note_seen(platform, scope, ledger)
    with platform.reading() as connection:
        found = [LoadedMonth(month, list(loaded_files(connection, month).values())) for month in months]
    return found if all(month.files for month in found) else None


def keep_feed(platform: Platform, began_ns: int) -> None:
    """Remember a feed that was loaded whole by a command that began at a time [ns since 1970]."""
    with platform.reading() as connection:
        rows = connection.execute("SELECT path, sha256 FROM feed_files").fetchall()
    digests = {ledgers.name_of(platform, platform.refined.root / path): digest for path, digest in rows}
    _keep(platform, of_a_feed(platform), _OF_A_FEED, {}, began_ns, digests)


def _keep(
    platform: Platform,
    scope: Scope,
    assets: Sequence[str],
    run: dict[str, object],
    began_ns: int = 0,
    digests: dict[str, str] | None = None,
) -> None:
    with open_records(platform.layout.dagster_home) as records:
        if records is not None:
            history = latest_of(records, assets)
            ledgers.write_ledger(platform, scope, history=history, run=run, began_ns=began_ns, digests=digests or {})


def _holding(platform: Platform, scope: Scope, assets: Sequence[str]) -> Ledger | None:
    """Return the ledger of a scope if all is as it has it.

    An audit page that alone is another, as `capsim audit` writes it, is written anew.
    """
    ledger = ledgers.read_ledger(platform, scope)
    if ledger is None or not _is_latest(platform, ledger, assets):
        return None
    differing = ledgers.changed(platform, scope, ledger)
    if differing == [ledgers.page_of(platform)]:
        from capsim_dagster.pipeline.refine import write_audit_page

        write_audit_page(platform)
        ledgers.write_ledger(platform, scope, history=ledger.history, run=ledger.run)
        return ledgers.read_ledger(platform, scope)
    return None if differing else ledger


def _is_latest(platform: Platform, ledger: Ledger, assets: Sequence[str]) -> bool:
    """Return whether no run was at the assets since, and none is."""
    try:
        with open_records(platform.layout.dagster_home) as records:
            if records is None or has_unfinished(records):
                return False
            return latest_of(records, assets) == ledger.history
    except CapsimError:
        return False
