"""Events: rates, durations, sizes, places; and the same events whatever stretch of days is asked for.

The seed is fixed, so no test here is flaky. With a seed drawn at random each statistical test would fail with a chance
of 6e-7 a bound: five standard errors. A slot holds an event or not, so counts spread less than the binomial ones that
the bounds are worked from.
"""

import dataclasses
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from capsim_dagster.schemas import GAP_KINDS, EventKind, Resource
from capsim_dagster.seeding import streams
from capsim_dagster.settings import Anomalies, DataGeneration, Gaps
from capsim_dagster.simulation import events
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import base_generation, changed
from capsim_dagster_tests.support.simulation.models import SIGMAS

N_HOSTS, N_DAYS = 400, 5_000
SPAN = range(19_358, 19_358 + N_DAYS)
HOSTS = np.arange(1, N_HOSTS + 1)
SORTS = ["bursts", "anomalies", "singles", "outages", "agent"]

repeatable = property_settings(max_examples=20, deadline=None, derandomize=True, database=None)


def generation_with(**change: object) -> DataGeneration:
    return changed(base_generation(), {name.replace("__", "."): value for name, value in change.items()})


def bursts(span: range, rate: float = 0.05, hit_share: float = 0.85, hosts: events.Int64Array = HOSTS) -> events.Events:
    hits = streams(42, "telemetry", "cpu", "burst_hits", hosts=hosts)
    rates = np.full(hosts.size, rate, dtype=np.float32)
    return events.bursts(events.burst_streams(42, hosts), rates, hits, hit_share=hit_share, span=span)


def anomalies(span: range, settings: Anomalies, has_any: bool = True) -> events.Events:
    source = events.anomaly_streams(42, "cpu", HOSTS)
    return events.anomalies(source, settings, has_any=np.full(N_HOSTS, has_any), span=span)


def gaps(span: range, settings: Gaps, resource: str = "cpu") -> list[events.Events]:
    return events.gaps(events.gap_streams(42, resource, HOSTS), settings, span)


def found_in(span: range, sort: str) -> events.Events:
    """Return the events of one sort with the default settings, gaps at a higher rate."""
    generation = generation_with(gaps__missing_rate=0.05)
    if sort == "bursts":
        return bursts(span)
    if sort == "anomalies":
        return anomalies(span, generation.anomalies)
    return gaps(span, generation.gaps)[SORTS.index(sort) - SORTS.index("singles")]


@cache
def all_of(sort: str) -> events.Events:
    return found_in(SPAN, sort)


def in_order(found: events.Events) -> list[tuple[float, ...]]:
    """Return events as sorted tuples."""
    return sorted(zip(*(getattr(found, field.name).tolist() for field in dataclasses.fields(found)), strict=True))


def share_of_days(found: events.Events, span: range = SPAN) -> float:
    """Return the share of host days on which something happens."""
    days = events.days_of(found, span)
    return len(set(zip(days.rows.tolist(), days.columns.tolist(), strict=True))) / (N_HOSTS * len(span))


def standard_error(rate: float, low: int, high: int) -> float:
    """Standard error of a share of days in events of `low` to `high` days: they come in runs."""
    lengths = np.arange(low, high + 1)
    return math.sqrt(rate * float((lengths**2).mean() / lengths.mean()) / (N_HOSTS * N_DAYS))


@pytest.mark.parametrize("rate", [0.02, 0.06, 0.125])
def test_bursts_start_as_often_as_their_rate_says(rate: float) -> None:
    found = bursts(SPAN, rate, hit_share=1)
    starts = int((found.start >= SPAN.start).sum())

    assert abs(starts / (N_HOSTS * N_DAYS) - rate) < SIGMAS * math.sqrt(rate / (N_HOSTS * N_DAYS))


@pytest.mark.parametrize("hit_share", [0.3, 0.85])
def test_bursts_hit_a_resource_as_often_as_its_share_says_and_are_those_of_the_host(hit_share: float) -> None:
    every, some = bursts(SPAN, hit_share=1), bursts(SPAN, hit_share=hit_share)
    n_bursts = every.rows.size

    assert set(in_order(some)) < set(in_order(every))
    assert abs(some.rows.size / n_bursts - hit_share) < SIGMAS * math.sqrt(hit_share * (1 - hit_share) / n_bursts)


