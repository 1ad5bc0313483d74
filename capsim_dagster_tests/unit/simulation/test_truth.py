"""The truth: every event shows where it is labelled, nothing else does, and extending the run only adds to it."""

import datetime as dt
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from capsim_dagster.schemas import Column, EventKind, Resource, host_id
from capsim_dagster.schemas.fleet import TRUTH_EVENTS, TRUTH_SERIES
from capsim_dagster.schemas.frames import broken_rules, frame_schema
from capsim_dagster.seeding import Float32Array
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation import telemetry, truth
from capsim_dagster.simulation.parameters import breach_days
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import changed
from capsim_dagster_tests.support.simulation.models import (
    END,
    N_DAYS,
    N_HOSTS,
    START,
    BoolArray,
    model_of,
    three_years,
    twin_of,
)

GAPS: Final = (EventKind.MISSING, EventKind.OUTAGE, EventKind.AGENT_DOWN)
CHANGES: Final = (EventKind.BURST, EventKind.SPIKE, EventKind.DIP, EventKind.LEVEL_SHIFT, EventKind.VARIANCE_CHANGE)

repeatable = property_settings(max_examples=15, deadline=None, derandomize=True, database=None)


def rough(**change: object) -> DataGeneration:
    """Return the settings of a fleet to which four times as much happens."""
    return changed(three_years(), {"anomalies.rate": 0.02, "gaps.missing_rate": 0.04, **change})


@cache
def model() -> telemetry.HostModel:
    return model_of(rough())


@cache
def values() -> dict[Resource, Float32Array]:
    return telemetry.utilization(model(), START, END)


@cache
def twin() -> dict[Resource, Float32Array]:
    return twin_of(model())


@cache
def all_events() -> pl.DataFrame:
    return truth.event_truth(model(), END)


@cache
def all_series() -> pl.DataFrame:
    return truth.series_truth(model())


def places(rows: pl.DataFrame, resource: Resource, day: str) -> tuple[list[int], list[int]]:
    """Return host and day of the events of a resource as indices, of those whose day is in the window."""
    chosen = rows.filter(pl.col("resource") == resource.value, pl.col(day) <= END)
    numbers = chosen["host_id"].str.strip_prefix("srv-").cast(pl.Int64) - 1
    offsets = (chosen[day] - START).dt.total_days()
    return numbers.to_list(), offsets.to_list()


def covered(rows: pl.DataFrame, resource: Resource) -> BoolArray:
    """Return which days of the window the events of a resource cover."""
    is_covered = np.zeros((N_HOSTS, N_DAYS), dtype=np.bool_)
    for host, start, end in zip(*places(rows, resource, "start"), lengths(rows, resource), strict=True):
        is_covered[host, start:end] = True
    return is_covered


def lengths(rows: pl.DataFrame, resource: Resource) -> list[int]:
    """Return the day after the end of each event of a resource as an index."""
    chosen = rows.filter(pl.col("resource") == resource.value)
    return ((chosen["end"] - START).dt.total_days() + 1).to_list()


def of_kinds(*kinds: EventKind) -> pl.DataFrame:
    return all_events().filter(pl.col("kind").is_in([kind.value for kind in kinds]))


def assert_fulfils(rows: pl.DataFrame, columns: Sequence[Column]) -> None:
    assert rows.with_columns(pl.col(pl.Enum).cast(pl.String)).schema == frame_schema(columns)
    assert broken_rules(columns, rows) == []


def test_truth_fulfils_its_contracts_in_the_order_of_hosts_and_resources() -> None:
    order = {resource.value: index for index, resource in enumerate(Resource)}
    rows = all_events().select("host_id", pl.col("resource").cast(pl.String).replace_strict(order), "start").rows()

    assert_fulfils(all_events(), TRUTH_EVENTS)
    assert rows == sorted(rows)
    assert_fulfils(all_series(), TRUTH_SERIES)
    assert all_series().select("host_id", "resource").rows() == [
        (host_id(number), resource.value) for number in range(1, N_HOSTS + 1) for resource in Resource
    ]


def test_events_of_every_kind_happen() -> None:
    assert set(all_events()["kind"]) == {kind.value for kind in EventKind}


@each_case("day", ["start", "end"])
@each_case("kind", CHANGES)
def test_value_differs_from_the_twin_without_events_on_first_and_last_day_of_each(kind: EventKind, day: str) -> None:
    rows = of_kinds(kind)
    for resource in Resource:
        where = places(rows, resource, day)
        assert len(where[0]) >= 5
        assert not np.isnan(values()[resource][where]).any()
        assert (values()[resource][where] != twin()[resource][where]).all()


@pytest.mark.parametrize("kind", GAPS)
def test_value_is_missing_on_every_day_of_a_gap(kind: EventKind) -> None:
    for resource in Resource:
        is_gap = covered(of_kinds(kind), resource)
        assert is_gap.any()
        assert np.isnan(values()[resource][is_gap]).all()


