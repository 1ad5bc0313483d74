import datetime as dt
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsim_dagster.errors import SettingsError
from capsim_dagster.orchestration.checks import PROCESSED_DATA
from capsim_dagster.orchestration.jobs import missing_months, monthly_schedule
from capsim_dagster.orchestration.partitions import key_of
from capsim_dagster.settings import Automation, DataGeneration, load_settings
from capsim_dagster_tests.conftest import CONFIG, MakeSettings

YEAR = [202301 + index for index in range(12)]


def generation(start: str = "2023-01-01") -> DataGeneration:
    return load_settings(CONFIG, {"data_generation": {"start_date": start}}).data_generation


def tick(
    make_settings: MakeSettings, folder: Path, today: dt.date, present: list[int]
) -> dg.RunRequest | dg.SkipReason:
    settings = make_settings()
    schedule = monthly_schedule(settings.data_generation, settings.automation)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        for month in present:
            instance.report_runless_asset_event(dg.AssetMaterialization(PROCESSED_DATA, partition=key_of(month)))
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=dt.datetime.combine(today, dt.time(6), tzinfo=dt.UTC)
        )
        result = schedule(context)
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def test_missing_months_leaves_out_the_month_that_is_not_over() -> None:
    assert missing_months(generation(), set(), today=dt.date(2023, 3, 31), limit=12) == [202301, 202302]


def test_missing_months_is_empty_before_the_first_month_is_over() -> None:
    assert missing_months(generation(), set(), today=dt.date(2023, 1, 31), limit=12) == []


def test_missing_months_fills_gaps_within_one_range() -> None:
    present = {202301, 202303}

    assert missing_months(generation(), present, today=dt.date(2023, 6, 1), limit=12) == [
        202302,
        202303,
        202304,
        202305,
    ]


@given(
    present=st.sets(st.sampled_from(YEAR)),
    limit=st.integers(min_value=1, max_value=12),
    month=st.integers(min_value=1, max_value=12),
)
def test_missing_months_asks_for_what_is_missing_and_never_for_more_than_the_limit(
    present: set[int], limit: int, month: int
) -> None:
    today = dt.date(2023, month, 2)

    asked = missing_months(generation(), present, today=today, limit=limit)

    missing = [m for m in YEAR[: month - 1] if m not in present]
    assert len(asked) <= limit
    assert bool(asked) == bool(missing)
    if asked:
        assert asked[0] == missing[0]
        assert asked[-1] not in present
        assert asked == YEAR[YEAR.index(asked[0]) : YEAR.index(asked[-1]) + 1]


def test_repeated_ticks_reach_every_month_once() -> None:
    present: set[int] = set()
    while asked := missing_months(generation(), present, today=dt.date(2025, 9, 2), limit=12):
        assert not present.intersection(asked)
        present.update(asked)

    assert len(present) == 32


def test_schedule_asks_for_missing_months_as_one_range(make_settings: MakeSettings, tmp_path: Path) -> None:
    result = tick(make_settings, tmp_path, dt.date(2023, 6, 2), present=[202301, 202302])

    assert isinstance(result, dg.RunRequest)
    assert result.tags["dagster/asset_partition_range_start"] == "2023-03-01"
    assert result.tags["dagster/asset_partition_range_end"] == "2023-05-01"


def test_schedule_asks_for_twelve_months_at_most(make_settings: MakeSettings, tmp_path: Path) -> None:
    result = tick(make_settings, tmp_path, dt.date(2025, 6, 2), present=[])

    assert isinstance(result, dg.RunRequest)
    assert result.tags["dagster/asset_partition_range_end"] == "2023-12-01"


def test_schedule_ticking_twice_names_one_run(make_settings: MakeSettings, tmp_path: Path) -> None:
    first = tick(make_settings, tmp_path, dt.date(2023, 6, 2), present=[202301])
    second = tick(make_settings, tmp_path, dt.date(2023, 6, 2), present=[202301])

    assert isinstance(first, dg.RunRequest)
    assert isinstance(second, dg.RunRequest)
    assert first.run_key
    assert first.run_key == second.run_key


def test_schedule_that_could_never_tick_is_refused_with_its_key() -> None:
    automation = Automation(monthly_cron="whenever", max_months_per_tick=12)

    with pytest.raises(SettingsError, match=r"automation\.monthly_cron: found 'whenever'"):
        monthly_schedule(generation(), automation)


def test_schedule_skips_with_a_reason_when_nothing_is_missing(make_settings: MakeSettings, tmp_path: Path) -> None:
    result = tick(make_settings, tmp_path, dt.date(2023, 3, 2), present=[202301, 202302])

    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == "every complete month before 2023-03 is there"
