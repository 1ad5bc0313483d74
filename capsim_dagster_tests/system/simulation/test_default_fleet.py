"""The default fleet behaves as its settings say, measured on its output: noise, events, breaches, spread and gaps.

The seed is fixed, so no test here is flaky; each states the sampling error that its tolerance leaves room for. The
calendar is measured in `test_default_calendar`.
"""

import itertools
import math

import numpy as np
import pytest

from capsim_dagster.schemas import ANOMALY_KINDS, Resource, Scenario
from capsim_dagster.seeding import Float32Array
from capsim_dagster.settings.telemetry import Anomaly
from capsim_dagster.simulation import telemetry
from capsim_dagster_tests.conftest import inventory
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.simulation.default_fleet import (
    N_DAYS,
    SERVER_TYPES,
    STEADY_BREACH,
    generation,
    has_scenario,
    has_variety,
    labelled,
    model,
    noise_of,
    steady,
    values,
)
from capsim_dagster_tests.support.simulation.models import SIGMAS, BoolArray

N_HOSTS = 2_000
BURST_SIGMAS = 7
"""Noise alone stays below it: a shock is at most 4.33, and eight of them are felt at once."""


@each_case(("one", "other"), list(itertools.combinations(Resource, 2)))
@each_case("name", SERVER_TYPES)
def test_daily_changes_of_two_resources_correlate_as_the_profile_says(
    name: str, one: Resource, other: Resource
) -> None:
    """At least 120 hosts a profile, of which a tenth share a part: the standard error is below 0.005."""
    index = SERVER_TYPES.index(name)
    chosen = steady() & (model().block.server_types == index)
    correlation = generation().metadata.server_types[index].correlation
    changes = [np.diff(noise_of(resource)[chosen], axis=1) for resource in (one, other)]
    known = ~np.isnan(changes[0]) & ~np.isnan(changes[1])
    found = np.corrcoef(changes[0][known], changes[1][known])[0, 1]

    assert chosen.sum() >= 120
    assert abs(found - getattr(correlation, f"{one}_{other}")) < 0.05


@each_case("resource", Resource)
def test_noise_of_two_days_in_a_row_correlates_as_set_and_has_its_spread(resource: Resource) -> None:
    """More than 1,400 series of three years: the standard error is below 0.002."""
    noise = noise_of(resource)[steady()]
    today, tomorrow = noise[:, :-1], noise[:, 1:]
    known = ~np.isnan(today) & ~np.isnan(tomorrow)
    found = np.corrcoef(today[known], tomorrow[known])[0, 1]

    assert abs(found - generation().noise.autocorrelation) < 0.05
    assert np.nanstd(noise) == pytest.approx(1, abs=0.05)


def test_burst_shows_in_several_resources_of_a_host_on_the_same_day() -> None:
    """By hand: 0.85 of resources are hit, so of bursts that hit one, nearly all hit another; at least 60 % must."""
    bursty = has_scenario(Scenario.BURST)
    is_hit = np.stack([noise_of(resource)[bursty] > BURST_SIGMAS for resource in Resource])
    count = is_hit.sum(axis=0)

    assert (count > 0).sum() > 10_000
    assert (count > 1).sum() >= 0.6 * (count > 0).sum()


def test_no_other_host_has_a_burst() -> None:
    for resource in Resource:
        assert not (noise_of(resource)[steady()] > BURST_SIGMAS).any()


def test_fewer_than_one_percent_of_values_lie_at_0_or_100_saturated_breaches_aside() -> None:
    at_bound = reported = 0
    for resource in Resource:
        found = values()[resource][~model().series[resource].is_limiting]
        at_bound += int(((found == 0) | (found == 100)).sum())
        reported += int((~np.isnan(found)).sum())

    assert at_bound < 0.01 * reported


def outage_clusters() -> float:
    """Return the mean size of the run that a missing value belongs to: agent-down days hit four resources at once."""
    gaps = generation().gaps
    lengths = np.arange(gaps.outage_days[0], gaps.outage_days[1] + 1)
    run = float((lengths**2).mean() / lengths.mean())
    in_agent = gaps.outage_share * gaps.agent_down_share
    return (1 - gaps.outage_share) + (gaps.outage_share - in_agent) * run + in_agent * len(Resource) * run


