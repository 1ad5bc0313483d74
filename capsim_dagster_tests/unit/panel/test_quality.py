"""The gates of a panel, and its summary, against numbers from numpy."""

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from capsim_dagster.audits.report import Reports
from capsim_dagster.panel.build import PanelPiece, panel_pieces
from capsim_dagster.panel.quality import HISTOGRAM_STEPS, PanelScan
from capsim_dagster.seeding import Float64Array
from capsim_dagster.settings import DataGeneration, Panel
from capsim_dagster.simulation.fleet import fleet_of
from capsim_dagster_tests.support.panel.generated import generation_of, own_metric, panel_of

END: Final = dt.date(2023, 12, 31)
Break = Callable[[dict[str, Float64Array]], None]


@pytest.fixture(scope="module")
def generation() -> DataGeneration:
    return generation_of(num_servers=80, end_date=END.isoformat())


@pytest.fixture(scope="module")
def pieces(generation: DataGeneration) -> list[PanelPiece]:
    return list(panel_pieces(generation, panel_of(), fleet_of(generation), end=END))


def scanned(
    generation: DataGeneration,
    pieces: list[PanelPiece],
    breaking: Break = lambda _values: None,
    panel: Panel | None = None,
) -> PanelScan:
    """Return a scan of all pieces, of which each was broken."""
    scan = PanelScan(generation, panel or panel_of(), fleet_of(generation), end=END)
    for piece in pieces:
        values = {name: array.copy() for name, array in piece.values.items()}
        breaking(values)
        scan.add(PanelPiece(piece.hosts, piece.block, values))
    return scan


def failed(reports: Reports) -> list[str]:
    return [name for name, report in reports.items() if not report.passed]


def scale_days(step: int, factor: float) -> Break:
    """Multiply every `step`-th day from the seventh on, a Saturday, by a factor."""

    def breaking(values: dict[str, Float64Array]) -> None:
        values["mem_p95"][:, 6::step] *= factor

    return breaking


def set_values(name: str, share: float, value: float) -> Break:
    """Set a share of a metric's values."""

    def breaking(values: dict[str, Float64Array]) -> None:
        values[name][:, : int(share * values[name].shape[1])] = value

    return breaking


def test_every_gate_passes_on_what_was_simulated(generation: DataGeneration, pieces: list[PanelPiece]) -> None:
    reports = scanned(generation, pieces).reports()

    assert failed(reports) == []
    assert reports["calendar_effects_match_settings"].counts["ratios"] >= 40


@pytest.mark.parametrize(
    ("breaking", "gate"),
    [
        (set_values("cpu_p95", 0.06, np.nan), "missing_share_is_within_limit"),
        (set_values("cpu_p95", 1.0, np.nan), "missing_share_is_within_limit"),
        (set_values("cpu_p95", 0.003, 100.5), "values_are_within_range"),
        (set_values("cpu_p95", 0.003, np.inf), "values_are_within_range"),
        (set_values("net_in_p95", 0.003, -1.0), "values_are_within_range"),
        (set_values("net_out_p95", 0.003, 25_000.5), "values_are_within_range"),
        (scale_days(7, 1.5), "calendar_effects_match_settings"),
    ],
)
def test_each_gate_fails_on_what_it_is_for(
    generation: DataGeneration, pieces: list[PanelPiece], breaking: Break, gate: str
) -> None:
    assert gate in failed(scanned(generation, pieces, breaking).reports())


def test_a_lost_server_fails_the_shape(generation: DataGeneration, pieces: list[PanelPiece]) -> None:
    piece = pieces[0]
    kept = PanelPiece(piece.hosts.head(79), fleet_block(generation, 79), {n: v[:79] for n, v in piece.values.items()})

    report = scanned(generation, [kept]).reports()["panel_has_one_row_per_server_day"]

    assert report.examples == ["28,835 rows instead of 29,200"]


def fleet_block(generation: DataGeneration, hosts: int) -> Any:  # noqa: ANN401 as the simulation has it
    from capsim_dagster.simulation.parameters import host_block

    return host_block(generation, fleet_of(generation).head(hosts))


def test_tolerance_of_patterns_decides_how_far_off_they_may_be(
    generation: DataGeneration, pieces: list[PanelPiece]
) -> None:
    slightly = scale_days(7, 0.6)
    loose = panel_of(quality={"max_missing_share": 0.05, "pattern_tolerance": 0.5})

    assert failed(scanned(generation, pieces, slightly).reports()) == ["calendar_effects_match_settings"]
    assert failed(scanned(generation, pieces, slightly, loose).reports()) == []


def test_patterns_of_a_series_of_its_own_are_judged_by_its_own_numbers(generation: DataGeneration) -> None:
    own = own_metric(generation, weekly_pattern_factor=1.3)
    panel = panel_of(metrics={"gpu_p95": {"resource": "cpu", "own": own.model_dump(mode="json")}})
    made = list(panel_pieces(generation, panel, fleet_of(generation), end=END))

    report = scanned(generation, made, panel=panel).reports()["calendar_effects_match_settings"]

    weekends = [row for row in report.table if row["occasion"] == "weekend"]
    assert report.passed
    assert {row["metric"] for row in weekends} == {"gpu_p95"}
    assert all(float(row["expected"]) > 1.1 for row in weekends)


def test_summary_agrees_with_numpy(generation: DataGeneration, pieces: list[PanelPiece]) -> None:
    for name, found in scanned(generation, pieces).summary().items():
        values = np.concatenate([piece.values[name].ravel() for piece in pieces])
        known = values[~np.isnan(values)]
        scale = 100 if name in ("cpu_p95", "mem_p95", "disk_p95") else 25_000
        assert (found.values, found.missing) == (known.size, values.size - known.size)
        assert [found.mean, found.std, found.low, found.high] == pytest.approx(
            [known.mean(), known.std(), known.min(), known.max()]
        )
        exact = np.quantile(known, 0.95, method="inverted_cdf")
        assert found.p95 == pytest.approx(exact, abs=scale / HISTOGRAM_STEPS)


def test_summary_does_not_depend_on_the_order_of_the_servers() -> None:
    generation = generation_of()
    hosts, end = fleet_of(generation), generation.end_date
    found = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        scan = PanelScan(generation, panel_of(), hosts, end=end)
        for index in order:
            for piece in panel_pieces(generation, panel_of(), hosts.slice(3 * index, 3), end=end):
                scan.add(piece)
        found.append(scan.summary()["cpu_p95"])

    first, second = found
    assert (first.values, first.missing, first.p95, first.low, first.high) == (
        second.values,
        second.missing,
        second.p95,
        second.low,
        second.high,
    )
    assert [first.mean, first.std] == pytest.approx([second.mean, second.std], rel=1e-12)


def test_a_metric_without_a_value_has_a_summary_without_numbers(
    generation: DataGeneration, pieces: list[PanelPiece]
) -> None:
    found = scanned(generation, pieces, set_values("cpu_p95", 1.0, np.nan)).summary()["cpu_p95"]

    assert (found.values, found.missing_share) == (0, 1.0)
    assert np.isnan([found.mean, found.std, found.low, found.high, found.p95]).all()