def test_bursts_never_happen_at_a_rate_of_0() -> None:
    assert bursts(SPAN, 0).rows.size == 0


def test_bursts_last_one_to_three_days_with_equal_chance_and_are_3_to_5_quarters_of_their_height() -> None:
    found = all_of("bursts")
    counts = np.bincount(found.days)

    assert counts.tolist()[0] == 0
    assert np.abs(counts[1:] / counts.sum() - 1 / 3).max() < SIGMAS * math.sqrt(2 / 9 / counts.sum())
    assert 0.75 <= found.size.min() < 0.751
    assert 1.249 < found.size.max() < 1.25


@each_case("rate", [0.005, 0.02])
@each_case("kind", ["spike", "dip", "level_shift", "variance_change"])
def test_anomalies_of_each_kind_cover_their_share_of_the_days(kind: str, rate: float) -> None:
    settings = generation_with(anomalies__rate=rate).anomalies
    found = anomalies(SPAN, settings)
    expected, bounds = rate * settings.kinds[kind].share, settings.kinds[kind].days

    covered = share_of_days(found.take(found.is_of(EventKind(kind))))
    assert abs(covered - expected) < SIGMAS * standard_error(expected, *bounds)


@each_case("kind", ["spike", "dip", "level_shift", "variance_change"])
def test_anomalies_last_and_measure_what_their_settings_allow(kind: str) -> None:
    """Each of 31 lengths is drawn about 15 times, so the chance that one is missing is 1e-5."""
    settings = generation_with(anomalies__rate=0.02).anomalies
    found, bounds = anomalies(SPAN, settings), settings.kinds[kind]
    of_kind = found.take(found.is_of(EventKind(kind)))

    assert set(of_kind.days.tolist()) == set(range(bounds.days[0], bounds.days[1] + 1))
    assert bounds.size[0] <= np.abs(of_kind.size).min()
    assert np.abs(of_kind.size).max() <= bounds.size[1]


def test_dips_go_down_spikes_up_and_level_shifts_either_way() -> None:
    found = all_of("anomalies")
    goes_up = {kind: found.size[found.is_of(kind)] > 0 for kind in EventKind}
    shifts = goes_up[EventKind.LEVEL_SHIFT]

    assert goes_up[EventKind.SPIKE].all()
    assert goes_up[EventKind.VARIANCE_CHANGE].all()
    assert not goes_up[EventKind.DIP].any()
    assert abs(shifts.mean() - 0.5) < SIGMAS * 0.5 / math.sqrt(shifts.size)


def test_anomalies_of_a_kind_without_a_share_never_happen() -> None:
    settings = generation_with(anomalies__dip__share=0, anomalies__spike__share=0.4).anomalies
    found = anomalies(SPAN, settings)

    assert found.is_of(EventKind.SPIKE).any()
    assert not found.is_of(EventKind.DIP).any()


def test_anomalies_never_happen_at_a_rate_of_0_or_where_a_series_has_none() -> None:
    assert anomalies(SPAN, generation_with(anomalies__rate=0).anomalies).rows.size == 0
    assert anomalies(SPAN, base_generation().anomalies, has_any=False).rows.size == 0


@each_case("index", range(3))
@each_case("rate", [0.01, 0.05])
def test_gaps_of_each_kind_cover_their_share_of_the_days(rate: float, index: int) -> None:
    """By hand: 40 % of missing days are single, half of the rest are outages, half the agent's."""
    settings = generation_with(gaps__missing_rate=rate).gaps
    expected = rate * [0.4, 0.3, 0.3][index]
    bounds = (1, 1) if index == 0 else settings.outage_days
    found = gaps(SPAN, settings)[index]

    assert found.is_of(GAP_KINDS[index]).all()
    assert abs(share_of_days(found) - expected) < SIGMAS * standard_error(expected, *bounds)