def test_share_of_missing_values_is_the_setting() -> None:
    """Values go missing in runs of up to five days and in fours, so the variance of their share is the binomial one
    times the mean size of the cluster that a missing value belongs to (6.2 values). Failure rate 6e-7; two gaps on
    one day count once, which is 0.3 % of the rate."""
    rate, n_values = generation().gaps.missing_rate, len(Resource) * N_HOSTS * N_DAYS
    missing = sum(int(np.isnan(values()[resource]).sum()) for resource in Resource)
    error = math.sqrt(rate * outage_clusters() / n_values)

    assert abs(missing / n_values - rate) < SIGMAS * error + 0.005 * rate
    assert error < 0.01 * rate


def run_of(kind: Anomaly) -> float:
    """Return the mean length of the anomaly that an anomalous day belongs to [days]."""
    lengths = np.arange(kind.days[0], kind.days[1] + 1)
    return float((lengths**2).mean() / lengths.mean())


def test_share_of_anomalous_days_is_the_setting() -> None:
    """Of reported days of series that have anomalies. They come in runs of up to 40 days, so the variance of the share
    is the binomial one times the mean length of the run that such a day belongs to (18 days). Failure rate 6e-7; days
    at either end of an event on which rounding hides it are not listed, about 1 % of the rate."""
    anomalous = reported = 0
    for resource in Resource:
        is_reported = ~np.isnan(values()[resource]) & ~model().series[resource].is_limiting[:, np.newaxis]
        anomalous += int((labelled(resource, ANOMALY_KINDS) & is_reported).sum())
        reported += int(is_reported.sum())
    settings = generation().anomalies
    cluster = math.fsum(kind.share * run_of(kind) for kind in settings.kinds.values())
    error = math.sqrt(settings.rate * cluster / reported)

    assert abs(anomalous / reported - settings.rate) < SIGMAS * error
    assert error < 0.025 * settings.rate


@pytest.mark.parametrize("seed", [42, 7, 11])
def test_every_capacity_breach_crosses_the_threshold_within_a_week_of_its_date_in_the_window(seed: int) -> None:
    """What noise adds is worth less than a week, and an outage in which the crossing falls lasts five days at most.

    Failure rate below 2 %: of seeds 0 to 149 none fails; the farthest crossings are five days early and seven late.
    """
    settings = generation(seed)
    hosts = inventory(settings)
    breaching = telemetry.host_model(settings, hosts.filter(hosts["scenario"] == Scenario.CAPACITY_BREACH.value))
    found = telemetry.utilization(breaching, settings.start_date, settings.end_date)
    n_crossings = 0
    for resource, series in breaching.series.items():
        reached = found[resource][series.is_limiting] >= settings.breach_threshold
        dates = series.breach_day[series.is_limiting]
        assert reached.any(axis=1).all()
        assert dates.max() < N_DAYS
        assert np.abs(reached.argmax(axis=1) - dates).max() <= 7
        n_crossings += dates.size

    assert n_crossings == breaching.block.numbers.size >= 95


def yearly_growth(known: BoolArray, daily: Float32Array) -> Float32Array:
    """Return by how much the mean of the last year exceeds that of the first: whole years hold no season.

    A straight line fitted to three years would take part of the season for a trend: its slope is negative for 4 to 5 %
    of the series by season alone.
    """
    with np.errstate(invalid="ignore"):
        means = [
            np.where(known, daily, 0)[:, days].sum(axis=1) / known[:, days].sum(axis=1)
            for days in (slice(0, 365), slice(N_DAYS - 365, N_DAYS))
        ]
    growth: Float32Array = means[1] - means[0]
    return growth


def test_disk_is_rarely_negative_in_trend() -> None:
    disk = values()[Resource.DISK]
    growth = yearly_growth(~np.isnan(disk), disk)

    assert (growth < 0).mean() < 0.05
    assert growth.mean() > 0


def test_steady_growth_to_breach_ends_close_to_the_threshold_or_through_it() -> None:
    """In the last quarter the busiest resource of each such host is at 85 % or more, as the median of its days."""
    growing = has_variety(STEADY_BREACH)
    last_quarter = [np.nanmedian(values()[resource][growing, -90:], axis=1) for resource in Resource]

    assert np.max(last_quarter, axis=0).min() >= 85