@each_case("resource", Resource)
def test_no_value_differs_from_the_twin_or_is_missing_without_an_event_that_covers_it(resource: Resource) -> None:
    missing = np.isnan(values()[resource])
    differs = ~missing & (values()[resource] != twin()[resource])

    np.testing.assert_array_equal(missing, covered(of_kinds(*GAPS), resource))
    assert not (differs & ~covered(of_kinds(*CHANGES), resource)).any()
    assert differs.mean() > 0.005


@each_case("kind", EventKind)
def test_magnitude_is_null_for_gaps_and_has_the_size_of_its_settings_for_all_others(kind: EventKind) -> None:
    sizes = of_kinds(kind)["magnitude"]
    if kind in GAPS:
        assert sizes.null_count() == sizes.len()
        return
    assert sizes.null_count() == 0
    if kind is not EventKind.BURST:
        low, high = rough().anomalies.kinds[kind.value].size
        assert np.float32(low) <= sizes.abs().to_numpy().min()
        assert sizes.abs().to_numpy().max() <= np.float32(high)


def test_magnitude_of_a_burst_is_3_to_5_quarters_of_the_height_of_its_series() -> None:
    rows = of_kinds(EventKind.BURST).join(all_series(), on=["host_id", "resource"])
    ratio = (rows["magnitude"] / rows["burst_height"]).to_numpy()

    assert rows.height == of_kinds(EventKind.BURST).height
    assert ratio.min() >= 0.75 - 1e-6
    assert ratio.max() <= 1.25 + 1e-6


def test_burst_lifts_its_days_by_its_magnitude_times_the_calendar() -> None:
    """On the first day of bursts that no anomaly, ceiling or rounding disturbs."""
    rows = of_kinds(EventKind.BURST)
    anomalies = of_kinds(*CHANGES[1:])
    loads = telemetry.loads(model(), START, END)
    for resource in Resource:
        where = places(rows, resource, "start")
        sizes = rows.filter(pl.col("resource") == resource.value)["magnitude"].to_numpy()
        lift = (values()[resource][where] - twin()[resource][where]) / loads[resource].factor[where]
        alone = ~covered(anomalies, resource)[where] & (values()[resource][where] < 100)
        assert alone.sum() >= 50
        np.testing.assert_allclose(lift[alone], sizes[alone], atol=0.05)


@each_case("day", ["start", "end"])
@each_case("kind", CHANGES[1:])
def test_anomaly_changes_demand_or_noise_by_its_magnitude(kind: EventKind, day: str) -> None:
    """By hand: a share of demand is added, or noise is multiplied; where no burst, bound or rounding disturbs."""
    rows, bursts = of_kinds(kind), of_kinds(EventKind.BURST)
    loads = telemetry.loads(model(), START, END)
    for resource in Resource:
        where, load = places(rows, resource, day), loads[resource]
        size = rows.filter(pl.col("resource") == resource.value, pl.col(day) <= END)["magnitude"].to_numpy()
        demand, noise, found = load.demand[where], load.noise[where], values()[resource][where]
        changed_load = demand + noise * size if kind is EventKind.VARIANCE_CHANGE else demand * (1 + size) + noise
        alone = ~covered(bursts, resource)[where] & (found > 0) & (found < 100)
        assert alone.sum() >= 5
        np.testing.assert_allclose(found[alone], (changed_load * load.factor[where])[alone], atol=0.0051)


def test_agent_down_is_listed_for_all_resources_of_its_host() -> None:
    counts = of_kinds(EventKind.AGENT_DOWN).group_by("host_id", "start", "end").len()["len"]

    assert set(counts) == {4}


def test_no_two_events_of_one_kind_on_a_series_share_a_day() -> None:
    for _, rows in all_events().group_by("host_id", "resource", "kind"):
        days = rows.sort("start").select("start", "end").rows()
        assert all(before[1] < after[0] for before, after in pairwise(days))
        assert all(start <= end for start, end in days)


def test_breach_date_is_that_of_the_limiting_series_alone() -> None:
    days = breach_days(rough(), model().block)
    dates = {host_id(number): day for number, day in zip(model().block.numbers.tolist(), days.tolist(), strict=True)}
    for row in all_series().iter_rows(named=True):
        is_limiting = row["resource"] == row["limiting_resource"]
        assert row["breach_date"] == (START + dt.timedelta(dates[row["host_id"]]) if is_limiting else None)
        assert (row["limiting_resource"] is not None) == (dates[row["host_id"]] > 0)
        assert row["has_anomalies"] == (not is_limiting)
    assert all_series()["breach_date"].drop_nulls().len() >= 2


def test_limiting_resource_is_the_same_on_all_four_rows_of_a_host() -> None:
    per_host = all_series().group_by("host_id").agg(pl.col("limiting_resource").n_unique(), pl.len())

    assert set(per_host["limiting_resource"]) == {1}
    assert set(per_host["len"]) == {4}


def test_series_without_anomalies_have_none() -> None:
    rows = of_kinds(*CHANGES[1:]).join(all_series().filter(~pl.col("has_anomalies")), on=["host_id", "resource"])

    assert rows.is_empty()


