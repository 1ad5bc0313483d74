"""Pictures of the fleet: one line a group, and an honest panel where nothing can be shown."""

import polars as pl

from capsim_dagster.pictures import fleet
from capsim_dagster_tests.support.pictures.views import ids, svg_size, texts

PROFILE = pl.DataFrame({"group": "cpu", "weekday": range(1, 8), "ratio": [1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.7]})
EFFECT = pl.DataFrame({"group": "web", "business_day": [-2, -1, 1, 2], "ratio": [1.0, 1.15, 1.0, 1.0]})


def test_weekly_picture_has_a_line_a_group_weekdays_and_percent() -> None:
    panels = {"by resource": pl.concat([PROFILE, PROFILE.with_columns(group=pl.lit("disk"))])}

    svg = fleet.weekly_profile_picture(panels, "of all hosts")

    assert {"cpu", "disk"} <= ids(svg)
    assert {"by resource", "of all hosts", "cpu", "disk", "Mon", "Sun", "-30 %", "+0 %"} <= set(texts(svg))


def test_quarter_end_picture_names_the_business_days_around() -> None:
    said = texts(fleet.quarter_end_picture({"by type": EFFECT}, "note", window_days=1))

    assert {"web", "-15", "-1", "+10", "+15 %"} <= set(said)


def test_a_panel_without_numbers_says_why() -> None:
    weekly = texts(fleet.weekly_profile_picture({"by resource": PROFILE.clear()}, "note"))
    quarterly = texts(fleet.quarter_end_picture({"by resource": EFFECT.clear()}, "note", window_days=0))

    assert "this window holds no week" in weekly
    assert "no quarter ends in this window" in quarterly


def test_noise_of_a_percent_does_not_fill_the_panel() -> None:
    flat = PROFILE.with_columns(ratio=pl.lit(1.001))

    said = texts(fleet.weekly_profile_picture({"by resource": flat}, "note"))

    assert {"-4 %", "+4 %"} <= set(said)


def test_fleet_pictures_have_their_size() -> None:
    svg = fleet.weekly_profile_picture({"a": PROFILE, "b": PROFILE}, "note")

    assert svg_size(svg) == fleet.SIZE_PX
