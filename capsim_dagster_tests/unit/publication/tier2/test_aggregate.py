"""What the samples of an hour come to: by hand, by exact fractions, and whatever the order of the lines."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.lines import parse_lines
from capsim_dagster.publication.tier2.aggregate import aggregate_hour, places, statistics
from capsim_dagster.publication.tier2.columns import SCHEMA
from capsim_dagster.publication.tier3.rules import LineRule
from capsim_dagster.simulation.samples import p95_rank
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.publication.days import DAY, Line, hour_lines, text_of
from capsim_dagster_tests.support.publication.tier2.hours import HOUR

GAP = float("nan")
Values = list[float | None]


def rows_of(lines: list[Line]) -> pa.Table:
    return aggregate_hour(parse_lines(text_of(lines), HOUR, LineRule(1800)).rows, DayHour(DAY, HOUR).start)


@each_case(
    ("values", "mean", "p50", "p95", "highest"),
    [
        ([float(v) for v in range(12, 0, -1)], 6.5, 6.0, 12.0, 12.0),
        ([float(v) for v in range(1, 21)], 10.5, 10.0, 19.0, 20.0),
        ([4.0, GAP, 1.0, 4.0, GAP], 3.0, 4.0, 4.0, 4.0),
        ([7.25], 7.25, 7.25, 7.25, 7.25),
    ],
)
def test_statistics_are_those_worked_by_hand(
    values: list[float], mean: float, p50: float, p95: float, highest: float
) -> None:
    found = statistics(np.array([values]))

    assert (found.mean[0], found.p50[0], found.p95[0], found.max[0]) == (mean, p50, p95, highest)
    assert found.samples[0] == np.count_nonzero(~np.isnan(values))


def test_a_host_without_a_value_has_no_statistics_and_no_samples() -> None:
    found = statistics(np.array([[GAP, GAP], [1.0, 2.0]]))

    assert [np.isnan(each).tolist() for each in (found.mean, found.p50, found.p95, found.max)] == [[True, False]] * 4
    assert found.samples.tolist() == [0, 2]


@settings(max_examples=25)
@given(st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=60))
def test_statistics_are_those_of_exact_fractions_and_of_the_rank_of_the_simulation(values: Values) -> None:
    found = statistics(np.array([values], dtype=np.float64))
    present = sorted(value for value in values if value is not None)

    assert found.samples[0] == len(present)
    if present:
        exact = float(sum(map(Fraction, present))) / len(present)
        assert found.mean[0] == min(max(exact, present[0]), present[-1])
        assert (found.p95[0], found.max[0]) == (present[p95_rank(len(present))], present[-1])
        assert found.p50[0] == present[(len(present) + 1) // 2 - 1]
        assert found.mean[0] == pytest.approx(np.mean(present), rel=1e-12)


@pytest.mark.parametrize("samples", [2, 15, 60])
def test_the_mean_of_equal_values_is_that_value_to_the_last_bit(samples: int) -> None:
    values = np.repeat(np.arange(1, 10_001)[:, np.newaxis] / 100, samples, axis=1)

    assert np.array_equal(statistics(values).mean, values[:, 0])


def test_a_negative_zero_is_zero_whatever_the_order() -> None:
    found = statistics(np.array([[-0.0, 0.0], [0.0, -0.0]]))

    assert not np.signbit(np.stack([found.mean, found.p50, found.p95, found.max])).any()


def test_places_are_those_of_the_simulation_for_every_number_of_samples() -> None:
    assert places(np.arange(1, 1_441), 95).tolist() == [p95_rank(samples) for samples in range(1, 1_441)]


@settings(max_examples=12)
@given(st.permutations(range(24)), st.lists(st.floats(0, 100), min_size=24, max_size=24))
def test_the_order_of_the_lines_changes_no_bit(order: list[int], values: list[float]) -> None:
    lines = [{**line, "cpu": value} for line, value in zip(hour_lines(HOUR), values, strict=True)]

    assert rows_of([lines[place] for place in order]).equals(rows_of(lines))


def test_each_host_has_its_four_rows_sorted_and_its_gaps_are_there() -> None:
    rows = rows_of(hour_lines(HOUR, 3)[::-1])
    hosts = [f"srv-{number:06d}" for number in (1, 2, 3)]

    assert rows.schema.equals(SCHEMA)
    assert rows["host_id"].to_pylist() == [host for host in hosts for _ in range(4)]
    assert rows["resource"].to_pylist() == ["cpu", "disk", "memory", "network"] * 3
    assert set(rows["ts"].to_pylist()) == {DayHour(DAY, HOUR).start}


def test_samples_and_nulls_together_are_the_intervals() -> None:
    lines = [{**line, "cpu": None} if line["host_id"] == "srv-000002" else line for line in hour_lines(HOUR)]
    rows = rows_of(lines).to_pylist()
    nulls = sum(line[name] is None for line in lines for name in ("cpu", "memory", "disk", "network"))

    assert sum(row["samples"] for row in rows) + nulls == len(lines) * 4
    gap = next(row for row in rows if (row["host_id"], row["resource"]) == ("srv-000002", "cpu"))
    assert (gap["samples"], gap["mean"], gap["p50"], gap["p95"], gap["max"]) == (0, None, None, None, None)
