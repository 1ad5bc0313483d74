"""Months and years along an axis: few enough to read, and the year where it changes."""

from itertools import pairwise

from capsim_dagster.pictures.bars import MOST_TICKS, period_ticks
from capsim_dagster_tests.support.cases import each_case


def months(count: int, first: int = 202301) -> list[int]:
    """Return so many months in a row as YYYYMM."""
    start = first // 100 * 12 + first % 100 - 1
    return [ordinal // 12 * 100 + ordinal % 12 + 1 for ordinal in range(start, start + count)]


@each_case("count", [1, 2, 13, 14, 36, 40, 61, 100, 120])
def test_each_tick_names_its_month_and_few_do(count: int) -> None:
    shown = months(count, first=202211)
    ticks = period_ticks(shown)

    assert 1 <= len(ticks) <= MOST_TICKS
    for place, label in ticks:
        month = shown[place]
        names = label.split("\n")
        assert names[0] in (
            f"{month // 100}",
            "JanFebMarAprMayJunJulAugSepOctNovDec"[month % 100 * 3 - 3 : month % 100 * 3],
        )
        assert names[1:] in ([], [f"{month // 100}"])


def test_the_year_is_said_at_the_first_tick_and_where_it_changes() -> None:
    labels = [label for _, label in period_ticks(months(36, first=202205))]

    assert labels == [
        *("Jul\n2022", "Oct", "Jan\n2023", "Apr", "Jul", "Oct", "Jan\n2024", "Apr", "Jul", "Oct", "Jan\n2025", "Apr")
    ]


def test_long_windows_name_years_alone() -> None:
    assert [label for _, label in period_ticks(months(120))] == [str(year) for year in range(2023, 2033)]


def test_years_are_named_at_round_distances() -> None:
    assert period_ticks(range(1994, 2024), are_years=True) == [
        (place, str(1994 + place)) for place in (1, 6, 11, 16, 21, 26)
    ]


def test_months_far_apart_are_named_without_running_into_each_other() -> None:
    scattered = [190001, *months(30, first=202302)]
    places = [place for place, _ in period_ticks(scattered)]

    assert places[0] == 0
    assert min(b - a for a, b in pairwise(places)) * (MOST_TICKS + 1) >= len(scattered)


def test_months_of_which_none_is_round_are_named_all_the_same() -> None:
    februaries = [year * 100 + 2 for year in range(1900, 2020)]

    assert period_ticks(februaries)[0] == (0, "Feb\n1900")
