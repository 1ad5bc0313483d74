"""The rows of the panel: the master's numbers for the same hosts and days, whatever the window, fleet and columns."""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from capsim_dagster.panel import build
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulated.master import write_master
from capsim_dagster.simulation.fleet import fleet_of
from capsim_dagster_tests.support.panel.generated import KEY, generation_of, own_metric, panel_of, table_of

DEFAULT = ["cpu_p95", "mem_p95", "disk_p95", "net_in_p95", "net_out_p95"]
SHOWN = {"cpu_p95": "cpu", "mem_p95": "memory", "disk_p95": "disk"}


@pytest.fixture(scope="module")
def generation() -> DataGeneration:
    return generation_of()


@pytest.fixture(scope="module")
def panel(generation: DataGeneration) -> pl.DataFrame:
    return table_of(generation, panel_of())


@pytest.fixture(scope="module")
def master(generation: DataGeneration, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Return the master of the same fleet, one column a resource, with the panel's server ids."""
    path = tmp_path_factory.mktemp("master") / "master.parquet"
    write_master(generation, fleet_of(generation), path, end=generation.end_date)
    rows = pl.read_parquet(path).with_columns(pl.col("resource").cast(pl.String), pl.col("host_id").cast(pl.String))
    wide = rows.pivot("resource", index=["host_id", "date"], values=["p95_util", "capacity"])
    number = pl.col("host_id").str.strip_prefix("srv-").cast(pl.Int64).cast(pl.String).str.zfill(4)
    return wide.with_columns(server_id="SRV-" + number, timestamp=pl.col("date").cast(pl.Datetime("us"))).sort(KEY)


def test_panel_has_the_columns_of_the_document_and_one_row_a_server_a_day_in_order(panel: pl.DataFrame) -> None:
    assert panel.columns == [*KEY, "business_unit", "region", "criticality", *DEFAULT]
    assert dict(panel.schema) == {
        **dict.fromkeys(("server_id", "business_unit", "region", "criticality"), pl.String),
        "timestamp": pl.Datetime("us"),
        **dict.fromkeys(DEFAULT, pl.Float64),
    }
    servers = [f"SRV-{number:04d}" for number in range(1, 13)]
    days = [dt.date(2023, 1, 1) + dt.timedelta(index) for index in range(90)]
    found = panel.select("server_id", pl.col("timestamp").dt.date())
    assert found.rows() == [(server, day) for server in servers for day in days]
    assert (panel["timestamp"].dt.time() == dt.time()).all()


def test_panel_holds_the_values_of_the_master_for_the_same_hosts_and_days(
    panel: pl.DataFrame, master: pl.DataFrame
) -> None:
    assert panel.select(KEY).equals(master.select(KEY))
    for column, resource in SHOWN.items():
        expected = master[f"p95_util_{resource}"]
        assert panel[column].cast(pl.Float32).equals(expected, null_equal=True, check_names=False)
        assert (panel[column] * 100).round(6).drop_nulls().map_elements(float.is_integer, pl.Boolean).all()


def test_inbound_and_outbound_traffic_add_up_to_the_utilization_of_the_master_in_mbps(
    panel: pl.DataFrame, master: pl.DataFrame
) -> None:
    whole = (panel["net_in_p95"] + panel["net_out_p95"]).to_numpy()
    expected = (master["p95_util_network"].cast(pl.Float64) * master["capacity_network"] / 100).to_numpy()

    assert np.nanmax(np.abs(whole - expected)) < 0.0101 + 1e-3
    assert np.array_equal(np.isnan(whole), np.isnan(expected))


def test_each_host_has_an_inbound_share_of_its_own_within_the_range(panel: pl.DataFrame) -> None:
    shares = (
        panel.filter(pl.col("net_in_p95") > 50)
        .group_by("server_id")
        .agg(share=(pl.col("net_in_p95") / (pl.col("net_in_p95") + pl.col("net_out_p95"))).mean())
    )["share"]

    assert shares.len() == 12
    assert shares.is_between(0.299, 0.701).all()
    assert shares.round(3).n_unique() >= 11


def test_identity_is_that_of_the_inventory(panel: pl.DataFrame, generation: DataGeneration) -> None:
    columns = ["business_unit", "region", "criticality"]

    found = panel.group_by("server_id", maintain_order=True).agg(pl.col(columns).unique())

    assert found.select(pl.col(columns).list.len().max()).row(0) == (1, 1, 1)
    assert found.select(pl.col(columns).list.first()).rows() == fleet_of(generation).select(columns).rows()


def test_rows_do_not_depend_on_how_many_servers_are_made_at_a_time(
    panel: pl.DataFrame, generation: DataGeneration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ROWS_AT_ONCE", 300)

    assert table_of(generation, panel_of()).equals(panel)


def test_a_longer_window_and_a_larger_fleet_change_no_row_that_was_there(panel: pl.DataFrame) -> None:
    longer = table_of(generation_of(end_date="2023-04-30"), panel_of())
    larger = table_of(generation_of(num_servers=20), panel_of())

    assert longer.filter(pl.col("timestamp") < dt.date(2023, 4, 1)).equals(panel)
    assert larger.head(panel.height).equals(panel)


def test_a_metric_that_is_left_out_or_added_changes_no_other_column(
    panel: pl.DataFrame, generation: DataGeneration
) -> None:
    metrics = {
        "net_p95": {"resource": "network"},
        "mem_used_gb": {"resource": "memory", "unit": "absolute"},
        "cpu_p95": {"resource": "cpu"},
        "gpu_p95": {"resource": "cpu", "own": own_metric(generation, base_mean=20).model_dump(mode="json")},
    }

    found = table_of(generation, panel_of(metrics=metrics))

    assert found.columns[5:] == list(metrics)
    assert found["cpu_p95"].equals(panel["cpu_p95"], null_equal=True)


def test_an_absolute_metric_is_utilization_times_capacity(generation: DataGeneration, master: pl.DataFrame) -> None:
    metrics = {"mem_used_gb": {"resource": "memory", "unit": "absolute"}, "net_p95": {"resource": "network"}}

    found = table_of(generation, panel_of(metrics=metrics))

    expected = master["p95_util_memory"].cast(pl.Float64) * master["capacity_memory"] / 100
    assert np.nanmax(np.abs((found["mem_used_gb"] - expected).to_numpy())) < 0.0051
    assert found["net_p95"].cast(pl.Float32).equals(master["p95_util_network"], null_equal=True, check_names=False)


def test_a_series_of_its_own_follows_its_own_numbers_and_its_hosts_outages(generation: DataGeneration) -> None:
    own = {"resource": "cpu", "own": own_metric(generation, base_mean=80, base_std=0.0).model_dump(mode="json")}
    twice = {"gpu_p95": own, "fpga_p95": own, "cpu_p95": {"resource": "cpu"}}
    generation = generation_of(num_servers=40, end_date="2023-12-31")

    found = table_of(generation, panel_of(metrics=twice)).select(list(twice))

    assert np.nanmean(found["gpu_p95"].to_numpy()) > 1.5 * np.nanmean(found["cpu_p95"].to_numpy())
    assert not found["gpu_p95"].equals(found["fpga_p95"], null_equal=True)
    of_gpu, of_cpu = (found[name].is_null().to_numpy() for name in ("gpu_p95", "cpu_p95"))
    chance = of_gpu.mean() * of_cpu.mean()
    assert (of_gpu & of_cpu).mean() > 10 * chance, "outages of the agent hit every metric of a host"


def test_flags_say_what_kind_of_day_it_is_in_the_region_of_the_server(generation: DataGeneration) -> None:
    found = table_of(generation, panel_of(flags=["is_weekend", "is_holiday", "is_eoq_window"]))

    def days_of(flag: str, region: str) -> set[dt.date]:
        return set(found.filter(pl.col(flag), pl.col("region") == region)["timestamp"].dt.date())

    assert found.columns[-3:] == ["is_weekend", "is_holiday", "is_eoq_window"]
    assert days_of("is_weekend", "us-east") == {
        day for index in range(90) if (day := dt.date(2023, 1, 1) + dt.timedelta(index)).weekday() >= 5
    }
    # New Year's Day observed, Martin Luther King Day, Washington's Birthday: the Federal Reserve's calendar.
    assert days_of("is_holiday", "us-east") >= {dt.date(2023, 1, 2), dt.date(2023, 1, 16), dt.date(2023, 2, 20)}
    # TARGET closes on none of them, and its only holiday of the quarter is a Sunday.
    assert not days_of("is_holiday", "eu-west") & {dt.date(2023, 1, 16), dt.date(2023, 2, 20)}
    assert days_of("is_eoq_window", "us-east") == {dt.date(2023, 3, day) for day in (27, 28, 29, 30, 31)}


@pytest.mark.parametrize(
    ("prefix", "digits", "first"), [("web", 2, "web01"), ("SRV-", 1, "SRV-1"), ("n.", 6, "n.000001")]
)
def test_server_ids_have_the_prefix_and_width_that_are_set(
    generation: DataGeneration, prefix: str, digits: int, first: str
) -> None:
    found = table_of(generation, panel_of(server_prefix=prefix, server_digits=digits))["server_id"].unique()

    assert found.len() == 12
    assert first in found
    assert {int(name.removeprefix(prefix)) for name in found} == set(range(1, 13))


def test_the_inventory_is_made_anew_as_the_warehouse_has_it(tmp_path: Path) -> None:
    from capsim_dagster.pipeline import stages
    from capsim_dagster.pipeline.entrance import require_hosts
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster_tests.conftest import small_settings

    platform = Platform(small_settings(tmp_path))
    stages.host_inventory(platform)
    with platform.reading() as connection:
        stored = require_hosts(platform, connection)

    made = fleet_of(platform.generation)

    assert made.cast(dict.fromkeys(["scenario", "variant", "classification"], pl.String)).equals(
        stored.select(made.columns)
    )
