"""An effect that is switched off is gone to the last bit, and all else is as it was."""

import datetime as dt

import numpy as np

from capsim_dagster.schemas import ANOMALY_KINDS, GAP_KINDS, EventKind, Resource
from capsim_dagster.seeding import Float32Array
from capsim_dagster.simulation import events, telemetry
from capsim_dagster.simulation.calendar_effects import calendar_factors
from capsim_dagster.simulation.components import DAYS_PER_YEAR
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
    values_of,
    whole,
    whole_model,
)

BURST_VARIETIES = (6, 7)
GROWING_VARIETIES = (0, 1)
CALENDAR_OFF = {
    "use_holidays": False,
    "use_eoq_spikes": False,
    "weekly_pattern_factor": 1.0,
    "month_end_multiplier": 1.0,
}


def without(*names: str, value: object) -> dict[str, object]:
    """Return a change of some settings of every metric."""
    return {f"metrics.{resource}.{name}": value for resource in Resource for name in names}


def days_of_kinds(resource: Resource, *kinds: EventKind) -> BoolArray:
    """Return on which days of `three_years` an event of some kinds happens."""
    span = telemetry.span_of(START, END)
    happening = telemetry.changes(whole_model(), resource, span)
    gaps = events.gaps(whole_model().gaps[resource], three_years().gaps, span)
    every = events.joined([happening, *gaps])
    on = events.days_of(every.take(np.any([every.is_of(kind) for kind in kinds], axis=0)), span)
    is_covered = np.zeros((N_HOSTS, N_DAYS), dtype=np.bool_)
    is_covered[on.rows, on.columns] = True
    return is_covered


def is_variety(*varieties: int) -> BoolArray:
    return np.isin(whole_model().block.varieties, varieties)


def test_without_anomalies_every_day_outside_them_keeps_its_bits_and_series_without_bursts_are_their_twins() -> None:
    quiet = values_of(changed(three_years(), {"anomalies.rate": 0}))
    twin = twin_of(whole_model())
    steady = ~is_variety(*BURST_VARIETIES)
    for resource in Resource:
        labelled = days_of_kinds(resource, *ANOMALY_KINDS)
        reported = ~np.isnan(quiet[resource])
        np.testing.assert_array_equal(quiet[resource][~labelled], whole()[resource][~labelled])
        np.testing.assert_array_equal(
            quiet[resource][steady][reported[steady]], twin[resource][steady][reported[steady]]
        )
        assert labelled.any()


def test_without_gaps_nothing_is_missing_and_all_other_values_keep_their_bits() -> None:
    full = values_of(changed(three_years(), {"gaps.missing_rate": 0}))
    for resource in Resource:
        missing = days_of_kinds(resource, *GAP_KINDS)
        assert not np.isnan(full[resource]).any()
        np.testing.assert_array_equal(np.isnan(whole()[resource]), missing)
        np.testing.assert_array_equal(full[resource][~missing], whole()[resource][~missing])


@each_case(
    ("name", "value"),
    [
        ("use_holidays", False),
        ("use_eoq_spikes", False),
        ("weekly_pattern_factor", 1.0),
        ("month_end_multiplier", 1.0),
    ],
)
def test_without_an_effect_of_the_calendar_the_days_it_does_not_touch_keep_their_bits(name: str, value: object) -> None:
    """In a week that has its effect on Saturday and Sunday alone, so that there are untouched days."""
    week = changed(three_years(), {"calendar.weekly_profile": [0, 0, 0, 0, 0, 1, 1]})
    on, off = model_of(week), model_of(changed(week, without(name, value=value)))
    before, after = (telemetry.utilization(model, START, END) for model in (on, off))
    for resource in Resource:
        group = on.series[resource].calendar_group
        factors = [calendar_factors(model.generation, resource, START, END)[group] for model in (on, off)]
        untouched = factors[0] == factors[1]
        np.testing.assert_array_equal(after[resource][untouched], before[resource][untouched])
        assert 0.6 < untouched.mean() < 1


def test_without_all_effects_of_the_calendar_the_expectation_is_demand() -> None:
    change = {f"metrics.{resource}.{name}": value for resource in Resource for name, value in CALENDAR_OFF.items()}
    model = model_of(changed(three_years(), change))
    loads = telemetry.loads(model, START, END)
    for resource, load in loads.items():
        expected = telemetry.expected_utilization(model, resource, START, END)
        assert (load.factor == 1).all()
        np.testing.assert_array_equal(expected, load.demand)
        np.testing.assert_array_equal(load.demand, telemetry.loads(whole_model(), START, END)[resource].demand)


def test_without_quarter_end_months_the_expectation_equals_the_one_without_quarter_end() -> None:
    by_month = model_of(changed(three_years(), without("eoq_months", value=())))
    by_flag = model_of(changed(three_years(), without("use_eoq_spikes", value=False)))
    for resource in Resource:
        one, other = (telemetry.expected_utilization(model, resource, START, END) for model in (by_month, by_flag))
        np.testing.assert_array_equal(one, other)


def test_without_shared_noise_hosts_know_nothing_of_their_application() -> None:
    """All hosts of a team in one application, or nearly each in its own: the same bits."""
    alone = changed(three_years(), {"noise.app_share": 0})
    one_code, own_codes = (changed(alone, {"metadata.apps_per_team": number}) for number in (1, 999))
    for resource, values in values_of(one_code).items():
        np.testing.assert_array_equal(values, values_of(own_codes)[resource])


def test_without_growth_demand_of_flat_varieties_is_level_and_season() -> None:
    model = model_of(changed(three_years(), without("growth_per_year", "growth_std", value=0)))
    flat = ~is_variety(*GROWING_VARIETIES, 8, 9)
    for resource, load in telemetry.loads(model, START, END).items():
        series = model.series[resource]
        days = np.arange(telemetry.span_of(START, END).start, telemetry.span_of(START, END).stop)
        angle = 2 * np.pi * (days / DAYS_PER_YEAR - series.annual_peak[flat, np.newaxis])
        season = series.annual_amplitude[flat, np.newaxis] * np.cos(angle)
        np.testing.assert_allclose(load.demand[flat], series.level[flat, np.newaxis] + season, atol=1e-4)
        assert not series.drift[flat].any()


def test_without_season_demand_of_varieties_without_one_is_a_straight_line_to_the_last_bit() -> None:
    model = model_of(changed(three_years(), without("seasonality_amplitude", value=0)))
    idle = is_variety(2, 3)
    years = (np.arange(N_DAYS) / DAYS_PER_YEAR).astype(np.float32)
    for resource, load in telemetry.loads(model, START, END).items():
        series = model.series[resource]
        line: Float32Array = series.drift[idle, np.newaxis] * years + series.level[idle, np.newaxis]
        np.testing.assert_array_equal(load.demand[idle], line)


def test_without_noise_a_day_without_events_is_its_expectation_to_the_last_bit() -> None:
    model = model_of(changed(three_years(), without("base_std", value=0)))
    twin = twin_of(model)
    for resource in Resource:
        expected = telemetry.expected_utilization(model, resource, START, dt.date(2025, 12, 31))
        np.testing.assert_array_equal(twin[resource], telemetry.quantized(expected, model.series[resource]))
