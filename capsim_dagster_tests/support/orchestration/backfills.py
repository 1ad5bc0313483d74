"""Backfills of a small fleet or of a user's feed, as they are planned on a day of June 2023."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg

from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.launch import Plan, plan_backfill
from capsim_dagster.orchestration.months import month_of
from capsim_dagster.settings import Settings
from capsim_dagster_tests.support.foreign_feed import foreign_platform, write_feed

TODAY: Final = dt.date(2023, 6, 15)
_BUILT: Final[dict[int, tuple[Settings, dg.Definitions]]] = {}


def definitions_of(settings: Settings) -> dg.Definitions:
    """Return the definitions of some settings, built once."""
    if id(settings) not in _BUILT:
        _BUILT[id(settings)] = settings, build_definitions(settings, today=TODAY)
    return _BUILT[id(settings)][1]


def plan(
    instance: dg.DagsterInstance,
    settings: Settings,
    months: Sequence[str] | None = None,
    *,
    again: bool = False,
    **automation: int,
) -> Plan:
    chosen = settings.model_copy(update={"automation": settings.automation.model_copy(update=automation)})
    return plan_backfill(definitions_of(settings), instance, chosen, months, today=TODAY, again=again)


def feed_settings(folder: Path, months: Sequence[str], **refinery: Any) -> Settings:  # noqa: ANN401 any setting
    exports = write_feed(folder / "exports", [*map(month_of, months)])
    return foreign_platform(folder / "work", exports, **refinery).settings
