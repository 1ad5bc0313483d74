"""Utilization by region: the right means over whole periods, and lines that follow them."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from capsim_dagster.pictures.fleet import MOST_POINTS, RegionMeans, region_means, regions_picture
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.support.pictures.views import crowded, ids, strokes, texts

SUNDAY = dt.date(2023, 1, 1)


def loads(n_days: int, regions: int = 2) -> pl.DataFrame:
    """Return loads of two server types a region from a Sunday on; in the first region nobody reports on day 3."""
    days = pl.DataFrame({"day": range(n_days)}, schema={"day": pl.Int64})
    groups = pl.DataFrame(
        [(resource.value, f"r{n}", kind) for resource in Resource for n in range(regions) for kind in ("web", "db")],
        schema=["resource", "region", "server_type"],
        orient="row",
    )
    hosts = pl.when((pl.col("region") == "r0") & (pl.col("day") == 3)).then(0.0)
    return groups.join(days, how="cross").select(
        "resource",
        "region",
        "server_type",
        date=pl.lit(SUNDAY) + pl.duration(days="day"),
        hosts=hosts.when(pl.col("server_type") == "web").then(3.0).otherwise(1.0),
        load=hosts.when(pl.col("server_type") == "web").then(3 * (20.0 + pl.col("day") % 7)).otherwise(40.0),
    )


def means_of(found: RegionMeans, region: str) -> dict[dt.date, float]:
    rows = found.means.filter(pl.col("resource") == "cpu", pl.col("region") == region)
    return dict(rows.select("date", "mean").iter_rows())


def test_a_short_window_is_shown_by_day_with_each_host_counting_once() -> None:
    found = region_means(loads(30))

    assert found.period == "day"
    means = means_of(found, "r1")
    assert len(means) == 30
    assert means[dt.date(2023, 1, 3)] == pytest.approx((3 * 22 + 40) / 4)


def test_a_long_window_is_shown_by_week_and_a_week_that_is_cut_off_is_left_out() -> None:
    found = region_means(loads(1096))

    means = means_of(found, "r1")
    assert found.period == "week"
    assert min(means) == dt.date(2023, 1, 2)
    assert max(means) == dt.date(2025, 12, 22)
    assert len(means) == 156
    assert list(means.values()) == pytest.approx([(3 * 23 + 40) / 4] * 156)


def test_many_regions_over_a_long_window_are_shown_by_whole_month() -> None:
    found = region_means(loads(1096, regions=8))

    assert found.period == "month"
    assert found.means.height == 8 * 4 * 36 <= MOST_POINTS
    assert max(found.means["date"]) == dt.date(2025, 12, 1)


def test_a_day_on_which_no_host_of_a_region_reported_is_a_gap_in_its_line() -> None:
    svg = regions_picture(region_means(loads(30)), "note")

    assert [len(line) for line in strokes(svg, "cpu: r0")] == [3, 26]
    assert [len(line) for line in strokes(svg, "cpu: r1")] == [30]


def test_lines_follow_the_means_and_the_picture_says_what_they_are() -> None:
    found = region_means(loads(30))
    svg = regions_picture(found, "of all hosts")

    (line,) = strokes(svg, "disk: r1")
    wanted = np.array(list(means_of(found, "r1").values()))
    slope, offset = np.polyfit(wanted, [y for _, y in line], 1)
    assert slope < 0  # an SVG counts from the top
    assert wanted * slope + offset == pytest.approx([y for _, y in line], abs=0.02)
    assert {"Utilization by region: mean of each day", "of all hosts", "r0", "r1", "memory, % of capacity"} <= set(
        texts(svg)
    )
    assert {f"{resource}: r{n}" for resource in Resource for n in range(2)} <= ids(svg)


def test_three_years_of_four_regions_are_small_enough_to_store_with_each_run() -> None:
    noisy = loads(1096, regions=4).with_columns(load=pl.col("load") * (1 + (pl.col("date").dt.ordinal_day() % 11) / 9))
    svg = regions_picture(region_means(noisy), "note")

    assert len(svg) < 62_000
    assert crowded(svg) == []


def test_a_single_day_and_a_fleet_that_never_reported_can_be_drawn() -> None:
    silent = loads(5).with_columns(load=pl.lit(0.0), hosts=pl.lit(0.0))

    assert "Utilization by region: mean of each day" in texts(regions_picture(region_means(loads(1)), ""))
    assert texts(regions_picture(region_means(silent), "")).count("no host reported a value") == len(Resource)


def test_a_short_window_of_countless_regions_keeps_its_days() -> None:
    crowd = region_means(loads(5, regions=400))

    assert crowd.period == "day"
    assert crowd.means["date"].n_unique() == 5
