"""Ticks of dates: whole days, within the window, few enough to read, and the year where it changes."""

import numpy as np
from matplotlib.figure import Figure

from capsim_dagster.pictures.canvas import LEAST_TICKS, MOST_TICKS, epoch, show_days
from capsim_dagster_tests.support.cases import each_case

START = np.datetime64("2023-01-01")


def drawn(n_days: int) -> tuple[list[float], list[str]]:
    """Return the ticks that lie within a window from 2023 on, and their labels."""
    figure = Figure(figsize=(10, 3))
    axes = figure.subplots()
    days = START + np.arange(n_days)
    show_days(axes, days, are_labelled=True)
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    texts = [text.get_text() for text in axes.get_xticklabels()]
    shown = [(tick, text) for tick, text in zip(axes.get_xticks(), texts, strict=True) if low <= tick <= high]
    return [tick for tick, _ in shown], [text for _, text in shown]


@each_case("n_days", [1, 2, 15, 90, 1096, 36_525])
def test_ticks_are_few_whole_days_that_ascend(n_days: int) -> None:
    ticks, _ = drawn(n_days)

    assert min(n_days, LEAST_TICKS) - 1 <= len(ticks) <= MOST_TICKS + 1
    assert ticks == sorted({float(round(tick)) for tick in ticks})


def test_window_is_shown_whole() -> None:
    figure = Figure()
    axes = figure.subplots()
    days = START + np.arange(90)
    show_days(axes, days, are_labelled=False)
    low, high = axes.get_xlim()

    assert low < epoch(days)[0] < epoch(days)[-1] < high


def test_labels_name_months_and_the_year_where_it_changes() -> None:
    _, labels = drawn(731)

    assert "2024" in labels
    assert {"Mar", "Jul", "Nov"} <= set(labels)


def test_a_single_day_is_named_by_its_date() -> None:
    assert drawn(1) == ([float(epoch(np.array([START]))[0])], ["2023-01-01"])


def test_no_days_leave_no_ticks() -> None:
    axes = Figure().subplots()
    show_days(axes, START + np.arange(0), are_labelled=True)

    assert list(axes.get_xticks()) == []
