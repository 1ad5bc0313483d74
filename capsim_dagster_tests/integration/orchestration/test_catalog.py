"""The catalog says of assets and checks what the definitions say, and reading what is recorded takes few queries."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from capsim_dagster.audits.claims import CATALOG, DATED
from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration import keys
from capsim_dagster.orchestration.findings import recorded_status
from capsim_dagster.orchestration.history import Query
from capsim_dagster.orchestration.keys import ON_DEMAND, TIER1_REALTIME
from capsim_dagster.orchestration.status import records_of
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.orchestration.fixtures import TODAY
from capsim_dagster_tests.support.orchestration.memory import in_memory
from capsim_dagster_tests.support.orchestration.reported import report_all, run_under_way

MOST_QUERIES = 30


def test_the_catalog_is_what_dagster_loads(tmp_path: Path) -> None:
    graph = build_definitions(small_settings(tmp_path), today=TODAY).resolve_asset_graph()
    units: dict[type, str] = {dg.MonthlyPartitionsDefinition: "months", dg.DailyPartitionsDefinition: "days"}
    loaded = {
        key.to_user_string(): (
            {
                check.name: graph.get_check_spec(check).blocking
                for check in sorted(graph.get_check_keys_for_assets({key}))
            },
            units.get(type(graph.get(key).partitions_def), "hours") if graph.get(key).partitions_def else "",
            key in ON_DEMAND,
        )
        for level in graph.toposorted_asset_keys_by_level
        for key in sorted(level)
        if key != TIER1_REALTIME
    }

    dated = [key.to_user_string() for key in keys.DATED]
    assert [asset.name for asset in CATALOG] == [name for name in loaded if name not in dated]
    assert [asset.name for asset in DATED] == dated
    for known in (*CATALOG, *DATED):
        assert loaded[known.name] == (known.checks, known.unit, known.is_on_demand)
        assert [*loaded[known.name][0]] == [*known.checks]


def test_status_is_read_in_few_queries_however_many_months_and_checks_there_are(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)
    definitions = build_definitions(settings, today=dt.date(2023, 7, 1))
    months = [f"2023-{month:02d}-01" for month in range(1, 7)]
    asked: list[str] = []

    def counting(query: Query) -> Query:
        def counted(sql: str) -> Sequence[tuple[Any, ...]]:
            asked.append(sql)
            return query(sql)

        return counted

    with in_memory() as memory:
        report_all(memory.instance, definitions, settings, months)
        memory.instance.report_run_failed(run_under_way(memory.instance, definitions, months[:2]))
        records = records_of(memory.instance)
        records = replace(records, events=counting(records.events), runs=counting(records.runs))
        found = recorded_status(records, None, months)

    assert found.months == months
    assert len(asked) <= MOST_QUERIES