@each_case(
    ("change", "happens"),
    [
        ({"gaps__missing_rate": 0}, [False, False, False]),
        ({"gaps__outage_share": 0}, [True, False, False]),
        ({"gaps__outage_share": 1}, [False, True, True]),
        ({"gaps__agent_down_share": 0}, [True, True, False]),
        ({"gaps__agent_down_share": 1}, [True, False, True]),
    ],
)
def test_gaps_of_a_kind_without_a_share_never_happen(change: dict[str, object], happens: list[bool]) -> None:
    assert [found.rows.size > 0 for found in gaps(SPAN, generation_with(**change).gaps)] == happens


def test_outages_last_what_their_settings_allow_and_single_gaps_one_day() -> None:
    assert set(all_of("singles").days.tolist()) == {1}
    assert set(all_of("outages").days.tolist()) == {2, 3, 4, 5}
    assert set(all_of("agent").days.tolist()) == {2, 3, 4, 5}


def test_agent_down_hits_all_resources_of_a_host_on_the_same_days_and_other_gaps_do_not() -> None:
    cpu, *others = (
        [in_order(found) for found in gaps(SPAN, base_generation().gaps, resource.value)] for resource in Resource
    )

    for other in others:
        assert other[2] == cpu[2]
        assert other[0] != cpu[0]
        assert other[1] != cpu[1]


@each_case("sort", SORTS)
def test_two_events_of_one_sort_on_a_series_never_overlap(sort: str) -> None:
    found = all_of(sort)
    order = np.lexsort((found.start, found.rows))
    rows, start, end = found.rows[order], found.start[order], (found.start + found.days)[order]
    follows = rows[1:] == rows[:-1]

    assert follows.any()
    assert (start[1:] >= end[:-1])[follows].all()


@each_case("sort", SORTS)
def test_events_start_on_any_day_of_the_week_and_of_their_slot_alike(sort: str) -> None:
    """Slots are offset by host, so that no day of the calendar is preferred: counts spread less than Poisson ones."""
    starts = all_of(sort).start
    for modulus in (7, 64):
        counts = np.bincount(starts % modulus, minlength=modulus)
        assert np.abs(counts - counts.mean()).max() < SIGMAS * math.sqrt(counts.mean()) + N_HOSTS / modulus


@repeatable
@given(sort=st.sampled_from(SORTS), offset=st.integers(0, N_DAYS - 1), length=st.integers(1, 80))
def test_events_of_any_stretch_are_those_of_the_full_one_that_touch_it(sort: str, offset: int, length: int) -> None:
    piece = range(SPAN.start + offset, min(SPAN.start + offset + length, SPAN.stop))
    every = all_of(sort)
    touching = every.take((every.start < piece.stop) & (every.start + every.days > piece.start))

    assert in_order(found_in(piece, sort)) == in_order(touching)


def test_events_of_a_host_do_not_depend_on_the_other_hosts() -> None:
    alone = bursts(SPAN, hosts=np.array([17]))
    every = all_of("bursts")
    its_own = every.take(every.rows == 16)

    np.testing.assert_array_equal(alone.start, its_own.start)
    np.testing.assert_array_equal(alone.size, its_own.size)


def test_days_of_events_are_those_within_the_stretch() -> None:
    """Three events: one that began before the stretch, one within it, one that goes on after it."""
    found = events.Events(
        rows=np.array([4, 0, 2]),
        start=np.array([98, 102, 109]),
        days=np.array([4, 1, 5]),
        kind=np.array([0, 0, 0]),
        size=np.ones(3, dtype=np.float32),
    )
    days = events.days_of(found, range(100, 111))

    assert days.event.tolist() == [0, 0, 1, 2, 2]
    assert days.rows.tolist() == [4, 4, 0, 2, 2]
    assert days.columns.tolist() == [0, 1, 2, 9, 10]


def test_days_of_no_events_are_none() -> None:
    assert events.days_of(bursts(SPAN, 0), SPAN).columns.size == 0


def test_joined_events_are_those_of_all_parts() -> None:
    parts = gaps(SPAN, base_generation().gaps)
    whole = events.joined(parts)

    assert whole.rows.size == sum(part.rows.size for part in parts)
    assert in_order(whole) == sorted(event for part in parts for event in in_order(part))
