"""A person publishes days and hours from the UI: real web server, daemon and run processes, asked through GraphQL."""

import datetime as dt
from pathlib import Path

from capsim_dagster.orchestration.months import hour_key
from capsim_dagster_tests.conftest import CONFIG
from capsim_dagster_tests.support.orchestration.server import serving

FIRST = dt.date(2023, 1, 10)
DAYS = [str(FIRST + dt.timedelta(days=offset)) for offset in range(4)]
HOURS = [hour_key(FIRST, hour) for hour in range(6, 12)]
SETTINGS = f"base: {CONFIG}\narchive: {{interval_minutes: 30}}\npublication: {{max_null_share: 0.5}}\n"


def test_days_and_hours_as_backfills_are_one_run_each_and_show_as_what_they_are(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(SETTINGS)
    with serving(
        tmp_path / "data", config=config, num_servers=12, start_date="2023-01-01", end_date="2023-03-31"
    ) as ui:
        days = ui.ended_backfill(ui.backfill_keys(DAYS, job="daily_publication"), seconds=180)

        assert (days["status"], len(days["runs"])) == ("COMPLETED_SUCCESS", 1)
        for asset in ("hourly_archive", "tier3_daily"):
            assert ui.ranges(asset) == [(DAYS[0], DAYS[-1], "MATERIALIZED")]
            assert {*map(tuple, ui.check_ranges(asset).values())} == {((DAYS[0], DAYS[-1], "SUCCEEDED"),)}

        hours = ui.ended_backfill(ui.backfill_keys(HOURS, ["tier2_hourly"]), seconds=180)

        assert (hours["status"], len(hours["runs"])) == ("COMPLETED_SUCCESS", 1)
        assert ui.ranges("tier2_hourly") == [(HOURS[0], HOURS[-1], "MATERIALIZED")]
        assert {*map(tuple, ui.check_ranges("tier2_hourly").values())} == {((HOURS[0], HOURS[-1], "SUCCEEDED"),)}