@each_case("resource", Resource)
def test_drawn_parameters_are_those_of_the_simulation(resource: Resource) -> None:
    rows, series = all_series().filter(pl.col("resource") == resource.value), model().series[resource]
    columns = {
        "level": series.level,
        "growth_per_year": series.drift,
        "annual_amplitude": series.annual_amplitude,
        "noise_std": series.noise_std,
        "burst_rate": series.burst_rate,
        "burst_height": series.burst_height,
        "breach_rise": series.breach_rise,
    }

    for name, drawn in columns.items():
        np.testing.assert_array_equal(rows[name].to_numpy(), drawn)


def test_weekend_factor_is_the_metrics_as_far_as_the_server_type_follows_by_hand() -> None:
    """A web host follows the 0.78 of cpu one and a half times, a batch host -0.3 times; a limiting series not."""
    rows = all_series().join(inventory(rough()), on="host_id").filter(pl.col("resource") == "cpu")
    free = rows.filter(pl.col("breach_date").is_null())

    for kind, factor in {"web": 0.67, "batch": 1.066}.items():
        found = free.filter(pl.col("server_type") == kind)["weekend_factor"]
        np.testing.assert_allclose(found.to_numpy(), factor, rtol=1e-6)
        assert found.len() > 5
    assert set(all_series().drop_nulls("breach_date")["weekend_factor"]) == {1.0}


def test_season_peaks_on_the_listed_day_of_the_year() -> None:
    """The season runs in mean years from the first of January 1970, so it may be off by three days."""
    rows = all_series().filter(pl.col("resource") == "cpu", pl.col("annual_amplitude") > 1)
    year = telemetry.loads(model(), dt.date(2024, 1, 1), dt.date(2024, 12, 31))[Resource.CPU].demand
    series = model().series[Resource.CPU]
    for row in rows.iter_rows(named=True):
        index = int(row["host_id"].removeprefix("srv-")) - 1
        if series.breach_rise[index]:
            continue
        line = series.drift[index] * np.arange(366, dtype=np.float32) / np.float32(365.25)
        peak = int((year[index] - line).argmax()) + 1
        off = (peak - row["annual_peak_day"] + 183) % 366 - 183
        assert abs(off) <= 3


def test_longer_window_and_larger_fleet_only_add_events() -> None:
    grown = model_of(rough(num_servers=N_HOSTS + 50, end_date="2026-01-30"))
    rows = truth.event_truth(grown, dt.date(2026, 1, 30))
    known = rows.filter(pl.col("host_id") <= host_id(N_HOSTS), pl.col("start") <= END)

    assert known.equals(all_events())
    assert rows.filter(pl.col("host_id") <= host_id(N_HOSTS)).height > known.height


def test_longer_window_and_larger_fleet_change_no_existing_series() -> None:
    grown = model_of(rough(num_servers=N_HOSTS + 500, end_date="2026-01-30"))

    assert truth.series_truth(grown).head(4 * N_HOSTS).equals(all_series())


@repeatable
@given(order=st.lists(st.integers(0, N_HOSTS - 1), min_size=1, max_size=6, unique=True))
def test_truth_of_some_hosts_alone_is_the_same_as_in_the_whole_fleet(order: list[int]) -> None:
    some = telemetry.host_model(rough(), inventory(rough())[order])
    for found, every in [(truth.event_truth(some, END), all_events()), (truth.series_truth(some), all_series())]:
        rows = [every.filter(pl.col("host_id") == host_id(index + 1)) for index in order]
        assert found.equals(pl.concat(rows))


@repeatable
@given(end=st.dates(START, END))
def test_truth_of_a_shorter_window_is_its_beginning(end: dt.date) -> None:
    some = telemetry.host_model(rough(), inventory(rough()).head(10))
    expected = all_events().filter(pl.col("host_id") <= host_id(10), pl.col("start") <= end)

    assert truth.event_truth(some, end).equals(expected)


def test_without_anomalies_gaps_and_bursts_there_is_no_event() -> None:
    """Hosts 7 and 8 are the bursty ones of the first ten."""
    quiet = changed(three_years(), {"anomalies.rate": 0, "gaps.missing_rate": 0})
    rows = truth.event_truth(telemetry.host_model(quiet, inventory(quiet).head(6)), END)

    assert rows.is_empty()
    assert rows.columns == [column.name for column in TRUTH_EVENTS]


def test_event_that_the_bounds_hide_is_none() -> None:
    """Hosts 3 and 4 are idle: even a spike leaves them below 96 %."""
    bound = rough(**{f"metrics.{resource}.min_clip": 96.0 for resource in Resource})
    rows = truth.event_truth(telemetry.host_model(bound, inventory(bound).slice(2, 2)), END)
    free = all_events().filter(pl.col("host_id").is_in([host_id(3), host_id(4)]))

    assert set(free["kind"]) > {kind.value for kind in GAPS}
    assert rows.equals(free.filter(pl.col("kind").is_in([kind.value for kind in GAPS])))


def test_event_that_goes_on_after_the_window_is_listed_with_its_true_end() -> None:
    late = all_events().filter(pl.col("end") > END)
    longer = truth.event_truth(model(), END + dt.timedelta(90))

    assert late.height > 0
    assert late.join(longer, on=late.columns, how="anti", nulls_equal=True).is_empty()
