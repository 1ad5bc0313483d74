"""`capsim status` of archive and published datasets: how many there are, and which want looking at."""

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from capsim_dagster.cli import capsim
from capsim_dagster.orchestration.keys import HOST_INVENTORY, TIER3_DAILY
from capsim_dagster_tests.support.orchestration.memory import in_memory, read_from
from capsim_dagster_tests.support.orchestration.reported import report_asset, report_verdict

OPTIONS = ["--hosts", "12", "--start", "2023-01-01", "--end", "2023-03-31"]
DAYS = ["2023-01-15", "2023-01-16", "2023-02-01"]


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Return the instance that the command reads."""
    with in_memory() as memory:
        made = memory.instance
        read_from(made, monkeypatch)
        yield made


def report(instance: dg.DagsterInstance, asset: str, *keys: str) -> None:
    for key in keys:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))


def status(tmp_path: Path, *options: str) -> Result:
    return CliRunner().invoke(capsim, ["status", "--data-dir", str(tmp_path / "data"), *OPTIONS, *options])


def test_days_and_hours_are_counted_with_the_first_and_the_last(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    report_asset(instance, HOST_INVENTORY)
    report(instance, "hourly_archive", *DAYS)
    report(instance, "tier2_hourly", "2023-01-15-07:00")

    output = status(tmp_path).output

    assert re.search(r"hourly_archive +3 days +2023-01-15 +2023-02-01 ", output)
    assert re.search(r"tier2_hourly +1 hour +2023-01-15-07:00 +2023-01-15-07:00 ", output)
    assert "tier3_daily" not in output


def test_a_day_that_failed_a_check_is_a_failure_and_named(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    report_asset(instance, HOST_INVENTORY)
    report(instance, "tier3_daily", *DAYS)
    check = dg.AssetCheckKey(TIER3_DAILY, "manifest_is_sound")
    report_verdict(instance, check, passed=False, month=DAYS[1])

    result = status(tmp_path)
    found = json.loads(status(tmp_path, "--json").output)

    assert result.exit_code == 1
    assert f"refused {DAYS[1]}" in result.output
    (daily,) = [each for each in found["publication"] if each["asset"] == "tier3_daily"]
    assert (daily["there"], daily["first"], daily["last"], daily["refused"]) == (3, DAYS[0], DAYS[2], [DAYS[1]])
    assert dt.datetime.fromisoformat(daily["latest"]).tzinfo is not None


def test_nothing_is_said_of_publication_that_nobody_asked_for(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    report_asset(instance, HOST_INVENTORY)

    assert "publication" not in status(tmp_path).output


def test_a_run_over_days_shows_the_days_that_it_was_asked_for(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    report_asset(instance, HOST_INVENTORY)
    tags = {"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[1]}
    instance.add_run(dg.DagsterRun(job_name="daily_publication", run_id=str(uuid.uuid4()), tags=tags))

    assert re.search(rf"daily_publication +{DAYS[0]} to {DAYS[1]} ", status(tmp_path).output)
